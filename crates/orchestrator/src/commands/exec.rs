//! `exec`: opens a shell in a running task through the Session Manager plugin.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::path::find;
use crate::workspace::context::{load_with_recorded_names, load_workspace, service_name};
use crate::workspace::recorded_names::container;
use pb_engine::ErrorCode;
use pb_fargate::{TaskClient, TaskStatus};
use serde_json::json;
use std::path::PathBuf;

const PLUGIN: &str = "session-manager-plugin";

/// Opens a session in a task of a service, and passes it to the plugin. Exits with the exit code of the plugin, because
/// ECS does not report that of the command in the task.
///
/// # Errors
/// No plugin; no running task; a task that does not allow a shell; an error of ExecuteCommand.
pub async fn exec(
    global: &Global,
    name: &str,
    service: &str,
    task: Option<&str>,
    command: &[String],
) -> Result<Exit, Error> {
    service_name(&load_workspace(global, name)?, service)?;
    let plugin = find(PLUGIN).ok_or_else(|| {
        let hint = "install it (https://docs.aws.amazon.com/systems-manager/latest/userguide/\
                    session-manager-working-with-install-plugin.html), or run the command in a task of its own: \
                    pb-deploy run";
        Error::other(ErrorCode::Program, format!("{PLUGIN} is not on the PATH; it is needed to open a shell"), hint)
    })?;
    let (workspace, aws, snapshot) = load_with_recorded_names(global, name).await?;
    let service_name = service_name(&workspace, service)?;
    let people = TaskClient::new(&aws, &workspace.names.cluster);
    let tasks = people.tasks().await?;
    let chosen = choose(&tasks, &service_name, task)?;
    if !chosen.execute_command {
        let message = format!("task {} was started without the agent that opens shells", chosen.id);
        let hint =
            format!("set `execute_command = true` under `[services.{service}]` and deploy: new tasks have the agent");
        return Err(Error::other(ErrorCode::Prerequisite, message, hint));
    }
    let command = if command.is_empty() { "/bin/sh".to_owned() } else { quoted(command) };
    let session = people.open(&chosen.arn, &container(&snapshot, service), &command).await.map_err(|failure| {
        failure
            .hint("the agent starts a few seconds after the task, and the task role needs the ssmmessages permissions")
    })?;
    console::note(format!("Connecting to task {} ({})", chosen.id, chosen.revision));
    let endpoint =
        pb_aws::endpoint_url(&aws, "SSM").unwrap_or_else(|| format!("https://ssm.{}.amazonaws.com", workspace.region));
    let arguments = [
        json!(session).to_string(),
        workspace.region.clone(),
        "StartSession".to_owned(),
        global.profile.clone().unwrap_or_default(),
        json!({"Target": session.target}).to_string(),
        endpoint,
    ];
    run_plugin(plugin, arguments).await
}

/// Returns the newest running task of the service, or the one whose id starts with `id`.
fn choose<'a>(tasks: &'a [TaskStatus], service: &str, id: Option<&str>) -> Result<&'a TaskStatus, Error> {
    let running = |task: &&TaskStatus| task.status == "RUNNING" && task.service.as_deref() == Some(service);
    let mut tasks = tasks.iter().filter(running).filter(|task| id.is_none_or(|id| task.id.starts_with(id)));
    tasks.next().ok_or_else(|| {
        let which = id.map(|id| format!(" whose id starts with {id}")).unwrap_or_default();
        Error::other(
            ErrorCode::NotDeployed,
            format!("{service} has no running task{which}"),
            "list the tasks with: pb-deploy tasks WORKSPACE",
        )
    })
}

/// Runs the plugin, which takes over the terminal: Ctrl-C goes to the shell in the task, not to this program.
async fn run_plugin(plugin: PathBuf, arguments: [String; 6]) -> Result<Exit, Error> {
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let ended = tokio::task::spawn_blocking(move || std::process::Command::new(plugin).args(arguments).status()).await;
    let cannot =
        |why: String| Error::other(ErrorCode::Program, format!("cannot run {PLUGIN}: {why}"), "reinstall the plugin");
    let status = ended.map_err(|why| cannot(why.to_string()))?.map_err(|why| cannot(why.to_string()))?;
    Ok(Exit::Task(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Quotes words so that a shell reads each of them as a single word.
fn quoted(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn command_arguments_are_quoted_for_a_shell() {
        let words = ["python", "-c", "print('a b')", ""].map(str::to_owned);
        assert_eq!(quoted(&words), r"python -c 'print('\''a b'\'')' ''");
    }
}
