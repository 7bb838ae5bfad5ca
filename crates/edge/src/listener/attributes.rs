//! The header `Strict-Transport-Security` of a listener, which the create call does not accept.

use crate::LoadBalancerClient as Client;
use aws_sdk_elasticloadbalancingv2::types::ListenerAttribute;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};

/// Attribute of HTTPS listeners. (Elastic Load Balancing API: ListenerAttribute)
pub(super) const HSTS: &str = "routing.http.response.strict_transport_security.header_value";

/// Returns the value of the header; empty if the listener adds no header, and `None` if the listener does not exist.
pub(super) async fn read_hsts(client: &Client, arn: &str) -> Result<Option<String>, Failure> {
    let call = client.describe_listener_attributes().listener_arn(arn).send();
    let output = match call.await.for_operation("elasticloadbalancing:DescribeListenerAttributes") {
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        answer => answer?,
    };
    let value = output.attributes().iter().find(|attribute| attribute.key() == Some(HSTS));
    Ok(Some(value.and_then(ListenerAttribute::value).unwrap_or_default().to_owned()))
}

/// Sets the value of the header.
pub(super) async fn write_hsts(client: &Client, arn: &str, value: &str) -> Result<(), Failure> {
    let attribute = ListenerAttribute::builder().key(HSTS).value(value).build();
    let call = client.modify_listener_attributes().listener_arn(arn).attributes(attribute).send();
    call.await.for_operation("elasticloadbalancing:ModifyListenerAttributes").map(drop)
}
