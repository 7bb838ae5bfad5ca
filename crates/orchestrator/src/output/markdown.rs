//! Plans as Markdown, for pull requests and CI summaries.

use super::drift;
use super::plan::{self, note, sign};
use crate::run::saved_plan::SavedPlan;
use crate::stack::names;
use crate::workspace::images::NotDeployed;
use crate::workspace::lost_images;
use pb_engine::{Resource, Step};
use pb_fargate::Services;
use std::fmt::Write;

/// Returns the counts, a table of the steps, and all fields in a collapsed section.
pub fn text(saved: &SavedPlan) -> String {
    let binding = &saved.binding;
    let mut text = format!(
        "### To {} `{}`\n\nAccount `{}`, region `{}`, at serial {}.\n\n",
        saved.operation, binding.workspace, binding.account, binding.region, binding.serial
    );
    let (summary, rows, all) = if saved.drift.is_empty() {
        let mut rows: Vec<String> = saved.plan.changes().map(row).collect();
        rows.extend(saved.not_deployed.iter().map(not_deployed_row));
        let (plan, left) = (&saved.plan, &saved.not_deployed);
        (plan::summary_with_not_deployed(plan, left), rows, plan::text_with_not_deployed(plan, left, false))
    } else {
        let rows = saved.drift.iter().map(|drift| {
            cells(&format!("{:?}", drift.what), drift.address.as_str(), &drift.kind, drift.id.as_deref(), "")
        });
        let summary = format!("To record: {}.", super::count(rows.len(), "resource"));
        (summary, rows.collect(), drift::text(&saved.drift))
    };
    write(&mut text, format_args!("**{summary}**\n"));
    if let Some(lost) = lost_images::description(&saved.plan) {
        write(&mut text, format_args!("\n**The repository is deleted with {lost}.**\n"));
    }
    for effect in crate::stack::traffic::effects(&saved.plan) {
        write(
            &mut text,
            format_args!("\n**Requests to `{}`** {}: {}\n", effect.service, plan::verdict(&effect), effect.text),
        );
    }
    for effect in crate::stack::queue_effects::effects(&saved.plan) {
        write(&mut text, format_args!("\n**Queue**: {}\n", effect.text()));
    }
    for (check, message, details) in saved.plan.failing() {
        write(&mut text, format_args!("\n**Failing check** `{}`: {message}\n", check.address));
        details.iter().for_each(|detail| write(&mut text, format_args!("- {}\n", detail.replace('\n', " "))));
    }
    if rows.is_empty() {
        return text;
    }
    text.push_str("\n| | resource | kind | id | |\n|---|---|---|---|---|\n");
    text.push_str(&rows.concat());
    let all = anstream::adapter::strip_str(&all).to_string();
    let fence = fence(&all);
    write(
        &mut text,
        format_args!("\n<details><summary>Every field</summary>\n\n{fence}\n{all}{fence}\n\n</details>\n"),
    );
    text
}

fn write(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(content);
}

fn row(step: &Step) -> String {
    let sign = sign(step.action).0.trim();
    cells(&format!("`{sign}`"), step.address.as_str(), &step.kind, step.id.as_deref(), &note(step).unwrap_or_default())
}

fn not_deployed_row(service: &NotDeployed) -> String {
    let note = service.reason.as_deref().map_or("not deployed".to_owned(), |reason| format!("not deployed: {reason}"));
    cells("", &names::service(&service.service), Services::KIND, Some(&service.image), &note)
}

fn cells(sign: &str, address: &str, kind: &str, id: Option<&str>, note: &str) -> String {
    let safe = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let id = id.map(|id| format!("`{}`", safe(id))).unwrap_or_default();
    format!("| {sign} | `{address}` | {kind} | {id} | {} |\n", safe(note))
}

/// Returns a code fence that is longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::{cells, fence};

    #[test]
    fn values_cannot_close_cells_or_code_blocks() {
        assert_eq!(
            cells("`+`", "net/vpc", "ec2.vpc", Some("a|b"), "x\ny"),
            "| `+` | `net/vpc` | ec2.vpc | `a\\|b` | x y |\n"
        );
        assert_eq!((fence("a"), fence("a ``` b")), ("```".to_owned(), "````".to_owned()));
    }
}
