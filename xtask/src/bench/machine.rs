//! The machine and the date of a measurement.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::project::Project;

/// The machine and the programs of a run, which a reader needs to judge the figures.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Date, as in `2026-11-26`.
    pub date: String,
    /// Processor, number of cores, memory and operating system.
    pub hardware: String,
    /// Load average over the minute before the first measurement.
    pub load: String,
    /// Names and versions of the programs.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    /// Returns a warning if the machine was busy before the run.
    pub fn warning(&self) -> Option<String> {
        let busy = self.load.parse::<f64>().is_ok_and(|load| load >= 1.0);
        busy.then(|| format!("warning: the load average is {}: on a busy machine, wall times are too long", self.load))
    }

    /// Collects the facts about this machine and its programs.
    pub fn detect(project: &Project, tool: &Path, python: &Path, terraform: Option<(String, String)>) -> Self {
        let mut versions = vec![
            ("pb-deploy".to_owned(), first_line_of(Command::new(tool).arg("--version"))),
            ("commit".to_owned(), commit(project)),
            ("endpoint's Python".to_owned(), first_line_of(Command::new(python).arg("--version"))),
            ("moto".to_owned(), first_line_of(Command::new(python).args(["-s", "-c", MOTO]))),
        ];
        if let Some((terraform, provider)) = terraform {
            versions.push(("Terraform".to_owned(), terraform));
            versions.push(("its AWS provider".to_owned(), provider));
        }
        Self { date: today(), hardware: hardware(), load: load(), versions }
    }
}

/// Python code that prints moto's version without importing it.
const MOTO: &str = "import importlib.metadata; print(importlib.metadata.version('moto'))";

/// Returns the load average over the last minute, or `unknown`.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}

fn commit(project: &Project) -> String {
    let git = |arguments: &[&str]| first_line_of(Command::new("git").arg("-C").arg(&project.root).args(arguments));
    let changed = match &*git(&["status", "--porcelain", "--untracked-files=no", "--", "crates", "Cargo.lock"]) {
        "unknown" => "",
        _ => ", with uncommitted changes",
    };
    git(&["rev-parse", "--short", "HEAD"]) + changed
}

/// Returns the first line that a program prints, or `unknown`.
fn first_line_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { "unknown".to_owned() } else { line.to_owned() }
}

fn hardware() -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| "processor unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&file("/proc/meminfo"), "MemTotal").and_then(|text| gib(&text)).unwrap_or_default();
    let system = file("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores, {memory}, Linux {}", system.trim())
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn gib(text: &str) -> Option<String> {
    let kib: f64 = text.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(format!("{:.0} GiB of memory", kib / 1024.0 / 1024.0))
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// Returns the date `days` days after 1 January 1970.
fn date(mut days: u64) -> String {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_computed_from_days() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_783), "2026-11-26");
        assert_eq!(date(20_818), "2026-12-31");
    }

    #[test]
    fn busy_machine_is_warned_about() {
        let of = |load: &str| Machine { load: load.to_owned(), ..Machine::default() }.warning();
        assert!(of("14.25").unwrap().contains("14.25"));
        assert_eq!((of("0.30"), of("unknown")), (None, None));
    }

    #[test]
    fn missing_values_are_unknown() {
        assert_eq!(first_line_of(&mut Command::new("/no/such/program")), "unknown");
        assert_eq!(first_line_of(Command::new("sh").args(["-c", "echo 1.2; echo more"])), "1.2");
        assert_eq!(field("a : b\nmodel name\t: Some CPU\n", "model name").as_deref(), Some("Some CPU"));
        assert_eq!(gib("24690000 kB").as_deref(), Some("24 GiB of memory"));
        assert_eq!(gib("?"), None);
    }
}
