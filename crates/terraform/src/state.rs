//! Resources of a Terraform state, in format 4 (Terraform 0.12 and later) or 3 (0.11 and earlier).

mod decode;
mod formats;
#[cfg(test)]
mod tests;

use self::decode::FormatVersion;
use self::formats::{Format3, Format4, Header};
use pb_engine::{Failure, Refusal};
use serde::Deserialize;
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

    /// Returns the values whose path is `names` when indices are left out: `["condition", "host_header", "values"]` for
    /// `condition.0.host_header.0.values.1`.
    pub(crate) fn values<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let is_name = |part: &&str| !part.bytes().all(|byte| byte.is_ascii_digit());
        let all = self.attributes.iter();
        all.filter(move |(path, _)| path.split('.').filter(is_name).eq(names.iter().copied()))
            .map(|(_, value)| value.as_str())
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
        let value = decode::json(bytes)?;
        let not_understood =
            |error: serde_json::Error| refused(&format!("it does not have the expected structure: {error}"));
        let version = decode::version(&value)?;
        let resources = match version {
            FormatVersion::Four => Format4::deserialize(&value).map_err(not_understood)?.resources(),
            FormatVersion::Three => Format3::deserialize(&value).map_err(not_understood)?.resources(),
        };
        let Header { terraform_version, serial, lineage } = Header::deserialize(&value).map_err(not_understood)?;
        Ok(Self { version: version.number(), terraform_version, serial, lineage, resources })
    }
}

/// Returns the failure for bytes that are not a state, or not one that can be read.
fn refused(message: &str) -> Failure {
    Failure::refused(Refusal::TerraformState, READ, message)
        .hint("pass the state of the stack, as `terraform state pull` prints it")
}
