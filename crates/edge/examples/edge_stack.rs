//! Creates, reads, updates and deletes a load balancer with a listener, a target group and a DNS record in the default
//! VPC.
//!
//! `cargo run --release -p pb-edge --example edge_stack -- [ZONE]`, where `ZONE` is the name of a public hosted zone;
//! without it, the example creates a zone and deletes it at the end. Credentials, region and endpoint come from the
//! environment. The example fails as soon as a result is not as expected.

use pb_edge::{DnsClient, EdgeInputs, EdgeSpec, EdgeStack, HealthCheck, Zone, find_zone};
use pb_engine::{Action, Event, Events, Graph, Input, Ownership, Standalone};
use std::error::Error;

#[path = "support/default_vpc.rs"]
mod default_vpc;

struct Example {
    config: aws_types::SdkConfig,
    vpc: default_vpc::DefaultVpc,
    zone: Zone,
}

impl Example {
    fn spec(&self, target_port: i32, hostname: &str) -> EdgeSpec {
        EdgeSpec::named("example-public", &format!("{hostname}.{}", self.zone.name), target_port)
    }

    fn standalone(&self, spec: &EdgeSpec) -> Result<Standalone, Box<dyn Error>> {
        let known = |id: &String| Input::known(id.clone());
        let inputs = EdgeInputs {
            vpc_id: known(&self.vpc.id),
            subnet_ids: self.vpc.subnets.iter().map(known).collect(),
            security_group_ids: vec![known(&self.vpc.security_group)],
            internet: Input::known(()),
            zone: self.zone.clone(),
            public_dns: None,
        };
        let mut graph = Graph::new();
        EdgeStack::add(&mut graph, &self.config, spec, inputs)?;
        let owner = Ownership { stack: "pb-edge".to_owned(), workspace: "example".to_owned() };
        Ok(Standalone::new(owner, graph).events(Events::new(|event| {
            if let Event::Waiting { address, what } = event {
                eprintln!("{address}: {what}");
            }
        })))
    }

    /// Plans `spec`, checks that the plan consists of exactly these changes, applies it, and checks that no changes
    /// remain.
    async fn change(&self, spec: &EdgeSpec, expected: &[(&str, Action)]) -> Result<(), Box<dyn Error>> {
        let plan = self.standalone(spec)?.plan().await?;
        let planned: Vec<(&str, Action)> = plan.changes().map(|step| (step.address.as_str(), step.action)).collect();
        if planned != expected {
            return Err(format!("planned {planned:?}, expected {expected:?}").into());
        }
        self.standalone(spec)?.deploy().await?;
        default_vpc::expect(self.standalone(spec)?.plan().await?.is_empty(), "there are no further changes")
    }

    async fn run(&self) -> Result<(), Box<dyn Error>> {
        let mut spec = self.spec(5050, "example");
        let all = ["edge/balancer", "edge/targets", "edge/listener", "edge/record"];
        self.change(&spec, &all.map(|address| (address, Action::Create))).await?;

        spec.health = HealthCheck { path: "/hello".to_owned(), ..spec.health };
        spec.deletion_protection = Some(true);
        self.change(&spec, &[("edge/balancer", Action::Update), ("edge/targets", Action::Update)]).await?;
        let refused = self.standalone(&spec)?.destroy().await.err().ok_or("destroy ignored the deletion protection")?;
        default_vpc::expect(refused.message.contains("deletion protection is on"), &refused.message)?;

        let moved = EdgeSpec { deletion_protection: Some(false), health: spec.health, ..self.spec(5051, "example") };
        // The target group accepts targets on any port; only its tag changes.
        self.change(&moved, &[("edge/balancer", Action::Update), ("edge/targets", Action::Update)]).await?;

        self.standalone(&moved)?.destroy().await?;
        default_vpc::expect(self.standalone(&moved)?.read().await?.managed.is_empty(), "no resources are left")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = default_vpc::config().await?;
    let vpc = default_vpc::find(&config).await?;
    let dns = DnsClient::new(&config);
    let given = std::env::args().nth(1);
    let name = given.clone().unwrap_or_else(|| format!("pb-edge-{}.example", std::process::id()));
    if given.is_none() {
        dns.create_hosted_zone().name(&name).caller_reference(&name).send().await?;
    }
    let zone = find_zone(&config, &name, None).await?;
    let id = zone.id.clone();
    let outcome = Example { config, vpc, zone }.run().await;
    if given.is_none() && outcome.is_ok() {
        dns.delete_hosted_zone().id(id).send().await?;
    }
    outcome?;
    println!("created, updated and deleted");
    Ok(())
}
