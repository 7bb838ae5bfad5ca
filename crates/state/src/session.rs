//! One run's hold on the state of a workspace: the lease, the snapshot, and the one that writes it.

use crate::lease::{AcquireOptions, Fencing, Lease, LeaseTable};
use crate::store::{Loaded, Store};
use futures_util::future::{BoxFuture, FutureExt};
use pb_engine::{Class, Entry, Event, Events, Failure, Intents, Ledger, Snapshot};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// One run's hold on the state of a workspace. It is the engine's ledger.
///
/// # Flow
///
/// Changes are made in memory. One task writes: whenever there is something new and no write is in flight, all of it at once.
/// What comes within a moment goes into one write, unless somebody waits for it: the intents say what may exist meanwhile.
///
/// # Caveats
///
/// A session that is dropped stores nothing more, and its lease ends after one lease time. [`close`](Self::close) it.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    /// The one task that writes; it ends with the session.
    writer: JoinSet<()>,
}

/// For how long changes are gathered for one write.
const COALESCE_WINDOW: Duration = Duration::from_millis(100);

struct Shared {
    store: Store,
    events: Events,
    state: Mutex<State>,
    /// Something was changed.
    changed: Notify,
    /// Somebody waits until it is stored.
    flush_requested: Notify,
    progress: watch::Sender<WriterProgress>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("store", &self.store).finish_non_exhaustive()
    }
}

struct State {
    /// What is to be stored; serial and fence are those of `stored`.
    current: Snapshot,
    /// What is stored, and by what it is known.
    stored: Loaded,
    /// How many changes there were.
    changes: u64,
    /// How many of them are stored.
    stored_changes: u64,
    /// Why the first write that failed did so. It stays, also when a later write goes well: the run has to end.
    first_error: Option<Failure>,
}

/// How far the writer came.
#[derive(Debug, Clone, Copy, Default)]
struct WriterProgress {
    /// So many changes were stored, or could not be.
    changes: u64,
    /// Nothing more is tried.
    ended: bool,
}

impl Session {
    /// Takes the lease, with a fence above that of the snapshot, then reads the snapshot.
    ///
    /// The snapshot is read before the lease is taken, too: a snapshot that is not to be used, and a lock table that has not
    /// come as far as the snapshot, are refused without a change of the table, however often it is tried.
    ///
    /// # Errors
    /// `Locked` when another holds the lease; `Refused` when the snapshot is not to be used, was written under a later lease
    /// than ours, or lies in a store that ignores conditions; and whatever AWS answers. The lease is released then.
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
                // The failure is what people have to know; a lease that cannot be released ends by itself.
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

    /// What was stored last, without a lease: for those who only read.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn read_only(store: &Store) -> Result<Snapshot, Failure> {
        store.load().await.map(|loaded| loaded.snapshot)
    }

    /// What is remembered now; all of it is stored soon.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.state().current.clone()
    }

    /// The lease.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Stores what is left, and releases the lease. A lost lease is left alone.
    ///
    /// # Errors
    /// What could not be stored, else why the lease could not be released: it then ends after one lease time.
    pub async fn close(mut self) -> Result<(), Failure> {
        let stored = self.flush().await;
        // The writer shares the lease until it has ended.
        self.writer.shutdown().await;
        match Arc::into_inner(self.lease) {
            Some(lease) => stored.and(lease.release().await),
            None => stored,
        }
    }

    /// Puts `snapshot` in the place of what is remembered, and stores it.
    ///
    /// # Errors
    /// Why it could not be stored.
    pub(crate) async fn replace(&self, snapshot: Snapshot) -> Result<(), Failure> {
        self.change(|current| {
            let (serial, fence) = (current.serial.max(snapshot.serial), current.fence);
            *current = Snapshot { serial, fence, ..snapshot };
        });
        self.flush().await
    }

    /// Changes what is remembered.
    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut state = self.shared.state();
        change(&mut state.current);
        state.changes += 1;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Ends when all changes so far are stored, or cannot be. What could not be stored before is tried once more.
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
        // The sender is ours: it cannot be gone.
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
                // Nothing will be done, so nothing is meant.
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

    /// What is to be written next, if anything, and how many changes are in it.
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

    /// Notes that `snapshot`, with `changes`, is stored.
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

/// The one that writes, until the lease is lost or the snapshot was changed by another.
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

/// Writes `snapshot`; gives it as it was written, and its entity tag.
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

/// What follows a write of ours that was given up without an answer and was done all the same: it has our fence, which is
/// nobody else's. Gives `snapshot` after it, and what it is to replace.
///
/// # Errors
/// `failure`, when what lies there is another's.
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

/// Reads the snapshot under a lease with `fence`; where there is none yet, the store has to show that it obeys conditions.
///
/// # Errors
/// As [`Session::open`].
async fn load_under_lease(store: &Store, fence: u64) -> Result<Loaded, Failure> {
    let loaded = check_fence(store.load().await?, fence)?;
    if loaded.etag.is_none() {
        store.require_conditional_writes().await?;
    }
    Ok(loaded)
}

/// The snapshot, unless it was written under this lease or a later one. That the table is behind the snapshot is seen before the
/// lease is taken; here it can only be that another wrote under the lease of another table meanwhile.
fn check_fence(loaded: Loaded, fence: u64) -> Result<Loaded, Failure> {
    let written = loaded.snapshot.fence;
    if written < fence {
        return Ok(loaded);
    }
    let message = format!("the snapshot was written under fence {written}, and this lease has fence {fence}");
    Err(Failure::new(Class::Refused, "open the state", message)
        .hint("another run used another lock table a moment ago: have everybody configure the same `state.lock_table`"))
}

#[cfg(test)]
mod guards;
#[cfg(test)]
mod tests;
