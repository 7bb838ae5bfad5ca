//! Operations of a kind, with the handling that is common to all kinds: a search before a create is repeated, success
//! for what is already done, and retries of transient failures.

use crate::context::Context;
use crate::diff::diff;
use crate::event::Event;
use crate::failure::{Class, Failure};
use crate::kind::{AnyFound, AnyKind};
use crate::observe::find_created;
use crate::plan::Action;
use crate::wait::{Backoff, Pauses};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Limit for what takes seconds: throttling, an unreachable endpoint, a parent that is not visible yet.
const SHORT: Backoff = Backoff {
    initial: Duration::from_millis(300),
    max_interval: Duration::from_secs(8),
    timeout: Duration::from_secs(120),
};

/// Limit for what takes AWS minutes: a service that drains, a cache that is being modified, network interfaces that
/// linger.
const LONG: Backoff = Backoff {
    initial: Duration::from_secs(1),
    max_interval: Duration::from_secs(5),
    timeout: Duration::from_secs(25 * 60),
};

/// The operations of one step.
pub(crate) struct Operations<'a> {
    pub kind: &'a Arc<dyn AnyKind>,
    pub cx: &'a Context,
}

/// The result of a create.
pub(crate) enum CreateResult {
    /// The resource was created by this call.
    New(Value),
    /// The resource already exists and is managed.
    Existing { spec: Value, attrs: Value },
}

impl Operations<'_> {
    pub(crate) async fn create(&self, spec: &Value) -> Result<CreateResult, Failure> {
        let mut budget = RetryBudget::new(self.cx);
        loop {
            let failure = match self.kind.create(self.cx, spec).await {
                Ok(attrs) => return Ok(CreateResult::New(attrs)),
                Err(failure) => failure,
            };
            match failure.class {
                Class::Ambiguous | Class::Exists => {
                    self.cx.waiting("checking whether it was created");
                    if let Some(existing) = self.find_existing(spec, &failure).await? {
                        return Ok(existing);
                    }
                }
                Class::Throttled | Class::Unreachable | Class::NotReady | Class::NotFound => {}
                _ => return Err(failure),
            }
            budget.wait_before_retry(self.cx, failure).await?;
        }
    }

    /// Searches for the resource after a create whose response was lost, or which was refused because it already
    /// exists.
    async fn find_existing(&self, spec: &Value, failure: &Failure) -> Result<Option<CreateResult>, Failure> {
        match find_created(self.kind, &self.cx.address, spec, &self.cx.owner, &self.cx.cancel).await {
            Ok(Some(AnyFound::Managed { spec, attrs, .. })) => Ok(Some(CreateResult::Existing { spec, attrs })),
            Ok(Some(AnyFound::Unmanaged { what, .. })) => {
                let why = crate::planner::unmanaged_error(&what);
                Err(Failure::new(Class::Unmanaged, failure.operation.clone(), why))
            }
            Ok(Some(AnyFound::Untagged { .. }) | None) if failure.class == Class::Exists => Err(failure.clone()),
            Ok(Some(AnyFound::Untagged { .. }) | None) if self.cx.cancel.is_stopped() => Err(failure.clone()),
            Ok(Some(AnyFound::Untagged { .. }) | None) => Ok(None),
            Err(_) => {
                Err(failure.clone().hint("it may have been created; the next run looks for it before creating another"))
            }
        }
    }

    pub(crate) async fn configure(&self, attrs: &Value, spec: &Value) -> Result<(), Failure> {
        let mut budget = RetryBudget::new(self.cx);
        loop {
            match self.kind.configure(self.cx, attrs, spec).await {
                Err(failure) if is_transient(failure.class) => budget.wait_before_retry(self.cx, failure).await?,
                answer => return answer,
            }
        }
    }

    /// Adds the ownership tags to a resource, or removes them. A resource that no longer exists needs no removal.
    pub(crate) async fn change_ownership(&self, attrs: &Value, action: Action) -> Result<(), Failure> {
        let mut budget = RetryBudget::new(self.cx);
        loop {
            let answer = match action {
                Action::Forget => self.kind.forget(self.cx, attrs).await,
                _ => self.kind.adopt(self.cx, attrs).await,
            };
            match answer {
                Err(failure) if failure.class == Class::NotFound && action == Action::Forget => return Ok(()),
                Err(failure) if failure.class != Class::NotFound && is_transient(failure.class) => {
                    budget.wait_before_retry(self.cx, failure).await?;
                }
                answer => return answer,
            }
        }
    }

    /// Updates a resource to `spec`; makes no call if nothing differs.
    pub(crate) async fn update(&self, attrs: Value, before: &Value, spec: &Value) -> Result<Value, Failure> {
        let changes = diff(before, spec);
        if changes.is_empty() {
            return Ok(attrs);
        }
        let mut budget = RetryBudget::new(self.cx);
        loop {
            match self.kind.update(self.cx, &attrs, spec, &changes).await {
                Err(failure) if is_transient(failure.class) => budget.wait_before_retry(self.cx, failure).await?,
                answer => return answer,
            }
        }
    }

    pub(crate) async fn delete(&self, attrs: &Value) -> Result<(), Failure> {
        let mut budget = RetryBudget::new(self.cx);
        loop {
            match self.kind.delete(self.cx, attrs).await {
                Err(failure) if failure.class == Class::NotFound => return Ok(()),
                Err(failure) if failure.class == Class::InUse || is_transient(failure.class) => {
                    budget.wait_before_retry(self.cx, failure).await?;
                }
                answer => return answer,
            }
        }
    }
}

/// Returns whether the cause of a failed call that can be repeated is transient.
fn is_transient(class: Class) -> bool {
    matches!(class, Class::Ambiguous | Class::Throttled | Class::Unreachable | Class::NotReady | Class::NotFound)
}

/// Retry budget per failure class, at most the time that a step may wait.
struct RetryBudget {
    short: Pauses,
    long: Pauses,
    since: Instant,
    /// The cause that was reported last.
    reported: String,
}

impl RetryBudget {
    fn new(cx: &Context) -> Self {
        let (short, long) = (cx.bounded(SHORT).retrying(), cx.bounded(LONG).retrying());
        Self { short, long, since: Instant::now(), reported: String::new() }
    }

    /// Waits before the next retry and reports the cause unless it was reported last. Fails with `failure` itself when
    /// the budget is exhausted.
    async fn wait_before_retry(&mut self, cx: &Context, failure: Failure) -> Result<(), Failure> {
        let what = failure.to_string();
        let waits = matches!(failure.class, Class::InUse | Class::NotReady);
        if self.reported != what {
            if waits {
                cx.waiting(what.clone());
            } else {
                cx.events.send(Event::Retrying { address: cx.address.clone(), failure: failure.clone() });
            }
            self.reported.clone_from(&what);
        }
        let pauses = if waits { &mut self.long } else { &mut self.short };
        let since = self.since;
        pauses.pause(&cx.cancel, &failure.operation, &what).await.map_err(|end| match end.class {
            Class::TimedOut => retries_exhausted(failure, since.elapsed()),
            _ => end,
        })
    }
}

/// Returns the failure of a call that was retried for `spent`.
fn retries_exhausted(mut failure: Failure, spent: Duration) -> Failure {
    failure.message = format!("{}; retried for {} s", failure.message.trim_end_matches('.'), spent.as_secs());
    if failure.hint.is_none() {
        failure.hint = Some("run the same command again".to_owned());
    }
    failure
}
