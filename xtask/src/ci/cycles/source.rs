//! The modules, items, imports and paths of one source file.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};

/// Keywords before the name of an item.
const ITEMS: [&str; 9] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro"];
/// Keywords of items that end with a semicolon, even after braces.
const STATEMENTS: [&str; 5] = ["use", "type", "const", "static", "let"];
/// Words that items with a body in braces begin with; commas do not end them.
const DEFINITIONS: [&str; 10] = ["fn", "struct", "enum", "union", "trait", "impl", "mod", "unsafe", "async", "extern"];

/// One name that a `use` declaration imports.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// Name under which the module knows it; absent for a glob.
    pub name: Option<String>,
    pub path: Vec<String>,
    pub line: usize,
    /// `true` if the declaration is visible outside of the module.
    pub is_reexport: bool,
}

/// A path with at least two segments outside of a `use` declaration.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
}

/// The content of a module, without the parts that are compiled only for tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Names of the items that the module defines.
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    pub paths: Vec<Path>,
    /// Child modules in the same file.
    pub inline: Vec<(String, Source)>,
    /// Names of the child modules in files of their own.
    pub files: Vec<String>,
}

/// Parses a source file.
pub fn parse(text: &str) -> Source {
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0 };
    parser.module()
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
}

impl<'a> Parser<'a> {
    fn text(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text)
    }

    fn identifier(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).filter(|token| token.is_identifier()).map(|token| token.text)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    /// Parses up to the end of the file or to the brace that closes the module.
    fn module(&mut self) -> Source {
        let mut source = Source::default();
        let (mut depth, mut is_visible) = (0, false);
        while self.at < self.tokens.len() {
            let was_visible = std::mem::take(&mut is_visible);
            match self.text(0) {
                "#" if self.text(1) == "[" => {
                    if self.attribute_requires_test() {
                        self.skip_item();
                    }
                }
                "pub" => {
                    is_visible = true;
                    self.skip_visibility();
                }
                // `use<>` at the end of a type lists captured lifetimes.
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    let start = source.imports.len();
                    self.use_tree(&[], &mut source.imports);
                    source.imports[start..].iter_mut().for_each(|import| import.is_reexport = was_visible);
                }
                "mod" if self.identifier(1).is_some() => self.child(&mut source),
                "{" => (depth, self.at) = (depth + 1, self.at + 1),
                "}" if depth == 0 => return source,
                "}" => (depth, self.at) = (depth - 1, self.at + 1),
                word => {
                    if depth == 0 && ITEMS.contains(&word) {
                        source.items.extend(self.identifier(1).map(str::to_owned));
                    } else if depth == 0 && word == "macro_rules" {
                        source.items.extend(self.identifier(2).map(str::to_owned));
                    }
                    self.path(&mut source.paths);
                }
            }
        }
        source
    }

    /// Parses `mod name;` or `mod name { ... }`.
    fn child(&mut self, source: &mut Source) {
        let name = self.text(1).to_owned();
        let is_inline = self.text(2) == "{";
        self.at += 3;
        if is_inline {
            let child = self.module();
            self.at += 1;
            source.inline.push((name, child));
        } else {
            source.files.push(name);
        }
    }

    /// Parses a path, or passes one token.
    fn path(&mut self, paths: &mut Vec<Path>) {
        let line = self.line();
        let mut segments = Vec::new();
        while let Some(segment) = self.identifier(0) {
            segments.push(segment.to_owned());
            self.at += 1;
            if self.text(0) != "::" || self.identifier(1).is_none() {
                break;
            }
            self.at += 1;
        }
        match segments.len() {
            0 if self.text(0) == "::" && self.identifier(1).is_some() => {
                // The path of another crate: passes its first segment, too.
                self.at += 2;
            }
            0 => self.at += 1,
            1 => {}
            _ => paths.push(Path { segments, line }),
        }
    }

    /// Parses what a `use` declaration imports, and the semicolon, comma or brace after it.
    fn use_tree(&mut self, prefix: &[String], imports: &mut Vec<Import>) {
        let mut path = prefix.to_vec();
        let line = self.line();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !["}", ""].contains(&self.text(0)) {
                        self.use_tree(&path, imports);
                    }
                    self.at += 1;
                }
                "*" => {
                    self.at += 1;
                    imports.push(Import { name: None, path: path.clone(), line, is_reexport: false });
                }
                ";" | "," => {
                    self.at += 1;
                    return;
                }
                "}" | "" => return,
                segment => {
                    self.at += 1;
                    if segment != "self" || path.is_empty() {
                        path.push(segment.to_owned());
                    }
                    if self.text(0) == "::" {
                        continue;
                    }
                    let mut name = path.last().cloned();
                    if self.text(0) == "as" {
                        name = Some(self.text(1).to_owned());
                        self.at += 2;
                    }
                    imports.push(Import { name, path: path.clone(), line, is_reexport: false });
                }
            }
        }
    }

    /// Passes an attribute; returns whether it says that the item after it is compiled only for tests.
    fn attribute_requires_test(&mut self) -> bool {
        let start = self.at + 2;
        self.at += 1;
        self.skip_group();
        let content: Vec<&str> = self.tokens[start..self.at.max(start)].iter().map(|token| token.text).collect();
        content.starts_with(&["cfg", "("]) && requires_test(&content[2..], &mut 0)
    }

    fn skip_visibility(&mut self) {
        self.at += 1;
        if self.text(0) == "(" && ["crate", "super", "self", "in"].contains(&self.text(1)) {
            self.skip_group();
        }
    }

    /// Passes an item, field, variant, arm or statement.
    fn skip_item(&mut self) {
        while self.text(0) == "#" && self.text(1) == "[" {
            self.at += 1;
            self.skip_group();
        }
        if self.text(0) == "pub" {
            self.skip_visibility();
        }
        let word = if self.text(1) == "fn" { "fn" } else { self.text(0) };
        loop {
            match self.text(0) {
                "" | ")" | "]" | "}" => return,
                ";" => break,
                "," if !DEFINITIONS.contains(&word) && !STATEMENTS.contains(&word) => break,
                "{" => {
                    self.skip_group();
                    if !STATEMENTS.contains(&word) {
                        return;
                    }
                }
                "(" | "[" => self.skip_group(),
                _ => self.at += 1,
            }
        }
        self.at += 1;
    }

    /// Passes a group in brackets of any kind.
    fn skip_group(&mut self) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

/// Returns whether a configuration predicate, which begins at `at`, is true only in tests. Passes it.
fn requires_test(predicate: &[&str], at: &mut usize) -> bool {
    let word = predicate.get(*at).copied().unwrap_or_default();
    *at += 1;
    if predicate.get(*at) != Some(&"(") {
        while !matches!(predicate.get(*at), None | Some(&("," | ")"))) {
            *at += 1;
        }
        return word == "test";
    }
    let mut parts = Vec::new();
    while !matches!(predicate.get(*at), None | Some(&")")) {
        *at += 1;
        parts.push(requires_test(predicate, at));
    }
    *at += 1;
    match word {
        "all" => parts.contains(&true),
        "any" => !parts.contains(&false),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
