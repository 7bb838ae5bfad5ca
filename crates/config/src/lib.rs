//! Reads `pb_deploy.toml`: every workspace resolved, every value concrete, every mistake shown at its place.
//!
//! # Flow
//!
//! The file is parsed as TOML; then each of its workspaces is read in three layers: what is written under
//! `[workspace.NAME]` wins over what is written for all, which wins over the defaults. Each value is checked where it was
//! written, then the values together, then the names that are made from them.
//!
//! # Guarantees
//!
//! - A [`Config`] holds only workspaces that keep every rule of AWS that is known before the first call.
//! - All mistakes of a file are reported at once, each with file, line, column, the line itself and what to do.
//! - What looks like a secret is taken from no place but a reference under `secrets`, and is in no report of a mistake.
//! - No environment, no terminal, no network: only the file.

mod error;
mod keys;
mod names;
mod nearest;
mod other_services;
mod reader;
mod resolve;
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
pub use crate::schema::schema;
pub use crate::services::{QUEUE_VARIABLES, WORKER_QUEUES};
pub use crate::workspace::{
    Deploy, Egress, Engine, Image, LoadBalancer, Logs, Network, OtherService, Protocol, Redis, ReleaseCommand, Roles,
    Route, Service, Services, State, WebService, Workspace,
};

use crate::reader::{Location, Reader};
use crate::schema::Key;
use crate::section::{Layer, Section, WORKSPACES};
use crate::source::Source;

/// The configuration at the root of the repository, which documents every key and its default.
pub const REFERENCE_CONFIG: &str = include_str!("../../../pb_deploy.toml");

/// Syntax errors that are shown at most: one unclosed bracket can make very many.
const SYNTAX_ERRORS_MAX: usize = 5;

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    file: String,
    workspaces: Vec<Workspace>,
    keys: BTreeMap<String, Key>,
}

impl Config {
    /// Reads the file and checks every workspace in it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has mistakes.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(ConfigError::Unreadable { file, source }),
        }
    }

    /// Reads the text and checks every workspace in it. `file_name` is what mistakes name.
    ///
    /// # Errors
    ///
    /// The text has mistakes.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let mut source = Source::new(file_name, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        source.redact(table.get_ref());
        if !errors.is_empty() {
            source.redact_lines();
            return Err(ConfigError::Invalid { problems: syntax(&source, &errors) });
        }
        let mut reader = Reader::new(&source);
        let workspaces = read(&mut reader, table.get_ref());
        let (problems, keys) = reader.finish();
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }
        Ok(Self { file: source.file.clone(), workspaces, keys })
    }

    /// The file, as it was named by the caller.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Names of the workspaces, in the order of the file.
    pub fn workspaces(&self) -> impl Iterator<Item = &str> {
        self.workspaces.iter().map(|workspace| workspace.name.as_str())
    }

    /// The workspace of this name.
    ///
    /// # Errors
    ///
    /// The file has no such workspace; the error says which one was probably meant.
    pub fn workspace(&self, name: &str) -> Result<Workspace, ConfigError> {
        let known = self.workspaces.iter().find(|workspace| workspace.name == name);
        known.cloned().ok_or_else(|| ConfigError::UnknownWorkspace {
            file: self.file.clone(),
            name: name.to_owned(),
            nearest: nearest::nearest(name, self.workspaces()).map(str::to_owned),
            known: self.workspaces().map(str::to_owned).collect(),
        })
    }

    /// Every key that can be written, with its default as TOML where it has one. The keys of a list's tables
    /// (`network.egress[].port`) are known once such a list is written.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.keys.iter().map(|(path, key)| (path.as_str(), key.default.as_deref()))
    }
}

/// Syntax errors in the order of the file, one a line: what follows on the same line is mostly their consequence.
fn syntax(source: &Source, errors: &[toml::de::Error]) -> Vec<Problem> {
    let problem = |error: &toml::de::Error| {
        let help = match error.message() {
            "duplicate key" => "take one of the two out",
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
        // What is written for all is checked nevertheless; the stand-in has no header, so its name is not.
        resolve_one(reader, table, None, "default");
    }
    if table.get(WORKSPACES).and_then(|value| value.get_ref().as_table()).is_none_or(DeTable::is_empty) {
        let help = "write `[workspace.production]`, with what differs for it, at the end of the file".to_owned();
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

/// Two workspaces cannot have one hostname.
fn check_hostname(reader: &mut Reader<'_>, header: &Location, new: &Workspace, known: &[Workspace]) {
    let twin = known.iter().find(|other| other.names.hostname == new.names.hostname);
    if let (Some(twin), false) = (twin, new.hostname.is_empty()) {
        let (hostname, other) = (&new.names.hostname, &twin.name);
        let message = format!("the hostname `{hostname}` is that of the workspace `{other}` already");
        let help = "give one of them another `hostname`".to_owned();
        reader.report(Some(header.span.clone()), &header.path, message, help);
    }
}

/// The tables `[workspace.NAME]`, in the order of the file.
fn headers<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Vec<(Location, &'t DeTable<'t>)> {
    let workspaces = table.get(WORKSPACES).and_then(|value| value.get_ref().as_table());
    let mut headers = Vec::new();
    for (key, value) in workspaces.into_iter().flatten() {
        let location = Location { path: format!("{WORKSPACES}.{}", key.get_ref()), span: key.span(), layer: 1 };
        match value.get_ref() {
            DeValue::Table(table) => headers.push((location, table)),
            _ => {
                let message = format!("invalid workspace `{}`: a table is wanted", key.get_ref());
                let help = format!("write `[{}]`", location.path);
                reader.report(Some(location.span), &location.path, message, help);
            }
        }
    }
    headers.sort_by_key(|(location, _)| location.span.start);
    headers
}
