//! Collector of the problems and the keys that are found while a file is read.

use std::collections::BTreeMap;
use std::ops::Range;

use pb_rules::{Verdict, Violation};

use crate::error::Problem;
use crate::schema::Key;
use crate::source::Source;

/// Location of a value.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// Path of the key in the file.
    pub(crate) path: String,
    /// Byte range of the value in the file.
    pub(crate) span: Range<usize>,
    /// 0 for keys that apply to all workspaces, 1 for keys of one workspace.
    pub(crate) layer: usize,
}

/// Origin of a value.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The key is absent; the value is the default.
    Default,
    /// The value is in the file, and it satisfies the rule for its key.
    Written(Location),
    /// The value in the file was refused and replaced with a placeholder. Rules that involve this value and others are
    /// skipped.
    Invalid,
}

/// Value with its origin.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T> Located<T> {
    pub(crate) fn default(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    pub(crate) fn location(&self) -> Option<&Location> {
        match &self.origin {
            Origin::Written(location) => Some(location),
            Origin::Default | Origin::Invalid => None,
        }
    }
}

/// Problems and keys that have been found so far.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    source: &'s Source,
    /// Header of the current workspace, at which problems are reported that no single value causes.
    pub(crate) header: Option<Location>,
    problems: Vec<(usize, Problem)>,
    notes: Vec<(usize, Problem)>,
    keys: BTreeMap<String, Key>,
    /// `true` if the configuration is read for its schema, so that the limits of numbers are registered, too.
    pub(crate) describes: bool,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source, describes: bool) -> Self {
        Self { source, header: None, problems: Vec::new(), notes: Vec::new(), keys: BTreeMap::new(), describes }
    }

    /// Registers a key of the format.
    pub(crate) fn register(&mut self, path: String, key: Key) {
        self.keys.entry(path).or_insert(key);
    }

    /// Reports a problem. A problem with a line that several workspaces share is reported only once.
    pub(crate) fn report(&mut self, span: Option<Range<usize>>, field: &str, message: String, help: String) {
        let offset = span.as_ref().map_or(0, |span| span.start);
        add(&mut self.problems, offset, self.source.problem(span, field.to_owned(), message, help));
    }

    /// Adds a note: the value is valid, but does not do what is likely intended.
    pub(crate) fn note(&mut self, location: &Location, message: String, help: String) {
        let problem = self.source.problem(Some(location.span.clone()), location.path.clone(), message, help);
        add(&mut self.notes, location.span.start, problem);
    }

    /// Applies a rule about several values, unless one of them was refused. A violation is reported at the first value
    /// that the workspace itself sets, otherwise at the first value that is set for all workspaces, otherwise at the
    /// header of the workspace. If the rule suggests a value, the hint is to write it for `key`; `help` is the hint if
    /// the rule has none.
    pub(crate) fn check(&mut self, origins: &[&Origin], key: &str, help: &str, verdict: impl FnOnce() -> Verdict) {
        if origins.iter().any(|origin| matches!(origin, Origin::Invalid)) {
            return;
        }
        let Err(violation) = verdict() else { return };
        let written = origins.iter().rev().filter_map(|origin| match origin {
            Origin::Written(location) => Some(location),
            Origin::Default | Origin::Invalid => None,
        });
        let location = written.max_by_key(|location| location.layer).or(self.header.as_ref()).cloned();
        let help = match (violation.suggestion(), &location) {
            (Some(value), Some(location)) => format!("write `{key} = {}`", self.quoted_like(location, value)),
            _ => violation.remedy().unwrap_or(help).to_owned(),
        };
        let (span, path) = location.map(|location| (location.span, location.path)).unzip();
        let path = path.unwrap_or_default();
        self.report(span, &path, format!("invalid {}: {violation}", last(&path).unwrap_or(key)), help);
    }

    /// Reports a value that breaks a rule. `default` is the value that applies if the line is removed.
    pub(crate) fn refuse(&mut self, location: &Location, violation: &Violation, default: Option<&str>) {
        let key = last(&location.path).unwrap_or(&location.path);
        let suggestion = violation.suggestion().map(|value| self.quoted_like(location, value));
        let write = match &suggestion {
            Some(value) if key.ends_with(']') => format!("write `{value}`"),
            Some(value) => format!("write `{key} = {value}`"),
            None if violation.remedy().is_some() => violation.remedy().unwrap_or_default().to_owned(),
            None => format!("change the value of `{key}`"),
        };
        let help = match default {
            Some(default) if suggestion.as_deref() != Some(default) => {
                format!("{write}, or remove the line to use the default, {default}")
            }
            _ => write,
        };
        let message = format!("invalid {key}: {violation}");
        self.report(Some(location.span.clone()), &location.path, message, help);
    }

    /// Returns a suggested value, in quotes if the value in the file is in quotes.
    fn quoted_like(&self, location: &Location, value: &str) -> String {
        let written = self.source.text.get(location.span.clone()).unwrap_or_default();
        if written.starts_with(['"', '\'']) {
            return format!("\"{value}\"");
        }
        value.to_owned()
    }

    /// Returns the problems and the notes, each in the order of the file, and the registered keys.
    pub(crate) fn finish(self) -> (Vec<Problem>, Vec<Problem>, BTreeMap<String, Key>) {
        (in_order(self.problems), in_order(self.notes), self.keys)
    }
}

/// Adds a problem, unless the list contains it: several workspaces share the keys for all workspaces.
fn add(list: &mut Vec<(usize, Problem)>, offset: usize, problem: Problem) {
    let is_known = list
        .iter()
        .any(|(at, other)| *at == offset && other.field == problem.field && other.message == problem.message);
    if !is_known {
        list.push((offset, problem));
    }
}

fn in_order(mut list: Vec<(usize, Problem)>) -> Vec<Problem> {
    list.sort_by_key(|(offset, _)| *offset);
    list.into_iter().map(|(_, problem)| problem).collect()
}

/// Returns the last part of a path: the key itself.
fn last(path: &str) -> Option<&str> {
    path.rsplit('.').next().filter(|key| !key.is_empty())
}
