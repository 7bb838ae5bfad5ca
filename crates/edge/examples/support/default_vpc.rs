//! Where the examples put what they make.

use pb_aws::{Access, connect};
use std::error::Error;

/// The configuration that the environment gives.
pub async fn config() -> aws_types::SdkConfig {
    let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-2".to_owned());
    connect(&Access { region, ..Access::default() }).await
}

/// The default VPC.
pub struct DefaultVpc {
    /// Its id.
    pub id: String,
    /// Two of its subnets, in two zones.
    pub subnets: [String; 2],
    /// Its default security group.
    pub security_group: String,
}

/// The default VPC.
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

/// Fails when something is not as it should be.
pub fn expect(holds: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(format!("not true: {what}").into()) }
}
