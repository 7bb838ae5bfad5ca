//! The rules of AWS, applied to specs whose texts may not be known yet.

use crate::tags::Tags;
use pb_engine::is_unknown;
use pb_rules::Verdict;
use pb_rules::tags::{OWNERSHIP_PREFIX, TAGS_MAX, key, value};

/// Tags that are added to the ones in a spec: ownership, and the content of a task definition.
const RESERVED_TAGS: usize = 4;

/// Asks `rule` about a text that is known.
pub(crate) fn text(what: &str, text: &str, rule: impl Fn(&str) -> Verdict) -> Result<(), String> {
    if is_unknown(text) { Ok(()) } else { verdict(what, rule(text)) }
}

/// What a rule answered, in words.
pub(crate) fn verdict(what: &str, verdict: Verdict) -> Result<(), String> {
    verdict.map_err(|violation| match (violation.suggestion(), violation.remedy()) {
        (Some(nearest), _) => format!("invalid {what}: {violation}; the nearest is {nearest}"),
        (None, Some(what_to_do)) => format!("invalid {what}: {violation}: {what_to_do}"),
        (None, None) => format!("invalid {what}: {violation}"),
    })
}

/// A role is named by its ARN: what AWS answers for a bare name differs from what was asked.
pub(crate) fn role(what: &str, arn: &str) -> Result<(), String> {
    if is_unknown(arn) || (arn.starts_with("arn:") && arn.contains(":role/")) {
        return Ok(());
    }
    Err(format!("invalid {what}: `{arn}` is not the ARN of a role, such as arn:aws:iam::123456789012:role/name"))
}

/// The tags of a spec, beside those that are added to them.
pub(crate) fn tags(tags: &Tags) -> Result<(), String> {
    for (name, content) in tags {
        verdict("tag", key(name))?;
        text("tag", content, value)?;
        if name.starts_with(OWNERSHIP_PREFIX) {
            return Err(format!("invalid tag: `{name}` is kept for the tags that say whose a resource is"));
        }
    }
    if tags.len() + RESERVED_TAGS > TAGS_MAX {
        return Err(format!("invalid tags: {} are too many, {} fit", tags.len(), TAGS_MAX - RESERVED_TAGS));
    }
    Ok(())
}
