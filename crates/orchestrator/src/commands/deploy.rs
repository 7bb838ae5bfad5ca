//! `deploy` and `destroy`: plan, show, ask, apply.

use crate::cli::{Consent, Global};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::approval::Approval;
use crate::run::pipeline::Pipeline;
use crate::run::refresh::Refresh;
use crate::run::session::StoredState;
use crate::run::stack_run::StackRun;
use crate::workspace::stack_context::{RunOptions, StackContext};
use pb_engine::Goal;
use std::sync::Arc;

/// Plans, shows the plan, asks for confirmation and applies the plan.
///
/// # Errors
/// An error before the run begins. Failures of the run itself are printed and decide the exit code.
pub async fn deploy(
    global: &Global,
    name: &str,
    goal: Goal,
    consent: &Consent,
    options: &RunOptions,
) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let context = Arc::new(StackContext::open(global, name, goal, options).await?);
    let state = StoredState::new(&context.base);
    let pipeline = Pipeline::new(&reporter, &state, &context.base, consent);
    if options.selection.refresh_only {
        let refresh = Refresh { context: Arc::clone(&context), saved: None, yes: consent.yes };
        return pipeline.run(&refresh).await;
    }
    let approval = match consent.yes {
        true => Approval::ShownPlan { accept_changed: options.accept_changed_plan },
        false => Approval::ExactPlan,
    };
    let on_interrupt = options.on_interrupt;
    pipeline.run(&StackRun { context: Arc::clone(&context), goal, approval, on_interrupt }).await
}
