//! Keeping the lease.

use super::protocol::Tenure;
use super::table::{Changed, Holder, LeaseTable};
use crate::clock::Clock;
use pb_engine::{Class, Failure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What was tried, in each failure.
const KEEP: &str = "keep the lease";

/// A lease that is held. It beats by itself until it is released, dropped or lost.
#[derive(Debug)]
pub struct Lease {
    held: Arc<Held>,
    /// The one task that beats; it ends with the lease.
    beating: JoinSet<()>,
}

#[derive(Debug)]
struct Held {
    table: LeaseTable,
    id: String,
    clock: Clock,
    state: Mutex<State>,
    /// Held while a request is under way that depends on the fence, or changes it.
    fencing: tokio::sync::Mutex<()>,
    lost: watch::Sender<Option<Failure>>,
}

#[derive(Debug)]
struct State {
    fence: u64,
    tenure: Tenure,
    /// Why the last heartbeat failed, if it did.
    trouble: Option<Failure>,
}

impl Lease {
    /// A lease that was granted with `fence` as an answer to what was asked at `asked`.
    pub(super) fn new(table: LeaseTable, id: String, fence: u64, clock: Clock, asked: Duration) -> Self {
        let tenure = Tenure::new(table.timing(), asked);
        let state = Mutex::new(State { fence, tenure, trouble: None });
        let (fencing, lost) = (tokio::sync::Mutex::default(), watch::Sender::new(None));
        let held = Arc::new(Held { table, id, clock, state, fencing, lost });
        let mut beating = JoinSet::new();
        beating.spawn(Arc::clone(&held).beat());
        Self { held, beating }
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
        let _alone = self.held.fencing.lock().await;
        match self.held.table.raise(&self.held.id, fence).await? {
            Changed::Done(raised) => self.held.state().fence = raised,
            // The SDK repeats a request whose answer was lost: then it may have been done.
            Changed::Refused(Some(holder)) if holder.id == self.held.id => self.held.state().fence = holder.fence,
            Changed::Refused(holder) => return Err(self.held.lose(taken(holder.as_ref()))),
        }
        Ok(())
    }

    /// Releases the lease, if it is still ours; a lost one is left alone.
    ///
    /// # Errors
    /// Whatever the table answers. The lease then ends by itself after one lease time.
    pub async fn release(mut self) -> Result<(), Failure> {
        self.beating.shutdown().await;
        if self.lost().is_some() {
            return Ok(());
        }
        // When it is refused, the lease is another's or an earlier try released it.
        self.held.table.release(&self.held.id).await.map(|_| ())
    }
}

impl Held {
    async fn beat(self: Arc<Self>) {
        let every = self.table.timing().heartbeat;
        let mut pause = every;
        loop {
            let left = self.state().tenure.ends().saturating_sub(self.clock.now());
            sleep(pause.min(left)).await;
            if self.lost().is_some() {
                return;
            }
            let asked = self.clock.now();
            let left = self.state().tenure.ends().saturating_sub(asked);
            match timeout(left, self.say_so()).await {
                Ok(Ok(Changed::Done(_))) => {
                    let mut state = self.state();
                    state.tenure.beaten(asked);
                    state.trouble = None;
                    pause = every.saturating_sub(self.clock.now().saturating_sub(asked));
                }
                Ok(Ok(Changed::Refused(holder))) => {
                    self.lose(taken(holder.as_ref().filter(|holder| holder.id != self.id)));
                    return;
                }
                Ok(Err(failure)) => {
                    self.state().trouble = Some(failure);
                    pause = every / 5;
                }
                // The next turn says so.
                Err(_) => pause = Duration::ZERO,
            }
        }
    }

    /// Says that we live.
    async fn say_so(&self) -> Result<Changed, Failure> {
        let _alone = self.fencing.lock().await;
        let fence = self.state().fence;
        self.table.beat(&self.id, fence).await
    }

    fn lost(&self) -> Option<Failure> {
        let lost = self.lost.borrow().clone();
        if lost.is_some() {
            return lost;
        }
        let state = self.state();
        if state.tenure.is_certain(self.clock.now()) {
            return None;
        }
        let late = late(&state, self.table.timing().lease);
        drop(state);
        Some(self.lose(late))
    }

    /// Notes why the lease is lost; the first reason stays.
    fn lose(&self, why: Failure) -> Failure {
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

fn late(state: &State, lease: Duration) -> Failure {
    let why = match &state.trouble {
        Some(failure) => format!("no heartbeat got through ({failure})"),
        None => "this process or its network stood still for too long".to_owned(),
    };
    let seconds = lease.as_secs_f32();
    lost(format!("{why}; another may take over {seconds} s after the last one, so nothing more is written"))
}

fn taken(holder: Option<&Holder>) -> Failure {
    lost(match holder {
        Some(holder) => format!("it was taken over by {holder}; nothing more is written"),
        None => "it was taken away with `unlock`; nothing more is written".to_owned(),
    })
}

fn lost(message: String) -> Failure {
    Failure::new(Class::Locked, KEEP, message)
        .hint("run the same command again once nobody else is at work: it finds what was made by its tags")
}
