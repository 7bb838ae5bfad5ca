//! Readers for each type of value: strings, numbers, flags, CIDR blocks and lists.

use ipnet::Ipv4Net;
use pb_rules::{Verdict, Violation, network};
use serde_json::Value;
use toml::de::DeValue;

use crate::limits;
use crate::reader::{Located, Origin};
use crate::schema::Shape;
use crate::section::{Section, ValueError, checked, string};

impl Section<'_, '_> {
    /// Reads a string with a default.
    pub(crate) fn text(&mut self, key: &str, default: &str, rule: impl Fn(&str) -> Verdict) -> Located<String> {
        let default_toml = quoted(default);
        self.register(key, Some(&default_toml), Shape::Text);
        self.value(key, default.to_owned(), Some(&default_toml), |value| checked(value, &rule))
    }

    /// Reads an optional string.
    pub(crate) fn optional_text(&mut self, key: &str, rule: impl Fn(&str) -> Verdict) -> Located<Option<String>> {
        self.register(key, None, Shape::Text);
        self.value(key, None, None, |value| checked(value, &rule).map(Some))
    }

    /// Reads a required string. If the key is missing, the hint shows `example`.
    pub(crate) fn required_text(
        &mut self,
        key: &str,
        example: &str,
        rule: impl Fn(&str) -> Verdict,
    ) -> Located<String> {
        let text = self.optional_text(key, rule);
        if matches!(text.origin, Origin::Default) {
            self.missing(key, &quoted(example));
        }
        match text.value {
            Some(value) => Located { value, origin: text.origin },
            None => Located { value: String::new(), origin: Origin::Invalid },
        }
    }

    /// Reads a string that must be one of `choices`.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        default: T,
        default_toml: &str,
    ) -> Located<T> {
        let default_toml = quoted(default_toml);
        let words = choices.iter().map(|(word, _)| (*word).to_owned()).collect();
        self.register(key, Some(&default_toml), Shape::Choice(words));
        self.value(key, default, Some(&default_toml), |value| {
            let text = string(value)?;
            let known = choices.iter().find(|(word, _)| *word == text);
            known.map(|(_, choice)| *choice).ok_or_else(|| {
                let words: Vec<String> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
                ValueError::Rule(Violation::new(format!("`{text}` is not one of {}", words.join(", "))))
            })
        })
    }

    /// Reads an IPv4 CIDR block with a default.
    pub(crate) fn cidr(&mut self, key: &str, default: Ipv4Net) -> Located<Ipv4Net> {
        let default_toml = quoted(&default.to_string());
        self.register(key, Some(&default_toml), Shape::Text);
        self.value(key, default, Some(&default_toml), |value| Ok(network::cidr(&string(value)?)?))
    }

    /// Reads a number with a default.
    pub(crate) fn number<N: TryFrom<i64> + Into<i64> + Copy>(
        &mut self,
        key: &str,
        default: N,
        rule: impl Fn(i64) -> Verdict,
    ) -> Located<N> {
        let default_toml = default.into().to_string();
        let limits = self.limits(&rule);
        self.register(key, Some(&default_toml), Shape::Number(limits));
        self.value(key, default, Some(&default_toml), |value| number(value, &rule))
    }

    /// Reads a required number. If the key is missing, the hint shows `example`.
    pub(crate) fn required_number<N: TryFrom<i64> + Into<i64> + Copy>(
        &mut self,
        key: &str,
        example: N,
        rule: impl Fn(i64) -> Verdict,
    ) -> Located<N> {
        let number = self.optional_number(key, rule);
        if matches!(number.origin, Origin::Default) {
            self.missing(key, &example.into().to_string());
        }
        Located { value: number.value.unwrap_or(example), origin: number.origin }
    }

    /// Reads an optional number.
    pub(crate) fn optional_number<N: TryFrom<i64> + Copy>(
        &mut self,
        key: &str,
        rule: impl Fn(i64) -> Verdict,
    ) -> Located<Option<N>> {
        let limits = self.limits(&rule);
        self.register(key, None, Shape::Number(limits));
        self.value(key, None, None, |value| number(value, &rule).map(Some))
    }

    /// Returns the schema keywords for the numbers that a rule accepts, if the configuration is read for its schema.
    fn limits(&self, rule: impl Fn(i64) -> Verdict) -> Option<Value> {
        self.reader.describes.then(|| limits::numbers(rule))
    }

    /// Reads `true` or `false`, with a default.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Located<bool> {
        let default_toml = default.to_string();
        self.register(key, Some(&default_toml), Shape::Flag);
        self.value(key, default, Some(&default_toml), |value| match value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(ValueError::Type("true or false")),
        })
    }

    /// Reads an optional `true` or `false`.
    pub(crate) fn optional_flag(&mut self, key: &str) -> Located<Option<bool>> {
        self.register(key, None, Shape::Flag);
        self.value(key, None, None, |value| match value {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            _ => Err(ValueError::Type("true or false")),
        })
    }

    /// Reads a required string or a required list of strings, of which there is at least one. If the key is missing, the
    /// hint shows `example`.
    pub(crate) fn one_or_more(&mut self, key: &str, example: &str, rule: impl Fn(&str) -> Verdict) -> Vec<String> {
        self.register(key, None, Shape::TextOrTexts);
        let one = |value: &DeValue<'_>| match value {
            DeValue::String(_) => checked(value, &rule),
            _ => Err(ValueError::Type("a string or a list of strings")),
        };
        let texts = self.value(key, Vec::new(), None, |value| match value {
            DeValue::Array(items) if items.is_empty() => Err(Violation::new("the list is empty").into()),
            DeValue::Array(items) => items.iter().map(|item| one(item.get_ref())).collect(),
            value => one(value).map(|text| vec![text]),
        });
        if matches!(texts.origin, Origin::Default) {
            self.missing(key, &quoted(example));
        }
        texts.value
    }

    /// Reads a list of strings. Each item is parsed separately, and a refused item is reported at its own location.
    pub(crate) fn texts<T>(
        &mut self,
        key: &str,
        default_toml: Option<&str>,
        parse: impl Fn(&str) -> Result<T, Violation>,
    ) -> Located<Option<Vec<T>>> {
        self.list(key, "a list of strings", default_toml, |section, location, value| {
            let parsed = string(value).and_then(|text| Ok(parse(&text)?));
            parsed.map_err(|refusal| section.refuse(location, value, &refusal, None)).ok()
        })
    }
}

fn number<N: TryFrom<i64>>(value: &DeValue<'_>, rule: impl Fn(i64) -> Verdict) -> Result<N, ValueError> {
    let DeValue::Integer(digits) = value else {
        return Err(ValueError::Type("a number"));
    };
    let too_large = || Violation::new(format!("{digits} is too large"));
    let number = i64::from_str_radix(digits.as_str(), digits.radix()).map_err(|_| too_large())?;
    rule(number)?;
    Ok(N::try_from(number).map_err(|_| too_large())?)
}

/// Returns a string in TOML syntax, with quotes.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}
