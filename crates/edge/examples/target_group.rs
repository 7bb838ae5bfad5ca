//! Creates, reads, updates and deletes a single target group.
//!
//! `cargo run --release -p pb-edge --example target_group`. Credentials, region and endpoint come from the environment.

use pb_edge::{HealthCheck, LoadBalancerClient, TargetGroup, TargetGroupSpec};
use pb_engine::{Graph, Ownership, Standalone};
use std::error::Error;

#[path = "support/default_vpc.rs"]
mod default_vpc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = default_vpc::config().await?;
    let vpc = default_vpc::find(&config).await?;
    eprintln!("in {} with {:?} and {}", vpc.id, vpc.subnets, vpc.security_group);
    let standalone = |path: &str| -> Result<Standalone, Box<dyn Error>> {
        let spec = TargetGroupSpec {
            name: "example-single".to_owned(),
            vpc_id: vpc.id.clone(),
            port: 8080,
            protocol: "HTTP".to_owned(),
            target_type: "ip".to_owned(),
            health: HealthCheck {
                path: path.to_owned(),
                matcher: "200-299".to_owned(),
                interval: 15,
                timeout: 5,
                healthy: 2,
                unhealthy: 2,
            },
            deregistration_delay: 0,
            tags: [("team".to_owned(), "web".to_owned())].into(),
        };
        let mut graph = Graph::new();
        let kind = graph.kind(TargetGroup::new(LoadBalancerClient::new(&config)));
        graph.add("example/targets", &kind, (), move |()| spec.clone())?;
        let owner = Ownership { stack: "pb-edge".to_owned(), workspace: "example-single".to_owned() };
        Ok(Standalone::new(owner, graph))
    };

    standalone("/")?.deploy().await?;
    default_vpc::expect(standalone("/")?.plan().await?.is_empty(), "there are no further changes")?;
    default_vpc::expect(standalone("/ready")?.plan().await?.changes().count() == 1, "one change is planned")?;
    standalone("/ready")?.deploy().await?;
    default_vpc::expect(standalone("/ready")?.plan().await?.is_empty(), "the change was applied")?;
    standalone("/ready")?.destroy().await?;
    default_vpc::expect(standalone("/ready")?.read().await?.managed.is_empty(), "no resources are left")?;
    println!("created, updated and deleted");
    Ok(())
}
