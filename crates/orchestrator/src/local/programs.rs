//! Programs of a local run.

use crate::exit::Error;
use crate::local::dockerfile;
use crate::path::find;
use crate::stack::{self, LocalTask};
use pb_config::{Engine, Workspace};
use pb_engine::ErrorCode;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Default time from SIGTERM to SIGKILL, for programs whose task definition has none.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Prefix of its output lines.
    pub name: String,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Secret variables that are missing from the environment of this process, the source of secrets in local runs.
    pub unset: Vec<String>,
    pub folder: PathBuf,
    /// Port on which the program listens, if any.
    pub port: Option<u16>,
    /// Time from SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
}

/// Returns the program of the queue: a server of the configured engine or, if it is not installed, of the other engine,
/// which speaks the same protocol.
///
/// # Errors
/// If neither is installed.
pub fn queue(workspace: &Workspace, folder: PathBuf) -> Result<Program, Error> {
    let names = match workspace.redis.engine {
        Engine::Redis => ["redis-server", "valkey-server"],
        Engine::Valkey => ["valkey-server", "redis-server"],
    };
    let server = names.into_iter().find_map(find).ok_or_else(|| {
        let hint = "install one (`apt-get install redis-server`, `brew install valkey`), or use a running one with \
                    --queue HOST:PORT";
        Error::other(
            ErrorCode::Program,
            format!("neither {} nor {} is on the PATH; the queue needs one of them", names[0], names[1]),
            hint,
        )
    })?;
    let port = workspace.redis.port;
    let options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"];
    let mut command = vec![server.display().to_string(), "--port".to_owned(), port.to_string()];
    command.extend(options.map(str::to_owned));
    Ok(Program {
        name: "queue".to_owned(),
        command,
        environment: BTreeMap::new(),
        unset: Vec::new(),
        folder,
        port: Some(port),
        stop_timeout: STOP_TIMEOUT,
    })
}

/// Returns the release command, if any, and one program for each service with tasks. `only` limits the services.
///
/// # Errors
/// A service in `only` that is not configured; a service whose command is neither in the configuration nor in a
/// Dockerfile.
pub fn services(
    workspace: &Workspace,
    queue_host: &str,
    app: &Path,
    only: &[String],
) -> Result<(Option<Program>, Vec<Program>), Error> {
    for key in only {
        crate::workspace::context::service_name(workspace, key)?;
    }
    let tasks = stack::local_tasks(workspace, queue_host)?;
    let before = workspace.deploy.before.as_ref().and_then(|before| {
        let task = tasks.iter().find(|task| task.key == before.service)?;
        Some(Program { command: before.command.clone(), port: None, ..program("before", task, app, Vec::new()) })
    });
    let wanted = tasks.iter().filter(|task| task.count > 0 && (only.is_empty() || only.contains(&task.key)));
    let programs = wanted.map(|task| {
        let command = match task.container.command.is_empty() {
            false => Some(task.container.command.clone()),
            true => {
                let same_tag = tasks.iter().filter(|other| other.tag == task.tag);
                let services: Vec<&str> = same_tag.map(|other| other.key.as_str()).collect();
                dockerfile::command(app, &dockerfile::stage_names(&task.tag, &services))
            }
        };
        let command = command.ok_or_else(|| {
            let hint = format!(
                "set `command` under `[services.{}]`, or pass the folder of a Dockerfile with a CMD: --app FOLDER",
                task.key
            );
            let message =
                format!("cannot tell which command starts {}: no `command` and no CMD in a Dockerfile", task.key);
            Error::other(ErrorCode::Program, message, hint)
        })?;
        Ok(program(&task.key, task, app, command))
    });
    Ok((before, programs.collect::<Result<_, Error>>()?))
}

fn program(name: &str, task: &LocalTask, app: &Path, command: Vec<String>) -> Program {
    let mut environment = task.container.environment.clone();
    let unset = task.container.secrets.keys().filter(|variable| std::env::var_os(variable).is_none());
    // Without this, Python buffers lines when stdout is a pipe.
    environment.entry("PYTHONUNBUFFERED".to_owned()).or_insert_with(|| "1".to_owned());
    let stop = task.container.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
    Program {
        name: name.to_owned(),
        command,
        environment,
        unset: unset.cloned().collect(),
        folder: app.to_owned(),
        port: task.container.ports.first().copied(),
        stop_timeout: stop.map_or(STOP_TIMEOUT, Duration::from_secs),
    }
}
