//! Keeping the lease.

use super::protocol::LeaseValidity;
use super::table::{Holder, LeaseTable, UpdateOutcome};
use crate::clock::Clock;
use pb_engine::{Class, Failure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What was tried, in each failure.
const OPERATION: &str = "keep the lease";

/// A lease that is held. It beats by itself until it is released, dropped or lost.
#[derive(Debug)]
pub struct Lease {
    held: Arc<HeldLease>,
    /// The one task that beats; it ends with the lease.
    heartbeats: JoinSet<()>,
}

#[derive(Debug)]
struct HeldLease {
    table: LeaseTable,
    id: String,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a request is under way that depends on the fence, or changes it.
    token_guard: tokio::sync::Mutex<()>,
    lost: watch::Sender<Option<Failure>>,
}

#[derive(Debug)]
struct State {
    fence: u64,
    validity: LeaseValidity,
    /// Why the last heartbeat failed, if it did.
    last_error: Option<Failure>,
}

impl Lease {
    /// A lease that was granted with `fence` as an answer to what was asked at `asked`.
    pub(super) fn new(table: LeaseTable, id: String, fence: u64, clock: Clock, sent_at: Duration) -> Self {
        let validity = LeaseValidity::new(table.timing(), sent_at);
        let state = Mutex::new(State { fence, validity, last_error: None });
        let (token_guard, lost) = (tokio::sync::Mutex::default(), watch::Sender::new(None));
        let held = Arc::new(HeldLease { table, id, clock, state, token_guard, lost });
        let mut heartbeats = JoinSet::new();
        heartbeats.spawn(Arc::clone(&held).run_heartbeats());
        Self { held, heartbeats }
    }

    /// The id of this holding.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.held.id
    }

    /// The fencing token: higher than that of each earlier holder.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.held.state().fence
    }

    /// Why the lease is lost, if so. It is lost as well when it cannot be known: this process was stopped for too long, or
    /// its heartbeats did not get through. What was lost is never held again.
    #[must_use]
    pub fn lost(&self) -> Option<Failure> {
        self.held.lost()
    }

    /// Ends when the lease is lost.
    pub async fn until_lost(&self) -> Failure {
        let mut receiver = self.held.lost.subscribe();
        loop {
            if let Some(lost) = receiver.borrow_and_update().clone() {
                return lost;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Raises the fence to `fence`, where it is lower.
    pub(crate) async fn raise_to(&self, fence: u64) -> Result<(), Failure> {
        if self.fence() >= fence {
            return Ok(());
        }
        let _guard = self.held.token_guard.lock().await;
        match self.held.table.raise(&self.held.id, fence).await? {
            UpdateOutcome::Applied(raised) => self.held.state().fence = raised,
            // The SDK repeats a request whose answer was lost: then it may have been done.
            UpdateOutcome::Rejected(Some(holder)) if holder.id == self.held.id => {
                self.held.state().fence = holder.fence
            }
            UpdateOutcome::Rejected(holder) => return Err(self.held.mark_lost(lease_taken(holder.as_ref()))),
        }
        Ok(())
    }

    /// Releases the lease, if it is still ours; a lost one is left alone.
    ///
    /// # Errors
    /// Whatever the table answers. The lease then ends by itself after one lease time.
    pub async fn release(mut self) -> Result<(), Failure> {
        self.heartbeats.shutdown().await;
        if self.lost().is_some() {
            return Ok(());
        }
        // When it is refused, the lease is another's or an earlier try released it.
        self.held.table.release(&self.held.id).await.map(|_| ())
    }
}

impl HeldLease {
    async fn run_heartbeats(self: Arc<Self>) {
        let interval = self.table.timing().heartbeat;
        let mut pause = interval;
        loop {
            let left = self.state().validity.expires_at().saturating_sub(self.clock.now());
            sleep(pause.min(left)).await;
            if self.lost().is_some() {
                return;
            }
            let sent_at = self.clock.now();
            let left = self.state().validity.expires_at().saturating_sub(sent_at);
            match timeout(left, self.send_heartbeat()).await {
                Ok(Ok(UpdateOutcome::Applied(_))) => {
                    let mut state = self.state();
                    state.validity.renew(sent_at);
                    state.last_error = None;
                    pause = interval.saturating_sub(self.clock.now().saturating_sub(sent_at));
                }
                Ok(Ok(UpdateOutcome::Rejected(holder))) => {
                    self.mark_lost(lease_taken(holder.as_ref().filter(|holder| holder.id != self.id)));
                    return;
                }
                Ok(Err(failure)) => {
                    self.state().last_error = Some(failure);
                    pause = interval / 5;
                }
                // The next turn says so.
                Err(_) => pause = Duration::ZERO,
            }
        }
    }

    /// Says that we live.
    async fn send_heartbeat(&self) -> Result<UpdateOutcome, Failure> {
        let _guard = self.token_guard.lock().await;
        let fence = self.state().fence;
        self.table.heartbeat(&self.id, fence).await
    }

    fn lost(&self) -> Option<Failure> {
        let lost = self.lost.borrow().clone();
        if lost.is_some() {
            return lost;
        }
        let state = self.state();
        if state.validity.is_valid(self.clock.now()) {
            return None;
        }
        let expired = lease_expired(&state, self.table.timing().lease);
        drop(state);
        Some(self.mark_lost(expired))
    }

    /// Notes why the lease is lost; the first reason stays.
    fn mark_lost(&self, why: Failure) -> Failure {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert_with(|| why.clone());
            first
        });
        self.lost.borrow().clone().unwrap_or(why)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lease_expired(state: &State, lease: Duration) -> Failure {
    let why = match &state.last_error {
        Some(failure) => format!("no heartbeat got through ({failure})"),
        None => "this process or its network stood still for too long".to_owned(),
    };
    let seconds = lease.as_secs_f32();
    lost_failure(format!("{why}; another may take over {seconds} s after the last one, so nothing more is written"))
}

fn lease_taken(holder: Option<&Holder>) -> Failure {
    lost_failure(match holder {
        Some(holder) => format!("it was taken over by {holder}; nothing more is written"),
        None => "it was taken away with `unlock`; nothing more is written".to_owned(),
    })
}

fn lost_failure(message: String) -> Failure {
    Failure::new(Class::Locked, OPERATION, message)
        .hint("run the same command again once nobody else is at work: it finds what was made by its tags")
}
