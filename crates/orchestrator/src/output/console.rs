//! The streams of the program: data goes to stdout, everything else to stderr. Colours are removed unless the stream is
//! a terminal that shows them. Everything appears above the live lines. No other file prints.
#![expect(clippy::disallowed_macros, reason = "this is the file through which all others print")]

use super::live::{LiveLines, Size};
use crate::exit::Error;
use pb_engine::ErrorCode;
use serde::Serialize;
use std::fmt::Display;
use std::io::{IsTerminal, Result as IoResult, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Interval between two redraws of the live lines, after which they also fit a terminal whose size has changed.
const REDRAW_INTERVAL: Duration = Duration::from_millis(120);

/// Sequence that clears a terminal and moves the cursor to the top.
const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";

/// Size of a terminal that does not tell it.
const DEFAULT_SIZE: Size = Size { columns: 80, rows: 24 };

/// The live lines on stderr.
static LIVE: Mutex<Live> = Mutex::new(Live { lines: LiveLines::new(), is_redrawn: false, is_paused: false });

struct Live {
    lines: LiveLines,
    /// Set while a thread redraws the lines.
    is_redrawn: bool,
    /// Set while the lines are hidden, because the user is answering a question.
    is_paused: bool,
}

/// Returns whether stderr is a terminal that can show live lines.
pub fn has_live_lines() -> bool {
    cfg!(unix) && std::io::stderr().is_terminal() && has_cursor()
}

/// Returns whether the cursor of the terminal can be moved. Terminals in which it cannot call themselves `dumb`, or have
/// no name.
fn has_cursor() -> bool {
    std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb")
}

/// Sets the text of a live line, which is shown until [`remove_live`].
pub fn set_live(key: &str, text: String) {
    let mut live = lock();
    live.lines.set(key, text, Instant::now());
    live.draw();
    if !live.is_redrawn {
        live.is_redrawn = true;
        std::thread::spawn(redraw);
    }
}

/// Removes a live line.
pub fn remove_live(key: &str) {
    let mut live = lock();
    live.lines.remove(key);
    live.draw();
}

/// Removes all live lines. The program must not end before.
pub fn end_live() {
    let mut live = lock();
    live.erase();
    live.lines.clear();
}

/// Redraws the live lines, as their elapsed time grows, until there are none.
fn redraw() {
    loop {
        std::thread::sleep(REDRAW_INTERVAL);
        let mut live = lock();
        if live.lines.is_empty() {
            live.is_redrawn = false;
            return;
        }
        live.draw();
    }
}

fn lock() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints with `print` above the live lines.
fn above<T>(print: impl FnOnce() -> T) -> T {
    let mut live = lock();
    live.erase();
    live.is_paused = false;
    let printed = print();
    if !live.lines.is_empty() {
        live.draw();
    }
    printed
}

impl Live {
    fn erase(&mut self) {
        let text = self.lines.erase(terminal_size());
        write_control(&text);
    }

    fn draw(&mut self) {
        if !self.is_paused {
            let text = self.lines.draw(terminal_size(), Instant::now());
            write_control(&text);
        }
    }
}

/// Writes text with control sequences to stderr, in one piece. A failure is ignored: if the terminal is gone, nobody can
/// see the live lines.
fn write_control(text: &str) {
    if !text.is_empty() {
        let mut terminal = std::io::stderr().lock();
        let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
    }
}

#[cfg(unix)]
fn terminal_size() -> Size {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or(DEFAULT_SIZE, |size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
}

#[cfg(not(unix))]
fn terminal_size() -> Size {
    DEFAULT_SIZE
}

/// Removes the colours from both streams.
pub fn disable_colors() {
    anstream::ColorChoice::Never.write_global();
}

/// Prints a line to stdout.
pub fn print(line: impl Display) {
    above(|| anstream::println!("{line}"));
}

/// Prints a text that ends its own lines to stdout.
pub fn print_text(text: impl Display) {
    above(|| anstream::print!("{text}"));
}

/// Prints a JSON document to stdout.
///
/// # Errors
/// If `value` cannot be serialized.
pub fn document<T: Serialize>(value: &T) -> Result<(), Error> {
    print(serde_json::to_string_pretty(value).map_err(not_serializable)?);
    Ok(())
}

/// Prints a JSON document to stdout, on one line.
///
/// # Errors
/// If `value` cannot be serialized.
pub fn json_line<T: Serialize>(value: &T) -> Result<(), Error> {
    print(serde_json::to_string(value).map_err(not_serializable)?);
    Ok(())
}

fn not_serializable(e: serde_json::Error) -> Error {
    Error::other(ErrorCode::Bug, format!("cannot serialize the output: {e}"), "this is a bug in pb-deploy")
}

/// Clears the terminal on stdout, if it is one that can be cleared.
pub fn clear_screen() {
    if std::io::stdout().is_terminal() && has_cursor() {
        // Not through `anstream`, which would also remove this sequence where it removes colours. A failure is ignored:
        // if the terminal is gone, nothing needs to be cleared.
        let _ = std::io::stdout().write_all(CLEAR_SCREEN);
    }
}

/// Prints lines to stdout, and no other line between them.
///
/// # Errors
/// If nobody reads stdout any more.
pub fn try_print(lines: impl IntoIterator<Item = String>) -> IoResult<()> {
    above(|| {
        let mut out = anstream::stdout().lock();
        lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    })
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
    above(|| anstream::eprintln!("{line}"));
}

/// Prints a question to stderr, after which the user types the answer in the same line. Live lines are hidden until the
/// next line is printed.
pub fn prompt(question: impl Display) {
    let mut live = lock();
    live.erase();
    live.is_paused = true;
    anstream::eprint!("{question}");
}
