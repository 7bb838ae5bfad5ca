//! The text of the file, and where in it an offset lies.

use std::ops::Range;

use crate::error::Problem;

/// The file that is read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
}

impl Source {
    /// A problem at a place of the file; without one, it is about the file as a whole.
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
            problem.width = self.text[start..end].trim_end().chars().count().max(1);
            let line = self.text[line_start..line_end].trim_end();
            problem.snippet = Some(line.replace('\t', " "));
        }
        problem
    }

    /// The nearest offset at or before this one that begins a character.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}
