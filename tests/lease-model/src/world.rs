//! The table, the bucket, and the processes that want to write.

use crate::protocol::{Mark, Tenure, Timing, Waiter};
use crate::{LEASE, at};

/// Everything that there is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub now: u64,
    /// The fence of the item in the table.
    pub fence: u64,
    /// Who holds the lease, and how often it has beaten.
    pub held: Option<(usize, u64)>,
    /// The snapshot: the fence of each write that was accepted, in order.
    pub writes: Vec<u64>,
    pub processes: Vec<Process>,
    /// Requests that nobody waits for any more, and which may still arrive.
    pub late: Vec<(usize, Request)>,
    pub given_up: usize,
    pub unheard: usize,
    pub deaths: usize,
    pub resets: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    pub state: State,
    /// The request that is under way, and when it was sent.
    pub asked: Option<(Request, u64)>,
    pub sent: usize,
    /// Whether it has held the lease.
    pub served: bool,
    /// Set when it has restored the snapshot, and brought the table up to it.
    pub restored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// Wants the lease and has not asked.
    Wants,
    /// Another holds it.
    Waits(Waiter),
    /// Asked for it and does not know the answer.
    Unclear,
    /// It is ours, though nobody told us: only a beat makes it certain.
    Confirms(u64),
    /// Holds it; `read` is how many writes there were when the snapshot was read.
    Holds {
        tenure: Tenure,
        fence: u64,
        read: Option<usize>,
        restore: Restore,
    },
    /// The snapshot was written under a later fence than the table has come to.
    Refused,
    /// Does nothing more.
    Ended,
    Dead,
}

/// The progress of a restore, which takes a lease without a fence of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restore {
    /// The lease has its own fence.
    No,
    /// The snapshot is not written yet.
    Begun,
    /// The snapshot was written under this fence, and the table is to come up to it.
    Wrote(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Takes the lease, if that gives a fence above this one.
    Take {
        above: u64,
    },
    /// Takes the lease with the fence that the table has.
    TakeKept,
    /// Raises the fence.
    Raise(u64),
    TakeOver(Mark),
    Beat(u64),
    Write {
        fence: u64,
        read: usize,
    },
    Release,
}

/// What the table or the bucket did.
pub enum Answer {
    Granted(u64),
    Refused,
    Done,
}

pub fn name(process: usize) -> String {
    format!("p{process}")
}

impl World {
    pub fn new(processes: usize) -> Self {
        let process = Process { state: State::Wants, asked: None, sent: 0, served: false, restored: false };
        Self {
            now: 0,
            fence: 0,
            held: None,
            writes: Vec::new(),
            processes: vec![process; processes],
            late: Vec::new(),
            given_up: 0,
            unheard: 0,
            deaths: 0,
            resets: 0,
        }
    }

    /// The fence of the snapshot.
    pub fn written(&self) -> u64 {
        self.writes.last().copied().unwrap_or_default()
    }

    /// What a look shows.
    pub fn mark(&self) -> Option<Mark> {
        self.held.map(|(holder, beat)| Mark { holder: name(holder), fence: self.fence, beat })
    }

    /// Whether a process may write now, as far as it knows.
    pub fn believes(&self, process: usize) -> bool {
        matches!(&self.processes[process].state, State::Holds { tenure, .. } if tenure.is_certain(at(self.now)))
    }

    /// What the table and the bucket do with a request.
    pub fn serve(&mut self, process: usize, request: &Request) -> Answer {
        let ours = self.held.is_some_and(|(holder, _)| holder == process);
        match request {
            Request::Take { above } if self.held.is_none() && self.fence >= *above => self.grant(process),
            Request::TakeKept if self.held.is_none() => {
                self.held = Some((process, 0));
                Answer::Granted(self.fence)
            }
            Request::Raise(fence) if ours && self.fence < *fence => {
                self.fence = *fence;
                Answer::Granted(*fence)
            }
            Request::TakeOver(mark) if self.mark().as_ref() == Some(mark) => self.grant(process),
            Request::Beat(fence) if ours && *fence == self.fence => {
                self.held = self.held.map(|(holder, beat)| (holder, beat + 1));
                Answer::Granted(self.fence)
            }
            Request::Release if ours => {
                self.held = None;
                Answer::Done
            }
            Request::Write { fence, read } if *read == self.writes.len() => {
                self.writes.push(*fence);
                Answer::Done
            }
            _ => Answer::Refused,
        }
    }

    fn grant(&mut self, process: usize) -> Answer {
        self.fence += 1;
        self.held = Some((process, 0));
        Answer::Granted(self.fence)
    }

    /// What a process makes of the answer to `request`, which it sent at `asked`. `trusted` is how long it trusts a beat.
    pub fn hear(&mut self, process: usize, request: &Request, asked: u64, answer: &Answer, trusted: Timing) {
        let (now, ours) = (at(self.now), self.held.is_some_and(|(holder, _)| holder == process));
        let (mark, current, free) = (self.mark(), self.fence, self.held.is_none());
        let process = &mut self.processes[process];
        process.state = match (request, answer, process.state.clone()) {
            (Request::Beat(_), Answer::Granted(_), State::Holds { mut tenure, fence, read, restore }) => {
                tenure.beaten(at(asked));
                State::Holds { tenure, fence, read, restore }
            }
            (Request::Raise(_), Answer::Granted(fence), State::Holds { tenure, read, .. }) => {
                process.restored = true;
                State::Holds { tenure, fence: *fence, read, restore: Restore::No }
            }
            (Request::TakeKept, Answer::Granted(fence), _) => {
                process.served = true;
                let tenure = Tenure::new(trusted, at(asked));
                State::Holds { tenure, fence: *fence, read: None, restore: Restore::Begun }
            }
            (Request::Take { .. } | Request::TakeOver(_) | Request::Beat(_), Answer::Granted(fence), _) => {
                process.served = true;
                let tenure = Tenure::new(trusted, at(asked));
                State::Holds { tenure, fence: *fence, read: None, restore: Restore::No }
            }
            (Request::Take { .. }, Answer::Refused, _) if free => State::Refused,
            (Request::Take { .. } | Request::TakeOver(_), _, _) if ours => State::Confirms(current),
            (Request::Take { .. } | Request::TakeKept | Request::TakeOver(_), _, state) => {
                let new = || Waiter::new(LEASE, at(100), now);
                let mut waiter = if let State::Waits(waiter) = state { waiter } else { new() };
                mark.map(|mark| waiter.sees(mark, now));
                State::Waits(waiter)
            }
            (Request::Beat(_), _, State::Confirms(_)) => State::Wants,
            (Request::Write { read, fence: written }, Answer::Done, State::Holds { tenure, fence, restore, .. }) => {
                let restore = if restore == Restore::No { restore } else { Restore::Wrote(*written) };
                State::Holds { tenure, fence, read: Some(read + 1), restore }
            }
            _ => State::Ended,
        };
    }

    /// What a process makes of a request that was never answered.
    pub fn give_up(&mut self, process: usize, request: &Request) {
        let process = &mut self.processes[process];
        process.state = match (&process.state, request) {
            (State::Dead, _) => State::Dead,
            (State::Wants | State::Waits(_), _) => State::Unclear,
            (State::Confirms(_), _) => State::Unclear,
            (State::Holds { .. }, Request::Beat(_)) => process.state.clone(),
            _ => State::Ended,
        };
    }

    /// A look of one that does not know whether it holds the lease.
    pub fn look(&mut self, process: usize) {
        let ours = self.held.is_some_and(|(holder, _)| holder == process);
        self.processes[process].state = if ours { State::Confirms(self.fence) } else { State::Wants };
    }

    /// The clock goes on, and everybody who waits looks.
    pub fn tick(&mut self) {
        self.now += 1;
        let mark = self.mark();
        for process in &mut self.processes {
            if let (State::Waits(waiter), Some(mark)) = (&mut process.state, &mark) {
                waiter.sees(mark.clone(), at(self.now));
            }
        }
    }
}
