//! What happens during a run, as plain values. Renderers make text of them.

use crate::address::Address;
use crate::failure::Failure;
use crate::plan::Action;
use serde::Serialize;
use std::sync::Arc;

/// Something that happened during a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step was started.
    Started {
        /// What it is about.
        address: Address,
        /// The kind of resource.
        kind: String,
        /// What is done; a replacement is seen as a delete and a create.
        action: Action,
    },
    /// The step goes on, but has to wait.
    Waiting {
        /// What it is about.
        address: Address,
        /// What is waited for, in words.
        what: String,
    },
    /// A call is tried again.
    Retrying {
        /// What it is about.
        address: Address,
        /// Why.
        failure: Failure,
    },
    /// The resource is there, though not yet ready for use.
    #[serde(rename = "made")]
    Created {
        /// What it is about.
        address: Address,
        /// What AWS calls it, where there is such a name.
        id: Option<String>,
    },
    /// A step is done.
    Done {
        /// What it is about.
        address: Address,
        /// What was done.
        action: Action,
        /// What AWS calls it, where there is such a name.
        id: Option<String>,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed.
    Failed {
        /// What it is about.
        address: Address,
        /// What was tried.
        action: Action,
        /// Why it failed.
        failure: Failure,
    },
    /// A step was not started, because something that it needs failed or because the run was stopped.
    Skipped {
        /// What it is about.
        address: Address,
        /// What would have been done.
        action: Action,
        /// Why not.
        because: String,
    },
    /// The run was asked to stop: nothing new is started.
    Stopping,
    /// The ledger has stored everything up to this serial.
    Recorded {
        /// The serial of the snapshot.
        serial: u64,
    },
}

/// Where events go. Cheap to clone; must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Events go to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Events are dropped.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}
