//! Resources of a Terraform state, in format 4 (Terraform 0.12 and later) or 3 (0.11 and earlier).

use pb_engine::{Failure, Refusal};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the operation in failures to parse a state.
const READ: &str = "read the Terraform state";

/// Terraform state, of which only the managed resources are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Version of the state format: 3 or 4.
    pub version: u64,
    /// Version of Terraform that wrote the state.
    pub terraform_version: String,
    /// Number that increases with each write of the state.
    pub serial: u64,
    /// Id that is set when a state is first written; states with different lineages are unrelated.
    pub lineage: String,
    /// Managed resources, one entry per instance. Data sources are left out.
    pub resources: Vec<Resource>,
}

/// Instance of a resource in Terraform's state.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// Address in Terraform, such as `module.net.aws_subnet.public[0]`.
    pub address: String,
    /// Type, such as `aws_subnet`.
    pub kind: String,
    /// Id in Terraform.
    pub id: String,
    /// Set if Terraform would replace the resource with its next apply.
    pub tainted: bool,
    /// Set if the instance was replaced, but Terraform has not deleted it yet.
    pub deposed: bool,
    /// Attribute values by path, such as `load_balancer.0.target_group_arn`.
    attributes: BTreeMap<String, String>,
}

/// Omits the attributes, which may contain secrets.
impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resource").field("address", &self.address).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Resource {
    /// Returns a top-level attribute, if it is not empty.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Returns the items of a list or a set of strings.
    pub fn list_items<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.under(name, None)
    }

    /// Returns the value of `field` in each block called `name`.
    pub fn block_fields<'a>(&'a self, name: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
        self.under(name, Some(field))
    }

    /// Returns the items of a list or a set in the block `network_configuration`.
    pub(crate) fn network_items<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter_map(move |(path, value)| {
            let mut parts = path.split('.');
            let (block, _, list) = (parts.next()?, parts.next()?, parts.next()?);
            let index = parts.next()?;
            (block == "network_configuration" && list == name && index != "#").then_some(value.as_str())
        })
    }

    fn under<'a>(&'a self, name: &'a str, field: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter_map(move |(path, value)| {
            let rest = path.strip_prefix(name)?.strip_prefix('.')?;
            let (index, inner) = rest.split_once('.').map_or((rest, None), |(index, inner)| (index, Some(inner)));
            (index != "#" && index != "%" && inner == field).then_some(value.as_str())
        })
    }
}

impl State {
    /// Parses a state.
    ///
    /// # Errors
    /// `Refused`, with a hint, if the bytes are not a state, or a state in a format other than 3 and 4.
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| refused(&format!("it is not JSON: {error}")))?;
        let not_understood =
            |error: serde_json::Error| refused(&format!("it does not have the expected structure: {error}"));
        let version = value.get("version").and_then(Value::as_u64);
        let (header, resources) = match version {
            Some(4) => {
                let format: Format4 = Format4::deserialize(&value).map_err(not_understood)?;
                (Header::deserialize(&value), format.resources.iter().flat_map(of_format_4).collect())
            }
            Some(3) => {
                let format: Format3 = Format3::deserialize(&value).map_err(not_understood)?;
                (Header::deserialize(&value), format.modules.iter().flat_map(of_format_3).collect())
            }
            Some(other) => {
                let failure =
                    refused(&format!("it has format {other}; this version of pb-deploy reads formats 3 and 4"));
                return Err(failure
                    .hint("convert it with a version of Terraform that reads this format: `terraform state pull`"));
            }
            None => return Err(refused("it is not a Terraform state: it has no `version`")),
        };
        let Header { terraform_version, serial, lineage } = header.map_err(not_understood)?;
        Ok(Self { version: version.unwrap_or_default(), terraform_version, serial, lineage, resources })
    }
}

fn refused(message: &str) -> Failure {
    Failure::refused(Refusal::TerraformState, READ, message)
        .hint("pass the state of the stack, as `terraform state pull` prints it")
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    terraform_version: String,
    #[serde(default)]
    serial: u64,
    #[serde(default)]
    lineage: String,
}

#[derive(Deserialize)]
struct Format4 {
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

#[derive(Deserialize)]
struct Format3 {
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

#[cfg(test)]
mod tests {
    use super::State;
    use serde_json::json;

    fn bytes(value: &serde_json::Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }

    #[test]
    fn format_4_state_has_modules_and_indices_but_no_data_sources() {
        let state = json!({
            "version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "l", "outputs": {},
            "resources": [
                {"mode": "data", "type": "aws_iam_role", "name": "task", "instances": [{"attributes": {"id": "r"}}]},
                {"module": "module.net", "mode": "managed", "type": "aws_subnet", "name": "public", "instances": [
                    {"index_key": 0, "attributes": {"id": "subnet-1", "cidr_block": "10.0.1.0/24", "ipv6": null}},
                    {"index_key": "b", "status": "tainted", "attributes": {"id": "subnet-2", "map": true}},
                    {"deposed": "0a1b", "attributes_flat": {"id": "subnet-3"}}
                ]},
                {"mode": "managed", "type": "aws_ecs_service", "name": "flask", "instances": [
                    {"attributes": {"id": "arn", "load_balancer": [{"target_group_arn": "tg", "container_port": 5050}],
                                    "network_configuration": [{"security_groups": ["sg-1", "sg-2"]}]}}
                ]}
            ]
        });
        let state = State::parse(&bytes(&state)).unwrap();
        assert_eq!((state.serial, state.lineage.as_str(), state.resources.len()), (7, "l", 4));
        let addresses: Vec<&str> = state.resources.iter().map(|found| found.address.as_str()).collect();
        assert_eq!(
            addresses,
            [
                "module.net.aws_subnet.public[0]",
                "module.net.aws_subnet.public[\"b\"]",
                "module.net.aws_subnet.public",
                "aws_ecs_service.flask"
            ]
        );
        let [first, second, third, service] = state.resources.as_slice() else { panic!("four") };
        assert_eq!((first.id.as_str(), first.attribute("cidr_block")), ("subnet-1", Some("10.0.1.0/24")));
        assert!(second.tainted && third.deposed && third.id == "subnet-3");
        assert_eq!(service.block_fields("load_balancer", "target_group_arn").collect::<Vec<_>>(), ["tg"]);
        assert_eq!(service.list_items("load_balancer").count(), 0);
    }

    #[test]
    fn format_3_state_has_flat_attributes() {
        let state = json!({
            "version": 3, "terraform_version": "0.11.14", "serial": 3, "lineage": "l",
            "modules": [
                {"path": ["root"], "outputs": {}, "resources": {
                    "data.aws_iam_role.task": {"type": "aws_iam_role", "primary": {"id": "r", "attributes": {}}},
                    "aws_subnet.public.1": {"type": "aws_subnet", "depends_on": [], "deposed": [],
                        "primary": {"id": "subnet-1", "attributes": {"id": "subnet-1"}, "meta": {}, "tainted": false}},
                    "aws_alb.front": {"type": "aws_alb", "primary": {"id": "arn", "tainted": true, "attributes": {
                        "security_groups.#": "2", "security_groups.111": "sg-1", "security_groups.222": "sg-2"}}}
                }},
                {"path": ["root", "net"], "resources": {
                    "aws_vpc.main": {"type": "aws_vpc", "primary": {"id": "vpc-1"}, "deposed": [{"id": "vpc-0"}]}}}
            ]
        });
        let state = State::parse(&bytes(&state)).unwrap();
        let addresses: Vec<&str> = state.resources.iter().map(|found| found.address.as_str()).collect();
        assert_eq!(
            addresses,
            ["aws_alb.front", "aws_subnet.public[1]", "module.net.aws_vpc.main", "module.net.aws_vpc.main"]
        );
        assert_eq!(state.resources[0].list_items("security_groups").collect::<Vec<_>>(), ["sg-1", "sg-2"]);
        assert!(state.resources[0].tainted && state.resources[3].deposed);
    }

    #[test]
    fn invalid_state_is_refused_with_the_reason() {
        for (bytes, why) in [
            (b"not json".to_vec(), "not JSON"),
            (br#"{"format": 1}"#.to_vec(), "no `version`"),
            (br#"{"version": 2}"#.to_vec(), "format 2"),
            (br#"{"version": 4, "resources": {}}"#.to_vec(), "expected structure"),
        ] {
            let failure = State::parse(&bytes).unwrap_err();
            assert!(failure.message.contains(why) && failure.hint.is_some(), "{failure}");
        }
    }

    #[test]
    fn resource_debug_omits_attributes() {
        let secret = json!({"version": 4, "resources": [{"mode": "managed", "type": "aws_x", "name": "y",
            "instances": [{"attributes": {"id": "i", "auth_token": "geheim"}}]}]});
        assert!(!format!("{:?}", State::parse(&bytes(&secret)).unwrap()).contains("geheim"));
    }
}
