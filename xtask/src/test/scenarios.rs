//! Results of the wire tests by scenario and endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// The results of one endpoint, as written by `tests/integration/report.py`.
#[derive(Debug)]
pub struct Scenarios {
    endpoint: String,
    document: Value,
}

impl Scenarios {
    /// Reads a report; `None` if no test was run.
    pub fn read(endpoint: &str, file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        Some(Self { endpoint: endpoint.to_owned(), document: serde_json::from_str(&text).ok()? })
    }

    fn count(&self, scenario: &str, ended: &str) -> u64 {
        self.document["scenarios"][scenario][ended].as_u64().unwrap_or(0)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.document["scenarios"].as_object().into_iter().flat_map(|all| all.keys().map(String::as_str))
    }

    /// Returns the counts of a scenario, such as `12 passed, 1 skipped`; empty if it was not run.
    fn cell(&self, scenario: &str) -> String {
        let counts = ["passed", "failed", "skipped"].map(|ended| (self.count(scenario, ended), ended));
        let words = counts.iter().filter(|(count, _)| *count > 0).map(|(count, ended)| match *ended {
            "failed" => format!("{count} FAILED"),
            _ => format!("{count} {ended}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Returns the failed tests, each with the end of its report, because the test's own output is far above the table.
    fn failures(&self) -> impl Iterator<Item = String> {
        let failures = self.document["failures"].as_object().into_iter().flatten();
        failures
            .map(|(test, text)| format!("\n{}: FAILED {test}\n{}", self.endpoint, text.as_str().unwrap_or_default()))
    }

    /// Returns lines with the number of skipped tests by reason, and with the number of responses of each service by
    /// source.
    fn notes(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (reason, count) in self.document["skips"].as_object().into_iter().flatten() {
            lines.push(format!("{}: {count} skipped: {reason}", self.endpoint));
        }
        for (service, answered) in self.document["answered"].as_object().into_iter().flatten() {
            let by = answered.as_object().into_iter().flatten().map(|(who, calls)| {
                let calls: u64 = calls.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
                format!("{who} {calls}")
            });
            lines.push(format!("{}: {service} answered by {}", self.endpoint, by.collect::<Vec<_>>().join(", ")));
        }
        lines
    }
}

/// Returns the table with a row per scenario and a column per endpoint, followed by skipped tests, sources of
/// responses, and failures.
pub fn table(all: &[Scenarios]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let names: BTreeSet<&str> = all.iter().flat_map(Scenarios::names).collect();
    let mut rows =
        vec![["scenario".to_owned()].into_iter().chain(all.iter().map(|one| one.endpoint.clone())).collect()];
    for name in names {
        let cells = all.iter().map(|one| one.cell(name));
        rows.push([name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>());
    }
    let mut widths = BTreeMap::new();
    for (column, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
        let width = widths.entry(column).or_insert(0);
        *width = (*width).max(cell.chars().count());
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", widths[&column]));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    let notes = all.iter().flat_map(Scenarios::notes);
    lines.chain(notes).chain(all.iter().flat_map(Scenarios::failures)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scenarios(endpoint: &str, document: Value) -> Scenarios {
        Scenarios { endpoint: endpoint.into(), document }
    }

    #[test]
    fn table_has_scenario_rows_and_endpoint_columns() {
        let emulator = json!({"scenarios": {"deploy": {"passed": 20}, "destroy": {"passed": 9, "failed": 1}}});
        let other = json!({
            "scenarios": {"deploy": {"passed": 18, "skipped": 2}},
            "skips": {"the endpoint lacks ecs-breaker (no)": 2},
            "failures": {"test_destroy.py::test_x (setup)": "first\nlast"},
            "answered": {"ec2": {"localstack": {"CreateVpc": 1}, "moto": {"CreateSubnet": 2, "DeleteVpc": 3}}}
        });
        let text = table(&[scenarios("emulator", emulator), scenarios("localstack-host", other)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "scenario  emulator            localstack-host",
                "deploy    20 passed           18 passed, 2 skipped",
                "destroy   9 passed, 1 FAILED",
                "localstack-host: 2 skipped: the endpoint lacks ecs-breaker (no)",
                "localstack-host: ec2 answered by localstack 1, moto 5",
                "",
                "localstack-host: FAILED test_destroy.py::test_x (setup)",
                "first",
                "last",
            ]
        );
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn missing_report_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Scenarios::read("emulator", &folder.path().join("none")).is_none());
    }
}
