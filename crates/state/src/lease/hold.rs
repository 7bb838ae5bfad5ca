//! Renewal of the lease while it is held.

use super::protocol::LeaseValidity;
use super::table::{Holder, LeaseTable, UpdateOutcome};
use crate::clock::Clock;
use pb_engine::{Cause, Class, Failure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Name of the operation in the failures of this module.
const OPERATION: &str = "renew the lock";

/// A held lease. It sends heartbeats in the background until it is released, dropped or lost.
#[derive(Debug)]
pub struct Lease {
    held: Arc<HeldLease>,
    /// Task that sends the heartbeats; it ends when the lease is dropped.
    heartbeats: JoinSet<()>,
}

#[derive(Debug)]
struct HeldLease {
    table: LeaseTable,
    id: String,
    clock: Clock,
    state: Mutex<State>,
    /// Mutex that is locked during each request that depends on the fencing token or changes it.
    token_guard: tokio::sync::Mutex<()>,
    lost: watch::Sender<Option<Failure>>,
}

#[derive(Debug)]
struct State {
    fence: u64,
    validity: LeaseValidity,
    /// Failure of the last heartbeat, unless it succeeded.
    last_error: Option<Failure>,
}

impl Lease {
    /// Creates the lease that was granted with the fencing token `fence` in response to a request sent at `sent_at`.
    pub(super) fn new(table: LeaseTable, id: String, fence: u64, clock: Clock, sent_at: Duration) -> Self {
        let validity = LeaseValidity::new(table.timing(), sent_at);
        let state = Mutex::new(State { fence, validity, last_error: None });
        let (token_guard, lost) = (tokio::sync::Mutex::default(), watch::Sender::new(None));
        let held = Arc::new(HeldLease { table, id, clock, state, token_guard, lost });
        let mut heartbeats = JoinSet::new();
        heartbeats.spawn(Arc::clone(&held).run_heartbeats());
        Self { held, heartbeats }
    }

    /// Returns the id of this acquisition of the lease.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.held.id
    }

    /// Returns the fencing token, which is higher than that of every earlier holder.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.held.state().fence
    }

    /// Returns the reason why the lease is lost, or `None` while it is held. The lease also counts as lost if this
    /// process cannot be sure that it holds the lease, because the process was suspended for too long or its heartbeats
    /// failed. A lost lease stays lost.
    #[must_use]
    pub fn lost(&self) -> Option<Failure> {
        self.held.lost()
    }

    /// Waits until the lease is lost and returns the reason.
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

    /// Raises the fencing token of the lease, in the table and in this process, to `fence` if it is lower.
    pub(crate) async fn raise_to(&self, fence: u64) -> Result<(), Failure> {
        if self.fence() >= fence {
            return Ok(());
        }
        let _guard = self.held.token_guard.lock().await;
        match self.held.table.raise(&self.held.id, fence).await? {
            UpdateOutcome::Applied(raised) => self.held.state().fence = raised,
            // The SDK repeats a request if its response is lost. The table rejects the repetition if it has executed
            // the first attempt.
            UpdateOutcome::Rejected(Some(holder)) if holder.id == self.held.id => {
                self.held.state().fence = holder.fence;
            }
            UpdateOutcome::Rejected(holder) => return Err(self.held.mark_lost(lease_taken(holder.as_ref()))),
        }
        Ok(())
    }

    /// Releases the lease if it is still held. If the lease is lost, the table is not changed.
    ///
    /// # Errors
    /// Any error of the table. The lease then expires after one lease time.
    pub async fn release(mut self) -> Result<(), Failure> {
        self.heartbeats.shutdown().await;
        if self.lost().is_some() {
            return Ok(());
        }
        // A rejection means that another run holds the lease or that an earlier attempt released it.
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
                // The next iteration detects that the lease has expired.
                Err(_) => pause = Duration::ZERO,
            }
        }
    }

    /// Sends one heartbeat.
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

    /// Marks the lease as lost for the reason `why`, unless it is lost already, and returns the first reason.
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
        Some(failure) => format!("no heartbeat succeeded ({failure})"),
        None => "this process or its network was suspended for too long".to_owned(),
    };
    let seconds = lease.as_secs_f32();
    lost_failure(format!(
        "{why}; another run may take the lock {seconds} s after the last heartbeat, so this run writes nothing more"
    ))
}

fn lease_taken(holder: Option<&Holder>) -> Failure {
    lost_failure(match holder {
        Some(holder) => format!("the lock was taken over by {holder}; this run writes nothing more"),
        None => "the lock was broken with `pb-deploy unlock`; this run writes nothing more".to_owned(),
    })
}

fn lost_failure(message: String) -> Failure {
    Failure::new(Class::Locked, OPERATION, message)
        .cause(Cause::LeaseLost)
        .hint("run the same command again when no other run is active: it finds the created resources by their tags")
}
