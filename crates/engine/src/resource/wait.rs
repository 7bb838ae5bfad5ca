//! Waits with a time limit.

use crate::model::failure::{Class, Failure};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// The request to stop a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The run was not asked to stop.
    No,
    /// The run starts no new steps, lets running calls finish, records their results and releases the lease.
    Gently,
}

/// The receiver of the signal that stops a run. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<Stop>);

impl Cancel {
    /// Creates the sender and the receiver of a stop signal.
    #[must_use]
    pub fn new() -> (watch::Sender<Stop>, Self) {
        let (sender, receiver) = watch::channel(Stop::No);
        (sender, Self(receiver))
    }

    /// Creates a receiver that never gets a signal.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(Stop::No).1)
    }

    /// Returns whether the run was asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() >= Stop::Gently
    }

    /// Waits until the run is asked to stop, or forever if the sender was dropped.
    pub async fn stopped(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop >= Stop::Gently).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The intervals between polls or retries, and the timeout of the whole wait.
///
/// The interval between polls is a small fraction of the elapsed time. Whether a change takes seconds or minutes, it is
/// therefore noticed with a delay of a few percent of that time, and a wait that takes ten times as long needs fewer
/// than ten times as many polls.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The shortest interval.
    pub initial: Duration,
    /// The longest interval.
    pub max_interval: Duration,
    /// The time after which the wait gives up.
    pub timeout: Duration,
}

/// The divisor of the elapsed time that yields the interval between polls.
const SHARE: u32 = 40;

impl Backoff {
    /// Creates a backoff for changes that take seconds: intervals of 0.25 s at first and at most 2 s, until `timeout`.
    #[must_use]
    pub const fn seconds(timeout: Duration) -> Self {
        Self { initial: Duration::from_millis(250), max_interval: Duration::from_secs(2), timeout }
    }

    /// Creates a backoff for changes that take minutes: intervals of 0.5 s at first and at most 4 s, until `timeout`.
    #[must_use]
    pub const fn minutes(timeout: Duration) -> Self {
        Self { initial: Duration::from_millis(500), max_interval: Duration::from_secs(4), timeout }
    }

    /// Returns the interval before the next poll when the wait has taken `waited`, without jitter.
    #[must_use]
    pub fn pause_after(self, waited: Duration) -> Duration {
        (waited / SHARE).max(self.initial).min(self.max_interval)
    }

    /// Returns the pauses between polls, in proportion to the elapsed time.
    pub(crate) fn polling(self) -> Pauses {
        Pauses { growth: Growth::Proportional, ..self.retrying() }
    }

    /// Returns the pauses between retries of a failed call: each is 1.5 times as long as the one before.
    pub(crate) fn retrying(self) -> Pauses {
        Pauses { limits: self, growth: Growth::Exponential, next: self.initial, since: Instant::now() }
    }
}

/// The result of a poll.
#[derive(Debug)]
pub enum Progress<T> {
    /// The condition holds.
    Ready(T),
    /// The condition does not hold yet. The string describes the current state.
    Pending(String),
}

/// Growing pauses with jitter and a timeout.
pub(crate) struct Pauses {
    limits: Backoff,
    growth: Growth,
    next: Duration,
    since: Instant,
}

/// The way in which pauses grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// Each pause is proportional to the elapsed time.
    Proportional,
    /// Each pause is 1.5 times as long as the one before.
    Exponential,
}

impl Pauses {
    /// Sleeps until the next poll or retry.
    ///
    /// # Errors
    /// `TimedOut` if the timeout is reached; `Interrupted` if the run is asked to stop.
    pub(crate) async fn pause(&mut self, cancel: &Cancel, operation: &str, what: &str) -> Result<(), Failure> {
        let spent = self.since.elapsed();
        if spent >= self.limits.timeout {
            let message = format!("gave up after {} s: {what}", spent.as_secs());
            return Err(Failure::new(Class::TimedOut, operation, message));
        }
        let next = match self.growth {
            Growth::Proportional => self.limits.pause_after(spent),
            Growth::Exponential => self.next,
        };
        let pause = jitter(next).min(self.limits.timeout - spent);
        self.next = (self.next * 3 / 2).min(self.limits.max_interval);
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = cancel.stopped() => {
                Err(Failure::new(Class::Interrupted, operation, format!("stopped while waiting: {what}")))
            }
        }
    }
}

/// Returns `pause`, shortened by up to a fifth, so that concurrent waits do not poll at the same time.
fn jitter(pause: Duration) -> Duration {
    pause - pause.mul_f64(0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of polls until a change that takes `takes` is noticed, and the delay with which it is
    /// noticed.
    async fn polls_until(limits: Backoff, takes: Duration) -> (usize, Duration) {
        let (began, mut pauses, mut polls) = (Instant::now(), limits.polling(), 1);
        while began.elapsed() < takes {
            pauses.pause(&Cancel::never(), "poll", "it").await.unwrap();
            polls += 1;
        }
        (polls, began.elapsed() - takes)
    }

    #[tokio::test(start_paused = true)]
    async fn polling_sees_a_change_soon_with_few_polls() {
        let hour = Duration::from_secs(3600);
        for (limits, seconds, most, late) in [
            (Backoff::seconds(hour), 2, 12, 0.25),
            (Backoff::seconds(hour), 9, 50, 0.25),
            (Backoff::seconds(hour), 90, 150, 2.0),
            (Backoff::minutes(hour), 39, 85, 1.0),
            (Backoff::minutes(hour), 150, 160, 3.8),
            (Backoff::minutes(hour), 390, 225, 4.0),
            (Backoff::minutes(hour), 1800, 675, 4.0),
        ] {
            for seed in 0..20 {
                fastrand::seed(seed);
                let (polls, lag) = polls_until(limits, Duration::from_secs(seconds)).await;
                assert!(polls <= most, "{seconds} s: {polls} polls");
                assert!(lag.as_secs_f64() <= late, "{seconds} s: {lag:?} late");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_fewer_than_polls_and_both_time_out() {
        type Way = fn(Backoff) -> Pauses;
        let limits = Backoff {
            initial: Duration::from_secs(1),
            max_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
        };
        let ways: [(Way, usize); 2] = [(Backoff::retrying, 20), (Backoff::polling, 80)];
        for (pauses, most) in ways {
            let mut pauses = pauses(limits);
            let (began, mut count) = (Instant::now(), 0);
            let end = loop {
                match pauses.pause(&Cancel::never(), "retry", "it").await {
                    Ok(()) => count += 1,
                    Err(end) => break end,
                }
            };
            assert_eq!((end.class, began.elapsed()), (Class::TimedOut, limits.timeout));
            assert!(count <= most, "{count}");
        }
    }
}
