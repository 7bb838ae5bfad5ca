//! Manual changes to the snapshot.

use crate::lease::{AcquireOptions, LeaseTable};
use crate::session::Session;
use crate::store::Store;
use pb_engine::{Events, Failure, Snapshot};

/// Reads the snapshot under the lease, writes the result of `edit` as the newest version with a conditional write, and
/// returns the stored snapshot. The serial and the fencing token increase. Their values in the result of `edit` are
/// ignored, except that the stored serial also exceeds the serial in this result.
///
/// # Errors
/// `Locked` if another run holds the lease, any error of `edit`, and any error of AWS. A lease that was acquired is
/// then released.
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
