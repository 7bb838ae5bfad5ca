//! Report on the matrix.

use crate::Problem;
use crate::matrix::{CaseResult, Fault, Outcome, Phase};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Writes the report and returns its text.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write(file: &Path, results: &[CaseResult], took: Duration, note: &str) -> Result<String, Problem> {
    let text = text(results, took, note);
    let failed = |error: std::io::Error| format!("failed to write {}: {error}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, &text).map_err(failed)?;
    Ok(text)
}

fn text(results: &[CaseResult], took: Duration, note: &str) -> String {
    let count = |phase: Option<Phase>, fault: Option<Fault>, outcome: Option<Outcome>| {
        let fits = results.iter().filter(|(case, verdict)| {
            phase.is_none_or(|phase| case.phase == phase)
                && fault.is_none_or(|fault| case.fault == fault)
                && outcome.is_none_or(|outcome| verdict.outcome == outcome)
        });
        fits.count()
    };
    let failed = count(None, None, Some(Outcome::Failed));
    let mut text = format!(
        "# Faults on the wire\n\n{} cases, {failed} failed, in {} s. {note}\n\n",
        results.len(),
        took.as_secs()
    );
    text += "A case is a fault at one write, after which the same command runs again. It must exit with 0, the plan\n\
             must be empty, and nothing may exist twice or exist without being in the state; a destroy must leave\n\
             nothing.\n\n";
    text += "| phase | fault | cases | survived | repaired by the next run | not reached | failed |\n";
    text += "|---|---|---|---|---|---|---|\n";
    let outcomes = [Outcome::Survived, Outcome::Repaired, Outcome::NotReached, Outcome::Failed];
    let mut row = |name: &str, phase: Option<Phase>, fault: Option<Fault>| {
        let cells = outcomes.map(|outcome| count(phase, fault, Some(outcome)).to_string()).join(" | ");
        let name_of_fault = fault.map_or_else(|| "all".to_owned(), |fault| fault.to_string());
        // Writing to a String never fails.
        let _ = writeln!(text, "| {name} | {name_of_fault} | {} | {cells} |", count(phase, fault, None));
    };
    for phase in Phase::ALL {
        for fault in Fault::ALL {
            row(&phase.to_string(), Some(phase), Some(fault));
        }
    }
    row("all", None, None);
    let mut failures: Vec<_> = results.iter().filter(|(_, verdict)| verdict.outcome == Outcome::Failed).collect();
    failures.sort_by_key(|(case, _)| case);
    for (case, verdict) in failures {
        let indented = verdict.problem.replace('\n', "\n    ");
        let _ = write!(text, "\n## {case}\n\nReproduce: `cargo xtask torture --case \"{case}\"`\n\n    {indented}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::matrix::{Outcome, Verdict};
    use std::time::Duration;

    #[test]
    fn report_lists_failures_with_reproduction_commands() {
        let results =
            |case: &str, outcome, problem: &str| (case.parse().unwrap(), Verdict { outcome, problem: problem.into() });
        let all = [
            results("deploy ec2:CreateVpc 1 killed-after", Outcome::Repaired, ""),
            results("update ecs:UpdateService 1 refused", Outcome::Failed, "two\nlines"),
        ];
        let text = text(&all, Duration::from_secs(7), "");
        assert!(text.contains("2 cases, 1 failed, in 7 s"), "{text}");
        assert!(text.contains("| deploy | killed-after | 1 | 0 | 1 | 0 | 0 |"), "{text}");
        assert!(
            text.contains(
                "`cargo xtask torture --case \"update ecs:UpdateService 1 refused\"`\n\n    two\n    lines\n"
            ),
            "{text}"
        );
    }
}
