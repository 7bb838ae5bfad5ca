//! Settings of HTTPS, from the configuration and the prerequisites.

use crate::workspace::prerequisites::Prerequisites;
use pb_config::Workspace;
use pb_edge::{CertificateSource, HttpsSpec, Zone};
use pb_engine::Input;
use pb_fargate::FargateStack;
use pb_rules::https::base_name;
use std::collections::BTreeMap;

/// Port of the HTTPS listener.
pub(super) const PORT: u16 = 443;

/// Returns the settings of HTTPS; `None` if the workspace does not use it.
pub(super) fn spec(workspace: &Workspace, prerequisites: &Prerequisites) -> Option<HttpsSpec> {
    let https = workspace.https.as_ref()?;
    let zone = |name: &String| (name.clone(), prerequisites.zone_of(base_name(name)));
    let certificate = match &https.certificate_arn {
        Some(arn) => CertificateSource::Existing(arn.clone()),
        None => CertificateSource::Requested(https.certificate_names.iter().map(zone).collect()),
    };
    // Hosts of web services that are in the zone of the workspace have their records already.
    let has_record = |name: &&String| {
        let mut routed = workspace.services.routed();
        routed.any(|(_, _, route)| route.records.contains(*name))
    };
    let records: BTreeMap<String, Zone> = https.names.iter().filter(|name| !has_record(name)).map(zone).collect();
    Some(HttpsSpec {
        port: PORT.into(),
        certificate,
        ssl_policy: https.policy.clone(),
        hsts: https.hsts.clone(),
        redirect: https.redirect,
        records,
    })
}

/// Returns an input for each service that is ready when its tasks can handle requests.
pub(super) fn services(fargate: &FargateStack) -> BTreeMap<String, Input<()>> {
    fargate.workloads.iter().map(|(key, running)| (key.clone(), running.service.map(|_| ()))).collect()
}
