//! The verbs of a kind, with what the engine does for all kinds: look before a create is repeated, take for done what is
//! done, try again what is_transient by itself.

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

/// For what is_transient in seconds: throttling, an endpoint out of reach, a parent that is not visible yet.
const SHORT: Backoff = Backoff {
    initial: Duration::from_millis(300),
    max_interval: Duration::from_secs(8),
    timeout: Duration::from_secs(120),
};

/// For what AWS takes minutes over: a service that drains, a cache that is being changed, interfaces that linger.
const LONG: Backoff = Backoff {
    initial: Duration::from_secs(1),
    max_interval: Duration::from_secs(5),
    timeout: Duration::from_secs(25 * 60),
};

/// The verbs of one step.
pub(crate) struct Operations<'a> {
    pub kind: &'a Arc<dyn AnyKind>,
    pub cx: &'a Context,
}

/// What a create came to.
pub(crate) enum CreateResult {
    /// It was made by us, now.
    New(Value),
    /// It was there already, and is ours.
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
                    self.cx.waiting("looking whether it was made");
                    if let Some(there) = self.find_existing(spec, &failure).await? {
                        return Ok(there);
                    }
                }
                Class::Throttled | Class::Unreachable | Class::NotReady | Class::NotFound => {}
                _ => return Err(failure),
            }
            budget.wait_before_retry(self.cx, failure).await?;
        }
    }

    /// What stands where a create was not answered, or was refused because something is there.
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
                Err(failure.clone().hint("it may have been made; the next run looks for it before it makes another"))
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

    /// Puts our tags on what is there, or takes them off. What has gone meanwhile needs them off no more.
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

    /// Changes what is there to `spec`; makes no call where nothing differs.
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

/// Whether what stands in the way of a call that can be repeated is_transient by itself.
fn is_transient(class: Class) -> bool {
    matches!(class, Class::Ambiguous | Class::Throttled | Class::Unreachable | Class::NotReady | Class::NotFound)
}

/// The time for which a call is tried again: each class of failure has its own end, and none is long than a step may wait.
struct RetryBudget {
    short: Pauses,
    long: Pauses,
    since: Instant,
    /// The cause that was reported last for trying again.
    reported: String,
}

impl RetryBudget {
    fn new(cx: &Context) -> Self {
        let (short, long) = (cx.bounded(SHORT).retrying(), cx.bounded(LONG).retrying());
        Self { short, long, since: Instant::now(), reported: String::new() }
    }

    /// Waits before the next try, and says why unless that was reported last; fails with `failure` itself when none is
    /// left.
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

/// The failure of a call that was tried again for `spent`.
fn retries_exhausted(mut failure: Failure, spent: Duration) -> Failure {
    failure.message = format!("{}; tried again for {} s", failure.message.trim_end_matches('.'), spent.as_secs());
    if failure.hint.is_none() {
        failure.hint = Some("run the same command again".to_owned());
    }
    failure
}
