//! `route53.hosted_zone`: the public hosted zone of the DNS record.

use aws_sdk_route53::Client;
use aws_sdk_route53::types::{HostedZone as LiveZone, Tag, TagResourceType};
use pb_aws::ForOperation;
use pb_engine::{Cause, Change, Class, Context, Failure, Found, ReadScope, Resource, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Resource kind for public hosted zones (`route53.hosted_zone`).
pub struct HostedZone {
    client: Client,
}

/// Spec of a hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedZoneSpec {
    /// Name of the zone in lower case, without a trailing dot.
    pub name: String,
}

/// Attributes of a hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedZoneAttrs {
    /// Id of the zone, without the prefix `/hostedzone/`.
    pub id: String,
    /// Name servers to set at the registrar of the domain.
    pub name_servers: Vec<String>,
}

impl HostedZone {
    /// Creates the resource kind, which calls AWS through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Returns the public zones with the name `name`. The list from Route 53 starts at this name and continues with
    /// other names, which are left out.
    async fn find(&self, name: &str) -> Result<Vec<LiveZone>, Failure> {
        let call = self.client.list_hosted_zones_by_name().dns_name(name);
        let zones = call.send().await.for_operation("route53:ListHostedZonesByName")?.hosted_zones;
        let is_match = |zone: &LiveZone| {
            let private = zone.config().is_some_and(aws_sdk_route53::types::HostedZoneConfig::private_zone);
            !private && zone.name().trim_end_matches('.').eq_ignore_ascii_case(name)
        };
        Ok(zones.into_iter().filter(is_match).collect())
    }

    async fn name_servers(&self, id: &str) -> Result<Vec<String>, Failure> {
        let answer = self.client.get_hosted_zone().id(id).send().await.for_operation("route53:GetHostedZone")?;
        Ok(answer.delegation_set.map(|set| set.name_servers).unwrap_or_default())
    }
}

fn short_id(id: &str) -> &str {
    id.trim_start_matches("/hostedzone/")
}

impl Resource for HostedZone {
    const KIND: &'static str = "route53.hosted_zone";
    /// AWS allows several zones with the same name.
    const UNIQUE_NAME: bool = false;
    type Spec = HostedZoneSpec;
    type Attrs = HostedZoneAttrs;

    fn validate(spec: &HostedZoneSpec) -> Result<(), String> {
        if spec.name.is_empty() { Err("a hosted zone needs a name".to_owned()) } else { Ok(()) }
    }

    fn planned_attrs(_: &HostedZoneSpec) -> HostedZoneAttrs {
        HostedZoneAttrs { id: unknown(), name_servers: vec![unknown()] }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    fn id(attrs: &HostedZoneAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    /// Counts an existing public zone with the desired name as managed, regardless of who created it.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, spec) in &scope.desired {
            match self.find(&spec.name).await?.as_slice() {
                [] => {}
                [zone] => {
                    let id = short_id(zone.id()).to_owned();
                    let name_servers = self.name_servers(&id).await?;
                    let attrs = HostedZoneAttrs { id, name_servers };
                    found.push(Found::Managed { address: address.clone(), spec: spec.clone(), attrs, ready: true });
                }
                several => {
                    let ids: Vec<&str> = several.iter().map(|zone| short_id(zone.id())).collect();
                    let message = format!("several public hosted zones are named {}: {}", spec.name, ids.join(", "));
                    let failure =
                        Failure::new(Class::Refused, "find the hosted zone", message).cause(Cause::Prerequisite);
                    return Err(failure.hint("set `zone_id` to one of these ids; no zone needs to be created"));
                }
            }
        }
        Ok(found)
    }

    /// Creates the zone. All attempts of a run use the same caller reference, by which Route 53 recognises a repeated
    /// call.
    async fn create(&self, cx: &Context, spec: &HostedZoneSpec) -> Result<HostedZoneAttrs, Failure> {
        let call = self.client.create_hosted_zone().name(&spec.name).caller_reference(cx.client_token());
        let answer = call.send().await.for_operation("route53:CreateHostedZone");
        let output = answer.map_err(|failure| failure.when(&["HostedZoneAlreadyExists"], Class::Exists))?;
        let id = output.hosted_zone().map(|zone| short_id(zone.id()).to_owned());
        let name_servers = output.delegation_set.map(|set| set.name_servers).unwrap_or_default();
        let id = id
            .ok_or_else(|| Failure::new(Class::Ambiguous, "route53:CreateHostedZone", "the response has no zone id"))?;
        Ok(HostedZoneAttrs { id, name_servers })
    }

    /// Tags the zone, because CreateHostedZone accepts no tags.
    async fn configure(&self, cx: &Context, attrs: &HostedZoneAttrs, _: &HostedZoneSpec) -> Result<(), Failure> {
        let tags = cx.tags(&BTreeMap::new()).into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let call = self.client.change_tags_for_resource().resource_type(TagResourceType::Hostedzone);
        let call = call.resource_id(&attrs.id).set_add_tags(Some(tags));
        call.send().await.for_operation("route53:ChangeTagsForResource").map(drop)
    }

    /// Returns the attributes unchanged, because no field of a zone is updated in place.
    async fn update(
        &self,
        _cx: &Context,
        attrs: &HostedZoneAttrs,
        _spec: &HostedZoneSpec,
        _changes: &[Change],
    ) -> Result<HostedZoneAttrs, Failure> {
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &HostedZoneAttrs) -> Result<(), Failure> {
        let call = self.client.delete_hosted_zone().id(&attrs.id);
        call.send().await.for_operation("route53:DeleteHostedZone").map(drop)
    }
}
