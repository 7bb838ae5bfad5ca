//! What a waiter and a holder decide about a lease. Pure: no clock is read and nothing is called here.
//!
//! # Flow
//!
//! The lease is one item in a table. It is never deleted, and each change of it has a condition that the table checks:
//!
//! | change | condition | sets |
//! |---|---|---|
//! | take | nobody holds it; fence ≥ that of the snapshot | holder; fence + 1; beat 0 |
//! | take over | holder, beat and fence are those of the [`Mark`]; fence ≥ that of the snapshot | holder; fence + 1; beat 0 |
//! | take or take over, to restore in a table behind the snapshot | the same without the snapshot | holder; beat 0 |
//! | raise, once it is restored | we hold it; the fence is lower | fence |
//! | beat | we hold it, with the fence that we were granted | beat + 1 |
//! | release | we hold it | no holder |
//!
//! Whoever wants to write reads the snapshot first, and hands its fence to the table with the request. So a table that was
//! created again, and has not come as far as the snapshot, grants nothing and is not changed: not by one request, and not by a
//! thousand. Only a restore takes the lease in such a table. It adds nothing to the fence, writes the snapshot under one
//! that is above all, and raises the table to that fence when the snapshot is written. Should it end in between, the table is
//! behind as before.
//!
//! Who learns that it holds the lease in another way than by the answer to its own request, which was lost, beats before it
//! believes so: those who wait have watched since the request was done.
//!
//! A request to take the lease may arrive late, after its sender has held the lease and lost it: then the item names the sender
//! again, with another fence. A beat for the holding that ended is refused, for it says its fence.
//!
//! # Guarantees
//!
//! - The fence only rises, so that no two holdings that write under it have the same. That of a restore is not written under.
//! - What is granted is above the fence of the snapshot. It is read again under the lease: with two tables in use, another may have
//!   written under a later fence meanwhile.
//! - Who waits takes over no earlier than one whole lease time after it received a mark, and only if the item still has that
//!   mark. The holder sent that beat before, and counts from when it sent it: it gave up one margin earlier.
//! - So there is one holder at a time that believes in itself, as long as no two clocks' *rates* differ by more than the
//!   margin in one lease time. What the clocks *say* is never compared.
//!
//! # Assumptions
//!
//! Times are durations since any moment that the process chose, by a clock that never goes back.

use std::time::Duration;

/// How a lease is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// For how long a beat holds the lease.
    pub lease: Duration,
    /// How often the holder beats.
    pub heartbeat: Duration,
}

impl Default for Timing {
    /// A lease of 20 s and a beat every 5 s.
    fn default() -> Self {
        Self { lease: Duration::from_secs(20), heartbeat: Duration::from_secs(5) }
    }
}

impl Timing {
    /// How much earlier than a waiter the holder stops to believe in its lease: a quarter of it.
    #[must_use]
    pub fn margin(self) -> Duration {
        self.lease / 4
    }

    /// How often a waiter looks: four times in a heartbeat.
    #[must_use]
    pub fn poll_interval(self) -> Duration {
        self.heartbeat / 4
    }
}

/// What has to stay as it is for a holder to be taken for dead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseObservation {
    /// Who holds the lease: another id each time that it is taken.
    pub holder: String,
    /// The fencing token.
    pub fence: u64,
    /// How often the holder has beaten.
    pub heartbeats: u64,
}

/// What a waiter does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaiterAction {
    /// Look again, a little later.
    Poll,
    /// Take the lease over, if it still has this mark.
    TakeOver(LeaseObservation),
    /// Give up: the holder lives.
    GiveUp,
}

/// One that waits for a lease which another holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Waiter {
    lease: Duration,
    deadline: Duration,
    last: Option<(LeaseObservation, Duration)>,
}

impl Waiter {
    /// One that begins to wait `now`, and waits for a living holder for `patience`.
    #[must_use]
    pub fn new(timing: Timing, timeout: Duration, now: Duration) -> Self {
        Self { lease: timing.lease, deadline: now.saturating_add(timeout), last: None }
    }

    /// What to do after `mark` was seen. `now` is when the answer had been received.
    ///
    /// As long as the same mark is seen, it is watched for a whole lease time even when the patience has ended: only then it is
    /// known whether the holder lives. So a waiter ends within its patience and two lease times.
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

/// One that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseValidity {
    expires_at: Duration,
    term: Duration,
}

impl LeaseValidity {
    /// One whose request to take the lease was sent at `asked`, and was granted.
    #[must_use]
    pub fn new(timing: Timing, sent_at: Duration) -> Self {
        let term = timing.lease.saturating_sub(timing.margin());
        Self { expires_at: sent_at.saturating_add(term), term }
    }

    /// A beat that was sent at `asked` has been confirmed.
    pub fn renew(&mut self, sent_at: Duration) {
        self.expires_at = self.expires_at.max(sent_at.saturating_add(self.term));
    }

    /// When the lease ends unless a beat is confirmed.
    #[must_use]
    pub fn expires_at(&self) -> Duration {
        self.expires_at
    }

    /// Whether nobody else can hold the lease `now`.
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
        assert_eq!(validity.expires_at(), 30 * SECOND, "a late answer takes nothing back");
    }
}
