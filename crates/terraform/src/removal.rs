//! Removal of imported resources from Terraform's state. Until they are removed, a `terraform apply` would delete their
//! ownership tags, because Terraform's configuration does not contain these tags.

use crate::mapping::Mapping;
use pb_engine::Address;
use std::collections::BTreeSet;

/// Imported resources that must be removed from Terraform's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Addresses in Terraform's state, such as `aws_subnet.public["a"]`.
    pub addresses: Vec<String>,
    /// Resources that a `removed` block can name, because all their instances were imported.
    pub blocks: Vec<String>,
}

impl Removal {
    /// Returns the resources that must be removed from Terraform's state once the addresses `imported` are managed,
    /// including parts of these resources that Terraform records as separate resources.
    #[must_use]
    pub fn of(mapping: &Mapping, imported: &BTreeSet<&Address>) -> Self {
        let claims = mapping.imports.iter().filter(|(_, claim)| !claim.terraform.is_empty());
        let (ours, others): (Vec<_>, Vec<_>) = claims.partition(|(address, _)| imported.contains(address));
        let ids: BTreeSet<&str> = ours.iter().map(|(_, claim)| claim.id.as_str()).collect();
        let (parts, other_parts): (Vec<_>, Vec<_>) =
            mapping.parts.iter().partition(|part| part.parent.as_deref().is_some_and(|parent| ids.contains(parent)));
        let mut addresses: Vec<String> = ours.iter().map(|(_, claim)| claim.terraform.clone()).collect();
        addresses.extend(parts.iter().map(|part| part.terraform.clone()));
        addresses.sort_unstable();
        let left = other_parts.into_iter().chain(&mapping.unmapped).map(|left| left.terraform.as_str());
        let kept: BTreeSet<String> =
            left.chain(others.iter().map(|(_, claim)| claim.terraform.as_str())).map(without_keys).collect();
        let blocks: BTreeSet<String> = addresses.iter().map(|address| without_keys(address)).collect();
        Self { blocks: blocks.into_iter().filter(|block| !kept.contains(block)).collect(), addresses }
    }

    /// Returns one command per resource, which removes it from Terraform's state.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("terraform state rm {}", quoted(address))).collect()
    }

    /// Returns blocks for Terraform's configuration that remove the resources from its state without deleting them.
    /// (Terraform 1.7 and later: removed block)
    #[must_use]
    pub fn removed_blocks(&self) -> Vec<String> {
        let block =
            |from: &String| format!("removed {{\n  from = {from}\n  lifecycle {{\n    destroy = false\n  }}\n}}");
        self.blocks.iter().map(block).collect()
    }
}

/// Returns the address without instance keys, which a `removed` block does not accept.
fn without_keys(address: &str) -> String {
    let (mut plain, mut in_key, mut in_text, mut escaped) = (String::new(), false, false, false);
    for character in address.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' if in_key => in_text = !in_text,
            '[' if !in_text => in_key = true,
            ']' if !in_text => in_key = false,
            other if !in_key => plain.push(other),
            _ => {}
        }
    }
    plain
}

/// Returns the address, quoted for a shell if necessary.
fn quoted(address: &str) -> String {
    let plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if plain { address.to_owned() } else { format!("'{}'", address.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::{Removal, quoted, without_keys};
    use crate::mapping::{ImportCandidate, Mapping, NotImported, Reason};
    use pb_engine::Address;
    use std::collections::BTreeSet;

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    fn mapping() -> Mapping {
        let claim = |at: &str, id: &str, terraform: &str| {
            (address(at), ImportCandidate { id: id.to_owned(), terraform: terraform.to_owned(), tainted: false })
        };
        let not_imported = |terraform: &str, parent: Option<&str>| NotImported {
            terraform: terraform.to_owned(),
            id: "x".to_owned(),
            reason: Reason::NoCounterpart,
            parent: parent.map(str::to_owned),
        };
        Mapping {
            imports: [
                claim("net/vpc", "vpc-1", "module.net[\"eu\"].aws_vpc.main"),
                claim("net/routes", "rtb-1", "aws_route_table.public"),
                claim("net/tasks_subnet", "subnet-1", "aws_subnet.public[\"a\"]"),
                claim("net/balancer_subnet", "subnet-2", "aws_subnet.public[\"b\"]"),
                claim("fargate/logs", "by-hand", ""),
            ]
            .into(),
            parts: vec![
                not_imported("aws_route.internet", Some("rtb-1")),
                not_imported("aws_route.other", Some("rtb-9")),
            ],
            unmapped: vec![not_imported("aws_s3_bucket.assets", None)],
        }
    }

    fn removal(taken: &[&str]) -> Removal {
        let taken: Vec<Address> = taken.iter().map(|text| address(text)).collect();
        Removal::of(&mapping(), &taken.iter().collect::<BTreeSet<_>>())
    }

    #[test]
    fn removal_of_imported_resources_includes_their_parts() {
        let all = removal(&["net/vpc", "net/routes", "net/tasks_subnet", "net/balancer_subnet", "fargate/logs"]);
        assert_eq!(
            all.commands(),
            [
                "terraform state rm aws_route.internet",
                "terraform state rm aws_route_table.public",
                "terraform state rm 'aws_subnet.public[\"a\"]'",
                "terraform state rm 'aws_subnet.public[\"b\"]'",
                "terraform state rm 'module.net[\"eu\"].aws_vpc.main'",
            ]
        );
        assert_eq!(
            all.blocks,
            ["aws_route.internet", "aws_route_table.public", "aws_subnet.public", "module.net.aws_vpc.main"]
        );
        assert!(all.removed_blocks()[1].starts_with("removed {\n  from = aws_route_table.public\n  lifecycle {"));
    }

    #[test]
    fn removed_block_is_left_out_when_an_instance_stays() {
        let some = removal(&["net/tasks_subnet"]);
        assert_eq!(some.addresses, ["aws_subnet.public[\"a\"]"]);
        assert_eq!(some.blocks, [""; 0]);
        assert_eq!(removal(&[]), Removal::default());
    }

    #[test]
    fn instance_keys_are_stripped_and_shell_quotes_escaped() {
        assert_eq!(without_keys("module.a[\"x]\\\"y\"].aws_subnet.public[0]"), "module.a.aws_subnet.public");
        assert_eq!(quoted("aws_subnet.it[\"it's\"]"), "'aws_subnet.it[\"it'\\''s\"]'");
    }
}
