//! Drift as text.

use super::plan::{field, line};
use super::{BAD, BOLD, DIM, WARN, count, paint};
use pb_engine::{Drift, DriftKind};

/// Returns each resource that changed outside of pb-deploy, with its fields, and the count.
pub fn text(drifts: &[Drift]) -> String {
    let mut text = String::new();
    for drift in drifts {
        let (sign, style, note) = match drift.what {
            DriftKind::Changed => ("  ~", WARN, ""),
            DriftKind::Deleted => ("  -", BAD, "  # deleted"),
            DriftKind::Untagged => {
                ("  !", BAD, "  # ownership tags are missing: unmanaged until `adopt --restore-tags`")
            }
            DriftKind::Appeared => ("  ?", WARN, "  # has the ownership tags but is not recorded"),
        };
        let id = drift.id.as_deref().map(|id| format!("  {id}")).unwrap_or_default();
        let (sign, address) = (paint(style, sign), paint(BOLD, &drift.address));
        line(&mut text, format_args!("{sign} {address}  {}{}{}", drift.kind, paint(DIM, id), paint(DIM, note)));
        for change in &drift.changes {
            line(&mut text, format_args!("      {}", field(change, "")));
        }
    }
    if drifts.is_empty() {
        text.push_str("No drift: all resources match the state.\n");
    } else {
        text.push_str(&format!("\nDrift: {} changed outside of pb-deploy.\n", count(drifts.len(), "resource")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use pb_engine::{Address, Change, Drift, DriftKind};
    use serde_json::json;

    #[test]
    fn drift_kinds_have_distinct_signs() {
        let drift = |address: &str, what, changes| Drift {
            address: Address::new(address).unwrap(),
            kind: "sim.thing".to_owned(),
            id: Some("t-1".to_owned()),
            what,
            changes,
        };
        let change = Change { path: "count".to_owned(), before: Some(json!(4)), after: Some(json!(2)) };
        let all = [
            drift("fargate/celery", DriftKind::Changed, vec![change]),
            drift("net/rule", DriftKind::Deleted, Vec::new()),
            drift("net/old", DriftKind::Appeared, Vec::new()),
        ];
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&all)).to_string(), @r"
          ~ fargate/celery  sim.thing  t-1
              ~ count: 4 -> 2
          - net/rule  sim.thing  t-1  # deleted
          ? net/old  sim.thing  t-1  # has the ownership tags but is not recorded

        Drift: 3 resources changed outside of pb-deploy.
        ");
        assert_eq!(text(&[]), "No drift: all resources match the state.\n");
    }
}
