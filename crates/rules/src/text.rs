//! Checks of texts and numbers, from which the rules are built.

use crate::{Verdict, Violation};

/// Returns whether a character is allowed in most AWS names.
pub(crate) fn alphanumeric_or_hyphen(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// Checks that a value has `min` to `max` characters.
pub(crate) fn length(what: &str, value: &str, min: usize, max: usize) -> Verdict {
    let length = value.chars().count();
    if value.is_empty() && min > 0 {
        return Err(Violation::new(format!("{what} must not be empty")));
    }
    let characters = if length == 1 { "1 character".to_owned() } else { format!("{length} characters") };
    if length < min {
        return Err(Violation::new(format!("`{value}` has {characters}; {what} needs at least {min}")));
    }
    if length > max {
        return Err(Violation::new(format!("`{value}` has {characters}; {what} can have at most {max}")));
    }
    Ok(())
}

/// Checks that a value consists of the allowed characters, which `described` lists.
pub(crate) fn only(what: &str, value: &str, allowed: impl Fn(char) -> bool, described: &str) -> Verdict {
    match value.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(Violation::new(format!("`{value}` contains {c:?}; {what} may contain only {described}"))),
        None => Ok(()),
    }
}

/// Checks that a value does not start with `prefix`.
pub(crate) fn no_prefix(what: &str, value: &str, prefix: &str) -> Verdict {
    if value.starts_with(prefix) {
        return Err(Violation::new(format!("`{value}` starts with `{prefix}`, which is not allowed for {what}")));
    }
    Ok(())
}

/// Checks that a value does not end with `suffix`.
pub(crate) fn no_suffix(what: &str, value: &str, suffix: &str) -> Verdict {
    if value.ends_with(suffix) {
        return Err(Violation::new(format!("`{value}` ends with `{suffix}`, which is not allowed for {what}")));
    }
    Ok(())
}

/// Checks that a value does not contain `part`.
pub(crate) fn no_part(what: &str, value: &str, part: &str) -> Verdict {
    if value.contains(part) {
        return Err(Violation::new(format!("`{value}` contains `{part}`, which is not allowed for {what}")));
    }
    Ok(())
}

/// Checks that a value starts with an allowed character, which `described` names.
pub(crate) fn begins(what: &str, value: &str, allowed: impl Fn(char) -> bool, described: &str) -> Verdict {
    if value.starts_with(allowed) {
        return Ok(());
    }
    Err(Violation::new(format!("`{value}` does not start with {described}, as required for {what}")))
}

/// Checks that a number is between `min` and `max`; `unit` follows the numbers in the message (such as `" seconds"`),
/// or is empty.
pub(crate) fn between(value: i64, min: i64, max: i64, unit: &str) -> Verdict {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Violation::new(format!("{value} is not between {min} and {max}{unit}")).with_suggestion(value.clamp(min, max)))
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn message_counts_one_character() {
        let message = |value| length("a bucket name", value, 3, 63).unwrap_err().to_string();
        assert_eq!(message("b"), "`b` has 1 character; a bucket name needs at least 3");
        assert_eq!(message("bc"), "`bc` has 2 characters; a bucket name needs at least 3");
    }
}
