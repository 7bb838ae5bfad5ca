//! The report, in Markdown.

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

/// All that the report is made of.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was asked for.
    pub options: &'a BenchOptions,
    /// What was measured.
    pub tools: &'a [Tool],
    /// Where.
    pub machine: &'a Machine,
    /// The figures.
    pub results: &'a Results,
}

impl Report<'_> {
    /// All of it.
    pub fn text(&self) -> String {
        let parts = [
            format!("# Benchmarks\n\n{}", self.introduction()),
            format!("## Targets\n\n{}", targets::section(self.results, &self.settings(), self.compares())),
            self.per_setting(phases::section),
            format!("## How it is measured\n\n{}", method::TEXT.trim_end()),
            format!("## Calls by operation\n\n{}", self.per_setting(operations::section)),
        ];
        parts.join("\n\n") + "\n"
    }

    /// What is printed at the end.
    pub fn summary(&self) -> String {
        let targets = targets::section(self.results, &self.settings(), self.compares());
        [self.per_setting(phases::summary), targets, self.failures()].join("\n\n").trim_end().to_owned()
    }

    fn introduction(&self) -> String {
        let Machine { date, hardware, load, versions } = self.machine;
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("- {name}: {version}")).collect();
        let peer = match (self.compares(), self.tools) {
            (true, _) => "Both tools make the equivalent stack, in turns, on one and the same endpoint.",
            (false, [Tool::PbDeploy]) if self.options.only.is_some() => {
                "Only pb-deploy was measured: nothing is compared."
            }
            (false, [Tool::PbDeploy]) => "Terraform is not installed where this was measured: nothing is compared.",
            _ => "Only Terraform was measured: nothing is compared.",
        };
        let text = format!(
            "Written by `{}`; change nothing here by hand. {peer} Each figure is the median of the rounds, with the smallest \
             and the largest.\n\n- date: {date}\n- machine: {hardware}\n- load average before: {load}\n{}",
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
