//! What a resource is, and how a graph of them is observed, decided and acted upon.
//!
//! # Flow
//!
//! 1. A stack adds resources to a [`Graph`]; each names its inputs by typed [`Handle`]s, so a cycle cannot be written.
//! 2. [`observe`](observe()) asks what of this workspace is there, one batched sweep over the kinds.
//! 3. [`decide()`] compares the graph with what was observed and what was recorded. It is pure, and gives a [`Plan`].
//!    [`preflight`](preflight()) asks for what else in AWS would make the plan fail midway.
//! 4. [`act`](act()) runs the plan: each step as soon as what it needs is there, with every outcome put into a [`Ledger`].
//!    Then it waits for the [`Check`]s of the graph: conditions that make nothing and are never recorded.
//!
//! # Guarantees
//!
//! The crate knows nothing about AWS, terminals, files or the environment. It never starts a write before the ledger has
//! said that the intent is durable, never repeats a create whose outcome is unknown without looking for it first, and never
//! touches what is not ours. Every wait and every retry has an end.

mod act;
mod address;
mod alone;
mod check;
mod context;
mod decide;
mod diff;
mod drift;
mod event;
mod failure;
mod graph;
mod handover;
mod index;
mod inputs;
mod kind;
mod ledger;
mod listed;
mod memo;
mod moving;
mod observe;
mod outcome;
mod ownership;
mod plan;
mod preflight;
mod release;
mod resource;
mod schedule;
mod snapshot;
mod unknown;
mod verbs;
mod wait;
mod wish;
mod work;

pub use act::{Run, act};
pub use address::{Address, InvalidAddress};
pub use alone::Alone;
pub use check::{Check, Checked, PlannedCheck, Verdict, with_checks};
pub use context::Context;
pub use decide::{Refused, decide};
pub use diff::{Change, diff};
pub use drift::{Drift, Happened, drift, other_editions};
pub use event::{Event, Events};
pub use failure::{Class, Failure};
pub use graph::{Graph, Handle, Kind, Until};
pub use handover::{Takeover, adopting, forgetting, hand_over};
pub use index::TagIndex;
pub use inputs::{Input, Inputs};
pub use ledger::{Entry, Ledger, MemoryLedger};
pub use listed::{each, listed};
pub use moving::{Relocation, moving};
pub use observe::{Claims, Live, Observed, Untagged, observe, observe_claims, observe_indexed};
pub use outcome::{Outcome, Unfinished};
pub use ownership::{ADDRESS_TAG, Ownership, STACK_TAG, WORKSPACE_TAG};
pub use plan::{Action, Order, Origin, Plan, Step};
pub use preflight::{Planned, PreflightCheck, preflight};
pub use release::ReleaseOutcome;
pub use resource::{Awaited, Found, Interim, Resource, Scope};
pub use snapshot::{Intent, Intents, Record, Release, Released, Scaled, Snapshot};
pub use unknown::{UNKNOWN, has_unknown, is_unknown, unknown};
pub use wait::{Cancel, Limits, Progress, Stop};
pub use wish::{Goal, Part};
