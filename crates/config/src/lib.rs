//! Reader of `pb_deploy.toml`: resolves every workspace and reports every problem with its line.
//!
//! # Flow
//!
//! The file is parsed as TOML. Then each workspace is resolved from three layers: keys under `[workspace.NAME]`
//! override keys for all workspaces, which override the defaults. First each value is checked on its own, then values
//! that depend on each other, then the names that are derived from the values.
//!
//! # Guarantees
//!
//! - Every workspace of a [`Config`] satisfies all AWS rules that can be checked without calling AWS.
//! - All problems of a file are reported at once, each with file, line, column, the text of the line, and a hint.
//! - Values that are valid, but with which Celery or gunicorn does not do what is likely intended, have notes.
//! - A value that looks like a secret is refused and never shown in a report; secrets are accepted only as references
//!   under `secrets`.
//! - The file is the only input: the environment, the terminal and the network are not used.

mod commands;
mod error;
mod https;
mod keys;
mod limits;
mod names;
mod nearest;
mod other_services;
mod reader;
mod resolve;
mod roles;
mod schema;
mod section;
mod services;
mod source;
mod workspace;

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

pub use crate::error::{ConfigError, Problem};
pub use crate::names::{NameParts, Names, PRODUCTION};
pub use crate::roles::exec_statement;
pub use crate::schema::schema;
pub use crate::services::{QUEUE_VARIABLES, WORKER_QUEUES};
pub use crate::workspace::{
    CreatedRole, Deploy, Egress, Engine, Https, Image, LoadBalancer, Logs, Network, OtherService, Protocol, Redis,
    ReleaseCommand, Roles, Route, Service, Services, State, TaskRole, WebService, Workspace,
};

use crate::reader::{Location, Reader};
use crate::schema::Key;
use crate::section::{Layer, Section, WORKSPACES};
use crate::source::Source;

/// Configuration at the root of the repository, which documents every key and its default.
pub const REFERENCE_CONFIG: &str = include_str!("../../../pb_deploy.toml");

/// Maximum number of reported syntax errors; one unclosed bracket can cause many.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Configuration in which every workspace is valid.
#[derive(Debug, Clone)]
pub struct Config {
    file: String,
    workspaces: Vec<Workspace>,
    notes: Vec<Problem>,
    keys: BTreeMap<String, Key>,
}

impl Config {
    /// Reads a file and checks every workspace in it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has problems.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(ConfigError::Unreadable { file, source }),
        }
    }

    /// Parses a text and checks every workspace in it. `file_name` is the path that problems report.
    ///
    /// # Errors
    ///
    /// The text has problems.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        Self::parse_with(text, file_name, false)
    }

    /// Parses a configuration. If `describes` is set, its keys have the limits of numbers.
    fn parse_with(text: &str, file_name: &str, describes: bool) -> Result<Self, ConfigError> {
        let mut source = Source::new(file_name, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        source.redact(table.get_ref());
        if !errors.is_empty() {
            source.redact_lines();
            return Err(ConfigError::Invalid { problems: syntax(&source, &errors) });
        }
        let mut reader = Reader::new(&source, describes);
        let workspaces = read(&mut reader, table.get_ref());
        let (problems, notes, keys) = reader.finish();
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }
        Ok(Self { file: source.file.clone(), workspaces, notes, keys })
    }

    /// Returns the path of the file, as the caller passed it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the names of the workspaces, in the order of the file.
    pub fn workspaces(&self) -> impl Iterator<Item = &str> {
        self.workspaces.iter().map(|workspace| workspace.name.as_str())
    }

    /// Returns the workspace with this name.
    ///
    /// # Errors
    ///
    /// The file has no such workspace; the error suggests the most similar name, if one is similar enough.
    pub fn workspace(&self, name: &str) -> Result<Workspace, ConfigError> {
        let known = self.workspaces.iter().find(|workspace| workspace.name == name);
        known.cloned().ok_or_else(|| ConfigError::UnknownWorkspace {
            file: self.file.clone(),
            name: name.to_owned(),
            nearest: nearest::nearest(name, self.workspaces()).map(str::to_owned),
            known: self.workspaces().map(str::to_owned).collect(),
        })
    }

    /// Returns notes about values that are valid, but do not do what is likely intended, in the order of the file.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// Returns the path of every key of the format, with the default in TOML syntax if the key has one. Keys of the
    /// tables in a list, such as `network.egress[].port`, are included only if the file contains that list.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.keys.iter().map(|(path, key)| (path.as_str(), key.default.as_deref()))
    }
}

/// Returns the syntax errors in the order of the file, one per line: further errors on a line are usually consequences
/// of the first.
fn syntax(source: &Source, errors: &[toml::de::Error]) -> Vec<Problem> {
    let problem = |error: &toml::de::Error| {
        let help = match error.message() {
            "duplicate key" => "remove one of the two",
            _ => "look for a missing quote, bracket or `=`; the format is described at https://toml.io",
        };
        let message = format!("not TOML: {}", error.message().replace('\n', ", "));
        source.problem(error.span(), String::new(), message, help.to_owned())
    };
    let mut problems: Vec<Problem> = errors.iter().map(problem).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup_by_key(|problem| problem.line);
    problems.truncate(SYNTAX_ERRORS_MAX);
    problems
}

/// Reads every workspace, in the order of the file.
fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Vec<Workspace> {
    let headers = headers(reader, table);
    if headers.is_empty() {
        // The keys for all workspaces are checked even without a workspace, under a placeholder name, which is not
        // checked because it has no header.
        resolve_one(reader, table, None, "default");
    }
    if table.get(WORKSPACES).and_then(|value| value.get_ref().as_table()).is_none_or(DeTable::is_empty) {
        let help = "add `[workspace.production]`, with the keys that it overrides, at the end of the file".to_owned();
        reader.report(None, WORKSPACES, "no workspace is configured".to_owned(), help);
    }
    let mut workspaces = Vec::new();
    for (header, own) in headers {
        let name = header.path.trim_start_matches("workspace.").to_owned();
        let layer = Layer { path: header.path.clone(), span: header.span.clone(), table: own, rank: 1 };
        reader.header = Some(header.clone());
        let workspace = resolve_one(reader, table, Some(layer), &name);
        check_hostname(reader, &header, &workspace, &workspaces);
        workspaces.push(workspace);
    }
    workspaces
}

fn resolve_one<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>, own: Option<Layer<'t>>, name: &str) -> Workspace {
    let base = Layer { path: String::new(), span: 0..0, table, rank: 0 };
    let layers = std::iter::once(base).chain(own).collect();
    let mut root = Section::new(reader, layers);
    let workspace = resolve::workspace(name, &mut root);
    root.refuse_unknown();
    workspace
}

/// Reports a workspace that has the same hostname as a workspace before it.
fn check_hostname(reader: &mut Reader<'_>, header: &Location, new: &Workspace, known: &[Workspace]) {
    let twin = known.iter().find(|other| other.names.hostname == new.names.hostname);
    if let (Some(twin), false) = (twin, new.hostname.is_empty()) {
        let (hostname, other) = (&new.names.hostname, &twin.name);
        let message = format!("the hostname `{hostname}` is already used by the workspace `{other}`");
        let help = "set a different `hostname` in one of the two workspaces".to_owned();
        reader.report(Some(header.span.clone()), &header.path, message, help);
    }
}

/// Returns the tables `[workspace.NAME]`, in the order of the file.
fn headers<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Vec<(Location, &'t DeTable<'t>)> {
    let workspaces = table.get(WORKSPACES).and_then(|value| value.get_ref().as_table());
    let mut headers = Vec::new();
    for (key, value) in workspaces.into_iter().flatten() {
        let location = Location { path: format!("{WORKSPACES}.{}", key.get_ref()), span: key.span(), layer: 1 };
        match value.get_ref() {
            DeValue::Table(table) => headers.push((location, table)),
            _ => {
                let message = format!("invalid workspace `{}`: expected a table", key.get_ref());
                let help = format!("write `[{}]`", location.path);
                reader.report(Some(location.span), &location.path, message, help);
            }
        }
    }
    headers.sort_by_key(|(location, _)| location.span.start);
    headers
}
