//! Seeds of random tests.
//!
//! A run without `--long` has fixed seeds, so that it tries the same cases each time. A long run draws a new seed. When
//! it finds a failure, the failure is fixed and a test is added for it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Command;

/// Cases per property in a long run, unless the property sets a number; other runs try 256.
const PROPERTY_CASES: &str = "5000";

/// The seeds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeds {
    /// The fixed seeds that the tests contain.
    Fixed,
    /// One new or requested seed for all random tests of a long run.
    Random(u64),
}

impl Seeds {
    /// Returns the seed of a long run: the requested one, or a random one.
    pub fn random(requested: Option<u64>) -> Self {
        // The standard library's only source of random numbers.
        Self::Random(requested.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000_000))
    }

    /// Configures a test command to use these seeds. The fixed seed of the property tests is in `.cargo/config.toml`.
    pub fn configure(self, command: &mut Command) {
        let unset = ["SIMULATION_SEED", "SIMULATION_FULL", "PB_TORTURE_SEED", "PROPTEST_RNG_SEED", "PROPTEST_CASES"];
        unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        if let Self::Random(seed) = self {
            let seed = seed.to_string();
            command.env("SIMULATION_SEED", &seed).env("PB_TORTURE_SEED", &seed).env("PROPTEST_RNG_SEED", &seed);
            command.env("SIMULATION_FULL", "1").env("PROPTEST_CASES", PROPERTY_CASES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(seeds: Seeds, name: &str) -> Option<Option<String>> {
        let mut command = Command::new("true");
        seeds.configure(&mut command);
        let found = command.get_envs().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.map(|value| value.to_string_lossy().into_owned()))
    }

    #[test]
    fn usual_run_ignores_environment_seeds() {
        for name in ["SIMULATION_SEED", "SIMULATION_FULL", "PB_TORTURE_SEED", "PROPTEST_RNG_SEED", "PROPTEST_CASES"] {
            assert_eq!(value(Seeds::Fixed, name), Some(None), "{name}");
        }
    }

    #[test]
    fn long_run_sets_one_seed_for_all_random_tests() {
        assert_eq!(Seeds::random(Some(7)), Seeds::Random(7));
        for name in ["SIMULATION_SEED", "PB_TORTURE_SEED", "PROPTEST_RNG_SEED"] {
            assert_eq!(value(Seeds::Random(7), name), Some(Some("7".to_owned())), "{name}");
        }
        assert_ne!(Seeds::random(None), Seeds::random(None));
    }
}
