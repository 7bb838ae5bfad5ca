//! `logs`: prints the logs of the services.

use crate::cli::{Global, LogOptions};
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{DIM, paint};
use crate::workspace::context::{load_with_recorded_names, load_workspace, service_name};
use crate::workspace::recorded_names;
use crate::{output, signals};
use pb_engine::{Class, Failure};
use pb_fargate::{LogLine, LogQuery, Logs};
use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Interval between two reads of new lines. CloudWatch Logs allows an account five reads a second.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Longest delay after which a line can still arrive. Each read starts this long before the latest line; lines that are
/// read again are recognised by their ids.
const MAX_LATENESS_MILLIS: i64 = 30_000;

/// Number of digits of a task's id that are shown.
const TASK_ID_DIGITS: usize = 8;

/// Prints the log lines of a service, or of all services.
///
/// # Errors
/// A workspace or service that is not configured; a read that fails.
pub async fn logs(global: &Global, name: &str, service: Option<&str>, options: &LogOptions) -> Result<Exit, Error> {
    if let Some(key) = service {
        service_name(&load_workspace(global, name)?, key)?;
    }
    let (workspace, aws, snapshot) = load_with_recorded_names(global, name).await?;
    let prefix = service.map(|key| recorded_names::log_streams(&workspace, &snapshot, key));
    let logs = Logs::new(&aws);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(Duration::from_secs(options.since));
    let mut query = LogQuery {
        group: workspace.names.log_group.clone(),
        prefix,
        since: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        filter: options.filter.clone(),
    };
    let mut shown_lines = ShownLines { ids: HashSet::new(), latest: query.since };
    let mut has_reader = true;
    let first = logs.read(&query, |lines| {
        has_reader = show(global, &shown_lines.take_new(lines));
        has_reader
    });
    first.await.map_err(|failure| with_hint(failure, name))?;
    if !has_reader || !options.follow {
        if has_reader && shown_lines.ids.is_empty() && !global.json {
            console::note(format!(
                "No matching lines in the last {}. Use --since to search further back.",
                output::duration(options.since.saturating_mul(1000))
            ));
        }
        return Ok(Exit::Done);
    }
    let cancel = signals::listen();
    while has_reader {
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = cancel.stopped() => return Ok(Exit::Interrupted),
        }
        query.since = query.since.max(shown_lines.latest - MAX_LATENESS_MILLIS);
        let mut again = HashSet::new();
        let read = logs.read(&query, |lines| {
            again.extend(lines.iter().map(|line| line.id.clone()));
            has_reader = show(global, &shown_lines.take_new(lines));
            has_reader
        });
        match read.await {
            Ok(()) => shown_lines.ids = again,
            // The failure is temporary, and no line is missed: the next read covers the same period.
            Err(failure) if matches!(failure.class, Class::Throttled | Class::Unreachable | Class::Ambiguous) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(Exit::Done)
}

/// Lines that have been printed.
struct ShownLines {
    /// Ids of the lines that may be read again.
    ids: HashSet<String>,
    /// Timestamp of the latest line, in milliseconds.
    latest: i64,
}

impl ShownLines {
    /// Returns the lines that were not printed yet, and remembers them.
    fn take_new(&mut self, lines: Vec<LogLine>) -> Vec<LogLine> {
        let fresh: Vec<LogLine> = lines.into_iter().filter(|line| self.ids.insert(line.id.clone())).collect();
        self.latest = fresh.iter().map(|line| line.timestamp).fold(self.latest, i64::max);
        fresh
    }
}

fn with_hint(failure: Failure, workspace: &str) -> Error {
    let hint = format!("deploy it: pb-deploy deploy {workspace}");
    if failure.is("ResourceNotFoundException") { failure.hint(hint).into() } else { failure.into() }
}

/// Prints lines; returns whether stdout still has a reader.
fn show(global: &Global, lines: &[LogLine]) -> bool {
    let shown = |line: &LogLine| {
        if global.json {
            return serde_json::to_string(line).unwrap_or_default();
        }
        let task = line.task.get(..TASK_ID_DIGITS).unwrap_or(&line.task);
        format!("{} {} {}", paint(DIM, &line.time), paint(DIM, format!("{} {task}", line.service)), line.message)
    };
    console::try_print(lines.iter().map(shown)).is_ok()
}
