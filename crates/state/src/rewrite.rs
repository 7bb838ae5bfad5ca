//! Changing the snapshot by hand.

use crate::lease::{AcquireOptions, LeaseTable};
use crate::session::Session;
use crate::store::Store;
use pb_engine::{Events, Failure, Snapshot};

/// Reads the snapshot under the lease, and writes what `edit` makes of it as the newest one, with a condition. Serial and
/// fence rise; those of what `edit` gives do not count, but a higher serial is kept. Gives what is stored then.
///
/// # Errors
/// `Locked` when another holds the lease, what `edit` refuses, and whatever AWS answers. The lease is released then.
pub async fn rewrite(
    store: Store,
    leases: &LeaseTable,
    options: &AcquireOptions,
    edit: impl FnOnce(&Snapshot) -> Result<Snapshot, Failure>,
) -> Result<Snapshot, Failure> {
    let session = Session::open(store, leases, options, Events::none()).await?;
    let written = match edit(&session.snapshot()) {
        Ok(edited) => session.replace(edited).await,
        Err(failure) => Err(failure),
    };
    let snapshot = session.snapshot();
    let closed = session.close().await;
    written.and(closed).map(|()| snapshot)
}
