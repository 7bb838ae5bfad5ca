//! The streams of the program: data goes to stdout, everything else to stderr. Colours are removed unless the stream is
//! a terminal that shows them. No other file prints.
#![expect(clippy::disallowed_macros, reason = "this is the file through which all others print")]

use crate::exit::Error;
use pb_engine::ErrorCode;
use serde::Serialize;
use std::fmt::Display;
use std::io::{Result as IoResult, Write};

/// Removes the colours from both streams.
pub fn disable_colors() {
    anstream::ColorChoice::Never.write_global();
}

/// Prints a line to stdout.
pub fn print(line: impl Display) {
    anstream::println!("{line}");
}

/// Prints a text that ends its own lines to stdout.
pub fn print_text(text: impl Display) {
    anstream::print!("{text}");
}

/// Prints a JSON document to stdout.
///
/// # Errors
/// If `value` cannot be serialized.
pub fn document<T: Serialize>(value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| {
        Error::other(ErrorCode::Bug, format!("cannot serialize the output: {e}"), "this is a bug in pb-deploy")
    })?;
    print(text);
    Ok(())
}

/// Prints lines to stdout, and no other line between them.
///
/// # Errors
/// If nobody reads stdout any more.
pub fn try_print(lines: impl IntoIterator<Item = String>) -> IoResult<()> {
    let mut out = anstream::stdout().lock();
    lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    out.flush()
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// If nobody reads stdout any more.
pub fn try_write(bytes: &[u8]) -> IoResult<()> {
    std::io::stdout().write_all(bytes)
}

/// Prints a line to stderr.
pub fn note(line: impl Display) {
    anstream::eprintln!("{line}");
}

/// Prints a question to stderr, after which the user types the answer in the same line.
pub fn prompt(question: impl Display) {
    anstream::eprint!("{question}");
}
