//! Ctrl-C and SIGTERM. The first signal makes the run stop: no new steps are started, running calls finish, and
//! everything is recorded. The second signal ends the process immediately; the intents in the snapshot already tell
//! what may exist.

use crate::exit::Exit;
use crate::output::console;
use pb_engine::{Cancel, Stop};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once this process has received SIGTERM.
static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Returns whether this process received SIGTERM, which comes from another process rather than from a user at a
/// terminal.
pub fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// Starts listening for signals.
pub fn listen() -> Cancel {
    let (stop, cancel) = Cancel::new();
    tokio::spawn(async move {
        for asked in 0.. {
            signal().await;
            if asked > 0 {
                console::end_live();
                std::process::exit(Exit::Interrupted.code().into());
            }
            // The receiver is gone if the run has just ended.
            let _ = stop.send(Stop::Gently);
        }
    });
    cancel
}

/// Waits for Ctrl-C or SIGTERM.
#[cfg(unix)]
pub async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => TERMINATED.store(true, Ordering::Relaxed),
        },
        _ => std::future::pending().await,
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
