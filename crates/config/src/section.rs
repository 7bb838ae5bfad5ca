//! Table of the configuration, merged from the keys for all workspaces and the keys of one workspace.

use std::collections::BTreeMap;
use std::ops::Range;

use pb_rules::{Verdict, Violation};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;
use crate::reader::{Located, Location, Origin, Reader};
use crate::schema::{Key, Shape};

/// Description of a list of tables, for errors about values of another type.
pub(crate) const TABLES: &str = "a list of tables";
/// Top-level key of the workspaces, which are read separately.
pub(crate) const WORKSPACES: &str = "workspace";

/// Table of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'t> {
    /// Path in the file: `workspace.staging.redis` or `redis`; empty for the whole file.
    pub(crate) path: String,
    pub(crate) table: &'t DeTable<'t>,
    /// Byte range of the table, or of its header, in the file.
    pub(crate) span: Range<usize>,
    /// 0 for keys that apply to all workspaces, 1 for keys of one workspace.
    pub(crate) rank: usize,
}

/// Table that is being read. Keys are read by name; keys that were never read are refused at the end.
#[derive(Debug)]
pub(crate) struct Section<'r, 't> {
    pub(crate) reader: &'r mut Reader<'t>,
    /// Path without the prefix of the workspace, such as `redis` or `network.egress[]`.
    path: String,
    /// Layers: the keys for all workspaces first, then the keys of the workspace.
    layers: Vec<Layer<'t>>,
    read_keys: Vec<String>,
}

/// Reason why a value is refused.
pub(crate) enum ValueError {
    /// The value does not have this type.
    Type(&'static str),
    /// The value breaks a rule.
    Rule(Violation),
}

impl From<Violation> for ValueError {
    fn from(violation: Violation) -> Self {
        Self::Rule(violation)
    }
}

impl<'r, 't> Section<'r, 't> {
    pub(crate) fn new(reader: &'r mut Reader<'t>, layers: Vec<Layer<'t>>) -> Self {
        Self { reader, path: String::new(), layers, read_keys: Vec::new() }
    }

    /// Returns the path of a key of this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Reads a nested table.
    pub(crate) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
        let mut layers = Vec::new();
        for (location, value) in self.written_values(key) {
            match value.get_ref() {
                DeValue::Table(table) => {
                    layers.push(Layer { rank: location.layer, path: location.path, span: location.span, table });
                }
                other => self.wrong_type(&location, "a table", other, None),
            }
        }
        self.inner(join(&self.path, key), layers, read)
    }

    pub(crate) fn inner<T>(
        &mut self,
        path: String,
        layers: Vec<Layer<'t>>,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        let mut inner = Section { reader: &mut *self.reader, path, layers, read_keys: Vec::new() };
        let value = read(&mut inner);
        inner.refuse_unknown();
        value
    }

    /// Reads a list. The list of a workspace replaces the list for all workspaces. Each item is read with its own
    /// location; refused items are left out.
    pub(crate) fn list<T>(
        &mut self,
        key: &str,
        expected: &'static str,
        default_toml: Option<&str>,
        mut read: impl FnMut(&mut Self, &Location, &'t DeValue<'t>) -> Option<T>,
    ) -> Located<Option<Vec<T>>> {
        self.register(key, default_toml, if expected == TABLES { Shape::Tables } else { Shape::Texts });
        let mut result = Located::default(None);
        for (location, value) in self.written_values(key) {
            let DeValue::Array(items) = value.get_ref() else {
                self.wrong_type(&location, expected, value.get_ref(), default_toml);
                result.origin = Origin::Invalid;
                continue;
            };
            let mut list = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let location =
                    Location { path: format!("{}[{index}]", location.path), span: item.span(), layer: location.layer };
                list.extend(read(self, &location, item.get_ref()));
            }
            result.origin = match list.len() == items.len() {
                true => Origin::Written(location),
                false => Origin::Invalid,
            };
            result.value = Some(list);
        }
        result
    }

    /// Reads a list item that is a table.
    pub(crate) fn item<T>(
        &mut self,
        key: &str,
        location: &Location,
        value: &'t DeValue<'t>,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> Option<T> {
        let DeValue::Table(table) = value else {
            self.wrong_type(location, "a table", value, None);
            return None;
        };
        let layer = Layer { path: location.path.clone(), span: location.span.clone(), table, rank: location.layer };
        let path = format!("{}[]", join(&self.path, key));
        Some(self.inner(path, vec![layer], read))
    }

    /// Reads a table with arbitrary keys. The entries of a workspace are merged into those for all workspaces.
    /// `value_rule` receives the key and the value.
    pub(crate) fn map(
        &mut self,
        key: &str,
        key_rule: impl Fn(&str) -> Verdict,
        value_rule: impl Fn(&str, &str) -> Verdict,
    ) -> BTreeMap<String, Located<String>> {
        self.register(key, Some("{}"), Shape::Map);
        self.section(key, |section| {
            let mut map = BTreeMap::new();
            for layer in section.layers.clone() {
                for key in layer.table.keys() {
                    let name: &str = key.get_ref();
                    if let Err(violation) = key_rule(name) {
                        let help = "choose another key, or remove the line".to_owned();
                        let message = format!("invalid key: {violation}");
                        section.reader.report(Some(key.span()), &join(&layer.path, name), message, help);
                    }
                    let value = section.value(name, String::new(), None, |value| {
                        // The rule is applied before the type is checked: it may refuse the key whatever the type of
                        // the value is, and its message shows no secret, whereas a message about the type may show the
                        // value.
                        value_rule(name, scalar(value))?;
                        string(value)
                    });
                    map.insert(name.to_owned(), value);
                }
            }
            map
        })
    }

    /// Returns the keys in all layers that have not been read yet, each with its first location.
    pub(crate) fn unread_keys(&self) -> Vec<(String, Location)> {
        let mut rest: Vec<(String, Location)> = Vec::new();
        for layer in &self.layers {
            for key in layer.table.keys() {
                let name: &str = key.get_ref();
                if !self.read_keys.iter().any(|asked| asked == name) && !rest.iter().any(|(known, _)| known == name) {
                    let location = Location { path: join(&layer.path, name), span: key.span(), layer: layer.rank };
                    rest.push((name.to_owned(), location));
                }
            }
        }
        rest
    }

    /// Accepts every key of a service whose `kind` is invalid, because its valid keys are then unknown.
    pub(crate) fn accept_all_keys(&mut self) {
        self.read_keys
            .extend(self.layers.iter().flat_map(|layer| layer.table.keys()).map(|key| key.get_ref().to_string()));
    }

    /// Returns whether the table is written in any layer.
    pub(crate) fn is_written(&self) -> bool {
        !self.layers.is_empty()
    }

    /// Returns whether any layer contains the key.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.table.contains_key(key))
    }

    /// Reads one key. The value in every layer is checked; the value of the workspace wins.
    pub(crate) fn value<T: Clone>(
        &mut self,
        key: &str,
        default: T,
        default_toml: Option<&str>,
        convert: impl Fn(&DeValue<'t>) -> Result<T, ValueError>,
    ) -> Located<T> {
        let mut result = Located::default(default.clone());
        let for_all = self.layers.first().is_some_and(|layer| layer.rank == 0 && layer.table.contains_key(key));
        for (location, value) in self.written_values(key) {
            // If the line of the workspace were removed, the value for all workspaces would apply, so the hint does not
            // offer the default.
            let default_toml = default_toml.filter(|_| location.layer == 0 || !for_all);
            result = match convert(value.get_ref()) {
                Ok(value) => Located { value, origin: Origin::Written(location) },
                Err(refusal) => {
                    self.refuse(&location, value.get_ref(), &refusal, default_toml);
                    Located { value: default.clone(), origin: Origin::Invalid }
                }
            };
        }
        result
    }

    /// Registers a key with its default and the type of its values.
    pub(crate) fn register(&mut self, key: &str, default: Option<&str>, shape: Shape) {
        let path = join(&self.path, key);
        self.reader.register(path, Key { default: default.map(str::to_owned), shape });
    }

    /// Reports that a required key is missing, and suggests `example` for it.
    pub(crate) fn missing(&mut self, key: &str, example: &str) {
        let layer = self.layers.last().filter(|_| !self.path.is_empty());
        let path = layer.map_or_else(|| join(&self.path, key), |layer| join(&layer.path, key));
        let location = match layer {
            Some(layer) if layer.path.ends_with(']') => String::new(),
            Some(layer) => format!(" under `[{}]`", layer.path),
            None if self.path.is_empty() => " at the top of the file".to_owned(),
            None => format!(" under a new header `[{}]`", self.path),
        };
        let span = layer.map(|layer| layer.span.clone());
        let message = format!("`{key}` is required but missing");
        self.reader.report(span, &path, message, format!("write `{key} = {example}`{location}"));
    }

    /// Returns the values of a key in all layers, with their locations.
    pub(crate) fn written_values(&mut self, key: &str) -> Vec<(Location, &'t Spanned<DeValue<'t>>)> {
        self.read_keys.push(key.to_owned());
        let values = self.layers.iter().filter_map(|layer| {
            let value = layer.table.get(key)?;
            let location = Location { path: join(&layer.path, key), span: value.span(), layer: layer.rank };
            Some((location, value))
        });
        values.collect()
    }

    /// Reports a refused value.
    pub(crate) fn refuse(
        &mut self,
        location: &Location,
        value: &DeValue<'_>,
        refusal: &ValueError,
        default_toml: Option<&str>,
    ) {
        match refusal {
            ValueError::Type(expected) => self.wrong_type(location, expected, value, default_toml),
            ValueError::Rule(violation) => self.reader.refuse(location, violation, default_toml),
        }
    }

    fn wrong_type(&mut self, location: &Location, expected: &str, found: &DeValue<'_>, default_toml: Option<&str>) {
        let key = location.path.rsplit('.').next().unwrap_or(&location.path);
        let message = format!("invalid {key}: expected {expected}, got {}", article(found));
        let help = match (expected, found, default_toml) {
            ("a string", DeValue::Integer(number), _) if key.ends_with(']') => format!("write `\"{number}\"`"),
            ("a string", DeValue::Integer(number), _) => format!("write `{key} = \"{number}\"`"),
            ("a number", DeValue::String(text), _) if text.parse::<i64>().is_ok() => {
                format!("write `{key} = {text}`, without quotes")
            }
            ("a table", ..) if !key.ends_with(']') => format!("write it as a table: `[{}]`", location.path),
            (_, _, Some(default_toml)) => format!("the default is `{key} = {default_toml}`"),
            _ => format!("write {expected}"),
        };
        self.reader.report(Some(location.span.clone()), &location.path, message, help);
    }

    /// Refuses every key that was not read, and suggests the most similar known key.
    pub(crate) fn refuse_unknown(self) {
        for layer in &self.layers {
            for (key, value) in layer.table {
                let name: &str = key.get_ref();
                let workspaces = layer.path.is_empty().then_some(WORKSPACES);
                let known = || self.read_keys.iter().map(String::as_str).chain(workspaces);
                if known().any(|known| known == name) {
                    continue;
                }
                let help = match nearest(name, known()) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None if workspaces.is_some() && value.get_ref().is_table() => {
                        format!("write `[workspace.{name}]` for a workspace")
                    }
                    None => format!("valid keys: {}", known().collect::<Vec<_>>().join(", ")),
                };
                let path = join(&layer.path, name);
                self.reader.report(Some(key.span()), &path, format!("unknown key `{name}`"), help);
            }
        }
    }
}

/// Returns the text of a string.
pub(crate) fn string(value: &DeValue<'_>) -> Result<String, ValueError> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(ValueError::Type("a string")),
    }
}

/// Returns the text of a value as if it were quoted; for a date, a list or a table, a fixed text.
fn scalar<'v>(value: &'v DeValue<'_>) -> &'v str {
    match value {
        DeValue::String(text) => text,
        DeValue::Integer(digits) => digits.as_str(),
        DeValue::Float(digits) => digits.as_str(),
        DeValue::Boolean(flag) => {
            if *flag {
                "true"
            } else {
                "false"
            }
        }
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => "0123",
    }
}

/// Returns the text of a string that satisfies a rule.
pub(crate) fn checked(value: &DeValue<'_>, rule: impl Fn(&str) -> Verdict) -> Result<String, ValueError> {
    let text = string(value)?;
    rule(&text)?;
    Ok(text)
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}
