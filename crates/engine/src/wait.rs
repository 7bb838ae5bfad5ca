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
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The pause after the first look.
    pub first: Duration,
    /// The longest pause; each is half as long again as the one before.
    pub longest: Duration,
    /// When to give up.
    pub within: Duration,
}

impl Limits {
    /// For what takes seconds: looks again after 0.3 s, every 2 s at the latest, for `within`.
    #[must_use]
    pub const fn seconds(within: Duration) -> Self {
        Self { first: Duration::from_millis(300), longest: Duration::from_secs(2), within }
    }

    /// For what takes minutes: looks again after 1 s, every 5 s at the latest, for `within`.
    #[must_use]
    pub const fn minutes(within: Duration) -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(5), within }
    }

    pub(crate) fn pauses(self) -> Pauses {
        Pauses { limits: self, next: self.first, since: Instant::now() }
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

/// The pauses between looks: growing, with jitter, and with an end.
pub(crate) struct Pauses {
    limits: Limits,
    next: Duration,
    since: Instant,
}

impl Pauses {
    /// Sleeps until the next look.
    ///
    /// # Errors
    /// `TimedOut` when the time is over, `Interrupted` when the run was asked to stop.
    pub(crate) async fn pause(&mut self, cancel: &Cancel, operation: &str, what: &str) -> Result<(), Failure> {
        let spent = self.since.elapsed();
        if spent >= self.limits.within {
            let message = format!("gave up after {} s: {what}", spent.as_secs());
            return Err(Failure::new(Class::TimedOut, operation, message));
        }
        let pause = jitter(self.next).min(self.limits.within - spent);
        self.next = (self.next * 3 / 2).min(self.limits.longest);
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
