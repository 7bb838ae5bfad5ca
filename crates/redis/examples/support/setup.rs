//! Setup shared by the examples.

use pb_aws::{Access, connect};
use std::error::Error;

/// Returns the SDK configuration from the environment.
pub async fn config() -> Result<aws_types::SdkConfig, pb_engine::Failure> {
    let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-2".to_owned());
    connect(&Access { region, environment: std::env::vars().collect(), ..Access::default() }).await
}

/// Returns the ids of a subnet and a security group: those on the command line, or otherwise those of the default VPC.
#[expect(clippy::allow_attributes, reason = "not every example uses all of this")]
#[allow(dead_code)]
pub async fn subnet_and_group(config: &aws_types::SdkConfig) -> Result<(String, String), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(subnet), Some(group)) = (arguments.next(), arguments.next()) {
        return Ok((subnet, group));
    }
    let ec2 = aws_sdk_ec2::Client::new(config);
    let filter = |name: &str, value: &str| aws_sdk_ec2::types::Filter::builder().name(name).values(value).build();
    let subnets = ec2.describe_subnets().filters(filter("default-for-az", "true")).send().await?;
    let subnet = subnets.subnets().first().ok_or("no default VPC found; pass a subnet and a security group")?;
    let vpc = subnet.vpc_id().unwrap_or_default();
    let groups = ec2.describe_security_groups().filters(filter("vpc-id", vpc)).filters(filter("group-name", "default"));
    let groups = groups.send().await?;
    let group =
        groups.security_groups().first().and_then(|group| group.group_id()).ok_or("no default security group found")?;
    Ok((subnet.subnet_id().unwrap_or_default().to_owned(), group.to_owned()))
}

/// Fails if `condition` is false.
pub fn ensure(condition: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if condition { Ok(()) } else { Err(format!("expected: {what}").into()) }
}
