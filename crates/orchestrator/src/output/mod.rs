//! Plans, runs and results as text. Data goes to stdout, everything else to stderr; both are readable without colour.

pub mod console;
pub mod drift;
pub mod markdown;
pub mod plan;
#[expect(clippy::disallowed_macros, reason = "moves to `console` with the reporter")]
pub mod reporter;

use crate::exit::Error;
use anstyle::{AnsiColor, Style};

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default();
pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();

/// Returns `text` in `style`.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints an error with its hint to stderr.
#[expect(clippy::disallowed_macros, reason = "moves to `console` with the reporter")]
pub fn error(error: &Error, json: bool) {
    if json {
        anstream::eprintln!(
            "{}",
            serde_json::json!({
                "error": error.to_string(), "hint": error.hint(), "exit": error.code(), "code": error.error_code(),
                "causes": error.causes(),
            })
        );
        return;
    }
    anstream::eprintln!("{} {error}", paint(BAD, format!("error[{}]:", error.error_code())));
    if let Error::Refused(refused) | Error::Untagged { refused, .. } = error {
        for refused in refused {
            anstream::eprintln!("  {} {}", paint(BOLD, format!("{}:", refused.address)), refused.why);
        }
    }
    if let Error::MissingPrerequisites(failures) = error {
        for failure in failures {
            anstream::eprintln!("  {failure}");
            if let Some(hint) = &failure.hint {
                anstream::eprintln!("    {} {hint}", paint(WARN, "hint:"));
            }
        }
    }
    if let Some(hint) = error.hint() {
        anstream::eprintln!("{} {hint}", paint(WARN, "hint:"));
    }
}

/// Formats a count with its noun: `1 service`, `3 services`.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Formats milliseconds: `0.4 s`, `12 s`, `2 min 5 s`.
pub fn duration(millis: u64) -> String {
    match millis {
        0..10_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        10_000..60_000 => format!("{} s", millis / 1000),
        _ => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
    }
}

/// Formats an age with a single unit: `40 s`, `12 min`, `5 h`, `3 days`.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{age, duration};

    #[test]
    fn age_has_one_unit() {
        let texts: Vec<String> = [0, 119, 120, 7_199, 7_200, 172_800].into_iter().map(age).collect();
        assert_eq!(texts, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn duration_has_at_most_two_units() {
        let texts: Vec<String> = [0, 449, 9_999, 10_000, 59_999, 60_000, 125_000].into_iter().map(duration).collect();
        assert_eq!(texts, ["0.0 s", "0.4 s", "9.9 s", "10 s", "59 s", "1 min 0 s", "2 min 5 s"]);
    }
}
