//! The section on building and testing in the benchmark report.

use super::{BASELINE, Checkout, Figures};
use crate::bench::document;
use crate::bench::machine::Machine;
use crate::bench::measure::Usage;
use crate::bench::report::numbers::{number, row, table};

/// Bytes per gigabyte, the unit of the memory target.
const GB: f64 = 1e9;
const MIB: f64 = 1024.0 * 1024.0;

/// Data for the section.
pub struct Report<'a> {
    /// The command line of the run.
    pub line: &'a str,
    pub machine: &'a Machine,
    pub baseline: &'a Checkout,
    pub head: &'a Checkout,
    /// Failed steps, each with the reason.
    pub failures: &'a [String],
}

/// A row of the table: a figure of both commits with its target.
struct Row {
    name: &'static str,
    unit: &'static str,
    value: fn(&Figures) -> Option<f64>,
    target: Target,
}

/// The target of a figure.
enum Target {
    /// At most this fraction of the baseline's figure; the words name the fraction.
    Ratio(f64, &'static str),
    /// At most this value, in the unit of the row.
    AtMost(f64),
    /// No target: the figure is only for information.
    None,
}

const ROWS: [Row; 7] = [
    Row { name: "clean build and first deploy: CPU", unit: "s", value: deploy_cpu, target: Target::Ratio(0.5, "half") },
    Row { name: "clean build and first deploy: wall time", unit: "s", value: deploy_wall, target: Target::None },
    Row {
        name: "clean build and first deploy: largest process",
        unit: "GB",
        value: deploy_largest,
        target: Target::AtMost(6.0),
    },
    Row {
        name: "clean build and first deploy: all processes",
        unit: "GB",
        value: deploy_together,
        target: Target::None,
    },
    Row { name: "no-change plan: memory", unit: "MiB", value: plan_memory, target: Target::AtMost(40.0) },
    Row {
        name: "all tests, already built: wall time",
        unit: "s",
        value: test_wall,
        target: Target::Ratio(2.0 / 3.0, "two thirds"),
    },
    Row { name: "all tests, already built: CPU", unit: "s", value: test_cpu, target: Target::None },
];

fn bytes(kib: u64) -> f64 {
    // Saturates only above 4 TiB.
    u32::try_from(kib).map_or(f64::INFINITY, f64::from) * 1024.0
}

fn deploy_cpu(figures: &Figures) -> Option<f64> {
    figures.deploy.map(|usage| usage.cpu)
}

fn deploy_wall(figures: &Figures) -> Option<f64> {
    figures.deploy.map(|usage| usage.wall)
}

fn deploy_largest(figures: &Figures) -> Option<f64> {
    figures.deploy.map(|usage: Usage| bytes(usage.largest_kib) / GB)
}

fn deploy_together(figures: &Figures) -> Option<f64> {
    figures.deploy.map(|usage| bytes(usage.peak_kib) / GB)
}

fn plan_memory(figures: &Figures) -> Option<f64> {
    figures.plan.map(|usage| bytes(usage.peak_kib) / MIB)
}

fn test_wall(figures: &Figures) -> Option<f64> {
    figures.test.map(|usage| usage.wall)
}

fn test_cpu(figures: &Figures) -> Option<f64> {
    figures.test.map(|usage| usage.cpu)
}

impl Report<'_> {
    /// Returns the section in Markdown.
    pub fn text(&self) -> String {
        let Machine { date, hardware, load, .. } = self.machine;
        let mut rows =
            vec![row(["", &format!("{} (before)", self.baseline.commit), &self.head.commit, "ratio", "goal", ""])];
        rows.extend(ROWS.iter().map(|row| row.cells(&self.baseline.figures, &self.head.figures)));
        let failures: Vec<String> =
            self.failures.iter().map(|why| format!("    {}\n", why.replace('\n', "\n    "))).collect();
        let failures = match failures.is_empty() {
            true => String::new(),
            false => format!("\n**Not everything could be measured:**\n\n{}", failures.concat()),
        };
        format!(
            "{}\n\nWritten by `{}`; do not edit. Both commits were cloned, built and tested on one machine, \
             taking turns at each step.\n\n- date: {date}\n- machine: {hardware}\n- load average before the run: \
             {load}\n\n{}\n{failures}\n{}",
            document::BUILD,
            self.line,
            table(&rows),
            METHOD
        )
    }
}

/// Description of the method, for the report.
const METHOD: &str = "\
- **Clean build and first deploy**: `cargo xtask deploy staging --local` in a clean clone, and `cargo xtask emulator stop`.
  Crates are downloaded beforehand; the time to download and install Python packages is included. CPU is the user and
  system time of all processes, including the local endpoint.
- **Largest process**: the high-water mark of the largest process, `rustc` on `aws-sdk-ec2`. **All processes**: the largest
  sum of all resident sets at one moment, sampled every 10 ms; shared pages count once per process.
- **No-change plan**: resident memory of `pb-deploy plan` after the deploy, on the local endpoint.
- **All tests**: `cargo xtask test`, with everything compiled and installed beforehand.
";

impl Row {
    fn cells(&self, baseline: &Figures, head: &Figures) -> Vec<String> {
        let (before, now) = ((self.value)(baseline), (self.value)(head));
        let figure =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{} {}", number(value), self.unit));
        let ratio = before.zip(now).filter(|(before, _)| *before > 0.0).map(|(before, now)| now / before);
        let (goal, is_met) = match self.target {
            Target::Ratio(most, words) => (format!("at most {words} of {BASELINE}"), ratio.map(|ratio| ratio <= most)),
            Target::AtMost(most) => (format!("at most {most:.0} {}", self.unit), now.map(|now| now <= most)),
            Target::None => (String::new(), None),
        };
        let verdict = match (&self.target, is_met) {
            (Target::None, _) => "",
            (_, Some(true)) => "met",
            (_, Some(false)) => "**missed**",
            (_, None) => "not measured",
        };
        row([
            self.name,
            &figure(before),
            &figure(now),
            &ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            &goal,
            verdict,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::numbers::without_padding;

    fn checkout(commit: &str, cpu: f64, largest_kib: u64) -> Checkout {
        let deploy = Usage { wall: 300.0, cpu, peak_kib: largest_kib + 1000, largest_kib };
        let plan = Usage { wall: 0.1, cpu: 0.03, peak_kib: 40 * 1024, largest_kib: 40 * 1024 };
        let figures = Figures { deploy: Some(deploy), plan: Some(plan), test: None };
        Checkout { commit: commit.into(), folder: "/nowhere".into(), figures }
    }

    fn lines(head_cpu: f64, head_kib: u64) -> Vec<String> {
        let (baseline, head) = (checkout("58eea0b", 800.0, 8_000_000), checkout("abc1234", head_cpu, head_kib));
        let failures = ["abc1234: cargo xtask test: it ended with 1".to_owned()];
        let machine = Machine::default();
        let report = Report {
            line: "cargo xtask bench --build",
            machine: &machine,
            baseline: &baseline,
            head: &head,
            failures: &failures,
        };
        without_padding(&report.text()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn targets_follow_from_the_figures() {
        let text = lines(400.0, 5_800_000);
        let cpu = "| clean build and first deploy: CPU | 800 s | 400 s | 0.50 | at most half of 58eea0b | met |";
        assert!(text.iter().any(|line| line == cpu), "{text:#?}");
        let memory =
            "| clean build and first deploy: largest process | 8.19 GB | 5.94 GB | 0.72 | at most 6 GB | met |";
        assert!(text.iter().any(|line| line == memory), "{text:#?}");
        assert!(text.iter().any(|line| line.starts_with("| no-change plan") && line.ends_with("40 MiB | met |")));
        let text = lines(401.0, 5_900_000);
        assert!(text.iter().any(|line| line.contains("CPU | 800 s | 401 s") && line.ends_with("**missed** |")));
        assert!(text.iter().any(|line| line.contains("largest") && line.ends_with("**missed** |")), "{text:#?}");
    }

    #[test]
    fn failed_step_is_named_and_has_no_figure() {
        let text = lines(400.0, 5_800_000);
        assert!(text.iter().any(|line| line.contains("it ended with 1")), "{text:#?}");
        let tests =
            "| all tests, already built: wall time | – | – | – | at most two thirds of 58eea0b | not measured |";
        assert!(text.iter().any(|line| line == tests), "{text:#?}");
    }
}
