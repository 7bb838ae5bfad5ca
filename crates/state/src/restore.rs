//! Restoration of an earlier version of the snapshot.

use crate::lease::{AcquireOptions, Fencing, Lease, LeaseTable};
use crate::store::Store;
use pb_engine::{Class, Failure, Snapshot};

/// Maximum number of versions that are read to find the latest readable version.
const MAX_VERSIONS: usize = 100;

/// Writes version `id` of the snapshot as the newest version, under the lease, with a serial and a fencing token above
/// those of all versions. The current object may be unreadable or deleted.
///
/// A restore is the remedy if the lock table has lost its fencing token, so it also takes the lease in such a table.
/// The token in the table is raised only after the snapshot was written. A failed restore, however often it is
/// repeated, therefore does not make the next deploy pass the check of the token.
///
/// # Errors
/// `Locked` if another run holds the lease, `NotFound` if there is no such version, `Refused` if the version cannot be
/// used, and any error of AWS.
pub async fn restore(
    store: &Store,
    leases: &LeaseTable,
    options: &AcquireOptions,
    id: &str,
) -> Result<Snapshot, Failure> {
    // An unusable version is refused before the lease is taken.
    store.version(id).await?;
    let (_, snapshot_fence) = highest_written(store).await?;
    let fencing = if leases.fence().await? < snapshot_fence { Fencing::Keep } else { Fencing::Above(snapshot_fence) };
    let lease = leases.acquire_with_fencing(options, fencing).await?;
    let restored = write_restored(store, &lease, fencing, id).await;
    let released = lease.release().await;
    restored.and_then(|snapshot| released.map(|()| snapshot))
}

async fn write_restored(store: &Store, lease: &Lease, fencing: Fencing, id: &str) -> Result<Snapshot, Failure> {
    let current_etag = store.get(None).await?.map(|object| object.etag);
    let mut snapshot = store.version(id).await?;
    let (serial, fence) = highest_written(store).await?;
    snapshot.serial = serial.max(snapshot.serial).saturating_add(1);
    let snapshot_fence = fence.max(snapshot.fence);
    snapshot.fence = match fencing {
        Fencing::Above(_) if lease.fence() > snapshot_fence => lease.fence(),
        // An earlier holder may have had the token of this lease and have written under it.
        _ => lease.fence().max(snapshot_fence).saturating_add(1),
    };
    store.record_account_region(&mut snapshot);
    store.save(&snapshot, current_etag.as_deref(), &|| lease.lost().map_or(Ok(()), Err)).await?;
    lease.raise_to(snapshot.fence).await?;
    Ok(snapshot)
}

/// Returns the highest serial and the highest fencing token that were written. Each unreadable version that is newer
/// than the latest readable version is assumed to have increased both by one.
async fn highest_written(store: &Store) -> Result<(u64, u64), Failure> {
    let versions = store.versions().await?;
    for (unread, version) in (0_u64..).zip(versions.iter().take(MAX_VERSIONS)) {
        match store.version(&version.id).await {
            Ok(snapshot) => return Ok((snapshot.serial + unread, snapshot.fence + unread)),
            Err(failure) if matches!(failure.class, Class::Refused | Class::NotFound) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok((0, 0))
}
