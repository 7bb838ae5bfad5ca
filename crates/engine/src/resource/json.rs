//! Conversion of specs and attributes to and from JSON.

use crate::model::failure::{Class, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|e| Failure::new(Class::Bug, format!("serialize {what}"), e.to_string()))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|e| Failure::new(Class::Bug, format!("deserialize {what}"), e.to_string()))
}
