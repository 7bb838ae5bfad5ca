//! Events of a run, as plain values. Renderers turn them into text.

use crate::address::Address;
use crate::failure::Failure;
use crate::plan::Action;
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
        /// The action; a replacement consists of a delete and a create.
        action: Action,
    },
    /// The step is waiting.
    Waiting {
        /// The address of the resource.
        address: Address,
        /// The reason, as text.
        what: String,
    },
    /// A call is retried.
    Retrying {
        /// The address of the resource.
        address: Address,
        /// The reason for the retry.
        failure: Failure,
    },
    /// The resource exists and is not ready yet.
    #[serde(rename = "made")]
    Created {
        /// The address of the resource.
        address: Address,
        /// The id that AWS assigned, if there is one.
        id: Option<String>,
    },
    /// A step has finished.
    Done {
        /// The address of the resource.
        address: Address,
        /// The action.
        action: Action,
        /// The id that AWS assigned, if there is one.
        id: Option<String>,
        /// The duration in milliseconds.
        millis: u64,
    },
    /// A step has failed.
    Failed {
        /// The address of the resource.
        address: Address,
        /// The action.
        action: Action,
        /// The reason.
        failure: Failure,
    },
    /// A step was not started, because a dependency failed or the run was stopped.
    Skipped {
        /// The address of the resource.
        address: Address,
        /// The action.
        action: Action,
        /// The reason.
        because: String,
    },
    /// The run was asked to stop and starts nothing new.
    Stopping,
    /// The ledger has stored everything up to a serial.
    Recorded {
        /// The serial of the snapshot.
        serial: u64,
    },
}

/// The receiver of events. Cheap to clone; must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends events to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Discards events.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// Sends an event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}
