//! Inventory of the account, and its comparison with the snapshot.

use super::Account;
use super::certificates::LISTENER_CERTIFICATE;
use super::dns::{RECORD, VALIDATION};
use super::ec2::{DEFAULT, RULE};
use super::ecs::TASK;
use crate::process::owner;
use pb_engine::{Address, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// Tag with the content of a revision. Fingerprints omit it, because the content includes host names with ids.
const CONTENT: &str = "pb-deploy:content";

/// Replaces the number of each id in `line`, eight hexadecimal digits after a hyphen, with `#`.
fn mask_ids(line: &str) -> String {
    let mut parts = line.split('-');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        whole.push('-');
        whole.push_str(if digits == 8 { "#" } else { &part[..digits] });
        whole.push_str(&part[digits..]);
    }
    whole
}

impl Account {
    /// Returns the resources that a client created. Resources that AWS creates together with a VPC or a security group,
    /// and inactive resources, are omitted.
    pub fn created_resources(&self) -> BTreeMap<&str, &super::Resource> {
        let comes_along = |resource: &super::Resource| {
            matches!(resource.kind, DEFAULT | RULE) && owner().address_from_tags(&resource.tags).is_none()
        };
        let made = self.resources.iter().filter(|(_, resource)| !resource.inactive && !comes_along(resource));
        made.map(|(id, resource)| (id.as_str(), resource)).collect()
    }

    /// Returns all resources and records as text, with addresses in place of ids.
    pub fn fingerprint(&self) -> String {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (at, (id, resource)) in self.resources.iter().enumerate() {
            let address = owner().address_from_tags(&resource.tags);
            let name = address.map_or_else(|| format!("{} {at}", resource.kind), |address| address.to_string());
            for also in ["DNSName", "address"].into_iter().filter_map(|field| resource.body[field].as_str()) {
                names.insert(also.to_owned(), format!("{name} host"));
            }
            names.insert(id.clone(), name);
        }
        let mut lines: Vec<String> = self
            .created_resources()
            .into_iter()
            .map(|(id, resource)| {
                let (mut body, mut tags) = (resource.body.clone(), resource.tags.clone());
                if let Some(body) = body.as_object_mut() {
                    body.remove("deploymentIds");
                }
                tags.remove(CONTENT);
                format!("{} {id} {body} {tags:?}", resource.kind)
            })
            .collect();
        lines.extend(self.interfaces.iter().map(|one| format!("{} {} {:?}", one.owner, one.subnet, one.groups)));
        if let Some(snapshot) = &self.stored {
            lines.extend(snapshot.resources.iter().map(|(address, record)| {
                let (mut spec, mut attrs) = (record.spec.clone(), record.attrs.clone());
                if let Some(attrs) = attrs.as_object_mut() {
                    attrs.remove("deployment");
                    attrs.remove("change_id");
                }
                if let Some(tags) = spec["tags"].as_object_mut() {
                    tags.remove(CONTENT);
                }
                format!("{address} {spec} {attrs} {}", record.ready)
            }));
        }
        let named = |line: &String| names.iter().rev().fold(line.clone(), |line, (id, name)| line.replace(id, name));
        let mut lines: Vec<String> = lines.iter().map(|line| mask_ids(&named(line))).collect();
        lines.sort();
        lines.join("\n")
    }

    /// Returns the inconsistencies of an account in which everything is deployed: duplicate resources, unrecorded
    /// resources, and records without a resource.
    pub fn inconsistencies(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut failures = Vec::new();
        let mut seen: BTreeMap<Address, &str> = BTreeMap::new();
        let mut contents: BTreeSet<&str> = BTreeSet::new();
        let mut families: BTreeMap<Address, BTreeSet<&str>> = BTreeMap::new();
        for (id, resource) in self.created_resources() {
            let address = match resource.kind {
                RECORD => Some(match id.trim_end_matches(" A") {
                    "staging.api.example.org" => Address::new(pb_edge::names::RECORD).unwrap(),
                    host => Address::new(pb_edge::names::route_record(host)).unwrap(),
                }),
                LISTENER_CERTIFICATE => Some(Address::new(pb_edge::names::listener_certificate(2)).unwrap()),
                VALIDATION => {
                    let host = id.trim_end_matches(" CNAME").trim_start_matches("_sim.");
                    Some(Address::new(pb_edge::names::validation(host)).unwrap())
                }
                _ => owner().address_from_tags(&resource.tags),
            };
            let Some(address) = address else {
                failures.push(format!("{id} has no owner"));
                continue;
            };
            if resource.kind == TASK {
                if !contents.insert(&resource.tags["pb-deploy:content"]) {
                    failures.push(format!("{id} was registered twice"));
                }
                families.entry(address).or_default().insert(id);
                continue;
            }
            if let Some(other) = seen.insert(address.clone(), id) {
                failures.push(format!("{address} exists twice: {other} and {id}"));
            }
            let known = |attrs: &serde_json::Value| match resource.kind {
                LISTENER_CERTIFICATE => id.starts_with(attrs["certificate_arn"].as_str().unwrap_or("?")),
                RECORD | VALIDATION => id.starts_with(attrs["name"].as_str().unwrap_or("?")),
                _ => ["id", "arn"].iter().any(|field| {
                    let known = attrs[*field].as_str().unwrap_or_default();
                    !known.is_empty() && id.ends_with(known)
                }),
            };
            match snapshot.resources.get(&address) {
                Some(record) if record.kind == resource.kind && known(&record.attrs) => {}
                Some(record) => failures.push(format!("{address} is {id}, but {} is recorded", record.attrs)),
                None => failures.push(format!("{id} of {address} is not recorded")),
            }
        }
        for (address, record) in &snapshot.resources {
            let existing = match families.get(address) {
                Some(revisions) => revisions.iter().any(|id| record.attrs["arn"] == **id),
                None => seen.contains_key(address),
            };
            if !existing {
                failures.push(format!("{address} is recorded as {}, but does not exist", record.attrs));
            }
            if !record.ready {
                failures.push(format!("{address} is recorded as not ready"));
            }
        }
        failures
    }
}
