//! The state that a run opens: it is locked by a lease, and stores the progress of the run.

use crate::output::console;
use crate::output::reporter::Reporter;
use crate::signals;
use crate::workspace::context::WorkspaceContext;
use pb_engine::{Cancel, Failure, Ledger, MemoryLedger, Operation, Snapshot};
use pb_state::{AcquireOptions, Holder, LeaseTable, Session, Store};
use std::sync::Arc;
use std::time::Duration;

/// The state of a workspace, which a run can open.
pub trait State {
    /// The opened state.
    type Open: OpenState;

    /// Returns the snapshot as it was read without the lease.
    fn snapshot(&self) -> &Snapshot;

    /// Acquires the lease and reads the snapshot.
    ///
    /// # Errors
    /// A lease that another run holds; a snapshot that cannot be read.
    async fn open(&self, request: OpenRequest<'_>) -> Result<Self::Open, Failure>;

    /// Starts to listen for the signals that stop the run.
    fn listen(&self) -> Cancel {
        signals::listen()
    }
}

/// A request to open the state.
pub struct OpenRequest<'a> {
    pub operation: Operation,
    /// The time to wait for a lease that another run holds.
    pub lock_timeout: Duration,
    pub cancel: Cancel,
    pub reporter: &'a Reporter,
}

/// The state of a workspace while a run holds its lease.
pub trait OpenState: Ledger + Sized {
    /// Stores everything and releases the lease.
    ///
    /// # Errors
    /// If something could not be stored.
    async fn close(self) -> Result<(), Failure>;
}

impl OpenState for Session {
    async fn close(self) -> Result<(), Failure> {
        Self::close(self).await
    }
}

/// The state in S3, locked in DynamoDB.
pub struct StoredState<'a> {
    store: Store,
    leases: LeaseTable,
    snapshot: &'a Snapshot,
}

impl<'a> StoredState<'a> {
    /// Returns the state of a workspace.
    pub fn new(context: &'a WorkspaceContext) -> Self {
        let leases = LeaseTable::new(&context.aws, &context.location, context.timing);
        Self { store: context.store(), leases, snapshot: &context.snapshot }
    }
}

impl State for StoredState<'_> {
    type Open = Session;

    fn snapshot(&self) -> &Snapshot {
        self.snapshot
    }

    async fn open(&self, request: OpenRequest<'_>) -> Result<Session, Failure> {
        let reporter = request.reporter.clone();
        let options = AcquireOptions {
            lock_timeout: request.lock_timeout,
            cancel: request.cancel,
            on_wait: report_holder(move |text| reporter.message(text)),
            ..AcquireOptions::new(crate::identity::user_at_host(), request.operation.as_str())
        };
        Session::open(self.store.clone(), &self.leases, &options, request.reporter.events()).await
    }
}

/// Returns the options with which a command that changes only the state acquires the lease.
pub fn state_claim(operation: impl Into<String>, lock_timeout: u64) -> AcquireOptions {
    AcquireOptions {
        lock_timeout: Duration::from_secs(lock_timeout),
        cancel: signals::listen(),
        on_wait: report_holder(|text| console::note(text)),
        ..AcquireOptions::new(crate::identity::user_at_host(), operation)
    }
}

/// Returns a callback that prints the holder of the lease while the run waits for it.
fn report_holder(print: impl Fn(&str) + Send + Sync + 'static) -> Arc<dyn Fn(&Holder) + Send + Sync> {
    Arc::new(move |holder| {
        let Holder { who, operation, since, .. } = holder;
        print(&format!("Waiting for {who}, who holds the lock ({operation}, since {since})"));
    })
}

/// The state of a run that needs neither a lease nor a store, because all of its resources have unique names.
#[derive(Default)]
pub struct NoState(Snapshot);

impl State for NoState {
    type Open = MemoryLedger;

    fn snapshot(&self) -> &Snapshot {
        &self.0
    }

    async fn open(&self, _request: OpenRequest<'_>) -> Result<MemoryLedger, Failure> {
        Ok(MemoryLedger::default())
    }
}

impl OpenState for MemoryLedger {
    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}
