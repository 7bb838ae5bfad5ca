//! Getting the lease.

use super::hold::Lease;
use super::protocol::{LeaseObservation, Waiter, WaiterAction};
use super::table::{Fencing, Holder, LeaseTable, UpdateOutcome};
use crate::clock::Clock;
use pb_engine::{Cancel, Class, Failure};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often a request whose answer was lost is looked into.
const TAKE_ATTEMPTS: u32 = 3;

/// Who wants a lease, what for, and how long it can wait.
#[derive(Clone)]
pub struct AcquireOptions {
    /// The person, the machine and the process, for others to read: `ana@build-7, pid 4711`.
    pub who: String,
    /// What is to be done: `deploy`.
    pub operation: String,
    /// How long to wait for a holder that lives. Whether it lives takes up to one lease time to know, also when this is zero.
    pub lock_timeout: Duration,
    /// Stops the waiting.
    pub cancel: Cancel,
    /// Is told who holds the lease when it has to be waited for, once for each holder. Must not block.
    pub on_wait: Arc<dyn Fn(&Holder) + Send + Sync>,
}

impl AcquireOptions {
    /// A claim that does not wait for a holder that lives.
    pub fn new(who: impl Into<String>, operation: impl Into<String>) -> Self {
        Self {
            who: who.into(),
            operation: operation.into(),
            lock_timeout: Duration::ZERO,
            cancel: Cancel::never(),
            on_wait: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for AcquireOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("AcquireOptions");
        text.field("who", &self.who).field("operation", &self.operation).field("lock_timeout", &self.lock_timeout);
        text.finish_non_exhaustive()
    }
}

impl LeaseTable {
    /// Takes the lease, at once when it is free. A holder that beats is told within about one heartbeat; one that does not
    /// beat for a whole lease time is followed.
    ///
    /// # Errors
    /// `Locked` when another holds the lease, `Interrupted` when the claim was cancelled, and whatever the table answers.
    pub async fn acquire(&self, options: &AcquireOptions) -> Result<Lease, Failure> {
        self.acquire_with_fencing(options, Fencing::Above(0)).await
    }

    /// As [`acquire`](Self::acquire), with the fence that `fencing` asks for.
    ///
    /// # Errors
    /// `Refused` when the table has not come so far: then nothing was changed in it. Otherwise as `acquire`.
    pub(crate) async fn acquire_with_fencing(
        &self,
        options: &AcquireOptions,
        fencing: Fencing,
    ) -> Result<Lease, Failure> {
        let id = uuid::Uuid::new_v4().to_string();
        let clock = Clock::new(self.is_simulated());
        let mut waiter = Waiter::new(self.timing(), options.lock_timeout, clock.now());
        let mut reported = None;
        let mut expired = None;
        loop {
            let sent_at = clock.now();
            let attempted = expired.take();
            let holder = match self.take_resolving_lost_responses(&id, options, attempted.as_ref(), fencing).await? {
                UpdateOutcome::Applied(fence) => return Ok(Lease::new(self.clone(), id, fence, clock, sent_at)),
                UpdateOutcome::Rejected(Some(holder)) if holder.id == id => {
                    // An earlier request was done. Others watch since then, so that only a beat begins the time anew.
                    let sent_at = clock.now();
                    match self.heartbeat(&id, holder.fence).await? {
                        UpdateOutcome::Applied(fence) => {
                            return Ok(Lease::new(self.clone(), id, fence, clock, sent_at));
                        }
                        UpdateOutcome::Rejected(holder) => holder,
                    }
                }
                UpdateOutcome::Rejected(holder) => holder,
            };
            // Nobody: it was released between a look and the takeover.
            if let Some(holder) = holder {
                match waiter.observe(holder.observation(), clock.now()) {
                    WaiterAction::Poll => {}
                    WaiterAction::TakeOver(observation) => expired = Some(observation),
                    WaiterAction::GiveUp => return Err(locked_failure(&holder)),
                }
                if reported.as_ref() != Some(&holder.id) {
                    (options.on_wait)(&holder);
                    reported = Some(holder.id);
                }
            }
            if expired.is_none() || attempted.is_some() {
                pause(self.timing().poll_interval(), &options.cancel).await?;
            }
        }
    }

    /// Asks for the lease; when the answer is lost, looks whether it was granted before it asks again.
    async fn take_resolving_lost_responses(
        &self,
        id: &str,
        options: &AcquireOptions,
        expired: Option<&LeaseObservation>,
        fencing: Fencing,
    ) -> Result<UpdateOutcome, Failure> {
        for _ in 1..TAKE_ATTEMPTS {
            match self.take(id, &options.who, &options.operation, expired, fencing).await {
                Err(failure) if failure.class == Class::Ambiguous => {
                    if let Some(holder) = self.peek().await? {
                        return Ok(UpdateOutcome::Rejected(Some(holder)));
                    }
                }
                answer => return answer,
            }
        }
        self.take(id, &options.who, &options.operation, expired, fencing).await
    }
}

async fn pause(pause: Duration, cancel: &Cancel) -> Result<(), Failure> {
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = cancel.stopped() => {
            Err(Failure::new(Class::Interrupted, "take the lease", "stopped while waiting for another holder"))
        }
    }
}

fn locked_failure(holder: &Holder) -> Failure {
    let message = format!("held by {holder}, which is at work; nothing was changed");
    let hint = format!(
        "wait until that run has ended, or let this one wait with --lock-timeout; a holder that died is followed by itself, \
         `pb-deploy unlock` with id {} stops one that lives",
        holder.id
    );
    Failure::new(Class::Locked, "take the lease", message).hint(hint)
}
