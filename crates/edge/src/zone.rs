//! Lookup of the hosted zone, which is never created.

use crate::DnsClient;
use crate::record::plain_name;
use aws_sdk_route53::types::HostedZone;
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Cause, Class, Failure};
use serde::{Deserialize, Serialize};

const FIND: &str = "find the hosted zone";

/// Maximum number of pages of zones with the same name; a page contains up to 100 zones.
const MAX_PAGES: usize = 10;

/// Public hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Id, without `/hostedzone/`.
    pub id: String,
    /// Name, in lower case, without the trailing dot.
    pub name: String,
}

/// Returns the public hosted zone with this name. `zone_id` selects one of several zones with the same name.
///
/// # Errors
/// `NotFound` if there is no such zone; `Refused`, with the ids of all zones, if there are several and `zone_id` is not
/// given; and the error of the call.
pub async fn find_zone(config: &SdkConfig, name: &str, zone_id: Option<&str>) -> Result<Zone, Failure> {
    find_zone_with(&DnsClient::new(config), name, zone_id).await
}

/// Does the same as [`find_zone`], but with the given client.
///
/// # Errors
/// The same as those of [`find_zone`].
pub async fn find_zone_with(client: &DnsClient, name: &str, zone_id: Option<&str>) -> Result<Zone, Failure> {
    let name = plain_name(name);
    let zones = zones(client, &name).await?;
    let mut ids: Vec<&str> = zones.iter().filter(|zone| is_public(zone)).map(|zone| short_id(&zone.id)).collect();
    ids.sort_unstable();
    if let Some(chosen) = zone_id.map(short_id) {
        ids.retain(|id| *id == chosen);
    }
    match (ids.as_slice(), zone_id) {
        ([id], _) => Ok(Zone { id: (*id).to_owned(), name }),
        ([], Some(chosen)) => {
            let what = format!("no public hosted zone `{name}` with the id {chosen} in this account");
            Err(Failure::new(Class::NotFound, FIND, what)
                .cause(Cause::Prerequisite)
                .hint("correct or remove `zone_id`"))
        }
        ([], None) if !zones.is_empty() => {
            let what = format!("the hosted zone `{name}` of this account is private; its records are not public");
            Err(Failure::new(Class::NotFound, FIND, what)
                .cause(Cause::Prerequisite)
                .hint("create a public hosted zone with this name in Route 53"))
        }
        ([], None) => {
            let what = format!("no public hosted zone `{name}` in this account");
            let hint = "create it in Route 53 and set its name servers at the domain's registrar, or set `zone`";
            Err(Failure::new(Class::NotFound, FIND, what).cause(Cause::Prerequisite).hint(hint))
        }
        (several, _) => {
            let what = format!("{} public hosted zones have the name `{name}`: {}", several.len(), several.join(", "));
            let hint = "set `zone_id` to the zone whose name servers are set at the domain's registrar";
            Err(Failure::new(Class::Refused, FIND, what).cause(Cause::Prerequisite).hint(hint))
        }
    }
}

/// Returns the public hosted zone in which the records of `name` belong: the zone with the id `zone_id`, otherwise the
/// one with the longest name that contains `name`.
///
/// # Errors
/// `NotFound` if there is no such zone; `Refused` if several zones have that name, or if the zone with the id does not
/// contain the name; and the error of the call.
pub async fn zone_of(config: &SdkConfig, name: &str, zone_id: Option<&str>) -> Result<Zone, Failure> {
    let client = DnsClient::new(config);
    let name = plain_name(name);
    if let Some(id) = zone_id {
        return zone_with_id(&client, &name, id).await;
    }
    let prerequisite = |class, what: String| Failure::new(class, FIND, what).cause(Cause::Prerequisite);
    if let Some((parent, ids)) = public_zones_of(&client, &name).await? {
        return match ids.as_slice() {
            [first, _, ..] => {
                let (count, all) = (ids.len(), ids.join(", "));
                let what = format!("{count} public hosted zones have the name `{parent}`: {all}");
                let hint = format!("set `https.zones = {{ \"{name}\" = \"{first}\" }}`, with the id of the right one");
                Err(prerequisite(Class::Refused, what).hint(hint))
            }
            ids => Ok(Zone { id: ids.first().cloned().unwrap_or_default(), name: parent }),
        };
    }
    let hint = format!(
        "create a public hosted zone for it in Route 53 and set its name servers at the domain's registrar, or remove \
         `{name}` from the configuration"
    );
    Err(prerequisite(Class::NotFound, format!("no public hosted zone of this account contains `{name}`")).hint(hint))
}

/// Returns the longest name of the public hosted zones that contain `name`, and the ids of the zones with that name.
pub(crate) async fn public_zones_of(client: &DnsClient, name: &str) -> Result<Option<(String, Vec<String>)>, Failure> {
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
    for parent in starts.map(|at| &name[at..]).filter(|parent| parent.contains('.')) {
        let found = zones(client, parent).await?;
        let public = found.iter().filter(|zone| is_public(zone)).map(|zone| short_id(&zone.id).to_owned());
        let ids: Vec<String> = public.collect();
        if !ids.is_empty() {
            return Ok(Some((parent.to_owned(), ids)));
        }
    }
    Ok(None)
}

/// Returns the name servers of a zone.
pub(crate) async fn zone_servers(client: &DnsClient, id: &str) -> Result<Vec<String>, Failure> {
    let output = client.get_hosted_zone().id(id).send().await.for_operation("route53:GetHostedZone")?;
    Ok(output.delegation_set.map(|set| set.name_servers).unwrap_or_default())
}

/// Returns the public hosted zone with this id, which must contain `name`.
async fn zone_with_id(client: &DnsClient, name: &str, id: &str) -> Result<Zone, Failure> {
    let prerequisite = |class, what: String| {
        let hint = format!("correct the id of `{name}` in `https.zones`");
        Failure::new(class, FIND, what).cause(Cause::Prerequisite).hint(hint)
    };
    let zone = match client.get_hosted_zone().id(id).send().await.for_operation("route53:GetHostedZone") {
        Err(failure) if failure.class == Class::NotFound => None,
        answer => answer?.hosted_zone,
    };
    let Some(zone) = zone.filter(is_public) else {
        return Err(prerequisite(Class::NotFound, format!("no public hosted zone with the id {id} in this account")));
    };
    let zone = Zone { id: short_id(&zone.id).to_owned(), name: plain_name(&zone.name) };
    match pb_rules::dns::in_zone(name, &zone.name) {
        Ok(()) => Ok(zone),
        Err(violation) => Err(prerequisite(Class::Refused, violation.to_string())),
    }
}

/// Returns the public hosted zone that contains `name` and has the longest name, of those whose names have at least two
/// labels and are shorter than `name`. The first one is returned if several zones have the name.
///
/// # Errors
/// The error of the call.
pub async fn containing_zone(config: &SdkConfig, name: &str) -> Result<Option<Zone>, Failure> {
    let client = DnsClient::new(config);
    let name = plain_name(name);
    let Some((_, parent)) = name.split_once('.') else { return Ok(None) };
    let found = public_zones_of(&client, parent).await?;
    Ok(found.and_then(|(name, ids)| Some(Zone { id: ids.into_iter().next()?, name })))
}

/// Returns all zones with this name. Route 53's list starts at the name and continues with other names, which are left
/// out.
async fn zones(client: &DnsClient, name: &str) -> Result<Vec<HostedZone>, Failure> {
    let mut found = Vec::new();
    let mut from: (String, Option<String>) = (name.to_owned(), None);
    for _ in 0..MAX_PAGES {
        let call = client.list_hosted_zones_by_name().dns_name(&from.0).set_hosted_zone_id(from.1.take());
        let output = call.send().await.for_operation("route53:ListHostedZonesByName")?;
        found.extend(output.hosted_zones.into_iter().filter(|zone| plain_name(&zone.name) == name));
        match output.next_dns_name {
            Some(next) if output.is_truncated && plain_name(&next) == name => from = (next, output.next_hosted_zone_id),
            _ => break,
        }
    }
    Ok(found)
}

fn is_public(zone: &HostedZone) -> bool {
    !zone.config.as_ref().is_some_and(|config| config.private_zone)
}

fn short_id(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::find_zone_with;
    use crate::DnsClient;
    use aws_sdk_route53::operation::list_hosted_zones_by_name::ListHostedZonesByNameOutput;
    use aws_sdk_route53::types::{HostedZone, HostedZoneConfig};
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::Class;

    fn zone(id: &str, name: &str, private: bool) -> HostedZone {
        let config = HostedZoneConfig::builder().private_zone(private).build();
        let zone = HostedZone::builder().id(format!("/hostedzone/{id}")).name(name).caller_reference("r");
        zone.config(config).build().unwrap()
    }

    fn listed(zones: Vec<HostedZone>) -> Rule {
        mock!(DnsClient::list_hosted_zones_by_name)
            .match_requests(|call| call.dns_name() == Some("example.org"))
            .then_output(move || {
                let answer = ListHostedZonesByNameOutput::builder().is_truncated(false).max_items(100);
                answer.set_hosted_zones(Some(zones.clone())).build().unwrap()
            })
    }

    async fn find(zones: Vec<HostedZone>, id: Option<&str>) -> Result<String, pb_engine::Failure> {
        let client = pb_aws::mock_client!(aws_sdk_route53, [&listed(zones)]);
        find_zone_with(&client, "Example.org.", id).await.map(|zone| format!("{} {}", zone.id, zone.name))
    }

    #[tokio::test]
    async fn zone_must_be_public_and_have_the_exact_name() {
        let zones = vec![
            zone("Z1", "example.org.", true),
            zone("Z2", "example.org.", false),
            zone("Z3", "www.example.org.", false),
        ];
        assert_eq!(find(zones, None).await.unwrap(), "Z2 example.org");
    }

    #[tokio::test]
    async fn missing_or_private_zone_is_an_error_with_a_hint() {
        let failure = find(vec![zone("Z3", "www.example.org.", false)], None).await.unwrap_err();
        assert_eq!(failure.class, Class::NotFound);
        assert!(failure.message.contains("no public hosted zone `example.org`"), "{failure}");
        assert!(failure.hint.unwrap().contains("name servers"));
        let failure = find(vec![zone("Z1", "example.org.", true)], None).await.unwrap_err();
        assert!(failure.message.contains("is private"), "{failure}");
    }

    #[tokio::test]
    async fn zone_id_selects_one_of_several_zones() {
        let two = || vec![zone("Z2", "example.org.", false), zone("Z1", "example.org.", false)];
        let failure = find(two(), None).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.message.contains("Z1, Z2"), "{failure}");
        assert_eq!(find(two(), Some("/hostedzone/Z2")).await.unwrap(), "Z2 example.org");
        assert_eq!(find(two(), Some("Z9")).await.unwrap_err().class, Class::NotFound);
    }
}
