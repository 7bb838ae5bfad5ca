//! Settings of a load balancer that the create call does not accept.

use super::LoadBalancerSpec;
use crate::LoadBalancerClient as Client;
use aws_sdk_elasticloadbalancingv2::types::LoadBalancerAttribute;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};

const DELETION_PROTECTION: &str = "deletion_protection.enabled";
const IDLE_TIMEOUT: &str = "idle_timeout.timeout_seconds";
const DROP_INVALID_HEADERS: &str = "routing.http.drop_invalid_header_fields.enabled";

/// Settings of a load balancer that the create call does not accept. A setting that AWS does not return has its default
/// value. (Elastic Load Balancing API: LoadBalancerAttribute)
pub(super) struct Attributes {
    pub deletion_protection: Option<bool>,
    /// Idle timeout of connections, in seconds.
    pub idle_timeout: Option<i32>,
    pub drop_invalid_headers: bool,
}

impl Attributes {
    pub(super) fn desired(spec: &LoadBalancerSpec) -> Self {
        Self {
            deletion_protection: spec.deletion_protection,
            idle_timeout: spec.idle_timeout,
            drop_invalid_headers: spec.drop_invalid_headers,
        }
    }

    /// Reads the settings; `None` if the load balancer does not exist.
    pub(super) async fn read(client: &Client, arn: &str) -> Result<Option<Self>, Failure> {
        let call = client.describe_load_balancer_attributes().load_balancer_arn(arn).send();
        let output = match call.await.for_operation("elasticloadbalancing:DescribeLoadBalancerAttributes") {
            Err(failure) if failure.class == Class::NotFound => return Ok(None),
            answer => answer?,
        };
        let value = |key: &str| {
            let mut all = output.attributes().iter();
            all.find(|attribute| attribute.key() == Some(key)).and_then(LoadBalancerAttribute::value)
        };
        Ok(Some(Self {
            deletion_protection: Some(value(DELETION_PROTECTION) == Some("true")),
            idle_timeout: Some(value(IDLE_TIMEOUT).and_then(|seconds| seconds.parse().ok()).unwrap_or(60)),
            drop_invalid_headers: value(DROP_INVALID_HEADERS) == Some("true"),
        }))
    }

    /// Writes the settings that have a value.
    pub(super) async fn write(&self, client: &Client, arn: &str) -> Result<(), Failure> {
        let values = [
            (DELETION_PROTECTION, self.deletion_protection.map(|on| on.to_string())),
            (IDLE_TIMEOUT, self.idle_timeout.map(|seconds| seconds.to_string())),
            (DROP_INVALID_HEADERS, Some(self.drop_invalid_headers.to_string())),
        ];
        let attributes = values
            .into_iter()
            .filter_map(|(key, value)| Some(LoadBalancerAttribute::builder().key(key).value(value?).build()));
        let call = client.modify_load_balancer_attributes().load_balancer_arn(arn);
        let call = call.set_attributes(Some(attributes.collect()));
        call.send().await.for_operation("elasticloadbalancing:ModifyLoadBalancerAttributes").map(drop)
    }
}
