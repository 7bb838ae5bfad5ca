//! Elapsed time within one process.

use std::time::Duration;
use tokio::time::Instant;

/// Clock of this process that measures the time since its creation. Readings of different clocks are never compared.
///
/// The clock reads two sources and returns the larger elapsed time: tokio's clock, which tests can pause, and a system
/// clock that advances while the machine is suspended. Tokio's clock is `CLOCK_MONOTONIC`, which on Linux does not
/// advance during suspend (`clock_gettime(2)`); it does advance while a process is stopped by `SIGSTOP`. Neither source
/// follows jumps of the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    tokio: Instant,
    /// Reading of the system clock at the creation of this clock; `None` if time is simulated.
    system: Option<Duration>,
}

impl Clock {
    pub(crate) fn new(simulated: bool) -> Self {
        Self { tokio: Instant::now(), system: (!simulated).then(system) }
    }

    /// Returns the time since the clock was created.
    pub(crate) fn now(&self) -> Duration {
        let tokio = self.tokio.elapsed();
        self.system.map_or(tokio, |began| tokio.max(system().saturating_sub(began)))
    }
}

/// Reads the system clock that also advances while the machine is suspended.
#[cfg(unix)]
fn system() -> Duration {
    // On Apple's systems, `CLOCK_MONOTONIC` is the clock that advances during sleep.
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
