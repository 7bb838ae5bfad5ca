//! Memory usage of all descendants of a process.

use std::collections::BTreeMap;
use std::path::Path;

use crate::failure::Failure;

/// Checks that the memory of descendants can be measured on this machine.
///
/// # Errors
///
/// Fails on systems other than Linux, and on kernels that do not list the children of a process.
pub fn check() -> Result<(), Failure> {
    let own = format!("/proc/{id}/task/{id}/children", id = std::process::id());
    if Path::new(&own).exists() {
        return Ok(());
    }
    Err(Failure::unavailable(format!("the benchmark needs Linux with {own} to measure memory")))
}

/// Peak memory of the samples so far, in KiB.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    /// Largest sum, in one sample, of the resident sets of all descendants.
    together: u64,
    /// Largest high-water mark of a single process. The kernel records it, so no peak between two samples is missed.
    single: u64,
}

impl Peak {
    /// Returns the peak of all descendants together, which is at least the peak of the largest single process.
    pub fn kib(self) -> u64 {
        self.together.max(self.single)
    }

    /// Returns the high-water mark of the largest single process.
    pub fn largest_kib(self) -> u64 {
        self.single
    }

    /// Samples the memory of the descendants of a process, without the process itself.
    pub fn sample(&mut self, root: u32) {
        let statuses: Vec<Status> = descendants(root).into_iter().filter_map(Status::of).collect();
        self.record(&statuses);
    }

    fn record(&mut self, statuses: &[Status]) {
        self.together = self.together.max(statuses.iter().map(|status| status.resident).sum());
        self.single = statuses.iter().map(|status| status.high_water).fold(self.single, u64::max);
    }
}

/// Memory of one process as the kernel reports it, in KiB.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    resident: u64,
    high_water: u64,
}

impl Status {
    /// Reads the memory of a process; `None` if it has ended.
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let kib = |name: &str| values.get(name)?.trim().strip_suffix(" kB")?.trim().parse().ok();
        Some(Self { resident: kib("VmRSS")?, high_water: kib("VmHWM")? })
    }
}

/// Returns all descendants of a process, whichever of its threads started them.
fn descendants(root: u32) -> Vec<u32> {
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        let children = children(pid);
        next.extend(&children);
        found.extend(children);
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn process_status_is_parsed() {
        let text = "Name:\tterraform\nVmHWM:\t  123456 kB\nVmRSS:\t    9876 kB\nThreads:\t12\n";
        assert_eq!(Status::parse(text), Some(Status { resident: 9876, high_water: 123_456 }));
        assert_eq!(Status::parse("Name:\tzombie\nThreads:\t1\n"), None);
    }

    #[test]
    fn peak_is_the_larger_of_sum_and_high_water_mark() {
        let mut peak = Peak::default();
        peak.record(&[Status { resident: 10, high_water: 12 }, Status { resident: 20, high_water: 20 }]);
        assert_eq!(peak.kib(), 30);
        peak.record(&[Status { resident: 5, high_water: 40 }]);
        assert_eq!(peak.kib(), 40);
        peak.record(&[]);
        assert_eq!(peak.kib(), 40);
    }

    #[test]
    fn descendants_are_included() {
        check().unwrap();
        let script = "exec 3<&0; sh -c 'echo ready; read line <&3' & wait";
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = child.as_mut().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut peak = Peak::default();
        peak.sample(std::process::id());
        assert!(descendants(child.id()).len() == 1, "the inner shell");
        assert!(peak.kib() > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
