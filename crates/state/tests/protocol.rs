//! Test of the lease protocol under random schedules. Processes compete for one lease and write one snapshot, while
//! requests are delayed, responses are lost, and processes are suspended or die. The processes decide with the pure
//! functions of the protocol; the table and the bucket are minimal models.

use pb_state::Timing;
use pb_state::protocol::{LeaseObservation, LeaseValidity, Waiter, WaiterAction};
use proptest::prelude::*;
use std::time::Duration;

const PROCESSES: usize = 3;
const TIMING: Timing = Timing { lease: Duration::from_secs(20), heartbeat: Duration::from_secs(5) };

/// Next event of a schedule; a `usize` is the index of a process.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// This number of milliseconds passes.
    Pass(u64),
    /// A process takes its next step.
    Act(usize),
    /// A process takes its next step without faults: its requests to the table and to the bucket are delivered and
    /// answered.
    Step(usize),
    /// A request of the process reaches the table or the bucket.
    Deliver(usize),
    /// A response reaches the process.
    Answer(usize),
    /// A response is lost, and the process abandons its request.
    Lose(usize),
    /// A process dies and another process replaces it; the requests of the dead process may still arrive.
    Die(usize),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_u64..2_000).prop_map(Event::Pass),
        1 => (5_000_u64..30_000).prop_map(Event::Pass),
        16 => (0..PROCESSES).prop_map(Event::Step),
        8 => (0..PROCESSES).prop_map(Event::Act),
        8 => (0..PROCESSES).prop_map(Event::Deliver),
        6 => (0..PROCESSES).prop_map(Event::Answer),
        1 => (0..PROCESSES).prop_map(Event::Lose),
        1 => (0..PROCESSES).prop_map(Event::Die),
    ]
}

/// Model of the lease item: the fencing token, and the holder with its number of heartbeats.
#[derive(Debug, Default)]
struct Table {
    fence: u64,
    holder: Option<(u64, u64)>,
}

/// Model of the stored object: its entity tag, and the fencing token and serial that were written last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Object {
    etag: u64,
    fence: u64,
    serial: u64,
}

#[derive(Debug, Clone)]
enum Request {
    Take(Option<LeaseObservation>),
    Heartbeat(u64),
    Release,
    Read,
    Write { expected: Object, next: Object },
}

#[derive(Debug, Clone)]
enum Answer {
    Granted(u64),
    HeldByOther(Option<LeaseObservation>),
    /// The sender already holds the lease with this token: an earlier request was executed and its response was lost.
    OwnedByCaller(u64),
    Renewed(u64),
    NotHolder,
    Released,
    Object(Object),
    Written(Object),
    Conflict,
}

/// A pending request: the id of its sender, the time of sending, and the response once the request was delivered.
#[derive(Debug, Clone)]
struct PendingRequest {
    id: u64,
    sent: Duration,
    request: Request,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Process {
    id: u64,
    /// Difference between this process's clock and the model's clock.
    clock_offset: Duration,
    waiter: Waiter,
    expired: Option<LeaseObservation>,
    validity: Option<(u64, LeaseValidity)>,
    last_read: Option<Object>,
    writes: u64,
    stopped: bool,
    /// Fencing token of a lease that this process seems to hold and must confirm with a heartbeat.
    confirm: Option<u64>,
    lease: Option<PendingRequest>,
    object: Option<PendingRequest>,
    next_heartbeat: Duration,
}

impl Process {
    fn new(id: u64, now: Duration) -> Self {
        // The clocks of two machines are unrelated.
        let clock_offset = Duration::from_secs(id.wrapping_mul(7919) % 100_000);
        Self {
            id,
            clock_offset,
            waiter: Waiter::new(TIMING, Duration::ZERO, now + clock_offset),
            expired: None,
            validity: None,
            last_read: None,
            writes: 0,
            stopped: false,
            confirm: None,
            lease: None,
            object: None,
            next_heartbeat: Duration::ZERO,
        }
    }

    fn believed_fence(&self, now: Duration) -> Option<u64> {
        let (fence, validity) = self.validity?;
        validity.is_valid(now + self.clock_offset).then_some(fence)
    }

    /// Sends the next request of the process, as `LeaseTable::acquire`, `Lease` and `Session` do.
    fn act(&mut self, now: Duration) {
        let sent = now + self.clock_offset;
        let pending = |request| Some(PendingRequest { id: self.id, sent, request, answer: None });
        if self.stopped {
            return;
        }
        if self.validity.is_none() {
            if self.lease.is_none() {
                self.lease = pending(match self.confirm {
                    Some(fence) => Request::Heartbeat(fence),
                    None => Request::Take(self.expired.take()),
                });
            }
            return;
        }
        if self.believed_fence(now).is_none() {
            self.stopped = true;
            return;
        }
        if self.lease.is_none() && self.writes >= 5 && self.object.is_none() {
            // After this request, the process no longer relies on its lease, whatever the response.
            (self.validity, self.stopped) = (None, true);
            self.lease = pending(Request::Release);
        } else if let (None, Some((fence, _))) = (&self.lease, self.validity)
            && sent >= self.next_heartbeat
        {
            self.lease = pending(Request::Heartbeat(fence));
        }
        if self.object.is_none() && self.writes < 5 {
            self.object = match (self.last_read, self.validity) {
                (Some(expected), Some((fence, _))) => {
                    let next = Object { etag: 0, fence, serial: expected.serial + 1 };
                    pending(Request::Write { expected, next })
                }
                _ => pending(Request::Read),
            };
        }
    }

    fn on_response(&mut self, pending: &PendingRequest, now: Duration) {
        let received_at = now + self.clock_offset;
        let Some(answer) = pending.answer.clone() else { return };
        match answer {
            Answer::Granted(fence) => {
                self.validity = Some((fence, LeaseValidity::new(TIMING, pending.sent)));
                self.next_heartbeat = pending.sent + TIMING.heartbeat;
            }
            Answer::HeldByOther(Some(observation)) => match self.waiter.observe(observation, received_at) {
                WaiterAction::Poll => {}
                WaiterAction::TakeOver(observation) => self.expired = Some(observation),
                WaiterAction::GiveUp => self.stopped = true,
            },
            Answer::HeldByOther(None) | Answer::Released => {}
            Answer::NotHolder if self.validity.is_none() => self.confirm = None,
            Answer::OwnedByCaller(fence) => self.confirm = Some(fence),
            Answer::Renewed(fence) => {
                self.confirm = None;
                let (_, validity) = self.validity.get_or_insert((fence, LeaseValidity::new(TIMING, pending.sent)));
                validity.renew(pending.sent);
                self.next_heartbeat = pending.sent + TIMING.heartbeat;
            }
            Answer::NotHolder => self.stopped = true,
            // A snapshot with this process's token or a later token is refused.
            Answer::Object(object) => match self.validity {
                Some((fence, _)) if object.fence < fence => self.last_read = Some(object),
                _ => self.stopped = true,
            },
            Answer::Written(object) => {
                self.last_read = Some(object);
                self.writes += 1;
            }
            Answer::Conflict => self.stopped = true,
        }
    }
}

#[derive(Debug, Default)]
struct Model {
    now: Duration,
    table: Table,
    object: Object,
    processes: Vec<Process>,
    /// Requests whose senders have died or have abandoned them.
    orphaned_requests: Vec<PendingRequest>,
    next_id: u64,
    takeovers: usize,
    written: usize,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        for _ in 0..PROCESSES {
            let process = model.start();
            model.processes.push(process);
        }
        model
    }

    fn start(&mut self) -> Process {
        self.next_id += 1;
        Process::new(self.next_id, self.now)
    }

    fn serve(&mut self, pending: &mut PendingRequest) {
        if pending.answer.is_some() {
            return;
        }
        let id = pending.id;
        let held_by_caller = self.table.holder.filter(|(holder, _)| *holder == id);
        pending.answer = Some(match &pending.request {
            Request::Take(expired) => {
                let observed = self.table.holder.map(|(holder, beat)| LeaseObservation {
                    holder: holder.to_string(),
                    fence: self.table.fence,
                    heartbeats: beat,
                });
                match (held_by_caller, observed) {
                    (Some(_), _) => Answer::OwnedByCaller(self.table.fence),
                    (None, observed) if observed == *expired => {
                        self.takeovers += usize::from(expired.is_some());
                        self.table.fence += 1;
                        self.table.holder = Some((id, 0));
                        Answer::Granted(self.table.fence)
                    }
                    (None, observed) => Answer::HeldByOther(observed),
                }
            }
            Request::Heartbeat(fence) => match held_by_caller.filter(|_| *fence == self.table.fence) {
                Some((_, beat)) => {
                    self.table.holder = Some((id, beat + 1));
                    Answer::Renewed(self.table.fence)
                }
                None => Answer::NotHolder,
            },
            Request::Release => {
                if held_by_caller.is_some() {
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
                    // The object read back is the one that this process wrote.
                    Answer::Written(self.object)
                } else {
                    Answer::Conflict
                }
            }
        });
    }

    fn apply(&mut self, event: Event, lease_first: bool) {
        match event {
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::Act(index) => {
                if self.processes[index].stopped && self.processes[index].lease.is_none() {
                    self.processes[index] = self.start();
                }
                let now = self.now;
                self.processes[index].act(now);
            }
            Event::Step(index) => {
                self.apply(Event::Act(index), true);
                for lease in [true, false] {
                    self.apply(Event::Deliver(index), lease);
                    self.apply(Event::Answer(index), lease);
                }
            }
            Event::Deliver(index) => {
                if let Some(mut pending) = self.orphaned_requests.pop() {
                    self.serve(&mut pending);
                }
                if let Some(mut pending) = self.slot(index, lease_first).take() {
                    self.serve(&mut pending);
                    *self.slot(index, lease_first) = Some(pending);
                }
            }
            Event::Answer(index) => {
                if let Some(pending) = self.slot(index, lease_first).take_if(|pending| pending.answer.is_some()) {
                    let now = self.now;
                    self.processes[index].on_response(&pending, now);
                }
            }
            Event::Lose(index) => {
                if let Some(pending) = self.slot(index, lease_first).take() {
                    self.orphaned_requests.push(pending);
                }
            }
            Event::Die(index) => {
                let dead = self.start();
                let dead = std::mem::replace(&mut self.processes[index], dead);
                self.orphaned_requests.extend(dead.lease.into_iter().chain(dead.object));
            }
        }
        let believed_fences = self.processes.iter().filter_map(|process| process.believed_fence(self.now));
        let believed_fences: Vec<u64> = believed_fences.collect();
        assert!(believed_fences.len() <= 1, "several valid leases, with the fencing tokens {believed_fences:?}");
    }

    fn slot(&mut self, index: usize, lease: bool) -> &mut Option<PendingRequest> {
        let process = &mut self.processes[index];
        if lease { &mut process.lease } else { &mut process.object }
    }

    /// Runs without further faults and checks that processes acquire the lease and finish their writes.
    fn run_to_completion(&mut self) {
        let goal = self.written + 10;
        for _ in 0..200 {
            self.apply(Event::Pass(1_000), true);
            for index in 0..PROCESSES {
                self.apply(Event::Step(index), true);
            }
            if self.written >= goal {
                return;
            }
        }
        assert!(self.written >= goal, "the processes did not finish their writes: {self:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lease_has_one_holder_and_no_update_is_lost(
        events in prop::collection::vec((events(), any::<bool>()), 0..300),
    ) {
        let mut model = Model::new();
        for (event, lease) in events {
            model.apply(event, lease);
        }
        model.run_to_completion();
    }
}

/// The random schedules are a useful test only if they lead to takeovers and writes.
#[test]
fn schedules_reach_takeovers_and_writes() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let schedules = prop::collection::vec((events(), any::<bool>()), 300..400);
    let (mut takeovers, mut written) = (0, 0);
    for _ in 0..200 {
        let mut model = Model::new();
        for (event, lease) in schedules.new_tree(&mut runner).unwrap().current() {
            model.apply(event, lease);
        }
        (takeovers, written) = (takeovers + model.takeovers, written + model.written);
    }
    assert!(takeovers > 20 && written > 200, "{takeovers} takeovers, {written} writes");
}
