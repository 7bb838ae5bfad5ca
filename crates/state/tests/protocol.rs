//! Many processes that contend for one lease and write one snapshot, in random schedules: requests are late, answers are
//! lost, processes stand still or die. What decides are the pure parts of the protocol; table and bucket are as small as can be.

use pb_state::Timing;
use pb_state::protocol::{Mark, Next, Tenure, Waiter};
use proptest::prelude::*;
use std::time::Duration;

const PROCESSES: usize = 3;
const TIMING: Timing = Timing { lease: Duration::from_secs(20), heartbeat: Duration::from_secs(5) };

/// What happens next; the numbers are processes.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// Milliseconds pass.
    Pass(u64),
    /// A process that runs does what it would do next.
    Act(usize),
    /// All goes well for a while: a process acts, and both its requests are answered.
    Step(usize),
    /// A request of the process reaches the table or the bucket.
    Deliver(usize),
    /// Its answer reaches the process.
    Answer(usize),
    /// Its answer is lost: the process gives the request up.
    Lose(usize),
    /// A process dies and another is started in its place; what it sent may still arrive.
    Die(usize),
}

fn turns() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => (0_u64..2_000).prop_map(Turn::Pass),
        1 => (5_000_u64..30_000).prop_map(Turn::Pass),
        16 => (0..PROCESSES).prop_map(Turn::Step),
        8 => (0..PROCESSES).prop_map(Turn::Act),
        8 => (0..PROCESSES).prop_map(Turn::Deliver),
        6 => (0..PROCESSES).prop_map(Turn::Answer),
        1 => (0..PROCESSES).prop_map(Turn::Lose),
        1 => (0..PROCESSES).prop_map(Turn::Die),
    ]
}

/// The item: its fence, and who holds it with how many beats.
#[derive(Debug, Default)]
struct Table {
    fence: u64,
    holder: Option<(u64, u64)>,
}

/// The object: its entity tag, and the fence and serial that were written last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Object {
    etag: u64,
    fence: u64,
    serial: u64,
}

#[derive(Debug, Clone)]
enum Request {
    Take(Option<Mark>),
    Beat(u64),
    Release,
    Read,
    Write { expected: Object, next: Object },
}

#[derive(Debug, Clone)]
enum Answer {
    Granted(u64),
    Held(Option<Mark>),
    /// An earlier request was done whose answer was lost; the fence is this.
    Ours(u64),
    Beaten(u64),
    Gone,
    Released,
    Object(Object),
    Written(Object),
    Conflict,
}

/// A request on its way: sent at a time by a holder's id, and its answer once it was delivered.
#[derive(Debug, Clone)]
struct Flight {
    id: u64,
    sent: Duration,
    request: Request,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Process {
    id: u64,
    /// This process's clock is so far ahead of all others.
    ahead: Duration,
    waiter: Waiter,
    over: Option<Mark>,
    tenure: Option<(u64, Tenure)>,
    known: Option<Object>,
    writes: u64,
    given_up: bool,
    /// The lease seems to be ours with this fence, and a beat has to show it.
    confirm: Option<u64>,
    lease: Option<Flight>,
    object: Option<Flight>,
    next_beat: Duration,
}

impl Process {
    fn new(id: u64, now: Duration) -> Self {
        // Clocks of two machines have nothing to do with each other.
        let ahead = Duration::from_secs(id.wrapping_mul(7919) % 100_000);
        Self {
            id,
            ahead,
            waiter: Waiter::new(TIMING, Duration::ZERO, now + ahead),
            over: None,
            tenure: None,
            known: None,
            writes: 0,
            given_up: false,
            confirm: None,
            lease: None,
            object: None,
            next_beat: Duration::ZERO,
        }
    }

    fn believes(&self, now: Duration) -> Option<u64> {
        let (fence, tenure) = self.tenure?;
        tenure.is_certain(now + self.ahead).then_some(fence)
    }

    /// Sends what a process sends next, as `LeaseTable::acquire`, `Lease` and `Session` do.
    fn act(&mut self, now: Duration) {
        let sent = now + self.ahead;
        let flight = |request| Some(Flight { id: self.id, sent, request, answer: None });
        if self.given_up {
            return;
        }
        if self.tenure.is_none() {
            if self.lease.is_none() {
                self.lease = flight(match self.confirm {
                    Some(fence) => Request::Beat(fence),
                    None => Request::Take(self.over.take()),
                });
            }
            return;
        }
        if self.believes(now).is_none() {
            self.given_up = true;
            return;
        }
        if self.lease.is_none() && self.writes >= 5 && self.object.is_none() {
            // From here on it is sure of nothing, whatever becomes of the request.
            (self.tenure, self.given_up) = (None, true);
            self.lease = flight(Request::Release);
        } else if let (None, Some((fence, _))) = (&self.lease, self.tenure)
            && sent >= self.next_beat
        {
            self.lease = flight(Request::Beat(fence));
        }
        if self.object.is_none() && self.writes < 5 {
            self.object = match (self.known, self.tenure) {
                (Some(expected), Some((fence, _))) => {
                    let next = Object { etag: 0, fence, serial: expected.serial + 1 };
                    flight(Request::Write { expected, next })
                }
                _ => flight(Request::Read),
            };
        }
    }

    fn hear(&mut self, flight: &Flight, now: Duration) {
        let heard = now + self.ahead;
        let Some(answer) = flight.answer.clone() else { return };
        match answer {
            Answer::Granted(fence) => {
                self.tenure = Some((fence, Tenure::new(TIMING, flight.sent)));
                self.next_beat = flight.sent + TIMING.heartbeat;
            }
            Answer::Held(Some(mark)) => match self.waiter.sees(mark, heard) {
                Next::Look => {}
                Next::TakeOver(mark) => self.over = Some(mark),
                Next::GiveUp => self.given_up = true,
            },
            Answer::Held(None) | Answer::Released => {}
            Answer::Gone if self.tenure.is_none() => self.confirm = None,
            Answer::Ours(fence) => self.confirm = Some(fence),
            Answer::Beaten(fence) => {
                self.confirm = None;
                let (_, tenure) = self.tenure.get_or_insert((fence, Tenure::new(TIMING, flight.sent)));
                tenure.beaten(flight.sent);
                self.next_beat = flight.sent + TIMING.heartbeat;
            }
            Answer::Gone => self.given_up = true,
            // A snapshot of our fence or a later one is refused.
            Answer::Object(object) => match self.tenure {
                Some((fence, _)) if object.fence < fence => self.known = Some(object),
                _ => self.given_up = true,
            },
            Answer::Written(object) => {
                self.known = Some(object);
                self.writes += 1;
            }
            Answer::Conflict => self.given_up = true,
        }
    }
}

#[derive(Debug, Default)]
struct World {
    now: Duration,
    table: Table,
    object: Object,
    processes: Vec<Process>,
    /// What the dead have sent.
    adrift: Vec<Flight>,
    next_id: u64,
    takeovers: usize,
    written: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        for _ in 0..PROCESSES {
            let process = world.start();
            world.processes.push(process);
        }
        world
    }

    fn start(&mut self) -> Process {
        self.next_id += 1;
        Process::new(self.next_id, self.now)
    }

    fn serve(&mut self, flight: &mut Flight) {
        if flight.answer.is_some() {
            return;
        }
        let id = flight.id;
        let ours = self.table.holder.filter(|(holder, _)| *holder == id);
        flight.answer = Some(match &flight.request {
            Request::Take(over) => {
                let held = self.table.holder.map(|(holder, beat)| Mark {
                    holder: holder.to_string(),
                    fence: self.table.fence,
                    beat,
                });
                match (ours, held) {
                    (Some(_), _) => Answer::Ours(self.table.fence),
                    (None, held) if held == *over => {
                        self.takeovers += usize::from(over.is_some());
                        self.table.fence += 1;
                        self.table.holder = Some((id, 0));
                        Answer::Granted(self.table.fence)
                    }
                    (None, held) => Answer::Held(held),
                }
            }
            Request::Beat(fence) => match ours.filter(|_| *fence == self.table.fence) {
                Some((_, beat)) => {
                    self.table.holder = Some((id, beat + 1));
                    Answer::Beaten(self.table.fence)
                }
                None => Answer::Gone,
            },
            Request::Release => {
                if ours.is_some() {
                    self.table.holder = None;
                }
                Answer::Released
            }
            Request::Read => Answer::Object(self.object),
            Request::Write { expected, next } => {
                if self.object.etag == expected.etag {
                    assert!(next.fence >= self.object.fence, "an older lease wrote after a newer one: {next:?}");
                    assert_eq!(next.serial, self.object.serial + 1, "an update was lost");
                    self.object = Object { etag: self.object.etag + 1, ..*next };
                    self.written += 1;
                    Answer::Written(self.object)
                } else if self.object == (Object { etag: self.object.etag, ..*next }) {
                    // Read back: it is what we wrote.
                    Answer::Written(self.object)
                } else {
                    Answer::Conflict
                }
            }
        });
    }

    fn turn(&mut self, turn: Turn, lease_first: bool) {
        match turn {
            Turn::Pass(millis) => self.now += Duration::from_millis(millis),
            Turn::Act(index) => {
                if self.processes[index].given_up && self.processes[index].lease.is_none() {
                    self.processes[index] = self.start();
                }
                let now = self.now;
                self.processes[index].act(now);
            }
            Turn::Step(index) => {
                self.turn(Turn::Act(index), true);
                for lease in [true, false] {
                    self.turn(Turn::Deliver(index), lease);
                    self.turn(Turn::Answer(index), lease);
                }
            }
            Turn::Deliver(index) => {
                if let Some(mut flight) = self.adrift.pop() {
                    self.serve(&mut flight);
                }
                if let Some(mut flight) = self.slot(index, lease_first).take() {
                    self.serve(&mut flight);
                    *self.slot(index, lease_first) = Some(flight);
                }
            }
            Turn::Answer(index) => {
                if let Some(flight) = self.slot(index, lease_first).take_if(|flight| flight.answer.is_some()) {
                    let now = self.now;
                    self.processes[index].hear(&flight, now);
                }
            }
            Turn::Lose(index) => {
                if let Some(flight) = self.slot(index, lease_first).take() {
                    self.adrift.push(flight);
                }
            }
            Turn::Die(index) => {
                let dead = self.start();
                let dead = std::mem::replace(&mut self.processes[index], dead);
                self.adrift.extend(dead.lease.into_iter().chain(dead.object));
            }
        }
        let believers = self.processes.iter().filter_map(|process| process.believes(self.now));
        let believers: Vec<u64> = believers.collect();
        assert!(believers.len() <= 1, "fences {believers:?} are held at once");
    }

    fn slot(&mut self, index: usize, lease: bool) -> &mut Option<Flight> {
        let process = &mut self.processes[index];
        if lease { &mut process.lease } else { &mut process.object }
    }

    /// From here on all is well: requests arrive, nobody dies. Does a process finish its work?
    fn settle(&mut self) {
        let goal = self.written + 10;
        for _ in 0..200 {
            self.turn(Turn::Pass(1_000), true);
            for index in 0..PROCESSES {
                self.turn(Turn::Step(index), true);
            }
            if self.written >= goal {
                return;
            }
        }
        assert!(self.written >= goal, "nobody got the lease: {self:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_holder_at_a_time_and_no_update_is_lost(
        turns in prop::collection::vec((turns(), any::<bool>()), 0..300),
    ) {
        let mut world = World::new();
        for (turn, lease) in turns {
            world.turn(turn, lease);
        }
        world.settle();
    }
}

/// The schedules above are of use only if they reach what matters.
#[test]
fn the_schedules_reach_takeovers_and_writes() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let schedules = prop::collection::vec((turns(), any::<bool>()), 300..400);
    let (mut takeovers, mut written) = (0, 0);
    for _ in 0..200 {
        let mut world = World::new();
        for (turn, lease) in schedules.new_tree(&mut runner).unwrap().current() {
            world.turn(turn, lease);
        }
        (takeovers, written) = (takeovers + world.takeovers, written + world.written);
    }
    assert!(takeovers > 20 && written > 200, "{takeovers} takeovers, {written} writes");
}
