//! Ctrl-C and SIGTERM. The first asks the run to stop: nothing new is started, calls finish, all is recorded. The second
//! ends the process at once; the intents in the snapshot already say what may exist.

use crate::exit::Exit;
use pb_engine::{Cancel, Stop};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it was SIGTERM that asked.
static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether this process was told to end by another, not by somebody at a terminal.
pub fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// Listens from now on.
pub fn listen() -> Cancel {
    let (stop, cancel) = Cancel::new();
    tokio::spawn(async move {
        for asked in 0.. {
            signal().await;
            if asked > 0 {
                std::process::exit(Exit::Interrupted.code().into());
            }
            // Nobody listens any more when the run has just ended.
            let _ = stop.send(Stop::Gently);
        }
    });
    cancel
}

/// Ends when Ctrl-C or SIGTERM comes.
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

/// Ends when Ctrl-C comes.
#[cfg(not(unix))]
pub async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
