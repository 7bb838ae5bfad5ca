//! The benchmark report, in Markdown.

mod method;
pub mod numbers;
mod operations;
mod phases;
mod targets;

use crate::bench::machine::Machine;
use crate::bench::options::BenchOptions;
use crate::bench::results::Results;
use crate::bench::setting::Setting;
use crate::bench::tool::Tool;

/// Data for the report.
#[derive(Debug)]
pub struct Report<'a> {
    /// Options of the run.
    pub options: &'a BenchOptions,
    /// Tools that the run measured.
    pub tools: &'a [Tool],
    /// Machine and programs of the run.
    pub machine: &'a Machine,
    /// Samples, lower bounds and failures.
    pub results: &'a Results,
}

impl Report<'_> {
    /// Returns the whole report, except the section on building.
    pub fn text(&self) -> String {
        let parts = [
            format!("# Benchmarks\n\n{}", self.introduction()),
            format!("## Targets\n\n{}", targets::section(self.results, &self.settings(), self.compares())),
            self.per_setting(phases::section),
            format!("## Method\n\n{}", method::TEXT.trim_end()),
            format!("## Calls by operation\n\n{}", self.per_setting(operations::section)),
        ];
        parts.join("\n\n") + "\n"
    }

    /// Returns the summary that is printed at the end.
    pub fn summary(&self) -> String {
        let targets = targets::section(self.results, &self.settings(), self.compares());
        [self.per_setting(phases::summary), targets, self.failures()].join("\n\n").trim_end().to_owned()
    }

    fn introduction(&self) -> String {
        let Machine { date, hardware, load, versions } = self.machine;
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("- {name}: {version}")).collect();
        let peer = match (self.compares(), self.tools) {
            (true, _) => "Both tools deploy equivalent stacks on the same endpoint and take turns.",
            (false, [Tool::PbDeploy]) if self.options.only.is_some() => "Only pb-deploy was measured.",
            (false, [Tool::PbDeploy]) => "Terraform was not installed on this machine, so only pb-deploy was measured.",
            _ => "Only Terraform was measured.",
        };
        let text = format!(
            "Written by `{}`; do not edit. {peer} Each figure is the median of the rounds, with the minimum and maximum.\n\n- date: {date}\n- machine: {hardware}\n- load average before the run: {load}\n{}",
            self.options.line,
            versions.join("\n")
        );
        [text, self.failures()].join("\n\n").trim_end().to_owned()
    }

    fn failures(&self) -> String {
        let failures = &self.results.failures;
        if failures.is_empty() {
            return String::new();
        }
        let lines: Vec<String> =
            failures.iter().map(|failure| format!("    {}", failure.replace('\n', "\n    "))).collect();
        format!("**Not everything could be measured:**\n\n{}", lines.join("\n"))
    }

    fn settings(&self) -> Vec<Setting> {
        self.options.settings.clone()
    }

    fn compares(&self) -> bool {
        self.results.has_samples(Tool::PbDeploy) && self.results.has_samples(Tool::Terraform)
    }

    fn per_setting(&self, section: impl Fn(&Results, Setting) -> String) -> String {
        let sections: Vec<String> = self.options.settings.iter().map(|&one| section(self.results, one)).collect();
        sections.join("\n\n")
    }
}

#[cfg(test)]
mod tests;
