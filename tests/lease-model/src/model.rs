//! The possible steps of the model, and the properties that must hold in every state.

use crate::at;
use crate::protocol::{Timing, WaiterAction};
use crate::world::{Request, Restore, State, World};
use stateright::{Model, Property};

/// The bounds that keep the model finite, and its variants.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Number of processes that try to acquire the lease.
    pub processes: usize,
    /// Maximum number of ticks of the clock.
    pub ticks: u64,
    /// Maximum number of requests of each process.
    pub requests: usize,
    /// Maximum number of requests that are abandoned before they arrive, and then arrive late or never.
    pub late_requests: usize,
    /// Maximum number of lost responses.
    pub lost_responses: usize,
    /// Maximum number of holders that die.
    pub deaths: usize,
    /// Maximum number of times that the table loses the item, and with it the fencing token.
    pub item_losses: usize,
    /// Set if the token of the snapshot is checked three times: before the lease is acquired, by the table when it
    /// grants the lease, and again while the lease is held.
    pub checks_snapshot_token: bool,
    /// Set if the first process restores the snapshot. This process can also acquire the lease in a table that has lost
    /// its token.
    pub restores: bool,
    /// Set if the clock advances only when no process can take a step, so that no process is suspended.
    pub prompt: bool,
    /// The timing that determines for how long a holder trusts its lease. In a correct protocol, it is the same lease
    /// for which other processes wait.
    pub trusted_timing: Timing,
}

/// The model of the lease protocol within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    bounds: Bounds,
}

/// A step of the model. The numbers are indices of processes, except in `ArriveLate`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The clock advances.
    Tick,
    /// A process sends a request.
    Send(usize, Request),
    /// A process that does not know whether it holds the lease queries the table.
    Query(usize),
    /// A holder reads the snapshot.
    Read(usize),
    /// The request of a process arrives, and the process receives the response.
    Arrive(usize),
    /// The request of a process arrives, and the response is lost.
    LoseResponse(usize),
    /// A process stops waiting for a response; the request may still arrive.
    Abandon(usize),
    /// An abandoned request, given by its index, arrives.
    ArriveLate(usize),
    /// A process dies.
    Die(usize),
    /// The table loses the item of the lease.
    LoseItem,
}

impl Protocol {
    /// Creates the model within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    /// Adds the steps that a process without a request in flight may take.
    fn process_steps(&self, world: &World, process: usize, steps: &mut Vec<Step>) {
        let one = &world.processes[process];
        let mut send = |request| {
            if one.sent < self.bounds.requests {
                steps.push(Step::Send(process, request));
            }
        };
        match &one.state {
            State::Idle => send(self.take_request(world, process)),
            State::Unknown => steps.push(Step::Query(process)),
            State::Confirming(fence) => send(Request::Heartbeat(*fence)),
            State::Waiting(waiter) => match world.observation() {
                None => send(self.take_request(world, process)),
                Some(mark) => {
                    if let WaiterAction::TakeOver(mark) = waiter.clone().observe(mark, at(world.now))
                        && (mark.fence >= world.snapshot_token() || !self.bounds.checks_snapshot_token)
                    {
                        send(Request::TakeOver(mark));
                    }
                }
            },
            State::Holding { tenure, fence, read, restore } => {
                send(Request::Release);
                if tenure.is_valid(at(world.now)) {
                    send(Request::Heartbeat(*fence));
                    match (restore, read) {
                        (Restore::Wrote(fence), _) => send(Request::Raise(*fence)),
                        (_, None) => steps.push(Step::Read(process)),
                        (Restore::No, Some(read)) => send(Request::Write { fence: *fence, read: *read }),
                        (Restore::Begun, Some(read)) => {
                            let least_token =
                                world.writes[..*read].iter().max().max(Some(fence)).map_or(0, |fence| fence + 1);
                            send(Request::Write { fence: least_token, read: *read });
                        }
                    }
                }
            }
            State::Refused | State::Finished | State::Dead => {}
        }
    }

    /// Returns the request with which a process acquires a free lease. The process reads the snapshot immediately
    /// before. If the table never loses its item, its token is never behind that of the snapshot (a property checks
    /// this), so the request is sent without the condition on the token, which would only add states.
    fn take_request(&self, world: &World, process: usize) -> Request {
        if self.bounds.restores && process == 0 && world.fence < world.snapshot_token() {
            return Request::TakeWithoutRaise;
        }
        let least_token =
            if self.bounds.checks_snapshot_token && self.bounds.item_losses > 0 { world.snapshot_token() } else { 0 };
        Request::Take { least_token }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.bounds.processes)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let Bounds { processes, ticks, late_requests, lost_responses, deaths, item_losses, prompt, .. } = self.bounds;
        for process in 0..processes {
            if world.processes[process].in_flight.is_none() {
                self.process_steps(world, process, steps);
                continue;
            }
            steps.push(Step::Arrive(process));
            if world.lost_responses < lost_responses {
                steps.push(Step::LoseResponse(process));
            }
            if world.abandoned < late_requests {
                steps.push(Step::Abandon(process));
            }
        }
        steps.extend((0..world.late.len()).map(Step::ArriveLate));
        if world.now < ticks && (!prompt || steps.is_empty()) {
            steps.push(Step::Tick);
        }
        if world.item_losses < item_losses {
            steps.push(Step::LoseItem);
        }
        let holds = |process: &usize| matches!(world.processes[*process].state, State::Holding { .. });
        if world.deaths < deaths {
            steps.extend((0..processes).filter(holds).map(Step::Die));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Tick => world.tick(),
            Step::Send(process, request) => {
                let sender = &mut world.processes[process];
                sender.sent += 1;
                if request == Request::Release {
                    // A process that releases the lease sends no further requests and ignores the response.
                    sender.state = State::Finished;
                }
                sender.in_flight = Some((request, world.now));
            }
            Step::Query(process) => world.query(process),
            Step::Read(process) => {
                let (count, written) = (world.writes.len(), world.snapshot_token());
                let state = &mut world.processes[process].state;
                match state {
                    State::Holding { fence, restore: Restore::No, .. }
                        if self.bounds.checks_snapshot_token && written >= *fence =>
                    {
                        *state = State::Refused;
                    }
                    State::Holding { read, .. } => *read = Some(count),
                    _ => {}
                }
            }
            Step::Arrive(process) => {
                let (request, asked) = world.processes[process].in_flight.take()?;
                let response = world.serve(process, &request);
                world.on_response(process, &request, asked, &response, self.bounds.trusted_timing);
            }
            Step::LoseResponse(process) => {
                let (request, _) = world.processes[process].in_flight.take()?;
                world.serve(process, &request);
                world.on_abandoned(process, &request);
                world.lost_responses += 1;
            }
            Step::Abandon(process) => {
                let (request, _) = world.processes[process].in_flight.take()?;
                world.on_abandoned(process, &request);
                world.late.push((process, request));
                world.abandoned += 1;
            }
            Step::ArriveLate(which) => {
                let (process, request) = world.late.remove(which);
                world.serve(process, &request);
            }
            Step::Die(process) => {
                let dead = &mut world.processes[process];
                dead.state = State::Dead;
                world.late.extend(dead.in_flight.take().map(|(request, _)| (process, request)));
                world.deaths += 1;
            }
            Step::LoseItem => {
                (world.fence, world.held) = (0, None);
                world.item_losses += 1;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no write follows a write with a higher token", |_, world: &World| {
                world.writes.is_sorted()
            }),
            Property::sometimes("one process writes after another", |_, world: &World| {
                world.writes.windows(2).any(|pair| pair[0] < pair[1])
            }),
            Property::sometimes("an unreleased lease is taken over", |_, world: &World| {
                let wants = |state: &State| matches!(state, State::Holding { .. } | State::Dead);
                world.processes.iter().filter(|process| wants(&process.state)).count() > 1
            }),
        ];
        if self.bounds.item_losses == 0 {
            let ahead = |_: &Self, world: &World| world.fence >= world.snapshot_token();
            properties.push(Property::always("the table is never behind the snapshot", ahead));
            properties.push(Property::always(
                "no two processes believe that they hold the lease",
                |_, world: &World| {
                    (0..world.processes.len()).filter(|process| world.believes_to_hold(*process)).count() <= 1
                },
            ));
        } else {
            // Nothing in the table prevents two processes from holding the lease at the same time. The token of the
            // snapshot still keeps the writes in order.
            properties.push(Property::sometimes("a table that has lost its token is refused", |_, world: &World| {
                world.processes.iter().any(|process| process.state == State::Refused)
            }));
        }
        if self.bounds.restores {
            properties.push(Property::sometimes("other processes write after a restore", |_, world: &World| {
                let raised = |process: &crate::world::Process| process.restored;
                world.processes.iter().any(raised)
                    && world.writes.last() == Some(&world.fence)
                    && world.writes.len() > 2
            }));
        }
        if self.bounds.prompt {
            properties.push(Property::eventually("every live process has held the lease", |_, world: &World| {
                let done = |state: &State| matches!(state, State::Dead);
                world.processes.iter().all(|process| process.has_held || done(&process.state))
            }));
        }
        properties
    }
}
