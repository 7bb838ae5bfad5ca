//! The structure of a state in format 4 (Terraform 0.12 and later) and in format 3 (0.11).

use super::Resource;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields that both formats have in common.
#[derive(Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    pub terraform_version: String,
    #[serde(default)]
    pub serial: u64,
    #[serde(default)]
    pub lineage: String,
}

/// State in format 4.
#[derive(Deserialize)]
pub(super) struct Format4 {
    #[serde(default)]
    resources: Vec<Resource4>,
}

#[derive(Deserialize)]
struct Resource4 {
    module: Option<String>,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    instances: Vec<Instance4>,
}

#[derive(Deserialize)]
struct Instance4 {
    index_key: Option<Value>,
    status: Option<String>,
    deposed: Option<String>,
    attributes: Option<Value>,
    attributes_flat: Option<BTreeMap<String, String>>,
}

impl Format4 {
    /// Returns the managed resources, one per instance.
    pub fn resources(&self) -> Vec<Resource> {
        self.resources.iter().flat_map(of_format_4).collect()
    }
}

fn of_format_4(resource: &Resource4) -> Vec<Resource> {
    if resource.mode != "managed" {
        return Vec::new();
    }
    let module = resource.module.as_ref().map(|module| format!("{module}.")).unwrap_or_default();
    let one = |instance: &Instance4| {
        let index = instance.index_key.as_ref().map(|key| format!("[{key}]")).unwrap_or_default();
        let mut attributes = instance.attributes_flat.clone().unwrap_or_default();
        if let Some(nested) = &instance.attributes {
            flatten(&mut attributes, String::new(), nested);
        }
        Resource {
            address: format!("{module}{}.{}{index}", resource.kind, resource.name),
            kind: resource.kind.clone(),
            id: attributes.get("id").cloned().unwrap_or_default(),
            tainted: instance.status.as_deref() == Some("tainted"),
            deposed: instance.deposed.is_some(),
            attributes,
        }
    };
    resource.instances.iter().map(one).collect()
}

/// Adds each value under its path, in the notation of format 3.
fn flatten(flat: &mut BTreeMap<String, String>, path: String, value: &Value) {
    let inner = |key: &dyn std::fmt::Display| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(flat, inner(key), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| flatten(flat, inner(&at), value)),
        Value::String(text) => drop(flat.insert(path, text.clone())),
        other => drop(flat.insert(path, other.to_string())),
    }
}

/// State in format 3.
#[derive(Deserialize)]
pub(super) struct Format3 {
    #[serde(default)]
    modules: Vec<Module3>,
}

#[derive(Deserialize)]
struct Module3 {
    path: Vec<String>,
    #[serde(default)]
    resources: BTreeMap<String, Resource3>,
}

#[derive(Deserialize)]
struct Resource3 {
    #[serde(rename = "type")]
    kind: String,
    primary: Option<Instance3>,
    #[serde(default)]
    deposed: Vec<Instance3>,
}

#[derive(Deserialize)]
struct Instance3 {
    #[serde(default)]
    id: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    tainted: bool,
}

impl Format3 {
    /// Returns the managed resources, one per instance.
    pub fn resources(&self) -> Vec<Resource> {
        self.modules.iter().flat_map(of_format_3).collect()
    }
}

fn of_format_3(module: &Module3) -> Vec<Resource> {
    let path: String = module.path.iter().skip(1).map(|name| format!("module.{name}.")).collect();
    let managed = module.resources.iter().filter(|(key, _)| !key.starts_with("data."));
    let instances = managed.flat_map(|(key, resource)| {
        let of = |instance: &Instance3, deposed| Resource {
            address: format!("{path}{}", with_index(key, &resource.kind)),
            kind: resource.kind.clone(),
            id: instance.id.clone(),
            tainted: instance.tainted,
            deposed,
            attributes: instance.attributes.clone(),
        };
        let deposed = resource.deposed.iter().map(|instance| of(instance, true));
        resource.primary.iter().map(|instance| of(instance, false)).chain(deposed).collect::<Vec<_>>()
    });
    instances.collect()
}

/// Converts an address from format 3 to the notation of format 4: `aws_subnet.public.0` becomes `aws_subnet.public[0]`.
fn with_index(key: &str, kind: &str) -> String {
    let name = key.strip_prefix(kind).and_then(|rest| rest.strip_prefix('.'));
    match name.and_then(|name| name.rsplit_once('.')) {
        Some((name, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => format!("{kind}.{name}[{index}]"),
        _ => key.to_owned(),
    }
}
