//! The context of an operation on a resource.

use crate::model::address::Address;
use crate::model::event::{Event, Events};
use crate::model::failure::{Class, Failure};
use crate::model::operation::Operation;
use crate::model::ownership::Ownership;
use crate::model::unmanaged::adopt_hint;
use crate::resource::wait::{Backoff, Cancel, Progress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The context of an operation on a resource: the address and owner of the resource, the receiver of events, and the
/// limits of waits.
#[derive(Clone)]
pub struct Context {
    pub(crate) address: Address,
    pub(crate) owner: Arc<Ownership>,
    pub(crate) events: Events,
    pub(crate) cancel: Cancel,
    pub(crate) run: Arc<str>,
    pub(crate) operation: Operation,
    /// Upper bound on the duration of one wait, or of one call with its retries. If absent, each of them has its own
    /// timeout.
    pub(crate) max_wait: Option<Duration>,
    /// Set if later steps of the run need the resource to be ready.
    pub(crate) is_needed: bool,
}

impl Context {
    /// Returns the address of the resource.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns whether later steps of the run need the resource to be ready. If none does, the resource may become
    /// ready after the run has ended.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.is_needed
    }

    /// Returns the operation of the run.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the advice to import the unmanaged resource with this id at the address of this context.
    #[must_use]
    pub fn adopt_hint(&self, import_id: &str) -> Option<String> {
        adopt_hint(&self.owner.workspace, &[(&self.address, import_id)])
    }

    /// Returns `tags` with the ownership tags added. Every resource that can carry tags is created with the result.
    #[must_use]
    pub fn tags(&self, tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.owner.tags(&self.address, tags)
    }

    /// Returns a client token: 32 hexadecimal digits that are the same for all retries of this step in this run and
    /// different for every other step or run.
    #[must_use]
    pub fn client_token(&self) -> String {
        // The 128-bit FNV-1a hash suffices, because a token must be stable and distinct, but not secret.
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for byte in self.run.bytes().chain([0]).chain(self.address.as_str().bytes()) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        format!("{hash:032x}")
    }

    /// Returns `limits` with the timeout capped at the time for which a step of this run may wait.
    pub(crate) fn bounded(&self, limits: Backoff) -> Backoff {
        Backoff { timeout: self.max_wait.map_or(limits.timeout, |max| limits.timeout.min(max)), ..limits }
    }

    /// Reports what this step waits for.
    pub fn waiting(&self, what: impl Into<String>) {
        self.events.send(Event::Waiting { address: self.address.clone(), what: what.into() });
    }

    /// Pauses this step, and reports the reason. Returns at once if the run is asked to stop.
    pub async fn pause(&self, pause: Duration, what: impl Into<String>) {
        self.waiting(what);
        tokio::select! {
            () = sleep(pause) => {}
            () = self.cancel.stopped() => {}
        }
    }

    /// Polls until `poll` returns `Ready`. The time limit is the timeout of `limits` or the time for which a step of
    /// this run may wait ([`Graph::wait_at_most`](crate::Graph::wait_at_most)), whichever is shorter. Reports the
    /// reason for the wait whenever it changes. A poll that is throttled or gets no response does not end the wait,
    /// because the resource makes progress regardless of the polls.
    ///
    /// # Errors
    /// Any other error of `poll`; `TimedOut` if the time limit is reached; `Interrupted` if the run is asked to stop.
    pub async fn wait<T, F, L>(&self, operation: &str, limits: Backoff, mut poll: L) -> Result<T, Failure>
    where
        L: FnMut() -> F,
        F: Future<Output = Result<Progress<T>, Failure>>,
    {
        let mut pauses = self.bounded(limits).polling();
        let mut reported = String::new();
        loop {
            let what = match poll().await {
                Ok(Progress::Ready(value)) => return Ok(value),
                Ok(Progress::Pending(what)) => what,
                Err(failure) if matches!(failure.class, Class::Throttled | Class::Unreachable | Class::Ambiguous) => {
                    failure.to_string()
                }
                Err(failure) => return Err(failure),
            };
            if what != reported {
                self.waiting(what.clone());
                reported = what;
            }
            pauses.pause(&self.cancel, operation, &reported).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn context(reported: &Arc<Mutex<Vec<String>>>) -> Context {
        let reported = Arc::clone(reported);
        let events = Events::new(move |event| {
            if let Event::Waiting { what, .. } = event {
                reported.lock().unwrap().push(what);
            }
        });
        Context {
            address: Address::new("redis/jobqr").unwrap(),
            owner: Arc::new(Ownership { stack: "s".to_owned(), workspace: "w".to_owned() }),
            events,
            cancel: Cancel::never(),
            run: Arc::from("run"),
            operation: Operation::Deploy,
            max_wait: None,
            is_needed: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pause_ends_when_the_run_is_stopped() {
        let (reported, began) = (Arc::default(), tokio::time::Instant::now());
        context(&reported).pause(Duration::from_secs(5), "clients").await;
        assert_eq!(
            (began.elapsed(), reported.lock().unwrap().as_slice()),
            (Duration::from_secs(5), &["clients".to_owned()][..])
        );
        let (sender, cancel) = Cancel::new();
        sender.send_replace(crate::resource::wait::Stop::Gently);
        Context { cancel, ..context(&reported) }.pause(Duration::from_secs(5), "clients").await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn wait_survives_polls_without_an_answer() {
        let reported = Arc::default();
        let cx = context(&reported);
        let fails = |class| Err(Failure::new(class, "poll", "no response"));
        let polls = Mutex::new(vec![
            Ok(Progress::Ready("ready")),
            fails(Class::Unreachable),
            fails(Class::Ambiguous),
            fails(Class::Throttled),
            Ok(Progress::Pending("it is creating".to_owned())),
        ]);
        let next = || std::future::ready(polls.lock().unwrap().pop().unwrap());
        let found = cx.wait("wait", Backoff::minutes(Duration::from_secs(600)), next).await;
        assert_eq!(found.unwrap(), "ready");
        assert_eq!(*reported.lock().unwrap(), ["it is creating", "poll: no response"]);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_with_a_permanent_failure_or_its_timeout() {
        for (class, end) in [(Class::Denied, Class::Denied), (Class::Throttled, Class::TimedOut)] {
            let poll = || std::future::ready(Err::<Progress<()>, _>(Failure::new(class, "poll", "no")));
            let limits = Backoff::seconds(Duration::from_secs(60));
            let failure = context(&Arc::default()).wait("wait", limits, poll).await.unwrap_err();
            assert_eq!(failure.class, end);
        }
    }
}
