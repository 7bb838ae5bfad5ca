//! Tokens of Rust source text.

/// Text of the tokens that stand for literals, whose content is of no interest.
const LITERAL: &str = "\"";
/// Prefixes of string literals, the longer ones first.
const STRING_PREFIXES: [&str; 6] = ["br", "cr", "r", "b", "c", ""];

/// An identifier, `::`, another punctuation character, or a placeholder for a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    /// Line number, starting at 1.
    pub line: usize,
}

impl Token<'_> {
    pub fn is_identifier(&self) -> bool {
        self.text.starts_with(starts_identifier)
    }
}

/// Returns the tokens of a source text, without comments and lifetimes.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, text) = next(rest, first);
        tokens.extend(text.map(|text| Token { text, line }));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Returns the length of what a text begins with, and the text of its token, if it is one.
fn next(text: &str, first: char) -> (usize, Option<&str>) {
    if first.is_whitespace() {
        return (first.len_utf8(), None);
    }
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), None);
    }
    if text.starts_with("/*") {
        return (block_comment(text), None);
    }
    if let Some(length) = string(text) {
        return (length, Some(LITERAL));
    }
    if let Some(quoted) = text.strip_prefix("b'").or_else(|| text.strip_prefix('\'')) {
        let prefix = text.len() - quoted.len();
        return match character(quoted) {
            Some(length) => (prefix + length, Some(LITERAL)),
            None => (prefix + word(quoted), None),
        };
    }
    if starts_identifier(first) {
        let raw = if text.starts_with("r#") { 2 } else { 0 };
        let length = raw + word(&text[raw..]);
        return (length, Some(&text[raw..length]));
    }
    if first.is_ascii_digit() {
        return (word(text), Some(LITERAL));
    }
    let length = if text.starts_with("::") { 2 } else { first.len_utf8() };
    (length, Some(&text[..length]))
}

fn starts_identifier(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

/// Returns the length of the letters, digits and underscores that a text begins with.
fn word(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())
}

/// Returns the length of a block comment, which may contain others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        match &text[at..] {
            rest if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            rest if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of the string literal that a text begins with, if it does.
fn string(text: &str) -> Option<usize> {
    STRING_PREFIXES.iter().find_map(|prefix| {
        let rest = text.strip_prefix(prefix)?;
        let bare = if prefix.contains('r') { rest.trim_start_matches('#') } else { rest };
        let content = bare.strip_prefix('"')?;
        let start = text.len() - content.len();
        let hashes = &rest[..rest.len() - bare.len()];
        let length = match prefix.contains('r') {
            true => content.find(&format!("\"{hashes}")).map(|end| end + 1 + hashes.len()),
            false => closing(content, '"'),
        };
        Some(length.map_or(text.len(), |length| start + length))
    })
}

/// Returns the length of the rest of a character literal after its opening quote, or `None` for a lifetime.
fn character(quoted: &str) -> Option<usize> {
    if quoted.starts_with('\\') {
        return closing(quoted, '\'');
    }
    let first = quoted.chars().next()?.len_utf8();
    quoted[first..].starts_with('\'').then_some(first + 1)
}

/// Returns the length up to and including the first quote that no backslash precedes.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let end = text.find(|letter: char| {
        let found = letter == quote && !escaped;
        escaped = letter == '\\' && !escaped;
        found
    });
    end.map(|end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_lifetimes_are_no_tokens() {
        assert_eq!(texts("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(texts("impl<'a> A<'static>"), ["impl", "<", ">", "A", "<", ">"]);
    }

    #[test]
    fn literals_hide_their_content() {
        for literal in [
            r#""crate::a""#,
            r#""\"crate::a""#,
            r##"r#"" crate::a"#"##,
            r#"br"\""#,
            r#"b"a""#,
            "'\"'",
            r"'\''",
            r"b'\\'",
            "'\u{e9}'",
            "0xFF_u8",
        ] {
            assert_eq!(texts(&format!("a {literal} b")), ["a", LITERAL, "b"], "{literal}");
        }
    }

    #[test]
    fn paths_are_tokens_with_lines() {
        assert_eq!(texts("crate::r#mod::f(x)?"), ["crate", "::", "mod", "::", "f", "(", "x", ")", "?"]);
        let lines: Vec<usize> = tokens("a\n\"\n\" /*\n*/ b").into_iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }
}
