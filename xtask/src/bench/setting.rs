//! Endpoint settings of the benchmark.

use std::str::FromStr;

use crate::failure::Failure;

/// An endpoint setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// No latency and immediate state transitions: mainly the tool's own time remains.
    WithoutDelays,
    /// 40 ms per call, and a tenth of the times that AWS publishes.
    Scaled,
    /// 40 ms per call, and the times that AWS publishes.
    Aws,
}

impl Setting {
    /// Settings that run by default, without `Aws`, which takes more than an hour.
    pub const USUAL: [Self; 2] = [Self::WithoutDelays, Self::Scaled];
    const ALL: [Self; 3] = [Self::WithoutDelays, Self::Scaled, Self::Aws];

    /// Returns the name of the setting on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::WithoutDelays => "a",
            Self::Scaled => "b",
            Self::Aws => "aws",
        }
    }

    /// Returns the heading of the setting's section in the report.
    pub fn title(self) -> &'static str {
        match self {
            Self::WithoutDelays => "(a) An endpoint without delays",
            Self::Scaled => "(b) 40 ms per call, a tenth of AWS's times",
            Self::Aws => "(aws) 40 ms per call, AWS's times",
        }
    }

    /// Returns the description of the setting for the report.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::WithoutDelays => {
                "No call is delayed, and state transitions are immediate: at the next request a cache node is available, a \
                 rollout complete, an interface deleted. What remains is the time of the tools and of the endpoint."
            }
            Self::Scaled => "Each call takes 40 ms, and every wait takes a tenth of the times that AWS publishes.",
            Self::Aws => "Each call takes 40 ms, and every wait takes the time that AWS publishes.",
        }
    }

    /// Returns the arguments with which the emulator is started.
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::WithoutDelays => ["--latency-ms", "0", "--pace", "0"],
            Self::Scaled => ["--latency-ms", "40", "--pace", "aws:0.1"],
            Self::Aws => ["--latency-ms", "40", "--pace", "aws"],
        }
    }

    /// Returns the minimum duration of a call in seconds.
    pub fn latency(self) -> f64 {
        match self {
            Self::WithoutDelays => 0.0,
            Self::Scaled | Self::Aws => 0.040,
        }
    }

    /// Returns the default number of rounds. A median needs three rounds; with AWS's times there is only one, because a
    /// round takes more than half an hour, nearly all of it waiting.
    pub fn rounds(self) -> u32 {
        match self {
            Self::WithoutDelays | Self::Scaled => 3,
            Self::Aws => 1,
        }
    }

    /// Returns the largest allowed ratio of the wall time of deploy and destroy to the lower bound; `None` without
    /// delays, where the bound is nearly zero.
    pub fn max_ratio_to_lower_bound(self) -> Option<f64> {
        match self {
            Self::WithoutDelays => None,
            Self::Scaled => Some(1.05),
            Self::Aws => Some(1.02),
        }
    }
}

impl FromStr for Setting {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|setting| setting.name() == name);
        found.ok_or_else(|| Failure::usage(format!("unknown setting `{name}`; expected a, b or aws")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_names_round_trip() {
        for setting in Setting::ALL {
            assert_eq!(setting.name().parse::<Setting>().unwrap(), setting);
        }
        "B".parse::<Setting>().unwrap_err();
    }

    #[test]
    fn latency_matches_the_endpoint_arguments() {
        for setting in Setting::ALL {
            let milliseconds: f64 = setting.arguments()[1].parse().unwrap();
            assert!((milliseconds / 1000.0 - setting.latency()).abs() < 1e-9, "{setting:?}");
        }
    }
}
