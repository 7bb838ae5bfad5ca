//! Acquisition of the lease.

use super::hold::Lease;
use super::protocol::{LeaseObservation, Waiter, WaiterAction};
use super::table::{Fencing, Holder, LeaseTable, UpdateOutcome};
use crate::clock::Clock;
use pb_engine::{Cancel, Class, Failure};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Maximum number of requests to take the lease if their responses are lost.
const TAKE_ATTEMPTS: u32 = 3;
/// Name of the operation in the failures of this module.
const OPERATION: &str = "acquire the lock";

/// Identity of the run that acquires a lease, and the limits of its wait for the lease.
#[derive(Clone)]
pub struct AcquireOptions {
    /// Person, machine and process, to be shown to other people: `ana@build-7, pid 4711`.
    pub who: String,
    /// Operation of the run, such as `deploy`.
    pub operation: String,
    /// Longest time to wait until a live holder releases the lease. Even if it is zero, the run needs up to one lease
    /// time to detect whether the holder is alive.
    pub lock_timeout: Duration,
    /// Cancellation of the wait.
    pub cancel: Cancel,
    /// Callback that receives the holder for which the run waits, called once per holder. It must not block.
    pub on_wait: Arc<dyn Fn(&Holder) + Send + Sync>,
}

impl AcquireOptions {
    /// Creates options that do not wait for a live holder.
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
    /// Acquires the lease, immediately if it is free. If the holder sends no heartbeat for a whole lease time, its
    /// lease is taken over. With a lock timeout of zero, the call fails within about one heartbeat interval if the
    /// holder is alive.
    ///
    /// # Errors
    /// `Locked` if another run holds the lease, `Interrupted` if the wait was cancelled, and any error of the table.
    pub async fn acquire(&self, options: &AcquireOptions) -> Result<Lease, Failure> {
        self.acquire_with_fencing(options, Fencing::Above(0)).await
    }

    /// Acquires the lease like [`acquire`](Self::acquire), and checks and changes the fencing token as `fencing`
    /// requires.
    ///
    /// # Errors
    /// `Refused` if the token in the table is too low; the table is then unchanged. All other errors are those of
    /// `acquire`.
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
                    // An earlier request of this run was executed, but its response was lost. Other runs may have
                    // observed the lease since then, so only a heartbeat restarts its time.
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
            // If there is no holder, the lease was released between the observation and the takeover, and the next
            // request can take it.
            if let Some(holder) = holder {
                match waiter.observe(holder.observation(), clock.now()) {
                    WaiterAction::Poll => {}
                    WaiterAction::TakeOver(observation) => expired = Some(observation),
                    WaiterAction::GiveUp => return Err(self.locked_failure(&holder)),
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

    /// Requests the lease. If the response is lost, reads the holder before repeating the request.
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

    fn locked_failure(&self, holder: &Holder) -> Failure {
        let workspace = self.workspace();
        let message = format!("{workspace} is locked by {holder}; nothing was changed");
        let hint = format!(
            "wait until that run ends, or pass --lock-timeout to wait for it; a stale lock expires after {} s; to \
             break a live one: `pb-deploy unlock {workspace} {}`",
            self.timing().lease.as_secs(),
            holder.id
        );
        Failure::new(Class::Locked, OPERATION, message).hint(hint)
    }
}

async fn pause(pause: Duration, cancel: &Cancel) -> Result<(), Failure> {
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = cancel.stopped() => {
            Err(Failure::new(Class::Interrupted, OPERATION, "interrupted while waiting for another run"))
        }
    }
}
