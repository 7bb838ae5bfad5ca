//! Tests of the resource kind for certificates.

use super::{Certificate, CertificateSpec};
use crate::CertificateClient as Client;
use crate::testing::{name_tag, ownership_tags, standalone};
use aws_sdk_acm::error::ErrorMetadata;
use aws_sdk_acm::operation::delete_certificate::{DeleteCertificateError, DeleteCertificateOutput};
use aws_sdk_acm::operation::describe_certificate::DescribeCertificateOutput;
use aws_sdk_acm::operation::list_certificates::{ListCertificatesError, ListCertificatesOutput};
use aws_sdk_acm::operation::list_tags_for_certificate::ListTagsForCertificateOutput;
use aws_sdk_acm::operation::request_certificate::{RequestCertificateError, RequestCertificateOutput};
use aws_sdk_acm::types::{
    CertificateDetail, CertificateStatus, CertificateSummary, DomainStatus, DomainValidation, FailureReason,
    KeyAlgorithm, Tag, ValidationMethod,
};
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Action, Class, Graph, Standalone};
use std::collections::BTreeSet;

const ARN: &str = "arn:aws:acm:us-east-2:123456789012:certificate/1";
const NEW_ARN: &str = "arn:aws:acm:us-east-2:123456789012:certificate/2";

fn spec(names: &[&str]) -> CertificateSpec {
    CertificateSpec {
        domain_name: names[0].to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        failed: None,
        tags: name_tag(names[0]),
    }
}

fn with(wanted: Option<CertificateSpec>, rules: &[&Rule]) -> Standalone {
    let client = pb_aws::mock_client!(aws_sdk_acm, rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(Certificate::new(client));
    if let Some(spec) = wanted {
        graph.add("edge/certificate", &kind, (), move |()| spec.clone()).unwrap();
    }
    standalone(graph)
}

fn detail(arn: &str, names: &[&str], status: CertificateStatus) -> CertificateDetail {
    let option = DomainValidation::builder().domain_name(names[0]).validation_status(DomainStatus::PendingValidation);
    CertificateDetail::builder()
        .certificate_arn(arn)
        .domain_name(names[0])
        .set_subject_alternative_names(Some(names.iter().map(|name| (*name).to_owned()).collect()))
        .domain_validation_options(option.build().unwrap())
        .status(status)
        .build()
}

fn described(details: Vec<CertificateDetail>) -> Rule {
    mock!(Client::describe_certificate).then_compute_output(move |call| {
        let found = details.iter().find(|detail| detail.certificate_arn() == call.certificate_arn()).cloned();
        DescribeCertificateOutput::builder().set_certificate(found).build()
    })
}

/// Mocks an account with these certificates, which are listed only if the call asks for all key types.
fn listed(arns: &'static [&'static str]) -> [Rule; 2] {
    let list = mock!(Client::list_certificates)
        .match_requests(|call| {
            let keys = call.includes().map(|filters| filters.key_types().to_vec()).unwrap_or_default();
            KeyAlgorithm::values().iter().all(|key| keys.contains(&KeyAlgorithm::from(*key)))
        })
        .then_output(move || {
            let summary =
                |arn: &&str| CertificateSummary::builder().certificate_arn(*arn).domain_name("example.org").build();
            ListCertificatesOutput::builder()
                .set_certificate_summary_list(Some(arns.iter().map(summary).collect()))
                .build()
        });
    let tags = mock!(Client::list_tags_for_certificate).then_output(|| {
        let tags = ownership_tags("edge/certificate", "example.org").into_iter();
        let tags = tags.map(|tag| {
            let (key, value) = (tag.key().unwrap_or_default(), tag.value().unwrap_or_default());
            Tag::builder().key(key).value(value).build().unwrap()
        });
        ListTagsForCertificateOutput::builder().set_tags(Some(tags.collect())).build()
    });
    [list, tags]
}

fn error(code: &'static str) -> ErrorMetadata {
    ErrorMetadata::builder().code(code).message("no").build()
}

#[tokio::test(start_paused = true)]
async fn request_has_all_names_and_is_awaited() {
    let names = ["example.org", "*.example.org", "www.example.net"];
    let request = mock!(Client::request_certificate)
        .match_requests(|call| {
            let others: BTreeSet<&str> = call.subject_alternative_names().iter().map(String::as_str).collect();
            let token = call.idempotency_token().unwrap_or_default();
            call.domain_name() == Some("example.org")
                && others == BTreeSet::from(["*.example.org", "www.example.net"])
                && call.validation_method() == Some(&ValidationMethod::Dns)
                && token.len() == 32
                && token.chars().all(|c| c.is_ascii_alphanumeric())
                && call.tags().len() == 4
        })
        .then_output(|| RequestCertificateOutput::builder().certificate_arn(ARN).build());
    let of = move |status| DescribeCertificateOutput::builder().certificate(detail(ARN, &names, status)).build();
    let describe = mock!(Client::describe_certificate)
        .sequence()
        .output(move || of(CertificateStatus::PendingValidation))
        .output(move || of(CertificateStatus::Issued))
        .build();
    let [list, tags] = listed(&[]);
    let snapshot = with(Some(spec(&names)), &[&list, &tags, &request, &describe]).deploy().await.unwrap();
    assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], ARN);
    assert_eq!((request.num_calls(), describe.num_calls()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn changed_names_replace_the_certificate_without_a_gap() {
    let (old, new) = (["example.org"], ["example.org", "www.example.org"]);
    let describe =
        described(vec![detail(ARN, &old, CertificateStatus::Issued), detail(NEW_ARN, &new, CertificateStatus::Issued)]);
    let request = mock!(Client::request_certificate)
        .then_output(|| RequestCertificateOutput::builder().certificate_arn(NEW_ARN).build());
    let delete = mock!(Client::delete_certificate)
        .match_requests(|call| call.certificate_arn() == Some(ARN))
        .sequence()
        .error(|| DeleteCertificateError::generic(error("ResourceInUseException")))
        .output(|| DeleteCertificateOutput::builder().build())
        .build();
    let [list, tags] = listed(&[ARN]);
    let plan = with(Some(spec(&old)), &[&list, &tags, &describe]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let snapshot = with(Some(spec(&new)), &[&list, &tags, &describe, &request, &delete]).deploy().await.unwrap();
    assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], NEW_ARN);
    assert_eq!((request.num_calls(), delete.num_calls()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn failed_certificate_has_a_reason_and_is_replaced() {
    let names = ["example.org"];
    let failed = || {
        let mut failed = detail(ARN, &names, CertificateStatus::Failed);
        failed.failure_reason = Some(FailureReason::CaaError);
        failed
    };
    let request = mock!(Client::request_certificate)
        .then_output(|| RequestCertificateOutput::builder().certificate_arn(ARN).build());
    let describe = described(vec![failed()]);
    let [none, tags] = listed(&[]);
    let failure = with(Some(spec(&names)), &[&none, &tags, &request, &describe]).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Failed);
    assert!(failure.message.contains("did not issue the certificate for example.org: CAA_ERROR"), "{failure}");
    assert!(failure.hint.unwrap().contains("0 issue \"amazon.com\""));

    let [list, tags] = listed(&[ARN]);
    let plan = with(Some(spec(&names)), &[&list, &tags, &describe]).plan().await.unwrap();
    let step = &plan.steps[0];
    assert!(matches!(step.action, Action::Replace { .. }), "{step:?}");
    assert_eq!(step.before.as_ref().unwrap()["failed"], "CAA_ERROR");
}

#[tokio::test(start_paused = true)]
async fn certificate_that_is_not_issued_in_time_can_be_continued() {
    let names = ["example.org"];
    let request = mock!(Client::request_certificate)
        .then_output(|| RequestCertificateOutput::builder().certificate_arn(ARN).build());
    let describe = described(vec![detail(ARN, &names, CertificateStatus::PendingValidation)]);
    let [list, tags] = listed(&[]);
    let failure = with(Some(spec(&names)), &[&list, &tags, &request, &describe]).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.hint.unwrap().contains("which goes on from here"));

    let [list, tags] = listed(&[ARN]);
    let describe = mock!(Client::describe_certificate)
        .sequence()
        .output(move || {
            let pending = detail(ARN, &names, CertificateStatus::PendingValidation);
            DescribeCertificateOutput::builder().certificate(pending).build()
        })
        .times(3)
        .output(move || {
            let issued = detail(ARN, &names, CertificateStatus::Issued);
            DescribeCertificateOutput::builder().certificate(issued).build()
        })
        .repeatedly()
        .build();
    with(Some(spec(&names)), &[&list, &tags, &describe]).deploy().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn exceeded_quota_has_a_hint() {
    let request = mock!(Client::request_certificate)
        .then_error(|| RequestCertificateError::generic(error("LimitExceededException")));
    let [list, tags] = listed(&[]);
    let failure = with(Some(spec(&["example.org"])), &[&list, &tags, &request]).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.hint.unwrap().contains("L-F141DD1D"));
}

#[tokio::test(start_paused = true)]
async fn workspace_without_https_needs_no_permission() {
    let denied = || {
        mock!(Client::list_certificates).then_error(|| ListCertificatesError::generic(error("AccessDeniedException")))
    };
    let plan = with(None, &[&denied()]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let failure = with(Some(spec(&["example.org"])), &[&denied()]).plan().await.unwrap_err();
    assert!(failure.message.contains("acm:ListCertificates") || failure.operation.contains("acm:"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn tags_of_certificates_with_other_names_are_not_read() {
    let list = mock!(Client::list_certificates).then_output(|| {
        let other = |number: usize| {
            CertificateSummary::builder().certificate_arn(format!("{ARN}{number}")).domain_name("other.net").build()
        };
        ListCertificatesOutput::builder().set_certificate_summary_list(Some((0..500).map(other).collect())).build()
    });
    let [_, tags] = listed(&[]);
    for wanted in [None, Some(spec(&["example.org"]))] {
        with(wanted, &[&list, &tags]).plan().await.unwrap();
    }
    assert_eq!((list.num_calls(), tags.num_calls()), (2, 0));
}
