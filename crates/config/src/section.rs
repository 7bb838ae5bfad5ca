//! One table of the configuration, as it is written for all workspaces and for one.

use std::collections::BTreeMap;
use std::ops::Range;

use pb_rules::{Verdict, Violation};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;
use crate::reader::{Located, Location, Origin, Reader};
use crate::schema::{Key, Shape};

/// What a list of tables is called where something else is written.
pub(crate) const TABLES: &str = "a list of tables";
/// The key at the top of the file that holds the workspaces; it is read apart.
pub(crate) const WORKSPACES: &str = "workspace";

/// A table of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'t> {
    /// Path in the file: `workspace.staging.redis`, or `redis`; empty for the whole file.
    pub(crate) path: String,
    pub(crate) table: &'t DeTable<'t>,
    /// Bytes of the table, or of its header, in the file.
    pub(crate) span: Range<usize>,
    /// 0 for what is written for all workspaces, 1 for what is written for one.
    pub(crate) rank: usize,
}

/// A table that is being read. Each key is asked for by name; at the end, what nobody asked for is refused.
#[derive(Debug)]
pub(crate) struct Section<'r, 't> {
    pub(crate) reader: &'r mut Reader<'t>,
    /// Path without the workspace: `redis`, `network.egress[]`.
    path: String,
    /// What is written for all workspaces first.
    layers: Vec<Layer<'t>>,
    read_keys: Vec<String>,
}

/// Why a value is not taken.
pub(crate) enum ValueError {
    /// It has another type than this.
    Type(&'static str),
    /// It breaks a rule.
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

    /// Reads a table inside this one.
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

    fn inner<T>(&mut self, path: String, layers: Vec<Layer<'t>>, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
        let mut inner = Section { reader: &mut *self.reader, path, layers, read_keys: Vec::new() };
        let value = read(&mut inner);
        inner.refuse_unknown();
        value
    }

    /// Reads a list; what is written for a workspace replaces what is written for all, and each item is read at its own
    /// place. An item that is refused is left out.
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

    /// Reads an item of a list that is a table.
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

    /// Reads a table with free keys; what is written for a workspace is added to what is written for all. The rule of values
    /// gets the key, too.
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
                        let help = "choose another key, or take the line out".to_owned();
                        let message = format!("invalid key: {violation}");
                        section.reader.report(Some(key.span()), &join(&layer.path, name), message, help);
                    }
                    let value = section.value(name, String::new(), None, |value| {
                        // The rule comes first: it may be about the key, and keeps a secret out of what is said.
                        value_rule(name, scalar(value))?;
                        string(value)
                    });
                    map.insert(name.to_owned(), value);
                }
            }
            map
        })
    }

    /// The keys that are written in any layer and that nobody asked for yet, with the place of the first of each.
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

    /// Takes every key for known: what the table is for could not be told.
    pub(crate) fn accept_all_keys(&mut self) {
        self.read_keys
            .extend(self.layers.iter().flat_map(|layer| layer.table.keys()).map(|key| key.get_ref().to_string()));
    }

    /// Whether the key is written in any layer.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.table.contains_key(key))
    }

    /// Reads one key. Every layer's value is checked, the workspace's own wins. `default_toml` is the default as TOML.
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
            // Without the workspace's line, what is written for all stands, not the default.
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

    /// Remembers the key, its default and what its values are.
    pub(crate) fn register(&mut self, key: &str, default: Option<&str>, shape: Shape) {
        let path = join(&self.path, key);
        self.reader.register(path, Key { default: default.map(str::to_owned), shape });
    }

    /// Notes that a key is missing which has no default.
    pub(crate) fn missing(&mut self, key: &str, example: &str) {
        let layer = self.layers.last().filter(|_| !self.path.is_empty());
        let path = layer.map_or_else(|| join(&self.path, key), |layer| join(&layer.path, key));
        let location = match layer {
            Some(layer) if layer.path.ends_with(']') => String::new(),
            Some(layer) => format!(" under `[{}]`", layer.path),
            None if self.path.is_empty() => " at the top of the file".to_owned(),
            None => format!(" under a new line `[{}]`", self.path),
        };
        let span = layer.map(|layer| layer.span.clone());
        let message = format!("`{key}` is missing, and has no default");
        self.reader.report(span, &path, message, format!("write `{key} = {example}`{location}"));
    }

    /// The values of a key in all layers, with their places.
    fn written_values(&mut self, key: &str) -> Vec<(Location, &'t Spanned<DeValue<'t>>)> {
        self.read_keys.push(key.to_owned());
        let values = self.layers.iter().filter_map(|layer| {
            let value = layer.table.get(key)?;
            let location = Location { path: join(&layer.path, key), span: value.span(), layer: layer.rank };
            Some((location, value))
        });
        values.collect()
    }

    /// Notes that a value is not taken.
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
        let message = format!("invalid {key}: {expected} is wanted, this is {}", article(found));
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

    /// Refuses every key that was not asked for, and says which was probably meant.
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
                        format!("a workspace is written as `[workspace.{name}]`")
                    }
                    None => format!("the keys here are {}", known().collect::<Vec<_>>().join(", ")),
                };
                let path = join(&layer.path, name);
                self.reader.report(Some(key.span()), &path, format!("unknown key `{name}`"), help);
            }
        }
    }
}

/// The text of a string.
pub(crate) fn string(value: &DeValue<'_>) -> Result<String, ValueError> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(ValueError::Type("a string")),
    }
}

/// A value as it would be in quotes; of a list or a table, any text.
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

/// The text of a string that keeps a rule.
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
