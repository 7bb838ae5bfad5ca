//! Checks of specs against the AWS rules; values that are not known yet are skipped.

use crate::tags::Tags;
use pb_engine::is_unknown;
use pb_rules::Verdict;
use pb_rules::tags::{OWNERSHIP_PREFIX, TAGS_MAX, key, value};

/// Number of tags that pb-deploy adds to those of a spec: the ownership tags and, for a task definition, the content
/// hash.
const RESERVED_TAGS: usize = 4;

/// Applies `rule` to `text`, unless the text is not known yet.
pub(crate) fn text(what: &str, text: &str, rule: impl Fn(&str) -> Verdict) -> Result<(), String> {
    if is_unknown(text) { Ok(()) } else { verdict(what, rule(text)) }
}

/// Turns a violation of a rule into an error message about the field `what`.
pub(crate) fn verdict(what: &str, verdict: Verdict) -> Result<(), String> {
    verdict.map_err(|violation| match (violation.suggestion(), violation.remedy()) {
        (Some(nearest), _) => format!("invalid {what}: {violation}; the nearest valid value is {nearest}"),
        (None, Some(what_to_do)) => format!("invalid {what}: {violation}: {what_to_do}"),
        (None, None) => format!("invalid {what}: {violation}"),
    })
}

/// Checks that a role is configured by its ARN. For a role that is configured by name, AWS would return a value that
/// differs from the configured one.
pub(crate) fn role(what: &str, arn: &str) -> Result<(), String> {
    if is_unknown(arn) || (arn.starts_with("arn:") && arn.contains(":role/")) {
        return Ok(());
    }
    Err(format!("invalid {what}: expected the ARN of a role, such as arn:aws:iam::123456789012:role/name, got `{arn}`"))
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
