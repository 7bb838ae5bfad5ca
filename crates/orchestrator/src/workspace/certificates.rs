//! Preflight check of the certificate and the TLS policy that a plan sets.

use aws_config::SdkConfig;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pb_config::Workspace;
use pb_edge::{CertificateClient, LoadBalancerClient, UnusableSetting};
use pb_engine::{Failure, Graph, PlanError, Planned, PreflightCheck, Refusal};

/// Adds a preflight check that refuses plans with a certificate or a TLS policy that cannot be used.
pub fn add_preflight_check(graph: &mut Graph, aws: &SdkConfig, workspace: &Workspace) {
    let Some(https) = &workspace.https else { return };
    let (existing, names) = (https.certificate_arn.clone(), https.certificate_names.clone());
    graph.add_preflight_check(TlsCheck { aws: aws.clone(), existing, names });
}

struct TlsCheck {
    aws: SdkConfig,
    /// Certificate that the configuration names.
    existing: Option<String>,
    /// Names for which the certificate must be valid.
    names: Vec<String>,
}

impl PreflightCheck for TlsCheck {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        async move {
            let clients = (CertificateClient::new(&self.aws), LoadBalancerClient::new(&self.aws));
            let existing = self.existing.as_deref();
            let unusable = pb_edge::unusable_settings(&clients.0, &clients.1, planned, existing, &self.names).await;
            Ok(unusable.into_iter().map(refusal).collect())
        }
        .boxed()
    }
}

fn refusal(UnusableSetting { address, setting, why }: UnusableSetting) -> PlanError {
    let remedy = match setting {
        "ssl_policy" => "choose another `https.policy`",
        _ => "choose another `https.certificate_arn`, or remove the key, so that a certificate is requested",
    };
    PlanError::new(address, format!("{why}; {remedy}")).reason(Refusal::Configuration)
}
