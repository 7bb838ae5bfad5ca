//! What runs on this machine for a workspace.

use crate::exit::Error;
use crate::local::dockerfile;
use crate::path::find;
use crate::stack::{self, LocalTask};
use pb_config::{Engine, Workspace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time from SIGTERM to SIGKILL for what no task definition says it for.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A program to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What its lines are marked with.
    pub name: String,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Variables with secrets that nobody has set on this machine: its own environment is where they come from here.
    pub unset: Vec<String>,
    pub folder: PathBuf,
    /// Where it listens, when it does.
    pub port: Option<u16>,
    /// Time from SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
}

/// The queue: a server of the configured engine, or of the other one, which speaks the same.
///
/// # Errors
/// When neither is installed.
pub fn queue(workspace: &Workspace, folder: PathBuf) -> Result<Program, Error> {
    let names = match workspace.redis.engine {
        Engine::Redis => ["redis-server", "valkey-server"],
        Engine::Valkey => ["valkey-server", "redis-server"],
    };
    let server = names.into_iter().find_map(find).ok_or_else(|| {
        let hint = "install one (`apt-get install redis-server`, `brew install valkey`), or name one that runs already \
                    with --queue HOST:PORT";
        Error::other(format!("neither {} nor {} is on the PATH, and the queue needs one", names[0], names[1]), hint)
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

/// What runs before the services, and one program for each of them that is to run at all.
///
/// # Errors
/// A service that is not configured; one whose command is neither in the configuration nor in a Dockerfile.
pub fn services(
    workspace: &Workspace,
    queue_host: &str,
    app: &Path,
    only: &[String],
) -> Result<(Option<Program>, Vec<Program>), Error> {
    for key in only {
        crate::context::service_name(workspace, key)?;
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
            true => dockerfile::command(app, &task.tag),
        };
        let command = command.ok_or_else(|| {
            let hint = format!(
                "write `command` under `[services.{}]`, or name the folder of a Dockerfile with a CMD: --app FOLDER",
                task.key
            );
            Error::other(format!("the command of {} is not known: it is the image's own", task.key), hint)
        })?;
        Ok(program(&task.key, task, app, command))
    });
    Ok((before, programs.collect::<Result<_, Error>>()?))
}

fn program(name: &str, task: &LocalTask, app: &Path, command: Vec<String>) -> Program {
    let mut environment = task.container.environment.clone();
    let unset = task.container.secrets.keys().filter(|variable| std::env::var_os(variable).is_none());
    // Lines are shown when they are written, not when a buffer is full.
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
