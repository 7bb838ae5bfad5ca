//! Time as one process measures it.

use std::time::Duration;
use tokio::time::Instant;

/// Time since the clock was made, as this process measures it. It is compared with nothing but itself.
///
/// Two clocks are read and the one that went further is believed: tokio's, which tests can stop, and the system's that goes
/// on while the machine is suspended. Tokio's is `CLOCK_MONOTONIC`, which on Linux stands still then
/// (`clock_gettime(2)`); it does go on while a process is stopped with `SIGSTOP`. Neither follows the wall clock's jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    tokio: Instant,
    /// Absent where time is simulated.
    system: Option<Duration>,
}

impl Clock {
    pub(crate) fn new(simulated: bool) -> Self {
        Self { tokio: Instant::now(), system: (!simulated).then(system) }
    }

    /// How long the clock has gone.
    pub(crate) fn now(&self) -> Duration {
        let tokio = self.tokio.elapsed();
        self.system.map_or(tokio, |began| tokio.max(system().saturating_sub(began)))
    }
}

/// The system's clock that counts suspended time.
#[cfg(unix)]
fn system() -> Duration {
    // On Apple's systems it is `CLOCK_MONOTONIC` that goes on during sleep.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(not(unix))]
fn system() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn clock_follows_tokios_paused_clock() {
        let clock = Clock::new(false);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(clock.now() >= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn clock_advances_while_tokios_clock_is_paused() {
        let clock = Clock::new(false);
        std::thread::sleep(Duration::from_millis(30));
        assert!(clock.now() >= Duration::from_millis(30));
    }
}
