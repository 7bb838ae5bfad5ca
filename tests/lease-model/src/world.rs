//! The state of the model: the table, the bucket, and the processes that want to write.

use crate::protocol::{LeaseObservation, LeaseValidity, Timing, Waiter};
use crate::{LEASE, at};

/// A state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub now: u64,
    /// The fencing token of the item in the table.
    pub fence: u64,
    /// The holder of the lease, and the number of its heartbeats.
    pub held: Option<(usize, u64)>,
    /// The snapshot: the tokens of the accepted writes, in order.
    pub writes: Vec<u64>,
    pub processes: Vec<Process>,
    /// Abandoned requests that may still arrive.
    pub late: Vec<(usize, Request)>,
    pub abandoned: usize,
    pub lost_responses: usize,
    pub deaths: usize,
    pub item_losses: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    pub state: State,
    /// The request in flight, and the tick at which it was sent.
    pub in_flight: Option<(Request, u64)>,
    pub sent: usize,
    /// Set if the process has held the lease.
    pub has_held: bool,
    /// Set if the process has restored the snapshot and raised the token of the table to that of the snapshot.
    pub restored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// The process wants the lease and has sent no request for it.
    Idle,
    /// The process waits, because another process holds the lease.
    Waiting(Waiter),
    /// The process has requested the lease and does not know the result.
    Unknown,
    /// The process holds the lease but did not receive the response. Only a heartbeat confirms that it holds the lease.
    Confirming(u64),
    /// The process holds the lease. `read` is the number of writes when the process read the snapshot.
    Holding {
        tenure: LeaseValidity,
        fence: u64,
        read: Option<usize>,
        restore: Restore,
    },
    /// The process has given up, because the token of the snapshot was higher than that of the table.
    Refused,
    /// The process does nothing more.
    Finished,
    Dead,
}

/// The progress of a restore, which acquires the lease without a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restore {
    /// No restore: the lease was granted with a new token.
    No,
    /// The restore has not written the snapshot yet.
    Begun,
    /// The restore has written the snapshot with this token. The token of the table must still be raised to it.
    Wrote(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Acquires the lease with a new token, if that is higher than `least_token`.
    Take {
        least_token: u64,
    },
    /// Acquires the lease with the current token of the table.
    TakeWithoutRaise,
    /// Raises the token of the table to this token.
    Raise(u64),
    TakeOver(LeaseObservation),
    Heartbeat(u64),
    Write {
        fence: u64,
        read: usize,
    },
    Release,
}

/// The response of the table or the bucket.
pub enum Response {
    Granted(u64),
    Refused,
    Done,
}

pub fn name(process: usize) -> String {
    format!("p{process}")
}

impl World {
    pub fn new(processes: usize) -> Self {
        let process = Process { state: State::Idle, in_flight: None, sent: 0, has_held: false, restored: false };
        Self {
            now: 0,
            fence: 0,
            held: None,
            writes: Vec::new(),
            processes: vec![process; processes],
            late: Vec::new(),
            abandoned: 0,
            lost_responses: 0,
            deaths: 0,
            item_losses: 0,
        }
    }

    /// Returns the token of the snapshot.
    pub fn snapshot_token(&self) -> u64 {
        self.writes.last().copied().unwrap_or_default()
    }

    /// Returns the result of a query of the table.
    pub fn observation(&self) -> Option<LeaseObservation> {
        self.held.map(|(holder, beat)| LeaseObservation { holder: name(holder), fence: self.fence, heartbeats: beat })
    }

    /// Returns whether a process believes that it may write.
    pub fn believes_to_hold(&self, process: usize) -> bool {
        matches!(&self.processes[process].state, State::Holding { tenure, .. } if tenure.is_valid(at(self.now)))
    }

    /// Executes a request in the table or the bucket.
    pub fn serve(&mut self, process: usize, request: &Request) -> Response {
        let ours = self.held.is_some_and(|(holder, _)| holder == process);
        match request {
            Request::Take { least_token } if self.held.is_none() && self.fence >= *least_token => self.grant(process),
            Request::TakeWithoutRaise if self.held.is_none() => {
                self.held = Some((process, 0));
                Response::Granted(self.fence)
            }
            Request::Raise(fence) if ours && self.fence < *fence => {
                self.fence = *fence;
                Response::Granted(*fence)
            }
            Request::TakeOver(mark) if self.observation().as_ref() == Some(mark) => self.grant(process),
            Request::Heartbeat(fence) if ours && *fence == self.fence => {
                self.held = self.held.map(|(holder, beat)| (holder, beat + 1));
                Response::Granted(self.fence)
            }
            Request::Release if ours => {
                self.held = None;
                Response::Done
            }
            Request::Write { fence, read } if *read == self.writes.len() => {
                self.writes.push(*fence);
                Response::Done
            }
            _ => Response::Refused,
        }
    }

    fn grant(&mut self, process: usize) -> Response {
        self.fence += 1;
        self.held = Some((process, 0));
        Response::Granted(self.fence)
    }

    /// Handles the response to `request`, which the process sent at the tick `asked`. `trusted_timing` determines for
    /// how long the process trusts its lease.
    pub fn on_response(
        &mut self,
        process: usize,
        request: &Request,
        asked: u64,
        response: &Response,
        trusted_timing: Timing,
    ) {
        let (now, ours) = (at(self.now), self.held.is_some_and(|(holder, _)| holder == process));
        let (mark, current, free) = (self.observation(), self.fence, self.held.is_none());
        let process = &mut self.processes[process];
        process.state = match (request, response, process.state.clone()) {
            (Request::Heartbeat(_), Response::Granted(_), State::Holding { mut tenure, fence, read, restore }) => {
                tenure.renew(at(asked));
                State::Holding { tenure, fence, read, restore }
            }
            (Request::Raise(_), Response::Granted(fence), State::Holding { tenure, read, .. }) => {
                process.restored = true;
                State::Holding { tenure, fence: *fence, read, restore: Restore::No }
            }
            (Request::TakeWithoutRaise, Response::Granted(fence), _) => {
                process.has_held = true;
                let tenure = LeaseValidity::new(trusted_timing, at(asked));
                State::Holding { tenure, fence: *fence, read: None, restore: Restore::Begun }
            }
            (Request::Take { .. } | Request::TakeOver(_) | Request::Heartbeat(_), Response::Granted(fence), _) => {
                process.has_held = true;
                let tenure = LeaseValidity::new(trusted_timing, at(asked));
                State::Holding { tenure, fence: *fence, read: None, restore: Restore::No }
            }
            (Request::Take { .. }, Response::Refused, _) if free => State::Refused,
            (Request::Take { .. } | Request::TakeOver(_), _, _) if ours => State::Confirming(current),
            (Request::Take { .. } | Request::TakeWithoutRaise | Request::TakeOver(_), _, state) => {
                let new = || Waiter::new(LEASE, at(100), now);
                let mut waiter = if let State::Waiting(waiter) = state { waiter } else { new() };
                mark.map(|mark| waiter.observe(mark, now));
                State::Waiting(waiter)
            }
            (Request::Heartbeat(_), _, State::Confirming(_)) => State::Idle,
            (
                Request::Write { read, fence: written },
                Response::Done,
                State::Holding { tenure, fence, restore, .. },
            ) => {
                let restore = if restore == Restore::No { restore } else { Restore::Wrote(*written) };
                State::Holding { tenure, fence, read: Some(read + 1), restore }
            }
            _ => State::Finished,
        };
    }

    /// Handles a request whose response never arrives.
    pub fn on_abandoned(&mut self, process: usize, request: &Request) {
        let process = &mut self.processes[process];
        process.state = match (&process.state, request) {
            (State::Dead, _) => State::Dead,
            (State::Idle | State::Waiting(_), _) => State::Unknown,
            (State::Confirming(_), _) => State::Unknown,
            (State::Holding { .. }, Request::Heartbeat(_)) => process.state.clone(),
            _ => State::Finished,
        };
    }

    /// Handles a query by a process that does not know whether it holds the lease.
    pub fn query(&mut self, process: usize) {
        let ours = self.held.is_some_and(|(holder, _)| holder == process);
        self.processes[process].state = if ours { State::Confirming(self.fence) } else { State::Idle };
    }

    /// Advances the clock; every waiter queries the table.
    pub fn tick(&mut self) {
        self.now += 1;
        let mark = self.observation();
        for process in &mut self.processes {
            if let (State::Waiting(waiter), Some(mark)) = (&mut process.state, &mark) {
                waiter.observe(mark.clone(), at(self.now));
            }
        }
    }
}
