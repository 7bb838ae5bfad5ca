//! Live lines: the running steps at the bottom of a terminal, one row each, which are redrawn in place.

use std::time::{Duration, Instant};

/// Frames of the spinner, one for each redraw.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Replacement for the end of a text that is too long.
const ELLIPSIS: char = '…';

/// Size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// The live lines, in the order in which they were added, and the rows that are on the screen.
#[derive(Debug)]
pub struct LiveLines {
    lines: Vec<Line>,
    /// Width of each drawn row.
    drawn: Vec<usize>,
    redraws: usize,
}

#[derive(Debug)]
struct Line {
    key: String,
    text: String,
    since: Instant,
}

impl LiveLines {
    pub const fn new() -> Self {
        Self { lines: Vec::new(), drawn: Vec::new(), redraws: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Sets the text of a line; adds the line if there is none with this key.
    pub fn set(&mut self, key: &str, text: String, now: Instant) {
        match self.lines.iter_mut().find(|line| line.key == key) {
            Some(line) => line.text = text,
            None => self.lines.push(Line { key: key.to_owned(), text, since: now }),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.lines.retain(|line| line.key != key);
    }

    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Returns the output that erases the drawn rows. The cursor is then where the first of them was.
    pub fn erase(&mut self, size: Size) -> String {
        if self.drawn.is_empty() {
            return String::new();
        }
        let text = format!("{}\x1b[J", self.to_first_row(size));
        self.drawn.clear();
        text
    }

    /// Returns the output that replaces the drawn rows with the current lines. The cursor is then below them, at the
    /// start of a row, where the terminal echoes Ctrl-C.
    pub fn draw(&mut self, size: Size, now: Instant) -> String {
        let mut text = self.to_first_row(size);
        self.redraws += 1;
        let spinner = SPINNER[self.redraws % SPINNER.len()];
        // The cursor needs a row of its own. A row that has scrolled out of the screen could not be erased.
        let room = size.rows.saturating_sub(1);
        let shown = if self.lines.len() > room { room.saturating_sub(1) } else { self.lines.len() };
        let mut rows: Vec<String> =
            self.lines.iter().take(shown).map(|line| line.row(spinner, size.columns, now)).collect();
        if shown < self.lines.len() && room > 0 {
            rows.push(fitted(
                &format!("  {ELLIPSIS} and {} more", self.lines.len() - shown),
                last_column(size.columns),
            ));
        }
        for row in &rows {
            text.push_str(row);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        self.drawn = rows.iter().map(|row| width(row)).collect();
        text
    }

    /// Returns the output that moves the cursor to the first drawn row. In a terminal that has become narrower, each of
    /// them may occupy several rows, because most terminals wrap what they show.
    fn to_first_row(&self, size: Size) -> String {
        let rows: usize = self.drawn.iter().map(|drawn| drawn.div_ceil(size.columns.max(1)).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }
}

impl Line {
    /// Returns the row of the line: spinner, text, elapsed time. It is narrower than the terminal: a row that ends in
    /// the last column could be wrapped.
    fn row(&self, spinner: char, columns: usize, now: Instant) -> String {
        let elapsed = clock(now.saturating_duration_since(self.since));
        let room = last_column(columns);
        let text = fitted(&self.text, room.saturating_sub(5 + elapsed.len()));
        fitted(&format!("  {spinner} {text} {elapsed}"), room)
    }
}

/// Formats an elapsed time so that it changes every second: `0:07`, `12:40`, `1:02:03`.
pub fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn last_column(columns: usize) -> usize {
    columns.saturating_sub(1)
}

/// Returns `text` on one line, cut to a number of columns.
fn fitted(text: &str, columns: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&text) <= columns {
        return text;
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let fits = columns_of(*c) <= left;
        left = left.saturating_sub(columns_of(*c));
        fits
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if columns > 0 {
        cut.push(ELLIPSIS);
    }
    cut
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Returns the columns that a character can occupy at most: two from U+1100 on, where the wide scripts begin, except in
/// the blocks of the spinner and of other narrow symbols.
fn columns_of(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{1fff}' | '\u{2e80}'.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{LiveLines, Size, clock, columns_of, fitted, width};
    use std::time::{Duration, Instant};

    const WIDE: Size = Size { columns: 80, rows: 24 };

    #[test]
    fn clock_changes_every_second() {
        let read = |seconds: u64| clock(Duration::from_millis(seconds * 1000 + 999));
        assert_eq!([0, 7, 60, 90, 107].map(read), ["0:00", "0:07", "1:00", "1:30", "1:47"]);
        assert_eq!([3599, 3600, 3723].map(read), ["59:59", "1:00:00", "1:02:03"]);
    }

    #[test]
    fn row_is_narrower_than_the_terminal() {
        let since = Instant::now();
        for text in
            ["fargate/celery: updating: new 0/6 running, old 6 serving", "名前がとても長いサービス: updating", "a"]
        {
            for columns in 0..100 {
                let mut lines = LiveLines::new();
                lines.set("a", text.to_owned(), since);
                let drawn = lines.draw(Size { columns, rows: 24 }, since + Duration::from_secs(107));
                let row = drawn.trim_start_matches('\r').split('\x1b').next().unwrap();
                assert!(width(row) < columns.max(1), "{columns}: {row}");
                assert!(columns < 12 || row.ends_with(" 1:47"), "{columns}: {row}");
            }
        }
    }

    #[test]
    fn cut_text_ends_with_an_ellipsis() {
        assert_eq!(["deployment", "exact", "a\nb"].map(|text| fitted(text, 5)), ["depl…", "exact", "a b"]);
        assert_eq!(fitted("名前名前", 4), "名…");
        assert_eq!((columns_of('é'), columns_of('⠸'), columns_of('…'), columns_of('前')), (1, 1, 1, 2));
    }

    #[test]
    fn erase_covers_rows_that_a_narrower_terminal_wrapped() {
        let now = Instant::now();
        let mut lines = LiveLines::new();
        lines.set("a", "x".repeat(60), now);
        lines.set("b", "y".to_owned(), now);
        lines.draw(WIDE, now);
        assert_eq!(lines.erase(Size { columns: 40, ..WIDE }), "\r\x1b[3A\x1b[J");
        assert_eq!(lines.erase(WIDE), "", "nothing is drawn");
    }

    #[test]
    fn lines_beyond_the_last_row_are_counted() {
        let now = Instant::now();
        let mut lines = LiveLines::new();
        (0..9).for_each(|number| lines.set(&number.to_string(), format!("step {number}"), now));
        let drawn = lines.draw(Size { columns: 40, rows: 5 }, now);
        assert!(drawn.contains("step 2 ") && !drawn.contains("step 3 ") && drawn.contains("… and 6 more"), "{drawn:?}");
        assert_eq!(lines.erase(WIDE), "\r\x1b[4A\x1b[J");
    }
}
