//! Progress of a run: finished steps, and running steps with the reason and duration of their waits. A terminal shows
//! one live line for each running step; other outputs get plain lines or JSON lines.

use super::{BAD, BOLD, DIM, GOOD, WARN, console, duration, paint};
use pb_engine::{Action, Address, Class, Event, Events, Operation};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval of the messages about long waits if there are no live lines.
const LONG_WAIT: Duration = Duration::from_secs(30);

/// Output of a run.
#[derive(Clone)]
pub struct Reporter(Arc<Inner>);

struct Inner {
    style: Style,
    verbose: bool,
    /// Creation of the reporter, from which the elapsed time of events is counted.
    since: Instant,
    events: Mutex<EventCounter>,
    running: Mutex<BTreeMap<Address, RunningStep>>,
}

/// Values that every JSON event of a run has in common.
#[derive(Default)]
struct EventCounter {
    /// Number of events so far.
    sequence: u64,
    /// Id and operation of the run, once it has begun.
    run: Option<(String, Operation)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Terminal,
    Plain,
    Json,
}

struct RunningStep {
    action: Action,
    since: Instant,
    detail: String,
}

impl Reporter {
    /// Creates a reporter that writes to stderr, or JSON lines to stdout.
    pub fn new(json: bool, verbose: bool) -> Self {
        let style = match (json, console::has_live_lines()) {
            (true, _) => Style::Json,
            (false, true) => Style::Terminal,
            (false, false) => Style::Plain,
        };
        let (events, running) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { style, verbose, since: Instant::now(), events, running }))
    }

    /// Prints a line of data to stdout: as it is, or as an event with one field.
    pub fn result_line(&self, event: &str, field: &str, line: &str) {
        match self.0.style {
            Style::Json => self.json(event, &serde_json::json!({ field: line })),
            Style::Terminal | Style::Plain => self.result(line),
        }
    }

    /// Adds the id and the operation of a run to all JSON events that follow.
    pub fn begin(&self, run: &str, operation: Operation) {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).run = Some((run.to_owned(), operation));
    }

    /// Returns whether the output is JSON.
    pub fn is_json(&self) -> bool {
        self.0.style == Style::Json
    }

    /// Returns whether unchanged resources and every event are shown, too.
    pub fn is_verbose(&self) -> bool {
        self.0.verbose
    }

    /// Returns the receiver of the engine's events.
    pub fn events(&self) -> Events {
        let reporter = self.clone();
        Events::new(move |event| reporter.event(&event))
    }

    /// Prints a message between the events.
    pub fn message(&self, text: &str) {
        match self.0.style {
            Style::Json => {
                let text = anstream::adapter::strip_str(text).to_string();
                self.json("message", &serde_json::json!({ "text": text.trim() }));
            }
            Style::Terminal | Style::Plain => console::note(text),
        }
    }

    /// Prints the result of a command, which other programs read, to stdout.
    pub fn result(&self, text: &str) {
        console::print(text);
    }

    /// Prints a JSON line if the output is JSON.
    pub fn json<T: Serialize>(&self, event: &str, value: &T) {
        if self.0.style == Style::Json
            && let Ok(Value::Object(mut fields)) = serde_json::to_value(value)
        {
            fields.insert("event".to_owned(), event.into());
            self.print_event(fields);
        }
    }

    /// Prints an event with its number, its time, and the run. The lock is held while it is printed, so that the events
    /// are printed in the order of their numbers.
    fn print_event(&self, mut fields: serde_json::Map<String, Value>) {
        let mut events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.sequence += 1;
        fields.insert("sequence".to_owned(), events.sequence.into());
        fields.insert("elapsed_ms".to_owned(), millis(self.0.since.elapsed()).into());
        if let Some((run, operation)) = &events.run {
            fields.insert("run".to_owned(), run.as_str().into());
            fields.insert("operation".to_owned(), operation.as_str().into());
        }
        console::print(Value::Object(fields));
    }

    /// Prints the long waits every 30 seconds if there are no live lines. Never returns: the caller drops the future
    /// when the run ends.
    pub async fn report_long_waits(&self) {
        loop {
            tokio::time::sleep(LONG_WAIT).await;
            if self.0.style == Style::Plain {
                for line in self.long_waits() {
                    console::note(line);
                }
            }
        }
    }

    fn long_waits(&self) -> Vec<String> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let long = running.iter().filter(|(_, step)| step.since.elapsed() >= LONG_WAIT);
        long.map(|(address, step)| {
            let since = duration(millis(step.since.elapsed()));
            format!("  {address}: still {} after {since}{}", present_verb(step.action), after_colon(&step.detail))
        })
        .collect()
    }

    fn event(&self, event: &Event) {
        if self.0.style == Style::Json {
            if let Ok(Value::Object(fields)) = serde_json::to_value(event) {
                self.print_event(fields);
            }
            return;
        }
        match event {
            Event::Started { address, action, .. } => self.started(address, *action),
            Event::Waiting { address, what } => self.waiting(address, what),
            Event::Retrying { address, failure } => self.waiting(address, &format!("retrying after: {failure}")),
            Event::Created { .. } | Event::Recorded { .. } => {}
            Event::Done { address, action, id, millis } => {
                self.ended(address);
                let id = id.as_deref().map(|id| paint(DIM, format!(" {id}"))).unwrap_or_default();
                let took = paint(DIM, format!("({})", duration(*millis)));
                self.message(&format!("  {}: {}{id} {took}", paint(BOLD, address), paint(GOOD, past_verb(*action))));
            }
            Event::Failed { address, failure, .. } if failure.class == Class::Interrupted => {
                self.ended(address);
                let interrupted = paint(WARN, "interrupted:");
                self.message(&format!("  {}: {interrupted} {}", paint(BOLD, address), failure.message));
            }
            Event::Failed { address, failure, .. } => {
                self.ended(address);
                self.message(&format!("  {}: {} {failure}", paint(BOLD, address), paint(BAD, "failed:")));
            }
            Event::Skipped { address, because, .. } => {
                self.message(&format!("  {}: {} {because}", paint(BOLD, address), paint(WARN, "skipped:")));
            }
            Event::Stopping => self.message(&paint(
                WARN,
                "stopping: no new steps are started, running calls finish; press Ctrl-C again to stop immediately",
            )),
        }
    }

    fn started(&self, address: &Address, action: Action) {
        let text = format!("{address}: {}", present_verb(action));
        let step = RunningStep { action, since: Instant::now(), detail: String::new() };
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone(), step);
        match self.0.style {
            Style::Terminal => console::set_live(address.as_str(), text),
            Style::Plain if self.0.verbose => console::note(format!("  {text}")),
            Style::Plain | Style::Json => {}
        }
    }

    fn waiting(&self, address: &Address, what: &str) {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(step) = running.get_mut(address) else { return };
        if step.detail == what {
            return;
        }
        what.clone_into(&mut step.detail);
        let text = format!("{address}: {}{}", present_verb(step.action), after_colon(what));
        match self.0.style {
            Style::Terminal => console::set_live(address.as_str(), text),
            Style::Plain | Style::Json => console::note(format!("  {text}")),
        }
    }

    fn ended(&self, address: &Address) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
        if self.0.style == Style::Terminal {
            console::remove_live(address.as_str());
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn after_colon(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(": {what}") }
}

fn present_verb(action: Action) -> &'static str {
    match action {
        Action::NoOp | Action::Untargeted => "reading",
        Action::Create | Action::Replace { .. } => "creating",
        Action::Update => "updating",
        Action::Delete => "deleting",
        Action::Wait => "waiting",
        Action::Adopt => "adopting",
        Action::Forget => "forgetting",
        Action::Move => "moving",
        Action::Check => "checking",
    }
}

fn past_verb(action: Action) -> &'static str {
    match action {
        Action::NoOp | Action::Untargeted => "unchanged",
        Action::Create | Action::Replace { .. } => "created",
        Action::Update => "updated",
        Action::Delete => "deleted",
        Action::Wait => "ready",
        Action::Adopt => "adopted",
        Action::Forget => "forgotten",
        Action::Move => "moved",
        Action::Check => "passed",
    }
}
