//! Text of the file, with conversion of offsets to lines and columns.

use std::ops::Range;

use pb_rules::secrets;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problem;

/// Delimiters of strings.
const QUOTES: [char; 2] = ['"', '\''];

/// Number of characters that are shown of a line, from the value on: a value can be too large to be shown.
const SHOWN_MAX: usize = 120;

/// File that is being read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
    /// Text for display, in which secrets are masked without changing any offset.
    redacted: String,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), redacted: text.to_owned() }
    }

    /// Masks values that look like secrets in the text for display.
    pub(crate) fn redact(&mut self, table: &DeTable<'_>) {
        let mut spans = Vec::new();
        find_secrets(table, &self.text, &mut spans);
        spans.into_iter().for_each(|span| self.mask(span));
    }

    /// Masks secrets line by line, for a text that is not valid TOML.
    pub(crate) fn redact_lines(&mut self) {
        let mut spans = Vec::new();
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            if secrets::may_contain_secret(line) {
                let value = line.find(['=', ':']).map_or(0, |at| at + 1);
                spans.push(start + value..start + line.len());
            }
            start += line.len();
        }
        spans.into_iter().for_each(|span| self.mask(span));
    }

    fn mask(&mut self, span: Range<usize>) {
        let Some(value) = self.redacted.get(span.clone()) else { return };
        let star =
            |c: char| if QUOTES.contains(&c) || c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) };
        let covered: String = value.chars().map(star).collect();
        self.redacted.replace_range(span, &covered);
    }

    /// Creates a problem at a location in the file, or a problem of the file as a whole.
    pub(crate) fn problem(&self, span: Option<Range<usize>>, field: String, message: String, help: String) -> Problem {
        let mut problem =
            Problem { file: self.file.clone(), line: 1, column: 1, field, message, help, snippet: None, width: 0 };
        if let Some(span) = span {
            let start = self.boundary(span.start);
            let before = &self.text[..start];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let line_end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
            let end = self.boundary(span.end).clamp(start, line_end);
            problem.line = before.matches('\n').count() + 1;
            problem.column = self.text[line_start..start].chars().count() + 1;
            problem.width = self.text[start..end].trim_end().chars().count().clamp(1, SHOWN_MAX);
            let line = self.redacted[line_start..line_end].trim_end();
            let mut shown: String = line.chars().take(problem.column - 1 + SHOWN_MAX).collect();
            if shown.len() < line.len() {
                shown.push('…');
            }
            problem.snippet = Some(shown.replace('\t', " "));
        }
        problem
    }

    /// Returns the last character boundary at or before this offset.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Collects the byte ranges of values that look like secrets.
fn find_secrets(table: &DeTable<'_>, text: &str, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        find_secrets_in(key.get_ref(), value, text, spans);
    }
}

fn find_secrets_in(name: &str, value: &Spanned<DeValue<'_>>, text: &str, spans: &mut Vec<Range<usize>>) {
    // Secrets are masked even in a structure that is refused: `environment = [{ name = "A_TOKEN", value = "x" }]`.
    let is_whole = secrets::is_secret_name(name)
        || ["secret", "secrets"].contains(&name)
        || (name == "environment" && !value.get_ref().is_table());
    let name = if is_whole { "secret" } else { name };
    let shown = match value.get_ref() {
        DeValue::Table(table) if is_whole => {
            return table.values().for_each(|value| find_secrets_in(name, value, text, spans));
        }
        DeValue::Table(table) => return find_secrets(table, text, spans),
        DeValue::Array(items) => return items.iter().for_each(|item| find_secrets_in(name, item, text, spans)),
        DeValue::String(text) => text,
        // A value of another type, for example a secret that consists of digits, without quotes.
        _ => text.get(value.span()).unwrap_or_default(),
    };
    if secrets::plain_variable(name, shown).is_err() {
        spans.push(value.span());
    }
}
