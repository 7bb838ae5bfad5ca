//! The contract that every resource kind implements, and the engine that reads, plans and applies a graph of resources.
//!
//! # Flow
//!
//! 1. A stack adds resources to a [`Graph`]. Each resource refers to its inputs by typed [`Handle`]s, so a cycle cannot
//!    be expressed.
//! 2. [`observe`](observe()) reads the managed resources of the workspace, in a few batched calls per resource kind.
//! 3. [`compute_plan()`] compares the graph with the observed and the recorded resources. It is pure and returns a
//!    [`Plan`]. [`preflight`](preflight()) looks for anything else in AWS that would make the plan fail midway.
//! 4. [`apply_plan`](apply_plan()) executes the plan. It starts each step as soon as the dependencies of the step are
//!    ready, and records every result in a [`Ledger`]. It also waits for the [`Check`]s of the graph, which are
//!    conditions that create nothing and are never recorded. A [`Guard`] is a condition that must hold before the first
//!    step.
//!
//! # Guarantees
//!
//! The crate knows nothing about AWS, terminals, files or the environment. It never starts a write before the ledger
//! has stored the intent durably, never repeats a create with an unknown outcome without looking for its result first,
//! and never changes an unmanaged resource. Every wait and every retry has a limit.

mod adopt;
mod apply;
mod model;
mod plan;
mod read;
mod resource;
pub mod testing;

pub use adopt::adoption::{AdoptionPlan, apply_ownership_changes, plan_adoption, plan_forget};
pub use adopt::state_move::{MovePlan, plan_move};
pub use apply::executor::apply_plan;
pub use apply::ledger::{Entry, Ledger, MemoryLedger};
pub use apply::partial_ledger::PartialLedger;
pub use apply::run::Run;
pub use apply::standalone::Standalone;
pub use model::address::{Address, InvalidAddress};
pub use model::cause::{Cause, FailedHealth, FailedRollout, Refusal};
pub use model::check::{Checked, PlannedCheck, Verdict};
pub use model::diff::{Change, diff};
pub use model::error_code::ErrorCode;
pub use model::event::{Event, Events};
pub use model::failure::{Class, Failure};
pub use model::goal::{Goal, PlanScope};
pub use model::observed::{Imports, Live, Observed, Untagged};
pub use model::operation::Operation;
pub use model::outcome::{Outcome, Remains, StepFailure};
pub use model::ownership::{ADDRESS_TAG, Ownership, STACK_TAG, WORKSPACE_TAG};
pub use model::plan::{Action, Order, Origin, Plan, PlannedGuard, Step};
pub use model::plan_error::PlanError;
pub use model::release::ReleaseOutcome;
pub use model::snapshot::{Intent, Intents, Record, Release, Released, Scaled, Snapshot};
pub use model::unknown::{UNKNOWN, has_unknown, is_unknown, unknown};
pub use model::unmanaged::{Obstacle, Remedy, Unmanaged, adopt_hint};
pub use plan::drift::{Drift, DriftKind, drift, other_revisions};
pub use plan::planner::compute_plan;
pub use plan::preflight::preflight;
pub use plan::single::{plan_create, plan_delete, plan_replacement, plan_update};
pub use read::checks::with_checks;
pub use read::list::{fetch_each, list_with_details};
pub use read::observe::{observe, observe_with_imports, observe_with_index};
pub use read::tag_index::TagIndex;
pub use resource::check::Check;
pub use resource::context::Context;
pub use resource::contract::{Found, ReadScope, Resource};
pub use resource::graph::{Graph, Kind};
pub use resource::guard::Guard;
pub use resource::inputs::{Handle, Input, Inputs};
pub use resource::interim::{Awaited, Interim};
pub use resource::preflight_check::{Planned, PreflightCheck};
pub use resource::readiness::Readiness;
pub use resource::typed::Typed;
pub use resource::wait::{Backoff, Cancel, Progress, Stop};
