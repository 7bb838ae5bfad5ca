//! Access of one run to the state of a workspace: the lease, the snapshot, and the task that writes the snapshot.

use crate::lease::{AcquireOptions, Fencing, Lease, LeaseTable};
use crate::store::{Loaded, Store};
use futures_util::future::{BoxFuture, FutureExt};
use pb_engine::{Class, Entry, Event, Events, Failure, Intents, Ledger, Refusal, Snapshot};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Access of one run to the state of a workspace. It implements the engine's ledger.
///
/// # Flow
///
/// Changes are made in memory. One task writes all pending changes at once whenever no write is in flight. Changes
/// within 100 ms are coalesced into one write, unless a caller waits for the write. Until a change is stored, the
/// stored intents tell which resources may exist.
///
/// # Caveats
///
/// A session that is dropped without [`close`](Self::close) stores nothing more, and its lease expires after one lease
/// time.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    /// Task that writes the snapshot; it ends when the session is dropped.
    writer: JoinSet<()>,
}

/// Time during which changes are collected for one write.
const COALESCE_WINDOW: Duration = Duration::from_millis(100);

struct Shared {
    store: Store,
    events: Events,
    state: Mutex<State>,
    /// Notification to the writer that there is a change.
    changed: Notify,
    /// Notification to the writer that a caller waits until the changes are stored.
    flush_requested: Notify,
    progress: watch::Sender<WriterProgress>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("store", &self.store).finish_non_exhaustive()
    }
}

struct State {
    /// Snapshot with all changes; its serial and fencing token are those of `stored`.
    current: Snapshot,
    /// Stored snapshot and its entity tag.
    stored: Loaded,
    /// Number of changes so far.
    changes: u64,
    /// Number of changes that are stored.
    stored_changes: u64,
    /// Failure of the first write that failed. It is kept even if a later write succeeds, because the run must end in
    /// any case.
    first_error: Option<Failure>,
}

/// Progress of the writer.
#[derive(Debug, Clone, Copy, Default)]
struct WriterProgress {
    /// Number of changes that were stored or could not be stored.
    changes: u64,
    /// Set when the writer has ended.
    ended: bool,
}

impl Session {
    /// Acquires the lease, with a fencing token above that of the snapshot, and then reads the snapshot.
    ///
    /// The snapshot is also read before the lease is acquired. An unusable snapshot, or a lock table whose token is
    /// lower than that of the snapshot, is therefore refused without any change to the table, however often the run is
    /// repeated.
    ///
    /// # Errors
    /// `Locked` if another run holds the lease; `Refused` if the snapshot is unusable, was written under a later lease,
    /// or is in a store that ignores conditional writes; and any error of AWS. A lease that was acquired is then
    /// released.
    pub async fn open(
        store: Store,
        leases: &LeaseTable,
        options: &AcquireOptions,
        events: Events,
    ) -> Result<Self, Failure> {
        let written = store.load().await?.snapshot.fence;
        let lease = leases.acquire_with_fencing(options, Fencing::Above(written)).await?;
        let loaded = match load_under_lease(&store, lease.fence()).await {
            Ok(loaded) => loaded,
            Err(failure) => {
                // Only the first failure is reported. If the lease cannot be released, it expires by itself.
                let _ = lease.release().await;
                return Err(failure);
            }
        };
        let state = State {
            current: loaded.snapshot.clone(),
            stored: loaded,
            changes: 0,
            stored_changes: 0,
            first_error: None,
        };
        let shared = Arc::new(Shared {
            store,
            events,
            state: Mutex::new(state),
            changed: Notify::new(),
            flush_requested: Notify::new(),
            progress: watch::Sender::new(WriterProgress::default()),
        });
        let lease = Arc::new(lease);
        let mut writer = JoinSet::new();
        writer.spawn(run_writer(Arc::clone(&shared), Arc::clone(&lease)));
        Ok(Self { shared, lease, writer })
    }

    /// Returns the stored snapshot without acquiring the lease, for read-only callers.
    ///
    /// # Errors
    /// The same as for [`Store::load`].
    pub async fn read_only(store: &Store) -> Result<Snapshot, Failure> {
        store.load().await.map(|loaded| loaded.snapshot)
    }

    /// Returns the current snapshot, including changes that are not stored yet.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.state().current.clone()
    }

    /// Returns the lease under which the session writes.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Stores pending changes and releases the lease. If the lease is lost, the lock table is not changed.
    ///
    /// # Errors
    /// The failure to store the changes, or, if they were stored, the failure to release the lease, which then expires
    /// after one lease time.
    pub async fn close(mut self) -> Result<(), Failure> {
        let stored = self.flush().await;
        // The writer has a reference to the lease until the writer has ended.
        self.writer.shutdown().await;
        match Arc::into_inner(self.lease) {
            Some(lease) => stored.and(lease.release().await),
            None => stored,
        }
    }

    /// Replaces the current snapshot with `snapshot` and stores it.
    ///
    /// # Errors
    /// The failure to store the snapshot.
    pub(crate) async fn replace(&self, snapshot: Snapshot) -> Result<(), Failure> {
        self.change(|current| {
            let (serial, fence) = (current.serial.max(snapshot.serial), current.fence);
            *current = Snapshot { serial, fence, ..snapshot };
        });
        self.flush().await
    }

    /// Changes the current snapshot and notifies the writer.
    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut state = self.shared.state();
        change(&mut state.current);
        state.changes += 1;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Waits until all changes so far are stored or could not be stored. Tries once more to store changes that could
    /// not be stored before.
    async fn flush(&self) -> Result<(), Failure> {
        let goal = {
            let mut state = self.shared.state();
            if state.stored_changes < state.changes {
                state.changes += 1;
            }
            state.changes
        };
        self.shared.changed.notify_one();
        self.shared.flush_requested.notify_one();
        let mut progress = self.shared.progress.subscribe();
        // Waiting fails only if the channel is closed, but this session owns its sender.
        let _ = progress.wait_for(|progress| progress.ended || progress.changes >= goal).await;
        let state = self.shared.state();
        match &state.first_error {
            _ if state.stored_changes >= goal => Ok(()),
            Some(failure) => Err(failure.clone()),
            None => Err(Failure::new(Class::Bug, "store the snapshot", "the writer has ended")),
        }
    }
}

impl Ledger for Session {
    fn begin(&self, intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            if let Some(lost) = self.lost() {
                return Err(lost);
            }
            let before = self.shared.state().current.intents.clone();
            self.change(|snapshot| snapshot.set_intents(intents));
            let stored = self.flush().await;
            if stored.is_err() {
                // No step will be executed, so the intents are withdrawn.
                self.shared.state().current.intents = before;
            }
            stored
        }
        .boxed()
    }

    fn record(&self, entry: Entry) {
        self.change(|snapshot| entry.apply(snapshot));
    }

    fn lost(&self) -> Option<Failure> {
        let first_error = self.shared.state().first_error.clone();
        first_error.or_else(|| self.lease.lost())
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            if complete {
                self.change(|snapshot| snapshot.intents = None);
            }
            self.flush().await
        }
        .boxed()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of changes so far, and the next snapshot to write unless everything is stored.
    fn next_write(&self, fence: u64) -> (u64, Option<Snapshot>) {
        let mut state = self.state();
        let changes = state.changes;
        if state.current == state.stored.snapshot {
            state.stored_changes = changes;
            return (changes, None);
        }
        let mut next = state.current.clone();
        if next.lineage.is_empty() {
            next.lineage = uuid::Uuid::new_v4().to_string();
        }
        next.serial += 1;
        next.fence = fence;
        self.store.record_account_region(&mut next);
        (changes, Some(next))
    }

    /// Records that `snapshot`, which contains the first `changes` changes, is stored.
    fn mark_stored(&self, changes: u64, snapshot: Snapshot, etag: String) {
        let serial = snapshot.serial;
        let mut state = self.state();
        state.current.lineage.clone_from(&snapshot.lineage);
        (state.current.serial, state.current.fence) = (snapshot.serial, snapshot.fence);
        state.current.account.clone_from(&snapshot.account);
        state.current.region.clone_from(&snapshot.region);
        state.stored = Loaded { snapshot, etag: Some(etag) };
        state.stored_changes = changes;
        drop(state);
        self.events.send(Event::Recorded { serial });
    }

    fn record_error(&self, failure: Failure) {
        self.state().first_error.get_or_insert(failure);
    }
}

/// Writes changes until the lease is lost or another run has changed the snapshot.
async fn run_writer(shared: Arc<Shared>, lease: Arc<Lease>) {
    loop {
        shared.changed.notified().await;
        tokio::select! {
            () = sleep(COALESCE_WINDOW) => {}
            () = shared.flush_requested.notified() => {}
        }
        let (changes, next) = shared.next_write(lease.fence());
        let mut ended = false;
        if let Some(snapshot) = next {
            match save(&shared, &lease, snapshot).await {
                Ok((snapshot, etag)) => shared.mark_stored(changes, snapshot, etag),
                Err(failure) => {
                    ended = failure.class == Class::Locked;
                    shared.record_error(failure);
                }
            }
        }
        shared.progress.send_replace(WriterProgress { changes, ended });
        if ended {
            return;
        }
    }
}

/// Writes `snapshot` and returns the written snapshot with its entity tag.
async fn save(shared: &Shared, lease: &Lease, snapshot: Snapshot) -> Result<(Snapshot, String), Failure> {
    let allowed = || lease.lost().map_or(Ok(()), Err);
    let expected = shared.state().stored.etag.clone();
    let saving = async {
        match shared.store.save(&snapshot, expected.as_deref(), &allowed).await {
            Ok(etag) => Ok((snapshot, etag)),
            Err(failure) if failure.class == Class::Locked => {
                let (next, after) = rebase_on_own_write(shared, snapshot, failure).await?;
                let etag = shared.store.save(&next, after.as_deref(), &allowed).await?;
                Ok((next, etag))
            }
            Err(failure) => Err(failure),
        }
    };
    tokio::select! {
        biased;
        lost = lease.until_lost() => Err(lost),
        saved = saving => saved,
    }
}

/// Rebases `snapshot` on an earlier write of this run that was abandoned without a response but was executed. Such a
/// write is recognised by the fencing token, which no other run has. Returns the rebased snapshot and the entity tag of
/// the object that it must replace.
///
/// # Errors
/// `failure` if another run wrote the stored snapshot.
async fn rebase_on_own_write(
    shared: &Shared,
    snapshot: Snapshot,
    failure: Failure,
) -> Result<(Snapshot, Option<String>), Failure> {
    let Ok(found) = shared.store.load().await else { return Err(failure) };
    let first = shared.state().stored.etag.is_none();
    let is_own = found.snapshot.fence == snapshot.fence && (first || found.snapshot.lineage == snapshot.lineage);
    if found.etag.is_none() || !is_own {
        return Err(failure);
    }
    let serial = found.snapshot.serial.saturating_add(1);
    Ok((Snapshot { serial, lineage: found.snapshot.lineage, ..snapshot }, found.etag))
}

/// Reads the snapshot under a lease with the fencing token `fence`. If there is no snapshot yet, checks that the store
/// enforces conditional writes.
///
/// # Errors
/// The same as for [`Session::open`].
async fn load_under_lease(store: &Store, fence: u64) -> Result<Loaded, Failure> {
    let loaded = check_fence(store.load().await?, fence)?;
    if loaded.etag.is_none() {
        store.require_conditional_writes().await?;
    }
    Ok(loaded)
}

/// Returns the snapshot if its fencing token is lower than `fence`, the token of this lease. A table behind the
/// snapshot was already detected before the lease was acquired. Here, the cause of a higher token can therefore only be
/// that another run, with a lease in another table, has written the snapshot since then.
fn check_fence(loaded: Loaded, fence: u64) -> Result<Loaded, Failure> {
    let written = loaded.snapshot.fence;
    if written < fence {
        return Ok(loaded);
    }
    let message = format!(
        "the lock table does not belong to this state: the snapshot was written under lock number {written}, but this \
         run has lock number {fence}"
    );
    Err(Failure::refused(Refusal::OtherLockTable, "open the state", message)
        .hint("another run has just used another lock table: configure the same `state.lock_table` for all runs"))
}

#[cfg(test)]
mod guards;
#[cfg(test)]
mod tests;
