//! The table `https` with which the configuration would describe the HTTPS listener of a Terraform state.

use pb_config::Workspace;
use pb_rules::https::DEFAULT_POLICY;
use pb_terraform::HttpsSettings;
use std::collections::BTreeSet;

/// Returns a text such as ``add `[workspace.staging.https]` with `names = ["www.example.org"]` to the configuration``.
///
/// The certificate of the state is imported if all its names can be configured; otherwise the configuration has to use
/// it as an existing certificate.
pub fn advice(workspace: &Workspace, settings: Option<&HttpsSettings>) -> String {
    let keys = settings.map(|settings| keys(workspace, settings)).unwrap_or_default();
    let with = if keys.is_empty() { String::new() } else { format!(" with {}", keys.join(", ")) };
    format!("add `[workspace.{}.https]`{with} to the configuration", workspace.name)
}

fn keys(workspace: &Workspace, settings: &HttpsSettings) -> Vec<String> {
    let HttpsSettings { certificate_arn, names, policy, redirects } = settings;
    let hosts = workspace.services.routed().flat_map(|(_, _, route)| &route.hosts);
    let needed: BTreeSet<&String> = std::iter::once(&workspace.names.hostname).chain(hosts).collect();
    let more = names.as_ref().filter(|names| needed.iter().all(|name| names.contains(*name))).map(|names| {
        names.iter().filter(|name| !needed.contains(name)).map(|name| format!("{name:?}")).collect::<Vec<_>>()
    });
    let mut keys = Vec::new();
    match (more.filter(|more| !more.iter().any(|name| name.contains('*'))), certificate_arn) {
        (Some(more), _) if more.is_empty() => {}
        (Some(more), _) => keys.push(format!("`names = [{}]`", more.join(", "))),
        (None, Some(arn)) => keys.push(format!("`certificate_arn = {arn:?}`")),
        (None, None) => {}
    }
    if let Some(policy) = policy.as_ref().filter(|policy| *policy != DEFAULT_POLICY) {
        keys.push(format!("`policy = {policy:?}`"));
    }
    if !redirects {
        keys.push("`redirect = false`".to_owned());
    }
    keys
}
