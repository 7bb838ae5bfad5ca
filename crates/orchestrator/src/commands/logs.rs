//! `logs`: what the services wrote.

use crate::cli::{Global, LogOptions};
use crate::exit::{Error, Exit};
use crate::render::{self, DIM, paint};
use crate::site::{as_it_stands, configured, service_name};
use crate::{signals, standing};
use pb_engine::{Class, Failure};
use pb_fargate::{LogLine, LogQuery, Logs};
use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often it is looked for new lines. CloudWatch Logs lets an account ask five times a second.
const LOOK: Duration = Duration::from_secs(2);

/// How late a line may come: what is read again is known by its id.
const LATE_MILLIS: i64 = 30_000;

/// How many digits of a task's id are shown.
const SHORT: usize = 8;

/// Shows the lines of a service, or of all.
///
/// # Errors
/// A workspace or service that is not configured; what reading fails with.
pub async fn logs(global: &Global, name: &str, service: Option<&str>, options: &LogOptions) -> Result<Exit, Error> {
    if let Some(key) = service {
        service_name(&configured(global, name)?, key)?;
    }
    let (workspace, aws, snapshot) = as_it_stands(global, name).await?;
    let prefix = service.map(|key| standing::log_streams(&workspace, &snapshot, key));
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
    let mut seen = Seen { shown: HashSet::new(), latest: query.since };
    let mut reads = true;
    let first = logs.read(&query, |lines| {
        reads = show(global, &seen.fresh(lines));
        reads
    });
    first.await.map_err(|failure| explained(failure, name))?;
    if !reads || !options.follow {
        if reads && seen.shown.is_empty() && !global.json {
            anstream::eprintln!(
                "no such line within {}; --since looks further back",
                render::duration(options.since.saturating_mul(1000))
            );
        }
        return Ok(Exit::Done);
    }
    let cancel = signals::listen();
    while reads {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = cancel.stopped() => return Ok(Exit::Interrupted),
        }
        query.since = query.since.max(seen.latest - LATE_MILLIS);
        let mut again = HashSet::new();
        let looked = logs.read(&query, |lines| {
            again.extend(lines.iter().map(|line| line.id.clone()));
            reads = show(global, &seen.fresh(lines));
            reads
        });
        match looked.await {
            Ok(()) => seen.shown = again,
            // It passes, and nothing is missed: the next look asks for the same time.
            Err(failure) if matches!(failure.class, Class::Throttled | Class::Unreachable | Class::Ambiguous) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(Exit::Done)
}

/// What was shown already.
struct Seen {
    /// The lines that may be read again, by id.
    shown: HashSet<String>,
    /// When the latest one was written.
    latest: i64,
}

impl Seen {
    /// Of the lines, those that were not shown yet.
    fn fresh(&mut self, lines: Vec<LogLine>) -> Vec<LogLine> {
        let fresh: Vec<LogLine> = lines.into_iter().filter(|line| self.shown.insert(line.id.clone())).collect();
        self.latest = fresh.iter().map(|line| line.timestamp).fold(self.latest, i64::max);
        fresh
    }
}

fn explained(failure: Failure, workspace: &str) -> Error {
    let hint = format!("deploy it: pb-deploy deploy {workspace}");
    if failure.is("ResourceNotFoundException") { failure.hint(hint).into() } else { failure.into() }
}

/// Whether somebody still reads.
fn show(global: &Global, lines: &[LogLine]) -> bool {
    let mut out = anstream::stdout().lock();
    let written = lines.iter().try_for_each(|line| {
        if global.json {
            return writeln!(out, "{}", serde_json::to_string(line).unwrap_or_default());
        }
        let task = line.task.get(..SHORT).unwrap_or(&line.task);
        writeln!(out, "{} {} {}", paint(DIM, &line.time), paint(DIM, format!("{} {task}", line.service)), line.message)
    });
    written.and_then(|()| out.flush()).is_ok()
}
