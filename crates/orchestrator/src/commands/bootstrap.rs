//! `bootstrap`: creates the prerequisites of the first deploy.

use crate::cli::{Consent, Global};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::bootstrap::{Bootstrap, probe_conditions};
use crate::run::pipeline::Pipeline;
use crate::run::session::NoState;
use crate::workspace::context::{connect, load_workspace, state_location};
use crate::workspace::preparation::spec;
use crate::workspace::prerequisites;
use pb_engine::Graph;
use pb_state::Store;
use std::sync::Arc;
use std::time::Duration;

/// Plans, shows the plan, asks for confirmation and applies the plan.
///
/// # Errors
/// An error before the run begins. Failures of the run itself are printed and decide the exit code.
pub async fn bootstrap(global: &Global, name: &str, zone: bool, consent: &Consent) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let workspace = load_workspace(global, name)?;
    let aws = connect(global, &workspace).await?;
    let account = prerequisites::account(&aws, &workspace).await?;
    let store = Store::new(&aws, &state_location(&workspace));
    // An existing bucket is used as it is. If its store ignores conditions, nothing is created.
    let probed = probe_conditions(&store).await?;
    let mut graph = Graph::new();
    pb_bootstrap::bootstrap(&mut graph, &aws, &spec(&workspace, &account, zone))?;
    let owner = Arc::new(pb_bootstrap::shared_owner(&workspace.stack));
    let pipeline = Pipeline {
        reporter: &reporter,
        state: &NoState::default(),
        workspace: name,
        owner: &owner,
        yes: consent.yes,
        lock_timeout: Duration::from_secs(consent.lock_timeout),
    };
    let owner = Arc::clone(&owner);
    pipeline.run(&Bootstrap { workspace: &workspace, graph, owner, account, store, probed }).await
}
