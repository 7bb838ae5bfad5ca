//! The revision in use of a task definition family.

use crate::resources::service::discovery::KnownServices;
use crate::revisions::{self, Revision};
use aws_sdk_ecs::Client;
use futures_util::future::try_join;
use pb_engine::{Address, Failure, ReadScope, Resource};

/// Maximum number of unmanaged revisions that are skipped in the search for a managed one.
const LOOK_BACK: usize = 10;

/// Returns the revision in use of a family: the one that a managed service uses, if it is ACTIVE and its tags contain
/// the same address as those of the latest revision. Without such a service, it is the latest managed ACTIVE revision,
/// or the latest ACTIVE revision if none is managed.
///
/// The latest revision is not in use after a rollback, after a rollout that ECS rolled back, or if a run ended between
/// registration and rollout. If it is in use, this function makes only one call for the family, because the services
/// are read anyway.
///
/// # Errors
/// Any failure of the ECS calls.
pub(crate) async fn revision_in_use<R: Resource>(
    client: &Client,
    scope: &ReadScope<R>,
    family: &str,
) -> Result<Option<Revision>, Failure> {
    let (latest, services) = try_join(latest(client, scope, family), KnownServices::shared(scope, client)).await?;
    let Some(latest) = latest else { return Ok(None) };
    let Some(arn) = services.in_use(scope, family).filter(|arn| *arn != latest.arn()) else {
        return Ok(Some(latest));
    };
    let owned = |revision: &Revision| -> Option<Address> { scope.address_from_tags(&revision.tags) };
    let is_usable = |used: &Revision| {
        !used.is_deregistered() && owned(used).is_some_and(|at| owned(&latest).is_none_or(|latest| latest == at))
    };
    let used = revisions::describe(client, arn).await?;
    Ok(Some(used.filter(is_usable).unwrap_or(latest)))
}

/// Returns the latest managed ACTIVE revision of a family, or the latest ACTIVE revision if none is managed. Later
/// revisions that are unmanaged have no effect until a service uses them, and then the read of the service shows it.
async fn latest<R: Resource>(client: &Client, scope: &ReadScope<R>, family: &str) -> Result<Option<Revision>, Failure> {
    let Some(latest) = revisions::describe(client, family).await? else {
        return Ok(None);
    };
    if scope.address_from_tags(&latest.tags).is_some() {
        return Ok(Some(latest));
    }
    for arn in revisions::active(client, family).await?.iter().skip(1).take(LOOK_BACK) {
        let earlier = revisions::describe(client, arn).await?;
        if let Some(earlier) = earlier.filter(|earlier| scope.address_from_tags(&earlier.tags).is_some()) {
            return Ok(Some(earlier));
        }
    }
    Ok(Some(latest))
}
