//! The operations of a resource kind, with the handling that all kinds have in common: a search before a create is
//! repeated, success if the change is already done, and retries of transient failures.

use crate::model::diff::diff;
use crate::model::event::Event;
use crate::model::failure::{Class, Failure};
use crate::model::plan::Action;
use crate::read::observe::find_created;
use crate::resource::context::Context;
use crate::resource::kind::{AnyFound, AnyKind};
use crate::resource::wait::{Backoff, Pauses};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Backoff for conditions that clear within seconds: throttling, an unreachable endpoint, a dependency that is not
/// visible yet.
const SHORT: Backoff = Backoff {
    initial: Duration::from_millis(300),
    max_interval: Duration::from_secs(8),
    timeout: Duration::from_secs(120),
};

/// Backoff for conditions that take minutes to clear: a service that drains, a cache that is being modified, network
/// interfaces that linger.
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
    /// The call created the resource.
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
                    self.cx.waiting("checking whether the resource was created");
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

    /// Searches for the resource after a create whose response was lost, or that was refused because the resource
    /// already exists.
    async fn find_existing(&self, spec: &Value, failure: &Failure) -> Result<Option<CreateResult>, Failure> {
        match find_created(self.kind, &self.cx.address, spec, &self.cx.owner, &self.cx.cancel).await {
            Ok(Some(AnyFound::Managed { spec, attrs, .. })) => Ok(Some(CreateResult::Existing { spec, attrs })),
            Ok(Some(AnyFound::Unmanaged { unmanaged, .. })) => {
                let hint = unmanaged.import_id().and_then(|id| self.cx.adopt_hint(id));
                let failure = Failure::new(Class::Unmanaged, failure.operation.clone(), unmanaged.message());
                Err(Failure { hint, ..failure })
            }
            Ok(Some(AnyFound::Untagged { .. } | AnyFound::Obstacle { .. }) | None)
                if failure.class == Class::Exists =>
            {
                Err(failure.clone())
            }
            Ok(Some(AnyFound::Untagged { .. } | AnyFound::Obstacle { .. }) | None) if self.cx.cancel.is_stopped() => {
                Err(failure.clone())
            }
            Ok(Some(AnyFound::Untagged { .. } | AnyFound::Obstacle { .. }) | None) => Ok(None),
            Err(_) => {
                let hint = "the resource may have been created; the next run looks for it before creating another";
                Err(failure.clone().hint(hint))
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

    /// Adds the ownership tags to a resource, or removes them if `action` is `Forget`. The removal succeeds if the
    /// resource no longer exists.
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

/// Returns whether a failure of `class` is transient, for a call that can be repeated.
fn is_transient(class: Class) -> bool {
    matches!(class, Class::Ambiguous | Class::Throttled | Class::Unreachable | Class::NotReady | Class::NotFound)
}

/// Retry budgets for causes of failure that clear within seconds and for causes that take minutes. Each budget is
/// capped at the time for which a step may wait.
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

    /// Reports the cause of the failure unless it was the last one reported, and waits before the next retry. When the
    /// budget is exhausted, returns `failure` with the time that was spent on retries.
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

/// Returns `failure` with the time that was spent on retries, and with a hint if it has none.
fn retries_exhausted(mut failure: Failure, spent: Duration) -> Failure {
    failure.message = format!("{}; retried for {} s", failure.message.trim_end_matches('.'), spent.as_secs());
    if failure.hint.is_none() {
        failure.hint = Some("run the same command again".to_owned());
    }
    failure
}
