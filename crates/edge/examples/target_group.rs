//! Creates, reads, changes and deletes one target group, by itself.
//!
//! `cargo run --release -p pb-edge --example target_group`. Credentials, region and endpoint come from the environment.

use pb_edge::{BalancerClient, Health, TargetGroup, TargetGroupSpec};
use pb_engine::{Graph, Ownership, Standalone};
use std::error::Error;

#[path = "support/place.rs"]
mod place;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = place::config().await;
    let place = place::find(&config).await?;
    eprintln!("in {} with {:?} and {}", place.vpc, place.subnets, place.group);
    let alone = |path: &str| -> Result<Standalone, Box<dyn Error>> {
        let spec = TargetGroupSpec {
            name: "example-single".to_owned(),
            vpc_id: place.vpc.clone(),
            port: 8080,
            protocol: "HTTP".to_owned(),
            target_type: "ip".to_owned(),
            health: Health {
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
        let kind = graph.kind(TargetGroup::new(BalancerClient::new(&config)));
        graph.add("example/targets", &kind, (), move |()| spec.clone())?;
        let owner = Ownership { stack: "pb-edge".to_owned(), workspace: "example-single".to_owned() };
        Ok(Standalone::new(owner, graph))
    };

    alone("/")?.deploy().await?;
    place::expect(alone("/")?.plan().await?.is_empty(), "nothing is left to do")?;
    place::expect(alone("/ready")?.plan().await?.changes().count() == 1, "one change is planned")?;
    alone("/ready")?.deploy().await?;
    place::expect(alone("/ready")?.plan().await?.is_empty(), "the change was made")?;
    alone("/ready")?.destroy().await?;
    place::expect(alone("/ready")?.read().await?.managed.is_empty(), "nothing is left")?;
    println!("created, changed and deleted");
    Ok(())
}
