//! Plans, runs and results as text. Data goes to stdout, everything else to stderr; both are readable without colour.

pub mod certificate;
pub mod console;
pub mod drift;
mod live;
pub mod markdown;
pub mod plan;
mod quantities;
pub mod reporter;

pub use quantities::{age, count, duration};

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

/// Returns the lines with warnings.
pub fn warnings(warnings: &[String]) -> impl Iterator<Item = String> {
    warnings.iter().map(|warning| format!("{} {warning}", paint(WARN, "warning:")))
}

/// Prints an error with its hint to stderr.
pub fn error(error: &Error, json: bool) {
    if json {
        console::note(serde_json::json!({
            "error": error.to_string(), "hint": error.combined_hint(), "exit": error.code(),
            "pb_code": error.error_code(), "causes": error.causes(),
        }));
        return;
    }
    console::note(format!("{} {error}", paint(BAD, format!("error[{}]:", error.error_code()))));
    if let Error::Refused(refused) | Error::Untagged { refused, .. } | Error::Unmanaged { refused, .. } = error {
        for refused in refused {
            console::note(format!("  {} {}", paint(BOLD, format!("{}:", refused.address)), refused.why));
        }
    }
    if let Error::MissingPrerequisites(failures) | Error::NotPrepared { failures, .. } = error {
        for failure in failures {
            console::note(format!("  {failure}"));
            if let Some(hint) = &failure.hint {
                console::note(format!("    {} {hint}", paint(WARN, "hint:")));
            }
        }
    }
    if let Some(hint) = error.hint() {
        console::note(format!("{} {hint}", paint(WARN, "hint:")));
    }
}
