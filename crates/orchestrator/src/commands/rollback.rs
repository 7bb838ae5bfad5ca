//! `rollback`: returns services to earlier revisions.

use crate::cli::{Consent, Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::pipeline::Pipeline;
use crate::run::service_change::{ServiceRun, revisions};
use crate::run::session::StoredState;
use crate::workspace::deployed;
use pb_engine::Operation;
use std::collections::BTreeMap;

/// Returns a service to the given revision, or each service to the revision that it ran before the last deploy. Also
/// repairs the routing from the load balancer to the services.
///
/// # Errors
/// An error before the run begins: a revision that cannot be run, no earlier revision, a lease that another run holds.
pub async fn rollback(
    global: &Global,
    name: &str,
    revision: Option<&str>,
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let context = deployed::open(global, name).await?;
    let run = |changes| {
        let run = ServiceRun::new(&context, Operation::Rollback, changes, consent, wait);
        ServiceRun { repair_routing: true, undoes_release: revision.is_none(), ..run }
    };
    let changes = match revision {
        Some(revision) => BTreeMap::from([revisions::named(&context, revision).await?]),
        None => match revisions::previous(&context).await {
            Ok(changes) => changes,
            // Even without an earlier revision, the routing to the current revision may need to be repaired.
            Err(error) if !run(BTreeMap::new()).needs_repair().await? => return Err(error),
            Err(_) => BTreeMap::new(),
        },
    };
    let reporter = Reporter::new(global.json, global.verbose);
    Pipeline::new(&reporter, &StoredState::new(&context), &context, consent).run(&run(changes)).await
}
