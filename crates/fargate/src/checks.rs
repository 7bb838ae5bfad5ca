//! Checks of specs against the rules of AWS; values that are not known yet are skipped.

use crate::tags::Tags;
use pb_engine::is_unknown;
use pb_rules::Verdict;
use pb_rules::tags::{OWNERSHIP_PREFIX, TAGS_MAX, key, value};

/// Number of tags that are added to those of a spec: ownership, and the content hash of a task definition.
const RESERVED_TAGS: usize = 4;

/// Applies `rule` to a text, unless it is not known yet.
pub(crate) fn text(what: &str, text: &str, rule: impl Fn(&str) -> Verdict) -> Result<(), String> {
    if is_unknown(text) { Ok(()) } else { verdict(what, rule(text)) }
}

/// Turns a violation of a rule into an error message about the field `what`.
pub(crate) fn verdict(what: &str, verdict: Verdict) -> Result<(), String> {
    verdict.map_err(|violation| match (violation.suggestion(), violation.remedy()) {
        (Some(nearest), _) => format!("invalid {what}: {violation}; the nearest is {nearest}"),
        (None, Some(what_to_do)) => format!("invalid {what}: {violation}: {what_to_do}"),
        (None, None) => format!("invalid {what}: {violation}"),
    })
}

/// Checks that a role is given by its ARN: for a bare name, AWS would return another value than the configured one.
pub(crate) fn role(what: &str, arn: &str) -> Result<(), String> {
    if is_unknown(arn) || (arn.starts_with("arn:") && arn.contains(":role/")) {
        return Ok(());
    }
    Err(format!("invalid {what}: `{arn}` is not the ARN of a role, such as arn:aws:iam::123456789012:role/name"))
}

/// Checks the tags of a spec.
pub(crate) fn tags(tags: &Tags) -> Result<(), String> {
    for (name, content) in tags {
        verdict("tag", key(name))?;
        text("tag", content, value)?;
        if name.starts_with(OWNERSHIP_PREFIX) {
            return Err(format!("invalid tag: `{name}` is reserved for ownership tags"));
        }
    }
    if tags.len() + RESERVED_TAGS > TAGS_MAX {
        return Err(format!("invalid tags: expected at most {}, got {}", TAGS_MAX - RESERVED_TAGS, tags.len()));
    }
    Ok(())
}
