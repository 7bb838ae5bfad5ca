//! What can happen next, and what must hold whatever happens.

use crate::at;
use crate::protocol::{Next, Timing};
use crate::world::{Request, Restore, State, World};
use stateright::{Model, Property};

/// How far the model looks.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many processes want the lease.
    pub processes: usize,
    /// How far the clock goes.
    pub ticks: u64,
    /// Requests that each process may send.
    pub requests: usize,
    /// How many requests are given up before they arrive, and then arrive late or never.
    pub late: usize,
    /// How many answers are lost.
    pub unheard: usize,
    /// How many holders die.
    pub deaths: usize,
    /// The number of times that the table loses the item, and with it the fence.
    pub resets: usize,
    /// Set when the fence of the snapshot is looked at: before the lease is taken, by the table, and under it.
    pub guarded: bool,
    /// Set when the first process restores the snapshot, from which it also follows a table that has lost its fence.
    pub restores: bool,
    /// Whether everybody who can do something does it before the clock goes on: nobody stands still.
    pub prompt: bool,
    /// For how long a holder trusts a beat: the lease that others wait for, if all is well.
    pub trusted: Timing,
}

/// The lease protocol within some bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    bounds: Bounds,
}

/// What happens next; the numbers are processes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The clock goes on.
    Tick,
    /// A process sends a request.
    Send(usize, Request),
    /// A process that does not know whether it holds the lease looks.
    Look(usize),
    /// A holder reads the snapshot.
    Read(usize),
    /// The request of a process arrives, and it hears the answer.
    Arrive(usize),
    /// The request of a process arrives, and the answer is lost.
    Unheard(usize),
    /// A process waits no longer for an answer; the request may still arrive.
    GiveUp(usize),
    /// A request that nobody waits for arrives.
    Late(usize),
    /// A process dies.
    Die(usize),
    /// The table loses the item.
    Reset,
}

impl Protocol {
    /// The protocol within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    /// What a process may do now, with no request under way.
    fn does(&self, world: &World, process: usize, steps: &mut Vec<Step>) {
        let one = &world.processes[process];
        let mut send = |request| {
            if one.sent < self.bounds.requests {
                steps.push(Step::Send(process, request));
            }
        };
        match &one.state {
            State::Wants => send(self.take(world, process)),
            State::Unclear => steps.push(Step::Look(process)),
            State::Confirms(fence) => send(Request::Beat(*fence)),
            State::Waits(waiter) => match world.mark() {
                None => send(self.take(world, process)),
                Some(mark) => {
                    if let Next::TakeOver(mark) = waiter.clone().sees(mark, at(world.now))
                        && (mark.fence >= world.written() || !self.bounds.guarded)
                    {
                        send(Request::TakeOver(mark));
                    }
                }
            },
            State::Holds { tenure, fence, read, restore } => {
                send(Request::Release);
                if tenure.is_certain(at(world.now)) {
                    send(Request::Beat(*fence));
                    match (restore, read) {
                        (Restore::Wrote(fence), _) => send(Request::Raise(*fence)),
                        (_, None) => steps.push(Step::Read(process)),
                        (Restore::No, Some(read)) => send(Request::Write { fence: *fence, read: *read }),
                        (Restore::Begun, Some(read)) => {
                            let above =
                                world.writes[..*read].iter().max().max(Some(fence)).map_or(0, |fence| fence + 1);
                            send(Request::Write { fence: above, read: *read });
                        }
                    }
                }
            }
            State::Refused | State::Ended | State::Dead => {}
        }
    }

    /// The request of a process for a free lease; the snapshot is read just before. In a table that loses nothing the
    /// fence is never behind the snapshot, as a property says, and the condition is left out: it would only make more states.
    fn take(&self, world: &World, process: usize) -> Request {
        if self.bounds.restores && process == 0 && world.fence < world.written() {
            return Request::TakeKept;
        }
        let above = if self.bounds.guarded && self.bounds.resets > 0 { world.written() } else { 0 };
        Request::Take { above }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.bounds.processes)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let Bounds { processes, ticks, late, unheard, deaths, resets, prompt, .. } = self.bounds;
        for process in 0..processes {
            if world.processes[process].asked.is_none() {
                self.does(world, process, steps);
                continue;
            }
            steps.push(Step::Arrive(process));
            if world.unheard < unheard {
                steps.push(Step::Unheard(process));
            }
            if world.given_up < late {
                steps.push(Step::GiveUp(process));
            }
        }
        steps.extend((0..world.late.len()).map(Step::Late));
        if world.now < ticks && (!prompt || steps.is_empty()) {
            steps.push(Step::Tick);
        }
        if world.resets < resets {
            steps.push(Step::Reset);
        }
        let holds = |process: &usize| matches!(world.processes[*process].state, State::Holds { .. });
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
                    // Whoever gives the lease back does nothing more under it, and does not care for the answer.
                    sender.state = State::Ended;
                }
                sender.asked = Some((request, world.now));
            }
            Step::Look(process) => world.look(process),
            Step::Read(process) => {
                let (count, written) = (world.writes.len(), world.written());
                let state = &mut world.processes[process].state;
                match state {
                    State::Holds { fence, restore: Restore::No, .. } if self.bounds.guarded && written >= *fence => {
                        *state = State::Refused;
                    }
                    State::Holds { read, .. } => *read = Some(count),
                    _ => {}
                }
            }
            Step::Arrive(process) => {
                let (request, asked) = world.processes[process].asked.take()?;
                let answer = world.serve(process, &request);
                world.hear(process, &request, asked, &answer, self.bounds.trusted);
            }
            Step::Unheard(process) => {
                let (request, _) = world.processes[process].asked.take()?;
                world.serve(process, &request);
                world.give_up(process, &request);
                world.unheard += 1;
            }
            Step::GiveUp(process) => {
                let (request, _) = world.processes[process].asked.take()?;
                world.give_up(process, &request);
                world.late.push((process, request));
                world.given_up += 1;
            }
            Step::Late(which) => {
                let (process, request) = world.late.remove(which);
                world.serve(process, &request);
            }
            Step::Die(process) => {
                let dead = &mut world.processes[process];
                dead.state = State::Dead;
                world.late.extend(dead.asked.take().map(|(request, _)| (process, request)));
                world.deaths += 1;
            }
            Step::Reset => {
                (world.fence, world.held) = (0, None);
                world.resets += 1;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no write after one with a higher fence", |_, world: &World| world.writes.is_sorted()),
            Property::sometimes("one writes after another", |_, world: &World| {
                world.writes.windows(2).any(|pair| pair[0] < pair[1])
            }),
            Property::sometimes("a lease that was not given back is taken over", |_, world: &World| {
                let wants = |state: &State| matches!(state, State::Holds { .. } | State::Dead);
                world.processes.iter().filter(|process| wants(&process.state)).count() > 1
            }),
        ];
        if self.bounds.resets == 0 {
            let ahead = |_: &Self, world: &World| world.fence >= world.written();
            properties.push(Property::always("the table is never behind the snapshot", ahead));
            properties.push(Property::always("two never believe to hold the lease", |_, world: &World| {
                (0..world.processes.len()).filter(|process| world.believes(*process)).count() <= 1
            }));
        } else {
            // Nothing in the table keeps two apart any more. The fence of the snapshot keeps the writes in order all the same.
            properties.push(Property::sometimes("a table that has lost its fence is refused", |_, world: &World| {
                world.processes.iter().any(|process| process.state == State::Refused)
            }));
        }
        if self.bounds.restores {
            properties.push(Property::sometimes("after a restore others write again", |_, world: &World| {
                let raised = |process: &crate::world::Process| process.restored;
                world.processes.iter().any(raised)
                    && world.writes.last() == Some(&world.fence)
                    && world.writes.len() > 2
            }));
        }
        if self.bounds.prompt {
            properties.push(Property::eventually("everybody who lives has held the lease", |_, world: &World| {
                let done = |state: &State| matches!(state, State::Dead);
                world.processes.iter().all(|process| process.served || done(&process.state))
            }));
        }
        properties
    }
}
