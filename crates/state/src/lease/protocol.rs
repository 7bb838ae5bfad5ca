//! Decisions of a waiter and of a holder of the lease. All functions are pure: none reads a clock or makes a call.
//!
//! # Flow
//!
//! The lease is one item in a table. The item is never deleted, and each change of it has a condition, which the table
//! checks:
//!
//! | change | condition | sets |
//! |---|---|---|
//! | take | nobody holds the lease; fence ≥ that of the snapshot | holder; fence + 1; beat 0 |
//! | take over | item matches the [`LeaseObservation`]; fence ≥ that of the snapshot | holder; fence + 1; beat 0 |
//! | take or take over, for a restore with a table behind the snapshot | as above, without the fence | holder; beat 0 |
//! | raise, after the restore | the caller holds the lease; the fence is lower | fence |
//! | heartbeat | the caller holds the lease, with the fence that it was granted | beat + 1 |
//! | release | the caller holds the lease | no holder |
//!
//! Here, `fence` is the attribute that contains the fencing token, and `beat` is the attribute that contains the number
//! of heartbeats.
//!
//! A run that wants to write reads the snapshot first and sends the fencing token of the snapshot with its request for
//! the lease. The token in a re-created table is lower than that of the snapshot. Such a table therefore never grants
//! the request and stays unchanged, however often the request is repeated. Only a restore takes the lease in such a
//! table. The restore does not increase the token when it takes the lease. It writes the snapshot under a token above
//! all others, and then raises the token in the table to that token. If the restore ends before it raises the token,
//! the table is still behind the snapshot.
//!
//! If the response to its request is lost, a run may learn only from the item that it holds the lease. It then sends a
//! heartbeat before it relies on the lease, because waiters may have observed the lease since the request was executed.
//!
//! A delayed request to take the lease may be executed after its sender has held the lease and lost it. The item then
//! names the sender again, with another token. A heartbeat for the earlier acquisition is rejected, because it carries
//! the token of that acquisition.
//!
//! # Guarantees
//!
//! - The fencing token never decreases, and every acquisition increases it, except for a restore with a table behind
//!   the snapshot, which does not write under the token of its acquisition. Therefore, no two acquisitions write under
//!   the same token.
//! - A granted token is above that of the snapshot. The snapshot is read again under the lease, because another run may
//!   have written it under a later token in the meantime if two tables are in use.
//! - A waiter takes the lease over no earlier than one lease time after it received an observation, and only if the
//!   item still matches the observation. The holder sent the observed heartbeat earlier and counts from the time of
//!   sending, so it stops at least one margin before the takeover.
//! - At most one holder at a time therefore considers its lease valid, as long as the *rates* of any two clocks differ
//!   by at most the margin per lease time. The *readings* of clocks are never compared.
//!
//! # Assumptions
//!
//! Each process measures time as the duration since an arbitrary moment, with a clock that never goes backwards.

use std::time::Duration;

/// Durations that govern a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time for which a heartbeat extends the lease.
    pub lease: Duration,
    /// Interval between heartbeats of the holder.
    pub heartbeat: Duration,
}

impl Default for Timing {
    /// Returns a lease of 20 s with a heartbeat every 5 s.
    fn default() -> Self {
        Self { lease: Duration::from_secs(20), heartbeat: Duration::from_secs(5) }
    }
}

impl Timing {
    /// Returns the time between the moment at which the holder stops and the earliest takeover: a quarter of the lease.
    #[must_use]
    pub fn margin(self) -> Duration {
        self.lease / 4
    }

    /// Returns the polling interval of a waiter: a quarter of the heartbeat interval.
    #[must_use]
    pub fn poll_interval(self) -> Duration {
        self.heartbeat / 4
    }
}

/// State of the lease item, as a waiter read it. If the item does not change for a whole lease time, its holder is
/// considered dead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseObservation {
    /// Id of the holder, which is different for each acquisition.
    pub holder: String,
    /// Fencing token of the lease.
    pub fence: u64,
    /// Number of heartbeats since the acquisition.
    pub heartbeats: u64,
}

/// Next action of a waiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaiterAction {
    /// Read the item again after the polling interval.
    Poll,
    /// Take the lease over if the item still matches this observation.
    TakeOver(LeaseObservation),
    /// Give up, because the holder is alive.
    GiveUp,
}

/// A run that waits for a lease held by another run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Waiter {
    lease: Duration,
    deadline: Duration,
    last: Option<(LeaseObservation, Duration)>,
}

impl Waiter {
    /// Creates a waiter that starts at `now` and waits for a live holder until `timeout` has passed.
    #[must_use]
    pub fn new(timing: Timing, timeout: Duration, now: Duration) -> Self {
        Self { lease: timing.lease, deadline: now.saturating_add(timeout), last: None }
    }

    /// Returns the next action after the item was observed. `now` is the time at which the response was received.
    ///
    /// A waiter watches an unchanged item for a whole lease time, even beyond the timeout, because only then is it
    /// known whether the holder is alive. The wait therefore ends within the timeout plus two lease times.
    pub fn observe(&mut self, observation: LeaseObservation, now: Duration) -> WaiterAction {
        match &self.last {
            Some((last, since)) if *last == observation => {
                if now.saturating_sub(*since) >= self.lease {
                    WaiterAction::TakeOver(observation)
                } else {
                    WaiterAction::Poll
                }
            }
            Some(_) if now >= self.deadline => WaiterAction::GiveUp,
            _ => {
                self.last = Some((observation, now));
                WaiterAction::Poll
            }
        }
    }
}

/// Period for which a holder may rely on its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseValidity {
    expires_at: Duration,
    term: Duration,
}

impl LeaseValidity {
    /// Creates the validity of a lease that was granted by a request sent at `sent_at`.
    #[must_use]
    pub fn new(timing: Timing, sent_at: Duration) -> Self {
        let term = timing.lease.saturating_sub(timing.margin());
        Self { expires_at: sent_at.saturating_add(term), term }
    }

    /// Extends the validity after the confirmation of a heartbeat that was sent at `sent_at`.
    pub fn renew(&mut self, sent_at: Duration) {
        self.expires_at = self.expires_at.max(sent_at.saturating_add(self.term));
    }

    /// Returns the time at which the lease expires unless another heartbeat is confirmed.
    #[must_use]
    pub fn expires_at(&self) -> Duration {
        self.expires_at
    }

    /// Returns whether no other run can hold the lease at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Duration) -> bool {
        now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::{LeaseObservation, LeaseValidity, Timing, Waiter, WaiterAction};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn observation(heartbeats: u64) -> LeaseObservation {
        LeaseObservation { holder: "a".into(), fence: 1, heartbeats }
    }

    #[test]
    fn live_holder_is_detected_by_its_next_heartbeat() {
        let mut waiter = Waiter::new(Timing::default(), Duration::ZERO, Duration::ZERO);
        assert_eq!(waiter.observe(observation(3), SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(observation(3), 4 * SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(observation(4), 5 * SECOND), WaiterAction::GiveUp);
    }

    #[test]
    fn dead_holder_is_replaced_one_lease_after_first_observation() {
        let mut waiter = Waiter::new(Timing::default(), Duration::ZERO, Duration::ZERO);
        assert_eq!(waiter.observe(observation(3), 2 * SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(observation(3), 21 * SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(observation(3), 22 * SECOND), WaiterAction::TakeOver(observation(3)));
    }

    #[test]
    fn waiter_waits_for_a_live_holder_until_its_timeout() {
        let mut waiter = Waiter::new(Timing::default(), 60 * SECOND, Duration::ZERO);
        for beat in 0..12 {
            assert_eq!(
                waiter.observe(observation(beat), u32::try_from(beat).unwrap() * 5 * SECOND),
                WaiterAction::Poll
            );
        }
        assert_eq!(waiter.observe(observation(12), 60 * SECOND), WaiterAction::GiveUp);
    }

    #[test]
    fn changed_observation_restarts_the_lease_time() {
        let mut waiter = Waiter::new(Timing::default(), 60 * SECOND, Duration::ZERO);
        assert_eq!(waiter.observe(observation(1), SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(observation(2), 20 * SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(observation(2), 39 * SECOND), WaiterAction::Poll);
        let other = LeaseObservation { fence: 2, ..observation(2) };
        assert_eq!(waiter.observe(other.clone(), 40 * SECOND), WaiterAction::Poll);
        assert_eq!(waiter.observe(other, 59 * SECOND), WaiterAction::Poll);
    }

    #[test]
    fn holder_stops_one_margin_before_a_takeover() {
        let timing = Timing::default();
        let mut validity = LeaseValidity::new(timing, 10 * SECOND);
        assert!(validity.is_valid(24 * SECOND));
        assert!(!validity.is_valid(25 * SECOND));
        validity.renew(15 * SECOND);
        assert_eq!(validity.expires_at(), 30 * SECOND);
        validity.renew(12 * SECOND);
        assert_eq!(validity.expires_at(), 30 * SECOND, "a late response does not shorten the validity");
    }
}
