//! Lifecycle of all resources of one worker, with nothing but an SDK configuration: create, no-op, update, delete.
//!
//! ```sh
//! cargo run --release -p pb-fargate --example services
//! ```
//!
//! The tasks run in a subnet of the default VPC. The environment variable `EXECUTION_ROLE_ARN` contains the ARN of the
//! execution role. Exits with code 1 if a check fails.

use pb_aws::{Access, connect};
use pb_engine::{Action, Event, Events, Failure, Graph, Input, Ownership, Standalone};
use pb_fargate::{FargateInputs, FargateSpec, FargateStack, Image, Workload, WorkloadSpec};
use std::error::Error;
use std::time::Duration;

const REGION: &str = "us-east-2";
const IMAGE: &str = "public.ecr.aws/docker/library/redis:7";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let environment = std::env::vars().collect();
    let access = Access { region: REGION.to_owned(), environment, ..Access::default() };
    let config = connect(&access).await?;
    let (subnet, group) = default_network(&aws_sdk_ec2::Client::new(&config)).await?;
    let concern = |count: i32| -> Result<Standalone, Failure> {
        let mut graph = Graph::new();
        let workload = WorkloadSpec { count, ..WorkloadSpec::workers("worker", "example-worker", image()) };
        let workload = Workload { spec: workload, group_id: Input::known(group.clone()), target: None };
        let inputs = FargateInputs {
            subnet_id: Input::known(subnet.clone()),
            routes: Input::known(()),
            redis_address: Input::known("localhost".to_owned()),
            workloads: vec![workload],
        };
        FargateStack::add(&mut graph, &config, &spec(), inputs)?;
        let owner = Ownership { stack: "pb-fargate".to_owned(), workspace: "example".to_owned() };
        Ok(Standalone::new(owner, graph).events(Events::new(print)))
    };

    let made = concern(2)?.deploy().await?;
    ensure(made.resources.len() == 5, "five resources are created")?;
    ensure(concern(2)?.plan().await?.is_empty(), "a second deploy finds nothing to do")?;

    let more = concern(3)?;
    let plan = more.plan().await?;
    let changed: Vec<(&str, Action)> = plan.changes().map(|step| (step.address.as_str(), step.action)).collect();
    ensure(changed == [("fargate/worker", Action::Update)], "a new count changes only the service")?;
    more.deploy().await?;
    ensure(concern(3)?.plan().await?.is_empty(), "the change is applied")?;

    concern(3)?.destroy().await?;
    ensure(concern(3)?.read().await?.managed.is_empty(), "nothing remains")?;
    Ok(())
}

fn image() -> Image {
    Image::Reference(std::env::var("IMAGE").unwrap_or_else(|_| IMAGE.to_owned()))
}

fn spec() -> FargateSpec {
    let role = std::env::var("EXECUTION_ROLE_ARN");
    FargateSpec {
        region: REGION.to_owned(),
        log_group: "example-workers".to_owned(),
        log_retention_days: Some(7),
        log_mode: "non-blocking".to_owned(),
        repository: "example-images".to_owned(),
        scan_on_push: true,
        untagged_images: Some(5),
        delete_images: false,
        has_images: None,
        cluster: "example-cluster".to_owned(),
        container_insights: None,
        execution_role_arn: role.unwrap_or_else(|_| "arn:aws:iam::123456789012:role/ecsTaskExecutionRole".to_owned()),
        task_role_arn: None,
        redis_port: 6400,
        tags: [("team".to_owned(), "example".to_owned())].into(),
        release_command: None,
        keep_revisions: 10,
        rollout_timeout: Some(Duration::from_secs(600)),
    }
}

/// Returns a subnet and the default security group of the default VPC.
async fn default_network(ec2: &aws_sdk_ec2::Client) -> Result<(String, String), Box<dyn Error>> {
    use aws_sdk_ec2::types::Filter;
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let subnets = ec2.describe_subnets().filters(filter("default-for-az", "true")).send().await?;
    let subnet = subnets.subnets().first().ok_or("the region has no default VPC")?;
    let groups = ec2.describe_security_groups().filters(filter("group-name", "default"));
    let groups = groups.filters(filter("vpc-id", subnet.vpc_id().unwrap_or_default())).send().await?;
    let group = groups.security_groups().first().ok_or("the default VPC has no default security group")?;
    Ok((subnet.subnet_id().unwrap_or_default().to_owned(), group.group_id().unwrap_or_default().to_owned()))
}

fn print(event: Event) {
    match event {
        Event::Waiting { address, what } => println!("{address}: {what}"),
        Event::Done { address, action, millis, .. } => println!("{address}: {action:?} done after {millis} ms"),
        Event::Failed { address, failure, .. } => println!("{address}: {failure} ({:?})", failure.hint),
        _ => {}
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if !holds {
        return Err(format!("check failed: {what}").into());
    }
    println!("ok: {what}");
    Ok(())
}
