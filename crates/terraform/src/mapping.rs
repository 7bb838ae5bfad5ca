//! Mapping of the resources of a Terraform state to addresses.

pub(crate) mod certificates;
mod kinds;
mod reason;
mod rules;
mod uses;

pub use self::certificates::CertificateReason;
pub use self::reason::Reason;

pub(crate) use self::kinds::kind_of;

use self::kinds::{id_of, is_mapped_only_by_key, matches_by_key, parent_attribute, part_of};
use self::rules::Protocols;
use self::uses::Uses;
use crate::architecture::{is_redirect, redirects_to_https};
use crate::location::Location;
use crate::state::Resource;
use pb_engine::Address;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Resource of a graph, to which a resource of the state can be mapped.
pub struct DesiredResource {
    /// Address in the graph.
    pub address: Address,
    /// Resource kind, such as `ec2.vpc`.
    pub kind: String,
    /// Desired spec, with the values that the configuration determines.
    pub spec: Value,
}

/// Result of mapping the resources of a state.
#[derive(Debug, Default, Serialize)]
pub struct Mapping {
    /// Resources that can be imported, by address.
    #[serde(rename = "claims")]
    pub imports: BTreeMap<Address, ImportCandidate>,
    /// Resources that pb-deploy treats as part of another resource, as it treats a route as part of its route table.
    pub parts: Vec<NotImported>,
    /// Resources for which no address was found, which remain unchanged.
    #[serde(rename = "left")]
    pub unmapped: Vec<NotImported>,
}

/// Resource that can be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportCandidate {
    /// Id in AWS.
    pub id: String,
    /// Address in Terraform.
    pub terraform: String,
    /// Set if Terraform would replace the resource with its next apply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tainted: bool,
}

/// Stack to which a state is mapped.
pub struct Stack<'a> {
    /// Resources of the stack that have no resource yet.
    pub desired: &'a [DesiredResource],
    /// Account and region of the stack.
    pub location: &'a Location,
    /// Set if the configuration has HTTPS. A listener that redirects to HTTPS is then the listener of the configuration.
    pub https: bool,
    /// Keys of configured services whose images are not pushed yet. Their resources are not desired.
    pub without_images: &'a [String],
}

/// Resource that is not imported, or is imported only as part of another resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotImported {
    /// Address in Terraform.
    pub terraform: String,
    /// Id in Terraform.
    pub id: String,
    /// Description of the resource that contains it, or reason why it is not imported.
    #[serde(rename = "why", serialize_with = "reason::as_text")]
    pub reason: Reason,
    /// Id of the resource that contains it.
    #[serde(skip)]
    pub parent: Option<String>,
}

/// Finds the address of each resource: first by its key fields (such as a name, a CIDR block or a port), then by its
/// use (such as a security group that the load balancer uses). A remaining resource is assigned the remaining address
/// of its kind if there is only one of each.
#[must_use]
pub fn map_resources(resources: &[Resource], stack: &Stack<'_>) -> Mapping {
    let targets = stack.desired;
    let mut mapping = Mapping::default();
    let mut open: Vec<(&Resource, &'static str)> = Vec::new();
    for resource in resources {
        let location = Location::of(resource);
        let standalone_node =
            resource.kind == "aws_elasticache_cluster" && resource.attribute("replication_group_id").is_none();
        match kind_of(resource) {
            _ if resource.deposed => {
                mapping.skip(resource, Reason::LeftOver);
            }
            Some(_) if location.differs_from(stack.location) => mapping.skip(resource, Reason::Elsewhere(location)),
            _ if standalone_node => mapping.skip(resource, Reason::StandaloneNode),
            Some("elbv2.listener")
                if is_redirect(resource) && !(stack.https && redirects_to_https(resource, "default_action")) =>
            {
                mapping.skip(resource, Reason::Redirect);
            }
            Some(kind) => open.push((resource, kind)),
            None => match part_of(&resource.kind) {
                Some(part) => mapping.parts.push(not_imported(resource, Reason::Part(part))),
                None => mapping.skip(resource, Reason::NoCounterpart),
            },
        }
    }
    let (uses, protocols) = (Uses::of(resources), Protocols::of(resources));
    mapping.assign(&mut open, targets, |resource, kind, target| matches_by_key(resource, kind, &target.spec));
    mapping.assign(&mut open, targets, |rule, kind, target| {
        kind == "elbv2.listener_rule" && protocols.matches(rule, target)
    });
    mapping.assign_proofs(&mut open, resources, targets);
    let services = mapping.services();
    mapping.assign(&mut open, targets, |resource, _, target| uses.matches(resource, target, &services));
    let services = mapping.services();
    mapping.assign(&mut open, targets, |resource, _, target| uses.matches(resource, target, &services));
    mapping.assign_rules(&mut open, targets, &protocols);
    mapping.assign_remaining(open, stack, &protocols);
    mapping
}

impl Mapping {
    fn skip(&mut self, resource: &Resource, reason: Reason) {
        self.unmapped.push(not_imported(resource, reason));
    }

    fn claim(&mut self, target: &DesiredResource, resource: &Resource) {
        let claim =
            ImportCandidate { id: id_of(resource), terraform: resource.address.clone(), tainted: resource.tainted };
        self.imports.insert(target.address.clone(), claim);
    }

    /// For each free address, finds the open resources of its kind for which `is` returns true, and assigns the
    /// resource to the address if there is exactly one.
    fn assign(
        &mut self,
        open: &mut Vec<(&Resource, &'static str)>,
        targets: &[DesiredResource],
        is: impl Fn(&Resource, &str, &DesiredResource) -> bool,
    ) {
        for target in targets {
            if self.imports.contains_key(&target.address) {
                continue;
            }
            let fits =
                |(resource, kind): &(&Resource, &'static str)| *kind == target.kind && is(resource, kind, target);
            let mut fitting = open.iter().enumerate().filter(|(_, one)| fits(one)).map(|(at, _)| at);
            if let (Some(at), None) = (fitting.next(), fitting.next()) {
                self.claim(target, open.remove(at).0);
            }
        }
    }

    /// Assigns the validation records and the further certificates of listeners, which depend on the certificates that
    /// are imported. Terraform may record a validation record several times: for a name and its wildcard name.
    fn assign_proofs(
        &mut self,
        open: &mut Vec<(&Resource, &'static str)>,
        resources: &[Resource],
        targets: &[DesiredResource],
    ) {
        let is_imported = |one: &&Resource| self.imports.values().any(|import| import.terraform == one.address);
        let imported = resources.iter().filter(|one| one.kind == "aws_acm_certificate").filter(is_imported);
        let imported: Vec<&Resource> = imported.collect();
        let mut seen = BTreeSet::new();
        let mut repeated = Vec::new();
        open.retain(|(record, kind)| {
            let is_first = *kind != "acm.validation" || seen.insert(id_of(record));
            if !is_first {
                repeated.push(*record);
            }
            is_first
        });
        self.assign(open, targets, |record, kind, target| {
            kind == "acm.validation" && certificates::proves(record, &target.spec, &imported)
        });
        for record in repeated {
            let same = Reason::Part("the same record as that of another name");
            self.parts.push(NotImported { parent: Some(id_of(record)), ..not_imported(record, same) });
        }
        let imports = self.imports.clone();
        self.assign(open, targets, |resource, kind, target| {
            kind == "elbv2.listener_certificate"
                && certificates::is_further_certificate(resource, &target.address, &imports)
        });
    }

    /// Assigns each rule that can have only one of the free addresses, if no other rule can have this address.
    fn assign_rules(
        &mut self,
        open: &mut Vec<(&Resource, &'static str)>,
        targets: &[DesiredResource],
        protocols: &Protocols<'_>,
    ) {
        let free = |target: &&DesiredResource| {
            target.kind == "elbv2.listener_rule" && !self.imports.contains_key(&target.address)
        };
        let free: Vec<&DesiredResource> = targets.iter().filter(free).collect();
        let is_only = |rule: &Resource, address: &Address| {
            let mut possible = free.iter().filter(|target| protocols.can_be(rule, &target.address));
            possible.next().is_some_and(|only| only.address == *address) && possible.next().is_none()
        };
        self.assign(open, targets, |rule, kind, target| {
            kind == "elbv2.listener_rule" && is_only(rule, &target.address)
        });
    }

    /// Assigns each resource that was matched neither by key nor by use, if it is the only such resource of its kind
    /// and only one address of this kind is free.
    fn assign_remaining(&mut self, open: Vec<(&Resource, &'static str)>, stack: &Stack<'_>, protocols: &Protocols<'_>) {
        let targets = stack.desired;
        let kinds: BTreeSet<&str> = open.iter().map(|(_, kind)| *kind).collect();
        for kind in kinds {
            let same: Vec<&Resource> =
                open.iter().filter(|(_, of)| *of == kind).map(|(resource, _)| *resource).collect();
            let free =
                targets.iter().filter(|target| target.kind == kind && !self.imports.contains_key(&target.address));
            let free: Vec<&DesiredResource> = free.collect();
            match (same.as_slice(), free.as_slice()) {
                ([resource], [target]) if !is_mapped_only_by_key(kind) => self.claim(target, resource),
                (_, free) => {
                    same.iter()
                        .for_each(|resource| self.skip(resource, reason(resource, kind, (free, protocols), stack)));
                }
            }
        }
    }

    /// Returns the services that are already mapped: the last part of their address, by their address in Terraform.
    fn services(&self) -> BTreeMap<String, String> {
        let claims = self.imports.iter().filter(|(_, claim)| claim.terraform.contains("aws_ecs_service."));
        let name = |address: &Address| address.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        claims.map(|(address, claim)| (claim.terraform.clone(), name(address))).collect()
    }
}

/// Returns the reason why a resource has none of the `free` addresses of its kind.
fn reason(
    resource: &Resource,
    kind: &str,
    (free, protocols): (&[&DesiredResource], &Protocols<'_>),
    stack: &Stack<'_>,
) -> Reason {
    let is_workload = matches!(kind, "ecs.service" | "ecs.task_definition");
    match (kind, free) {
        (_, []) if is_workload && !stack.without_images.is_empty() => {
            Reason::ImagesMissing(stack.without_images.to_vec())
        }
        ("acm.certificate", _) if stack.https => {
            let is_known = |arn: &&str| arn.starts_with("arn:");
            let used = stack.desired.iter().filter_map(|target| target.spec["certificate_arn"].as_str()).find(is_known);
            certificates::reason(resource, used)
        }
        ("acm.validation", _) => Reason::ValidationRecord,
        ("elbv2.listener_certificate", _) if stack.https => Reason::ListenerCertificate,
        ("elbv2.listener_rule", _) => {
            let possible = free.iter().filter(|target| protocols.can_be(resource, &target.address));
            match possible.map(|target| target.address.clone()).collect::<Vec<_>>() {
                none if none.is_empty() => Reason::NoFurther,
                several => Reason::Ambiguous(several),
            }
        }
        _ if is_mapped_only_by_key(kind) => Reason::NoCounterpart,
        (_, []) => Reason::NoFurther,
        (_, free) => Reason::Ambiguous(free.iter().map(|target| target.address.clone()).collect()),
    }
}

fn not_imported(resource: &Resource, reason: Reason) -> NotImported {
    let parent = resource.attribute(parent_attribute(&resource.kind)).map(str::to_owned);
    NotImported { terraform: resource.address.clone(), id: resource.id.clone(), reason, parent }
}
