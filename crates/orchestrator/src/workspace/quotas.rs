//! Quotas of the account: read from Service Quotas and compared with the usage that a plan would lead to.

use aws_config::SdkConfig;
use aws_sdk_servicequotas::Client;
use aws_sdk_servicequotas::types::ServiceQuota;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join4};
use pb_aws::ForOperation;
use pb_edge::LoadBalancerClient;
use pb_engine::{Address, Class, Failure, Graph, PlanError, Planned, PreflightCheck, Refusal};
use pb_net::Ec2;
use pb_rules::quotas::{Quota, Usage};
use std::fmt;

/// Value of a quota.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QuotaValue {
    /// Value applied to the account.
    Applied(f64),
    /// AWS default: the account has requested no other value, or its value is unknown.
    Default(f64),
}

impl QuotaValue {
    /// Returns the value as a number.
    pub fn value(self) -> f64 {
        match self {
            Self::Applied(value) | Self::Default(value) => value,
        }
    }
}

/// Text of the value, for messages.
impl fmt::Display for QuotaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied(value) => write!(f, "{value}"),
            Self::Default(value) => write!(f, "{value} by default"),
        }
    }
}

/// Returns the value of a quota. If GetServiceQuota does not know a quota (NoSuchResourceException), it was never
/// changed for the account, and the default applies. (Service Quotas API: GetServiceQuota, GetAWSDefaultServiceQuota)
///
/// # Errors
/// The error of these calls.
pub async fn current_value(client: &Client, service: &str, code: &str) -> Result<QuotaValue, Failure> {
    let value = |quota: Option<ServiceQuota>| {
        let none = || Failure::new(Class::Refused, "servicequotas:GetServiceQuota", "the response contains no value");
        quota.and_then(|quota| quota.value()).ok_or_else(none)
    };
    let own = client.get_service_quota().service_code(service).quota_code(code).send().await;
    match own.for_operation("servicequotas:GetServiceQuota") {
        Ok(answer) => value(answer.quota).map(QuotaValue::Applied),
        Err(failure) if failure.is("NoSuchResourceException") => {
            let call = client.get_aws_default_service_quota().service_code(service).quota_code(code);
            let answer = call.send().await.for_operation("servicequotas:GetAWSDefaultServiceQuota")?;
            value(answer.quota).map(QuotaValue::Default)
        }
        Err(failure) => Err(failure),
    }
}

/// Adds a preflight check that refuses plans that would exceed quotas of the account: VPCs, internet gateways, security
/// group rules, load balancers, target groups, listener rules, cache nodes.
pub fn add_preflight_check(graph: &mut Graph, aws: &SdkConfig) {
    graph.add_preflight_check(QuotaCheck(aws.clone()));
}

/// Preflight check of the account's quotas.
struct QuotaCheck(SdkConfig);

impl PreflightCheck for QuotaCheck {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        async move {
            let (ec2, balancers) = (Ec2::from(&self.0), LoadBalancerClient::new(&self.0));
            let caches = pb_redis::Client::new(&self.0);
            let (region, rules, balancers, nodes) = try_join4(
                pb_net::region_usage(&ec2, planned),
                pb_net::quota_usage(&ec2, planned),
                pb_edge::quota_usage(&balancers, planned),
                pb_redis::quota_usage(&caches, planned),
            )
            .await?;
            let mut refused = Vec::new();
            for (address, usage) in region.into_iter().chain(rules).chain(balancers).chain(nodes) {
                refused.extend(refusal(&Client::new(&self.0), address, &usage).await?);
            }
            Ok(refused)
        }
        .boxed()
    }
}

/// Returns the refusal of a plan whose usage exceeds a quota. `usage` exceeds the default; the account's value, which
/// is never below the default, is read only in this case.
async fn refusal(client: &Client, address: Address, usage: &Usage) -> Result<Option<PlanError>, Failure> {
    let Quota { service, code, default, adjustable, .. } = usage.quota;
    let default = f64::from(u32::try_from(*default).unwrap_or(u32::MAX));
    let (limit, note) = match *adjustable {
        true => match current_value(client, service, code).await {
            Ok(allowed) => (allowed.value(), None),
            // Without permission or without the API, the default is assumed, which every account has at least.
            Err(failure) if matches!(failure.class, Class::Denied | Class::Refused | Class::NotFound) => {
                (default, Some(format!("the default; the value of this account is unknown: {failure}")))
            }
            Err(failure) => return Err(failure),
        },
        false => (default, None),
    };
    let region = client.config().region().map(AsRef::as_ref).unwrap_or_default();
    Ok(usage.refusal(limit, note.as_deref(), region).map(|why| PlanError::new(address, why).reason(Refusal::Quota)))
}

#[cfg(test)]
mod tests {
    use super::{QuotaValue, current_value, refusal};
    use aws_sdk_servicequotas::Client;
    use aws_sdk_servicequotas::error::ErrorMetadata;
    use aws_sdk_servicequotas::operation::get_aws_default_service_quota::GetAwsDefaultServiceQuotaOutput;
    use aws_sdk_servicequotas::operation::get_service_quota::{GetServiceQuotaError, GetServiceQuotaOutput};
    use aws_sdk_servicequotas::types::ServiceQuota;
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::{Address, Class};
    use pb_rules::quotas::{Quota, RULES_PER_GROUP, TARGET_GROUPS_PER_LOAD_BALANCER, Usage};

    fn quota_of(value: f64) -> ServiceQuota {
        ServiceQuota::builder().value(value).build()
    }

    fn answers(value: f64) -> Rule {
        mock!(Client::get_service_quota)
            .then_output(move || GetServiceQuotaOutput::builder().quota(quota_of(value)).build())
    }

    fn fails(code: &'static str) -> Rule {
        mock!(Client::get_service_quota).then_error(move || {
            GetServiceQuotaError::generic(ErrorMetadata::builder().code(code).message("no").build())
        })
    }

    /// Returns the text of the refusal, if any.
    async fn refusal_reason(rule: &Rule, quota: &'static Quota) -> Result<Option<String>, Class> {
        let client = pb_aws::mock_client!(aws_sdk_servicequotas, [rule]);
        let (now, more) = (quota.default, 1);
        let usage = Usage { quota, of: "it".to_owned(), what: "things", now, more };
        let refused = refusal(&client, Address::new("net/it").unwrap(), &usage).await;
        refused.map(|refused| refused.map(|refused| refused.why)).map_err(|failure| failure.class)
    }

    #[tokio::test]
    async fn quota_value_is_applied_or_default() {
        let own = mock!(Client::get_service_quota)
            .match_requests(|input| (input.service_code(), input.quota_code()) == (Some("fargate"), Some("L-3032A538")))
            .then_output(|| GetServiceQuotaOutput::builder().quota(quota_of(6.0)).build());
        let client = pb_aws::mock_client!(aws_sdk_servicequotas, [&own]);
        assert_eq!(current_value(&client, "fargate", "L-3032A538").await.unwrap(), QuotaValue::Applied(6.0));
        let default = mock!(Client::get_aws_default_service_quota)
            .match_requests(|input| (input.service_code(), input.quota_code()) == (Some("vpc"), Some("L-F678F1CE")))
            .then_output(|| GetAwsDefaultServiceQuotaOutput::builder().quota(quota_of(5.0)).build());
        let never_set = fails("NoSuchResourceException");
        let client = pb_aws::mock_client!(aws_sdk_servicequotas, [&never_set, &default]);
        assert_eq!(current_value(&client, "vpc", "L-F678F1CE").await.unwrap(), QuotaValue::Default(5.0));
    }

    #[tokio::test]
    async fn plan_beyond_default_quota_uses_account_value() {
        let refused = refusal_reason(&answers(60.0), &RULES_PER_GROUP).await.unwrap().unwrap();
        assert!(refused.contains("it has 60 of 60 things, and would have 61"), "{refused}");
        assert_eq!(refusal_reason(&answers(61.0), &RULES_PER_GROUP).await, Ok(None));
    }

    #[tokio::test]
    async fn unreadable_quota_falls_back_to_default() {
        let refused = refusal_reason(&fails("AccessDeniedException"), &RULES_PER_GROUP).await.unwrap().unwrap();
        assert!(refused.contains("60 (the default; the value of this account is unknown: "), "{refused}");
        assert!(refused.contains("servicequotas:GetServiceQuota"), "{refused}");
        assert_eq!(refusal_reason(&fails("TooManyRequestsException"), &RULES_PER_GROUP).await, Err(Class::Throttled));
    }

    #[tokio::test]
    async fn fixed_quota_is_not_requested() {
        let never = answers(1_000.0);
        let refused = refusal_reason(&never, &TARGET_GROUPS_PER_LOAD_BALANCER).await.unwrap().unwrap();
        assert!(refused.contains("would have 101") && never.num_calls() == 0, "{refused}");
    }
}
