//! The default VPC, in which the examples create resources.

use pb_aws::{Access, connect};
use std::error::Error;

/// Returns the SDK configuration that the environment defines.
pub async fn config() -> Result<aws_types::SdkConfig, pb_engine::Failure> {
    let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-2".to_owned());
    connect(&Access { region, environment: std::env::vars().collect(), ..Access::default() }).await
}

/// The default VPC, with its subnets and its default security group.
pub struct DefaultVpc {
    /// Id of the VPC.
    pub id: String,
    /// Ids of two subnets in different Availability Zones.
    pub subnets: [String; 2],
    /// Id of the default security group.
    pub security_group: String,
}

/// Finds the default VPC.
pub async fn find(config: &aws_types::SdkConfig) -> Result<DefaultVpc, Box<dyn Error>> {
    let ec2 = aws_sdk_ec2::Client::new(config);
    let filter = |name: &str, value: &str| aws_sdk_ec2::types::Filter::builder().name(name).values(value).build();
    let subnets = ec2.describe_subnets().filters(filter("default-for-az", "true")).send().await?;
    let [first, second, ..] = subnets.subnets() else { return Err("there is no default VPC with two subnets".into()) };
    let vpc = first.vpc_id().unwrap_or_default();
    let groups = ec2.describe_security_groups().filters(filter("vpc-id", vpc)).filters(filter("group-name", "default"));
    let groups = groups.send().await?;
    let group = groups.security_groups().first().and_then(|group| group.group_id()).ok_or("no default group")?;
    let id = |subnet: &aws_sdk_ec2::types::Subnet| subnet.subnet_id().unwrap_or_default().to_owned();
    Ok(DefaultVpc { id: vpc.to_owned(), subnets: [id(first), id(second)], security_group: group.to_owned() })
}

/// Returns an error that names the expectation `what`, unless `holds` is true.
pub fn expect(holds: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("expectation failed: {what}").into()) }
}
