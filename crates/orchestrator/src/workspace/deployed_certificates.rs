//! The certificates of a deployed workspace: those that were requested for it, and an existing one that it uses.

use aws_config::SdkConfig;
use futures_util::future::join_all;
use pb_edge::{CertificateAttrs, CertificateClient, CertificateStatus, ListenerSpec};
use pb_engine::{Failure, Snapshot, is_unknown};
use std::collections::BTreeSet;

/// A certificate of a deployed workspace.
pub struct DeployedCertificate {
    /// Address; absent for an existing certificate that the stack only uses.
    pub address: Option<String>,
    pub arn: String,
    /// State, as far as it can be read.
    pub status: Result<CertificateStatus, Failure>,
}

/// Reads the certificates that the snapshot contains, with one call for each.
pub async fn read(aws: &SdkConfig, snapshot: &Snapshot) -> Vec<DeployedCertificate> {
    let recorded = recorded(snapshot);
    if recorded.is_empty() {
        return Vec::new();
    }
    let client = CertificateClient::new(aws);
    join_all(recorded.into_iter().map(|(address, arn)| async {
        let status = CertificateStatus::read(&client, &arn).await;
        DeployedCertificate { address, arn, status }
    }))
    .await
}

/// Returns the addresses and ARNs of the certificates in the snapshot.
fn recorded(snapshot: &Snapshot) -> Vec<(Option<String>, String)> {
    let of_kind = snapshot.resources.iter().filter(|(_, record)| record.kind == "acm.certificate");
    let mut found: Vec<(Option<String>, String)> = Vec::new();
    for (address, record) in of_kind {
        if let Ok(attrs) = serde_json::from_value::<CertificateAttrs>(record.attrs.clone()) {
            found.push((Some(address.to_string()), attrs.arn));
        }
    }
    let known: BTreeSet<String> = found.iter().map(|(_, arn)| arn.clone()).collect();
    found.extend(used(snapshot).filter(|arn| !known.contains(arn)).map(|arn| (None, arn)));
    found.retain(|(_, arn)| !is_unknown(arn) && !arn.is_empty());
    found
}

/// Returns the certificate of the HTTPS listener.
fn used(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let listener = snapshot.resources.get(pb_edge::names::LISTENER_HTTPS);
    let spec = listener.and_then(|record| serde_json::from_value::<ListenerSpec>(record.spec.clone()).ok());
    spec.and_then(|spec| spec.certificate_arn).into_iter()
}

#[cfg(test)]
mod tests {
    use super::recorded;
    use pb_engine::{Address, Snapshot};
    use serde_json::json;

    #[test]
    fn requested_and_used_certificates_are_found_once() {
        let mut snapshot = Snapshot::default();
        let mut add = |address: &str, kind: &str, spec: serde_json::Value, attrs: serde_json::Value| {
            let record = json!({ "kind": kind, "spec": spec, "attrs": attrs, "settled": true });
            snapshot.resources.insert(Address::new(address).unwrap(), serde_json::from_value(record).unwrap());
        };
        add("edge/certificate", "acm.certificate", json!({}), json!({ "arn": "one" }));
        add("edge/certificate_2", "acm.certificate", json!({}), json!({ "arn": "two" }));
        let listener = |certificate: &str| {
            json!({
                "load_balancer_arn": "lb", "port": 443, "protocol": "HTTPS", "target_group_arn": "tg",
                "certificate_arn": certificate, "tags": {},
            })
        };
        add("edge/listener_https", "elbv2.listener", listener("one"), json!({ "arn": "l" }));
        let found: Vec<String> = recorded(&snapshot).into_iter().map(|(_, arn)| arn).collect();
        assert_eq!(found, ["one", "two"]);
        let mut snapshot = Snapshot::default();
        let record = json!({ "kind": "elbv2.listener", "spec": listener("three"), "attrs": {}, "settled": true });
        let address = Address::new("edge/listener_https").unwrap();
        snapshot.resources.insert(address, serde_json::from_value(record).unwrap());
        assert_eq!(recorded(&snapshot), [(None, "three".to_owned())]);
    }
}
