//! The few checks that all rules are made of.

use crate::{Verdict, Violation};

/// Characters of most AWS names.
pub(crate) fn alphanumeric_or_hyphen(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// Between `min` and `max` characters.
pub(crate) fn length(what: &str, value: &str, min: usize, max: usize) -> Verdict {
    let length = value.chars().count();
    if value.is_empty() && min > 0 {
        return Err(Violation::new(format!("{what} may not be empty")));
    }
    if length < min {
        return Err(Violation::new(format!("`{value}` has {length} characters, {what} has at least {min}")));
    }
    if length > max {
        return Err(Violation::new(format!("`{value}` has {length} characters, {what} has at most {max}")));
    }
    Ok(())
}

/// Made of the allowed characters only, which `described` lists.
pub(crate) fn only(what: &str, value: &str, allowed: impl Fn(char) -> bool, described: &str) -> Verdict {
    match value.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(Violation::new(format!("`{value}` has the character {c:?}, {what} has {described} only"))),
        None => Ok(()),
    }
}

/// Does not begin with `prefix`.
pub(crate) fn no_prefix(what: &str, value: &str, prefix: &str) -> Verdict {
    if value.starts_with(prefix) {
        return Err(Violation::new(format!("`{value}` begins with `{prefix}`, which {what} may not")));
    }
    Ok(())
}

/// Does not end with `suffix`.
pub(crate) fn no_suffix(what: &str, value: &str, suffix: &str) -> Verdict {
    if value.ends_with(suffix) {
        return Err(Violation::new(format!("`{value}` ends with `{suffix}`, which {what} may not")));
    }
    Ok(())
}

/// Does not have `part` anywhere.
pub(crate) fn no_part(what: &str, value: &str, part: &str) -> Verdict {
    if value.contains(part) {
        return Err(Violation::new(format!("`{value}` has `{part}` in it, which {what} may not")));
    }
    Ok(())
}

/// Begins with a character of the given sort.
pub(crate) fn begins(what: &str, value: &str, allowed: impl Fn(char) -> bool, described: &str) -> Verdict {
    if value.starts_with(allowed) {
        return Ok(());
    }
    Err(Violation::new(format!("`{value}` does not begin with {described}, as {what} must")))
}

/// Between `min` and `max`; `unit` is a word after the numbers (`" seconds"`) or empty.
pub(crate) fn between(value: i64, min: i64, max: i64, unit: &str) -> Verdict {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Violation::new(format!("{value} is not between {min} and {max}{unit}")).with_suggestion(value.clamp(min, max)))
}
