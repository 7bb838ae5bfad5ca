//! Guards of a plan, before its first step.

use crate::apply::run::Run;
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::plan::{Action, Plan};
use crate::resource::graph::Graph;
use tokio::time::Instant;

/// The kind of a guard in events.
const KIND: &str = "guard";

/// Checks the guards that apply to the plan, one after the other.
///
/// # Errors
/// The error of the first guard that does not hold.
pub(crate) async fn check_guards(graph: &Graph, plan: &Plan, run: &Run) -> Result<(), Failure> {
    for node in graph.guards.iter().filter(|node| node.guard.notice(plan).is_some()) {
        let (address, since) = (node.address.clone(), Instant::now());
        let action = Action::Check;
        run.events.send(Event::Started { address: address.clone(), kind: KIND.to_owned(), action });
        let cx = run.context(&address, graph.max_wait, true);
        let result = node.guard.check(&cx, plan).await?;
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        run.events.send(Event::Done { address, action, id: Some(result), millis });
    }
    Ok(())
}
