//! The section of the report with calls by operation.

use std::collections::BTreeSet;

use super::numbers::{row, table};
use crate::bench::phase::Phase;
use crate::bench::results::Results;
use crate::bench::setting::Setting;
use crate::bench::tool::Tool;

/// Returns a table for each setting and tool with the calls of the first round.
pub fn section(results: &Results, setting: Setting) -> String {
    let tables: Vec<String> =
        [Tool::PbDeploy, Tool::Terraform].into_iter().filter_map(|tool| of(results, setting, tool)).collect();
    tables.join("\n\n")
}

fn of(results: &Results, setting: Setting, tool: Tool) -> Option<String> {
    let phases: Vec<_> = Phase::ALL
        .into_iter()
        .filter_map(|phase| Some((phase, results.summarize(setting, tool, phase)?.operations)))
        .collect();
    let names: BTreeSet<&String> = phases.iter().flat_map(|(_, operations)| operations.keys()).collect();
    if names.is_empty() {
        return None;
    }
    let head = ["operation".to_owned()].into_iter().chain(phases.iter().map(|(phase, _)| phase.name().to_owned()));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for name in names {
        let counts = phases.iter().map(|(_, all)| all.get(name).map_or_else(String::new, usize::to_string));
        rows.push([name.clone()].into_iter().chain(counts).collect());
    }
    let totals = phases.iter().map(|(_, all)| all.values().sum::<usize>().to_string());
    rows.push(row(["**all**"]).into_iter().chain(totals).collect());
    Some(format!("{} in setting `{}`:\n\n{}", tool.name(), setting.name(), table(&rows)))
}
