//! Hosted zones of the names that are not in the zone of the workspace.

use aws_config::SdkConfig;
use futures_util::future::try_join_all;
use pb_config::{Https, Workspace};
use pb_edge::Zone;
use pb_engine::{Class, Failure, Goal, unknown};
use pb_rules::dns::in_zone;
use pb_rules::https::base_name;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the zones of the names of the certificate and of the further hostnames that are not in the zone of the
/// workspace, or whose zone the configuration names, by name. A destroy does not need a zone that no longer exists.
///
/// # Errors
/// `NotFound` if a name is in no public zone of the account; `Refused` if it could be in several ones.
pub async fn look_up(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> Result<BTreeMap<String, Zone>, Failure> {
    let Some(https) = &workspace.https else { return Ok(BTreeMap::new()) };
    let found = names(workspace, https).into_iter().map(|name| async move {
        let zone_id = https.zones.get(name).map(String::as_str);
        match pb_edge::zone_of(aws, name, zone_id).await {
            Err(failure) if goal == Goal::Destroy && failure.class == Class::NotFound => {
                Ok((name.to_owned(), Zone { id: unknown(), name: name.to_owned() }))
            }
            answer => answer.map(|zone| (name.to_owned(), zone)),
        }
    });
    Ok(try_join_all(found).await?.into_iter().collect())
}

/// Returns the names whose zone has to be looked up.
fn names<'a>(workspace: &Workspace, https: &'a Https) -> BTreeSet<&'a str> {
    // An existing certificate needs no validation records, so the zones of its names do not matter.
    let of_certificate = https.certificate_names.iter().filter(|_| https.certificate_arn.is_none());
    let all = of_certificate.chain(&https.names).map(|name| base_name(name));
    all.filter(|name| is_elsewhere(workspace, https, name)).collect()
}

/// Returns whether a name is not in the zone of the workspace, or the configuration names its zone.
pub fn is_elsewhere(workspace: &Workspace, https: &Https, name: &str) -> bool {
    https.zones.contains_key(name) || in_zone(name, &workspace.zone).is_err()
}
