//! Waiting for something outside, with an end.

use crate::failure::{Class, Failure};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How far a run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// Start nothing new, let running calls finish, record, release.
    Gently,
}

/// Tells a run to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<Stop>);

impl Cancel {
    /// A sender to stop with, and what listens to it.
    #[must_use]
    pub fn new() -> (watch::Sender<Stop>, Self) {
        let (sender, receiver) = watch::channel(Stop::No);
        (sender, Self(receiver))
    }

    /// One that never stops.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(Stop::No).1)
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() >= Stop::Gently
    }

    /// Ends when the run is asked to stop; never when nobody is left to ask.
    pub async fn stopped(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop >= Stop::Gently).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// How often to look, and for how long.
///
/// A pause is a small share of what was waited so far: whoever waits learns that something is there a few hundredths later
/// than it is, whether it took seconds or minutes, and the polling of a wait that is ten times as long are not ten times as
/// many.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The shortest pause.
    pub initial: Duration,
    /// The longest pause.
    pub max_interval: Duration,
    /// When to give up.
    pub timeout: Duration,
}

/// Which part of what was waited so far a pause is.
const SHARE: u32 = 40;

impl Backoff {
    /// For what takes seconds: polling every 0.25 s at first, every 2 s at the least, for `within`.
    #[must_use]
    pub const fn seconds(timeout: Duration) -> Self {
        Self { initial: Duration::from_millis(250), max_interval: Duration::from_secs(2), timeout }
    }

    /// For what takes minutes: polling every 0.5 s at first, every 4 s at the least, for `within`.
    #[must_use]
    pub const fn minutes(timeout: Duration) -> Self {
        Self { initial: Duration::from_millis(500), max_interval: Duration::from_secs(4), timeout }
    }

    /// The pause of those who have waited for `waited`, without jitter.
    #[must_use]
    pub fn pause_after(self, waited: Duration) -> Duration {
        (waited / SHARE).max(self.initial).min(self.max_interval)
    }

    /// The pauses between polling: nothing is changed by a look.
    pub(crate) fn polling(self) -> Pauses {
        Pauses { growth: Growth::Proportional, ..self.retrying() }
    }

    /// The pauses between retrying of what failed: each half as long again as the one before.
    pub(crate) fn retrying(self) -> Pauses {
        Pauses { limits: self, growth: Growth::Exponential, next: self.initial, since: Instant::now() }
    }
}

/// What one look found.
#[derive(Debug)]
pub enum Progress<T> {
    /// It is as it should be.
    Ready(T),
    /// Not yet; in words, what is there now.
    Pending(String),
}

/// Growing pauses, with jitter, and with an end.
pub(crate) struct Pauses {
    limits: Backoff,
    growth: Growth,
    next: Duration,
    since: Instant,
}

/// How pauses grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// By what was waited.
    Proportional,
    /// Each is half as long again as the one before.
    Exponential,
}

impl Pauses {
    /// Sleeps until the next look.
    ///
    /// # Errors
    /// `TimedOut` when the time is over, `Interrupted` when the run was asked to stop.
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

/// `pause`, up to a fifth shorter, so that many waiters do not all look at once.
fn jitter(pause: Duration) -> Duration {
    pause - pause.mul_f64(0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many polls there are until something is there that takes `takes`, and how much later that is seen.
    async fn looked(limits: Backoff, takes: Duration) -> (usize, Duration) {
        let (began, mut pauses, mut polls) = (Instant::now(), limits.polling(), 1);
        while began.elapsed() < takes {
            pauses.pause(&Cancel::never(), "look", "it").await.unwrap();
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
                let (polls, lag) = looked(limits, Duration::from_secs(seconds)).await;
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
                match pauses.pause(&Cancel::never(), "try", "it").await {
                    Ok(()) => count += 1,
                    Err(end) => break end,
                }
            };
            assert_eq!((end.class, began.elapsed()), (Class::TimedOut, limits.timeout));
            assert!(count <= most, "{count}");
        }
    }
}
