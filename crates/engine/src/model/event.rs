//! Events of a run, as plain values. Renderers turn them into text.

use crate::model::address::Address;
use crate::model::failure::Failure;
use crate::model::outcome::Remains;
use crate::model::plan::Action;
use serde::Serialize;
use std::sync::Arc;

/// An event of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step has started.
    Started {
        /// The address of the resource.
        address: Address,
        /// The kind of the resource.
        kind: String,
        /// The action. A replacement is reported as a delete and a create.
        action: Action,
    },
    /// A step is waiting.
    Waiting {
        /// The address of the resource.
        address: Address,
        /// The reason for the wait, such as `0 of 1 running`.
        what: String,
    },
    /// A call is retried.
    Retrying {
        /// The address of the resource.
        address: Address,
        /// The reason for the retry.
        failure: Failure,
    },
    /// A resource exists but is not ready yet.
    #[serde(rename = "made")]
    Created {
        /// The address of the resource.
        address: Address,
        /// The id that AWS assigned, if the resource has one.
        id: Option<String>,
    },
    /// A step has finished.
    Done {
        /// The address of the resource.
        address: Address,
        /// The action of the step.
        action: Action,
        /// The id that AWS assigned, if the resource has one.
        id: Option<String>,
        /// The duration of the step in milliseconds.
        millis: u64,
    },
    /// A step has failed.
    Failed {
        /// The address of the resource.
        address: Address,
        /// The action of the step.
        action: Action,
        /// The reason for the failure.
        failure: Failure,
        /// The state of the resource; absent for a check.
        #[serde(skip_serializing_if = "Option::is_none")]
        remains: Option<Remains>,
    },
    /// A step was not started, because a dependency failed or the run was stopped.
    Skipped {
        /// The address of the resource.
        address: Address,
        /// The action of the step.
        action: Action,
        /// The reason why the step was not started.
        because: String,
    },
    /// The run was asked to stop and starts no new steps.
    Stopping,
    /// The ledger has stored a snapshot with all entries so far.
    Recorded {
        /// The serial of the snapshot.
        serial: u64,
    },
}

/// The receiver of events. It is cheap to clone, and must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Creates a receiver that passes each event to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Creates a receiver that discards all events.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// Sends an event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}
