//! The endpoints that are measured on.

use std::str::FromStr;

use crate::failure::Failure;

/// How the endpoint is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// It answers as soon as it can, and every state passes at once: what is left is the tool's own.
    WithoutDelays,
    /// 40 ms a call, and all that AWS takes its time for at a tenth of the published times.
    Scaled,
    /// The same at the published times themselves.
    Aws,
}

impl Setting {
    /// What is measured when nobody says otherwise; the third takes an hour and more.
    pub const USUAL: [Self; 2] = [Self::WithoutDelays, Self::Scaled];
    const ALL: [Self; 3] = [Self::WithoutDelays, Self::Scaled, Self::Aws];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WithoutDelays => "a",
            Self::Scaled => "b",
            Self::Aws => "aws",
        }
    }

    /// As the report has it.
    pub fn title(self) -> &'static str {
        match self {
            Self::WithoutDelays => "(a) An endpoint without delays",
            Self::Scaled => "(b) 40 ms a call, the times of AWS at 1:10",
            Self::Aws => "(aws) 40 ms a call, the times of AWS",
        }
    }

    /// What that means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::WithoutDelays => {
                "No call is delayed and every state passes at once: a cache node is available when it is next asked for, \
                 a rollout complete, an interface gone. What is left is the tools' own time and that of the endpoint."
            }
            Self::Scaled => {
                "Each call takes 40 ms, and all that AWS takes its time for takes a tenth of the published times."
            }
            Self::Aws => "Each call takes 40 ms, and all that AWS takes its time for takes the published times.",
        }
    }

    /// Arguments of the endpoint.
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::WithoutDelays => ["--latency-ms", "0", "--pace", "0"],
            Self::Scaled => ["--latency-ms", "40", "--pace", "aws:0.1"],
            Self::Aws => ["--latency-ms", "40", "--pace", "aws"],
        }
    }

    /// Seconds that a call takes at least.
    pub fn latency(self) -> f64 {
        match self {
            Self::WithoutDelays => 0.0,
            Self::Scaled | Self::Aws => 0.040,
        }
    }

    /// Rounds, when nobody says how many: a median needs three; one at the times of AWS takes more than half an hour, of
    /// which next to all is AWS's.
    pub fn rounds(self) -> u32 {
        match self {
            Self::WithoutDelays | Self::Scaled => 3,
            Self::Aws => 1,
        }
    }

    /// Of the floor, what deploy and destroy may take at most; without delays there is no floor to speak of.
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
        found.ok_or_else(|| Failure::usage(format!("`{name}` is no setting: there are a, b and aws")))
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
            let told: f64 = setting.arguments()[1].parse().unwrap();
            assert!((told / 1000.0 - setting.latency()).abs() < 1e-9, "{setting:?}");
        }
    }
}
