//! `tasks`: lists running tasks, and stopped tasks with their reasons.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{BAD, DIM, GOOD, WARN, paint};
use crate::workspace::context::load_with_recorded_names;
use pb_fargate::{TaskClient, TaskStatus};

/// Lists the tasks of a workspace. Changes nothing.
///
/// # Errors
/// A workspace that is not configured; a read that fails.
pub async fn tasks(global: &Global, name: &str) -> Result<Exit, Error> {
    let (workspace, aws, _) = load_with_recorded_names(global, name).await?;
    let tasks = TaskClient::new(&aws, &workspace.names.cluster).tasks().await?;
    if global.json {
        console::document(&tasks)?;
        return Ok(Exit::Done);
    }
    if tasks.is_empty() {
        console::note(format!("No task of {name} is running, and none has stopped within the last hour."));
    }
    tasks.iter().for_each(show);
    Ok(Exit::Done)
}

fn show(task: &TaskStatus) {
    let style = match task.status.as_str() {
        "RUNNING" => GOOD,
        "STOPPED" if task.exit_codes.iter().any(|code| *code != 0) => BAD,
        "STOPPED" => DIM,
        _ => WARN,
    };
    let of = task.service.as_deref().or(task.started_by.as_deref()).unwrap_or_default();
    let codes: Vec<String> = task.exit_codes.iter().map(|code| format!("exit code {code}")).collect();
    let ended = task.reason.as_deref().map(|reason| {
        let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
        format!("  {reason}{codes}")
    });
    console::print(format!(
        "{}  {:<24} {}  {:<24} {}{}",
        task.id,
        of,
        paint(style, format!("{:<8}", task.status)),
        task.revision,
        paint(DIM, task.created.as_deref().unwrap_or_default()),
        ended.unwrap_or_default()
    ));
}
