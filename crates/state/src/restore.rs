//! Going back to an older snapshot.

use crate::lease::{Claim, Lease, LeaseTable};
use crate::store::Store;
use pb_engine::{Class, Failure, Snapshot};

/// How many versions are tried to find the latest that can be read.
const LOOKED_AT: usize = 100;

/// Writes version `id` of the snapshot as the newest one, under the lease, with a serial and a fence above those of all
/// versions. What is there now does not have to be readable, and may have been deleted.
///
/// # Errors
/// `Locked` when another holds the lease, `NotFound` when there is no such version, `Refused` when it is not to be used, and
/// whatever AWS answers.
pub async fn restore(store: &Store, leases: &LeaseTable, claim: &Claim, id: &str) -> Result<Snapshot, Failure> {
    let lease = leases.acquire(claim).await?;
    let restored = under(store, &lease, id).await;
    let released = lease.release().await;
    restored.and_then(|snapshot| released.map(|()| snapshot))
}

async fn under(store: &Store, lease: &Lease, id: &str) -> Result<Snapshot, Failure> {
    let now = store.get(None).await?.map(|object| object.etag);
    let mut snapshot = store.version(id).await?;
    let (serial, fence) = newest(store).await?;
    lease.raise_above(fence.max(snapshot.fence)).await?;
    snapshot.serial = serial.max(snapshot.serial) + 1;
    snapshot.fence = lease.fence();
    store.save(&snapshot, now.as_deref(), &|| lease.lost().map_or(Ok(()), Err)).await?;
    Ok(snapshot)
}

/// The highest serial and fence that were written. A version that cannot be read counts as one write after the latest that
/// can.
async fn newest(store: &Store) -> Result<(u64, u64), Failure> {
    let versions = store.versions().await?;
    for (unread, version) in (0_u64..).zip(versions.iter().take(LOOKED_AT)) {
        match store.version(&version.id).await {
            Ok(snapshot) => return Ok((snapshot.serial + unread, snapshot.fence + unread)),
            Err(failure) if matches!(failure.class, Class::Refused | Class::NotFound) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok((0, 0))
}
