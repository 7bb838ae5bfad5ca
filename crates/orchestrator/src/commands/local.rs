//! `local up`: runs a workspace on this machine, without an AWS account.

use crate::cli::{Global, LocalOptions};
use crate::exit::{Error, Exit};
use crate::local::process::{Running, connect, listens};
use crate::local::programs::{self, Program};
use crate::output::console;
use crate::output::{BAD, GOOD, WARN, paint};
use crate::workspace::context::load_workspace;
use pb_config::Workspace;
use pb_engine::ErrorCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Interval between two checks of processes and signals.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Longest time to wait until the queue accepts connections.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// Number of requests to stop: the first request stops the processes gracefully, the second one immediately.
type StopRequests = Arc<AtomicUsize>;

/// Starts the queue, runs the release command, and starts one process per service. Prints the output of the processes
/// until Ctrl-C, or until one of them exits. Makes no AWS calls.
///
/// # Errors
/// A workspace that is not configured; a program that cannot be started; a port that is in use.
pub async fn up(global: &Global, name: &str, options: &LocalOptions) -> Result<Exit, Error> {
    let mut workspace = load_workspace(global, name)?;
    let app = std::path::absolute(&options.app).unwrap_or_else(|_| options.app.clone());
    if !app.is_dir() {
        let message = format!("{} is not a folder", app.display());
        return Err(Error::usage(message, "pass the folder of the application with --app"));
    }
    let host = queue_host(&mut workspace, options.queue.as_deref())?;
    let (before, services) = programs::services(&workspace, &host, &app, &options.only)?;
    warn_about_unset_secrets(before.iter().chain(&services));
    check_ports(&workspace, &host, options.queue.is_some(), &services)?;
    let stop_requests = count_stop_requests();
    let width = services.iter().map(|program| program.name.len()).max().unwrap_or_default().max("before".len());
    let queue = match &options.queue {
        Some(_) => None,
        None => Some(start_queue(&workspace, width, &stop_requests).await?),
    };
    let exit = serve(before, services, width, &stop_requests, &workspace).await;
    if let Some(mut queue) = queue {
        stop(std::slice::from_mut(&mut queue), &stop_requests).await;
    }
    exit
}

/// Returns the host of the queue: this machine, or the host in `--queue`. The port in `--queue` replaces the port of
/// the queue in `workspace`.
fn queue_host(workspace: &mut Workspace, queue: Option<&str>) -> Result<String, Error> {
    let Some(queue) = queue else { return Ok("127.0.0.1".to_owned()) };
    let parsed = queue.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let wrong = || Error::usage(format!("{queue:?} is not HOST:PORT"), "write it as 127.0.0.1:6379");
    let (host, port) = parsed.filter(|(host, _)| !host.is_empty()).ok_or_else(wrong)?;
    workspace.redis.port = port;
    Ok(host)
}

/// Refuses ports that are in use, and a queue that does not exist, before anything is started.
fn check_ports(workspace: &Workspace, host: &str, has_queue: bool, services: &[Program]) -> Result<(), Error> {
    let port = workspace.redis.port;
    if has_queue {
        connect(host, port).map_err(|why| {
            Error::other(
                ErrorCode::Program,
                format!("no queue accepts connections at {host}:{port}: {why}"),
                "start it, correct HOST:PORT, or omit --queue to start a queue",
            )
        })?;
    } else if listens(port) {
        let hint = format!(
            "stop the program that uses it, choose another `port` under `[redis]`, or use that program as the queue: \
             --queue 127.0.0.1:{port}"
        );
        let message = format!("the port of the queue, {port}, is already in use");
        return Err(Error::other(ErrorCode::Program, message, hint));
    }
    let busy =
        services.iter().find_map(|program| program.port.filter(|port| listens(*port)).map(|port| (program, port)));
    busy.map_or(Ok(()), |(program, port)| {
        let message = format!("port {port} of {} is already in use", program.name);
        Err(Error::other(ErrorCode::Program, message, "stop the program that uses it, or choose another `port`"))
    })
}

/// Warns about secrets that are missing from the environment. Local runs read no secrets from AWS.
fn warn_about_unset_secrets<'a>(programs: impl Iterator<Item = &'a Program>) {
    for program in programs.filter(|program| !program.unset.is_empty()) {
        let (name, unset) = (&program.name, program.unset.join(", "));
        console::note(format!(
            "{} {name} runs without {unset}: `local up` reads secrets from the environment",
            paint(WARN, "warning:")
        ));
    }
}

/// Starts counting Ctrl-C and SIGTERM.
fn count_stop_requests() -> StopRequests {
    let stop_requests = StopRequests::default();
    let counted = Arc::clone(&stop_requests);
    tokio::spawn(async move {
        loop {
            crate::signals::signal().await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    stop_requests
}

fn is_stop_requested(stop_requests: &StopRequests) -> bool {
    stop_requests.load(Ordering::Relaxed) > 0
}

async fn start_queue(workspace: &Workspace, width: usize, stop_requests: &StopRequests) -> Result<Running, Error> {
    let mut queue = Running::start(programs::queue(workspace, std::env::temp_dir())?, width)?;
    let since = Instant::now();
    while !queue.listens() {
        if queue.ended().is_some() || since.elapsed() > QUEUE_TIMEOUT || is_stop_requested(stop_requests) {
            return Err(Error::other(
                ErrorCode::Program,
                "the queue does not accept connections",
                "its output is above",
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(queue)
}

async fn serve(
    before: Option<Program>,
    services: Vec<Program>,
    width: usize,
    stop_requests: &StopRequests,
    workspace: &Workspace,
) -> Result<Exit, Error> {
    if let Some(before) = before {
        let shown = before.command.join(" ");
        let mut running = Running::start(before, width)?;
        while running.ended().is_none() && !is_stop_requested(stop_requests) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        match running.ended() {
            Some(status) if status.success() => {}
            Some(status) => {
                console::note(format!(
                    "{} `{shown}` failed with {status}; no service was started",
                    paint(BAD, "error:")
                ));
                return Ok(Exit::Failed);
            }
            None => {
                stop(std::slice::from_mut(&mut running), stop_requests).await;
                return Ok(Exit::Interrupted);
            }
        }
    }
    let mut running = Vec::new();
    for program in services {
        match Running::start(program, width) {
            Ok(started) => running.push(started),
            Err(error) => {
                stop(&mut running, stop_requests).await;
                return Err(error);
            }
        }
    }
    let exit = watch(&mut running, stop_requests, &workspace.load_balancer.health_path).await;
    stop(&mut running, stop_requests).await;
    Ok(exit)
}

/// Prints the URLs once all processes accept connections, and waits until the user asks to stop or a process exits.
async fn watch(running: &mut [Running], stop_requests: &StopRequests, health_path: &str) -> Exit {
    let mut ready = false;
    loop {
        if is_stop_requested(stop_requests) {
            console::note("Stopping. Press Ctrl-C again to stop at once.");
            return Exit::Interrupted;
        }
        for one in running.iter_mut() {
            if let Some(status) = one.ended() {
                let name = &one.program.name;
                console::note(format!("{} {name} exited with {status}; stopping all processes", paint(BAD, "error:")));
                return Exit::Failed;
            }
        }
        if !ready && running.iter().all(Running::listens) {
            ready = true;
            let urls = running.iter().filter_map(|one| Some((&one.program.name, one.program.port?)));
            for (name, port) in urls {
                let path = if name == "flask" { health_path } else { "" };
                console::note(format!("{} {name}: http://127.0.0.1:{port}{path}", paint(GOOD, "ready")));
            }
            console::note(format!("{} Ctrl-C stops all processes", paint(GOOD, "up:")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Stops processes as ECS does: SIGTERM, then SIGKILL after the stop timeout or a second request to stop.
async fn stop(running: &mut [Running], stop_requests: &StopRequests) {
    running.iter_mut().for_each(Running::terminate);
    let since = Instant::now();
    for one in running.iter_mut() {
        while one.ended().is_none()
            && since.elapsed() < one.program.stop_timeout
            && stop_requests.load(Ordering::Relaxed) < 2
        {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        one.kill();
    }
}
