//! Options of `cargo xtask bench`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::bench::setting::Setting;
use crate::bench::tool::Tool;
use crate::cli;
use crate::failure::Failure;

/// The parsed options.
#[derive(Debug, PartialEq, Eq)]
pub struct BenchOptions {
    /// Number of times that each tool runs all phases; `None` for the setting's default.
    pub rounds: Option<u32>,
    /// The only tool to measure; `None` for all tools that are installed.
    pub only: Option<Tool>,
    /// The endpoint settings, which run one after another.
    pub settings: Vec<Setting>,
    /// Path of the report; with `None`, a complete run writes `docs/benchmarks.md`, a partial run a file in the target
    /// folder.
    pub report: Option<PathBuf>,
    /// `true` to measure building and testing instead of the tools.
    pub build: bool,
    /// The command line, which the report quotes.
    pub line: String,
}

impl BenchOptions {
    /// Parses the arguments after `bench`.
    ///
    /// # Errors
    ///
    /// Fails if an argument is invalid.
    pub fn parse(rest: &[OsString]) -> Result<Self, Failure> {
        let (mut rounds, mut only, mut report, mut build) = (None, None, None, false);
        let mut settings: Vec<Setting> = Vec::new();
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            let word = cli::text(word)?;
            if let Some(number) = cli::option("--rounds", word, &mut words)? {
                rounds = Some(count(number)?);
            } else if let Some(name) = cli::option("--only", word, &mut words)? {
                only = Some(name.parse()?);
            } else if let Some(name) = cli::option("--setting", word, &mut words)? {
                settings.push(name.parse()?);
            } else if let Some(file) = cli::option("--report", word, &mut words)? {
                report = Some(PathBuf::from(file));
            } else if word == "--build" {
                build = true;
            } else {
                return Err(cli::unknown_argument(word, "bench"));
            }
        }
        if let Some((_, twice)) = settings.iter().enumerate().find(|(at, one)| settings[..*at].contains(one)) {
            return Err(Failure::usage(format!("duplicate setting `{}`", twice.name())));
        }
        if build && (rounds.is_some() || only.is_some() || !settings.is_empty()) {
            return Err(Failure::usage("--build accepts no option except --report"));
        }
        if settings.is_empty() {
            settings = Setting::USUAL.to_vec();
        }
        let words: Vec<_> = rest.iter().map(|word| word.to_string_lossy()).collect();
        let line = format!("cargo xtask bench {}", words.join(" ")).trim_end().to_owned();
        Ok(Self { rounds, only, settings, report, build, line })
    }

    /// Returns whether the run covers everything that the documentation shows.
    pub fn is_complete(&self) -> bool {
        self.only.is_none() && Setting::USUAL.iter().all(|usual| self.settings.contains(usual))
    }
}

fn count(number: &str) -> Result<u32, Failure> {
    let parsed = number.parse().ok().filter(|rounds| (1..=99).contains(rounds));
    parsed.ok_or_else(|| Failure::usage(format!("invalid number of rounds `{number}`; expected 1 to 99")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<BenchOptions, Failure> {
        BenchOptions::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn defaults_run_the_usual_settings() {
        let options = parsed("").unwrap();
        assert_eq!((options.rounds, options.only, options.report.clone()), (None, None, None));
        assert_eq!(options.settings, [Setting::WithoutDelays, Setting::Scaled]);
        assert!(options.is_complete());
        assert_eq!(options.line, "cargo xtask bench");
    }

    #[test]
    fn all_options_are_parsed() {
        let line = "--rounds 1 --only=ours --setting a --setting=aws --report r.md";
        let options = parsed(line).unwrap();
        assert_eq!((options.rounds, options.only), (Some(1), Some(Tool::PbDeploy)));
        assert_eq!(options.settings, [Setting::WithoutDelays, Setting::Aws]);
        assert_eq!(options.report, Some("r.md".into()));
        assert_eq!(options.line, format!("cargo xtask bench {line}"));
        assert!(!options.is_complete());
    }

    #[test]
    fn build_option_excludes_others() {
        let options = parsed("--build --report r.md").unwrap();
        assert_eq!((options.build, options.report), (true, Some("r.md".into())));
        assert!(!parsed("").unwrap().build);
    }

    #[test]
    fn partial_run_is_not_complete() {
        assert!(!parsed("--setting a").unwrap().is_complete());
        assert!(!parsed("--only terraform").unwrap().is_complete());
        assert!(parsed("--setting a --setting b --setting aws --rounds 5").unwrap().is_complete());
    }

    #[test]
    fn invalid_options_are_refused() {
        let refused = |line: &str| parsed(line).unwrap_err().to_string();
        assert!(refused("--rounds 0").contains("invalid number of rounds `0`"));
        assert!(refused("--rounds").contains("needs a value"));
        assert!(refused("--only pulumi").contains("`pulumi`"));
        assert!(refused("--setting c").contains("`c`"));
        assert!(refused("--setting a --setting a").contains("duplicate setting"));
        assert!(refused("--build --rounds 2").contains("accepts no option except --report"));
        assert!(refused("fast").contains("bench does not accept `fast`"));
    }
}
