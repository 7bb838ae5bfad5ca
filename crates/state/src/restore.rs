//! Going back to an older snapshot.

use crate::lease::{AcquireOptions, Fencing, Lease, LeaseTable};
use crate::store::Store;
use pb_engine::{Class, Failure, Snapshot};

/// How many versions are tried to find the latest that can be read.
const MAX_VERSIONS: usize = 100;

/// Writes version `id` of the snapshot as the newest one, under the lease, with a serial and a fence above those of all
/// versions. What is there now does not have to be readable, and may have been deleted.
///
/// It is the way out when the lock table has lost its fence, so it takes the lease from such a table too. But the table comes
/// up to the snapshot only after the snapshot was written: a restore that fails, however often, does not get the next deploy
/// past the check of the fence.
///
/// # Errors
/// `Locked` when another holds the lease, `NotFound` when there is no such version, `Refused` when it is not to be used, and
/// whatever AWS answers.
pub async fn restore(
    store: &Store,
    leases: &LeaseTable,
    options: &AcquireOptions,
    id: &str,
) -> Result<Snapshot, Failure> {
    // What can be refused without the lease is refused without it.
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
        // The fence of the lease may have been another's, who wrote under it.
        _ => lease.fence().max(snapshot_fence).saturating_add(1),
    };
    store.record_account_region(&mut snapshot);
    store.save(&snapshot, current_etag.as_deref(), &|| lease.lost().map_or(Ok(()), Err)).await?;
    lease.raise_to(snapshot.fence).await?;
    Ok(snapshot)
}

/// The highest serial and fence that were written. A version that cannot be read counts as one write after the latest that
/// can.
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
