//! Tests of the resource kind for validation records.

use super::{Validation, ValidationSpec};
use crate::testing::standalone;
use crate::{CertificateClient, DnsClient};
use aws_sdk_acm::operation::describe_certificate::DescribeCertificateOutput;
use aws_sdk_acm::operation::list_certificates::ListCertificatesOutput;
use aws_sdk_acm::types::{
    CertificateDetail, CertificateStatus, CertificateSummary, DomainValidation, RecordType, ResourceRecord,
    ValidationMethod,
};
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsOutput;
use aws_sdk_route53::operation::get_change::GetChangeOutput;
use aws_sdk_route53::operation::list_resource_record_sets::ListResourceRecordSetsOutput;
use aws_sdk_route53::primitives::DateTime;
use aws_sdk_route53::types::{ChangeAction, ChangeInfo, ChangeStatus, ResourceRecordSet};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Graph, Standalone};

const ARN: &str = "arn:aws:acm:us-east-2:123456789012:certificate/1";
const OTHER_ARN: &str = "arn:aws:acm:us-east-2:123456789012:certificate/2";

fn with(certificate_rules: &[&Rule], dns_rules: &[&Rule]) -> Standalone {
    let certificates = pb_aws::mock_client!(aws_sdk_acm, certificate_rules.iter().copied());
    let dns = pb_aws::mock_client!(aws_sdk_route53, dns_rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(Validation::from_clients(certificates, dns));
    let spec = ValidationSpec {
        zone_id: "Z1".to_owned(),
        hostname: "example.org".to_owned(),
        certificate_arn: ARN.to_owned(),
    };
    graph.add("edge/validation_example_org", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

/// Returns a certificate for a name, with or without the validation record.
fn certificate(arn: &str, name: &str, with_record: bool) -> CertificateDetail {
    let record = ResourceRecord::builder()
        .name("_a.example.org.")
        .value("_B.acm-validations.aws.")
        .r#type(RecordType::Cname)
        .build()
        .unwrap();
    let option = DomainValidation::builder()
        .domain_name(name)
        .validation_method(ValidationMethod::Dns)
        .set_resource_record(with_record.then_some(record));
    CertificateDetail::builder().certificate_arn(arn).domain_validation_options(option.build().unwrap()).build()
}

fn described(detail: CertificateDetail) -> Rule {
    mock!(CertificateClient::describe_certificate)
        .then_output(move || DescribeCertificateOutput::builder().certificate(detail.clone()).build())
}

/// Mocks an account with a further certificate for these names.
fn listed(names: &'static [&'static str], status: CertificateStatus) -> Rule {
    mock!(CertificateClient::list_certificates).then_output(move || {
        let mut answer = ListCertificatesOutput::builder();
        if !names.is_empty() {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let summary = CertificateSummary::builder().certificate_arn(OTHER_ARN).status(status.clone());
            answer =
                answer.certificate_summary_list(summary.set_subject_alternative_name_summaries(Some(names)).build());
        }
        answer.build()
    })
}

fn records(sets: Vec<ResourceRecordSet>) -> Rule {
    mock!(DnsClient::list_resource_record_sets).then_output(move || {
        let answer = ListResourceRecordSetsOutput::builder().is_truncated(false).max_items(1);
        answer.set_resource_record_sets(Some(sets.clone())).build().unwrap()
    })
}

fn info(status: ChangeStatus) -> ChangeInfo {
    ChangeInfo::builder().id("/change/C1").status(status).submitted_at(DateTime::from_secs(0)).build().unwrap()
}

fn upserted() -> Rule {
    mock!(DnsClient::change_resource_record_sets)
        .match_requests(|call| {
            let changes = call.change_batch().map(|batch| batch.changes().to_vec()).unwrap_or_default();
            changes.len() == 1
                && changes[0].action == ChangeAction::Upsert
                && changes[0].resource_record_set.as_ref().is_some_and(|set| {
                    set.name.trim_end_matches('.') == "_a.example.org"
                        && set.resource_records()[0].value == "_b.acm-validations.aws."
                })
        })
        .then_output(|| ChangeResourceRecordSetsOutput::builder().change_info(info(ChangeStatus::Pending)).build())
}

#[tokio::test(start_paused = true)]
async fn record_is_written_once_aws_has_chosen_it() {
    let describe = mock!(CertificateClient::describe_certificate)
        .sequence()
        .output(|| {
            let detail = certificate(ARN, "example.org", false);
            DescribeCertificateOutput::builder().certificate(detail).build()
        })
        .output(|| {
            // A wildcard name is validated with the record of its base name.
            let detail = certificate(ARN, "*.example.org", true);
            DescribeCertificateOutput::builder().certificate(detail).build()
        })
        .build();
    let (list, none) = (listed(&[], CertificateStatus::Issued), records(Vec::new()));
    let write = upserted();
    let insync = mock!(DnsClient::get_change)
        .then_output(|| GetChangeOutput::builder().change_info(info(ChangeStatus::Insync)).build());
    let snapshot = with(&[&list, &describe], &[&none, &write, &insync]).deploy().await.unwrap();
    let attrs = &snapshot.resources.values().next().unwrap().attrs;
    assert_eq!((&attrs["name"], &attrs["change_id"]), (&"_a.example.org".into(), &"".into()));
    assert_eq!((write.num_calls(), describe.num_calls()), (1, 2));
}

/// Returns whether the record of `example.org` is needed while a further certificate with this status has these names.
async fn is_needed(names: &'static [&'static str], status: CertificateStatus) -> bool {
    let name = names.first().copied().unwrap_or_default();
    let (list, describe) = (listed(names, status), described(certificate(OTHER_ARN, name, true)));
    let certificates = pb_aws::mock_client!(aws_sdk_acm, [&list, &describe]);
    let never = records(Vec::new());
    let dns = pb_aws::mock_client!(aws_sdk_route53, [&never]);
    Validation::from_clients(certificates, dns).is_needed("example.org").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn record_is_needed_by_certificates_in_use_with_the_name() {
    assert!(!is_needed(&[], CertificateStatus::Issued).await);
    assert!(!is_needed(&["www.example.org"], CertificateStatus::Issued).await);
    assert!(!is_needed(&["example.org"], CertificateStatus::Expired).await);
    assert!(is_needed(&["example.org"], CertificateStatus::Issued).await);
    assert!(is_needed(&["*.example.org"], CertificateStatus::PendingValidation).await);
}
