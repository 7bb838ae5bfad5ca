//! What a verb is given besides its spec.

use crate::address::Address;
use crate::event::{Event, Events};
use crate::failure::{Class, Failure};
use crate::ownership::Ownership;
use crate::wait::{Backoff, Cancel, Progress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a verb is given besides its spec: whose resource it is, and how to wait for it.
#[derive(Clone)]
pub struct Context {
    pub(crate) address: Address,
    pub(crate) owner: Arc<Ownership>,
    pub(crate) events: Events,
    pub(crate) cancel: Cancel,
    pub(crate) run: Arc<str>,
    /// The longest time of one wait or one repeated call; none leaves it to its own limits.
    pub(crate) max_wait: Option<Duration>,
    /// Set when later steps of the run need the resource to be ready.
    pub(crate) is_needed: bool,
}

impl Context {
    /// The address of the resource.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns whether later steps of the run need the resource to be ready. What is not needed may be left to become so.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.is_needed
    }

    /// `tags` together with the ownership tags. Every create that can carry tags carries these.
    #[must_use]
    pub fn tags(&self, tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.owner.tags(&self.address, tags)
    }

    /// A client token: the same for each try of this step in this run, another for every other step and run. 32
    /// characters of 0-9 and a-f.
    #[must_use]
    pub fn client_token(&self) -> String {
        // FNV-1a, 128 bits: a token must be stable and distinct, not secret.
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for byte in self.run.bytes().chain([0]).chain(self.address.as_str().bytes()) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        format!("{hash:032x}")
    }

    /// `limits`, ended by the time that a step of this run may wait at most.
    pub(crate) fn bounded(&self, limits: Backoff) -> Backoff {
        Backoff { timeout: self.max_wait.map_or(limits.timeout, |max| limits.timeout.min(max)), ..limits }
    }

    /// Says what this step waits for now.
    pub fn waiting(&self, what: impl Into<String>) {
        self.events.send(Event::Waiting { address: self.address.clone(), what: what.into() });
    }

    /// Waits at most for `limits`, or for the shorter time that a step of this run may wait
    /// ([`Graph::wait_at_most`](crate::Graph::wait_at_most)). Looks until `look` finds it ready, says what it waits for whenever that changes. A look that is throttled or not
    /// answered is only one look less: what is waited for goes on by itself.
    ///
    /// # Errors
    /// What else `look` answers; `TimedOut` at the end of `limits`; `Interrupted` when the run is asked to stop.
    pub async fn wait<T, F, L>(&self, operation: &str, limits: Backoff, mut look: L) -> Result<T, Failure>
    where
        L: FnMut() -> F,
        F: Future<Output = Result<Progress<T>, Failure>>,
    {
        let mut pauses = self.bounded(limits).polling();
        let mut said = String::new();
        loop {
            let what = match look().await {
                Ok(Progress::Ready(value)) => return Ok(value),
                Ok(Progress::Pending(what)) => what,
                Err(failure) if matches!(failure.class, Class::Throttled | Class::Unreachable | Class::Ambiguous) => {
                    failure.to_string()
                }
                Err(failure) => return Err(failure),
            };
            if what != said {
                self.waiting(what.clone());
                said = what;
            }
            pauses.pause(&self.cancel, operation, &said).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn context(said: &Arc<Mutex<Vec<String>>>) -> Context {
        let said = Arc::clone(said);
        let events = Events::new(move |event| {
            if let Event::Waiting { what, .. } = event {
                said.lock().unwrap().push(what);
            }
        });
        Context {
            address: Address::new("redis/jobqr").unwrap(),
            owner: Arc::new(Ownership { stack: "s".to_owned(), workspace: "w".to_owned() }),
            events,
            cancel: Cancel::never(),
            run: Arc::from("run"),
            max_wait: None,
            is_needed: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wait_survives_polls_without_an_answer() {
        let said = Arc::default();
        let cx = context(&said);
        let fails = |class| Err(Failure::new(class, "look", "no answer"));
        let polls = Mutex::new(vec![
            Ok(Progress::Ready("there")),
            fails(Class::Unreachable),
            fails(Class::Ambiguous),
            fails(Class::Throttled),
            Ok(Progress::Pending("it is creating".to_owned())),
        ]);
        let next = || std::future::ready(polls.lock().unwrap().pop().unwrap());
        let found = cx.wait("wait", Backoff::minutes(Duration::from_secs(600)), next).await;
        assert_eq!(found.unwrap(), "there");
        assert_eq!(*said.lock().unwrap(), ["it is creating", "look: no answer"]);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_with_a_permanent_failure_or_its_timeout() {
        for (class, end) in [(Class::Denied, Class::Denied), (Class::Throttled, Class::TimedOut)] {
            let look = || std::future::ready(Err::<Progress<()>, _>(Failure::new(class, "look", "no")));
            let limits = Backoff::seconds(Duration::from_secs(60));
            let failure = context(&Arc::default()).wait("wait", limits, look).await.unwrap_err();
            assert_eq!(failure.class, end);
        }
    }
}
