//! A run: the identity and the signals that all of its steps share.

use crate::model::address::Address;
use crate::model::event::Events;
use crate::model::operation::Operation;
use crate::model::ownership::Ownership;
use crate::resource::context::Context;
use crate::resource::wait::Cancel;
use std::sync::Arc;
use std::time::Duration;

/// The identity of a run, its receiver of events and its stop signal.
pub struct Run {
    /// The id of the plan. Client tokens are derived from it.
    pub id: String,
    /// The operation of the run.
    pub operation: Operation,
    /// The owner of the resources.
    pub owner: Arc<Ownership>,
    /// The receiver of events.
    pub events: Events,
    /// The signal that stops the run.
    pub cancel: Cancel,
}

impl Run {
    /// Returns the context for the operations and checks of `address`.
    pub(crate) fn context(&self, address: &Address, max_wait: Option<Duration>, is_needed: bool) -> Context {
        Context {
            address: address.clone(),
            owner: Arc::clone(&self.owner),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
            run: Arc::from(self.id.as_str()),
            operation: self.operation,
            max_wait,
            is_needed,
        }
    }
}
