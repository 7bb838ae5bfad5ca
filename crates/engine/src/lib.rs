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
//!    conditions that create nothing and are never recorded.
//!
//! # Guarantees
//!
//! The crate knows nothing about AWS, terminals, files or the environment. It never starts a write before the ledger
//! has stored the intent durably, never repeats a create with an unknown outcome without looking for its result first,
//! and never changes an unmanaged resource. Every wait and every retry has a limit.

mod address;
mod adoption;
mod check;
mod context;
mod diff;
mod drift;
mod event;
mod executor;
mod failure;
mod goal;
mod graph;
mod inputs;
mod kind;
mod ledger;
mod list;
mod observe;
mod operations;
mod outcome;
mod ownership;
mod phase;
mod plan;
mod planner;
mod preflight;
mod release;
mod request_cache;
mod resource;
mod schedule;
mod snapshot;
mod standalone;
mod state_move;
mod tag_index;
mod unknown;
mod wait;

pub use address::{Address, InvalidAddress};
pub use adoption::{AdoptionPlan, apply_ownership_changes, plan_adoption, plan_forget};
pub use check::{Check, Checked, PlannedCheck, Verdict, with_checks};
pub use context::Context;
pub use diff::{Change, diff};
pub use drift::{Drift, DriftKind, drift, other_revisions};
pub use event::{Event, Events};
pub use executor::{Run, apply_plan};
pub use failure::{Class, Failure};
pub use goal::{Goal, PlanScope};
pub use graph::{Graph, Handle, Kind, Readiness};
pub use inputs::{Input, Inputs};
pub use ledger::{Entry, Ledger, MemoryLedger};
pub use list::{fetch_each, list_with_details};
pub use observe::{Imports, Live, Observed, Untagged, observe, observe_with_imports, observe_with_index};
pub use outcome::{Outcome, StepFailure};
pub use ownership::{ADDRESS_TAG, Ownership, STACK_TAG, WORKSPACE_TAG};
pub use plan::{Action, Order, Origin, Plan, Step};
pub use planner::{PlanError, compute_plan};
pub use preflight::{Planned, PreflightCheck, preflight};
pub use release::ReleaseOutcome;
pub use resource::{Awaited, Found, Interim, ReadScope, Resource};
pub use snapshot::{Intent, Intents, Record, Release, Released, Scaled, Snapshot};
pub use standalone::Standalone;
pub use state_move::{MovePlan, plan_move};
pub use tag_index::TagIndex;
pub use unknown::{UNKNOWN, has_unknown, is_unknown, unknown};
pub use wait::{Backoff, Cancel, Progress, Stop};
