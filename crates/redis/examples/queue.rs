//! Example that creates, reads, updates and deletes a whole queue.
//!
//! Run it with `cargo run --release -p pb-redis --example queue -- [SUBNET GROUP]`, where `SUBNET` and `GROUP` are the
//! ids of a subnet and of a security group. Without them, a subnet and the security group of the default VPC are used.
//! Credentials, region and endpoint come from the environment. Exits with an error at the first unexpected result.

use pb_engine::{Event, Events, Graph, Input, Ownership, Standalone};
use pb_redis::{QueueInputs, QueueSpec, QueueStack};
use std::error::Error;

#[path = "support/setup.rs"]
mod setup;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = setup::config().await?;
    let (subnet, group) = setup::subnet_and_group(&config).await?;
    let stack = |node_type: &str| -> Result<Standalone, Box<dyn Error>> {
        let spec = QueueSpec { node_type: node_type.to_owned(), ..QueueSpec::named("example-queue") };
        let inputs = QueueInputs {
            subnet_ids: vec![Input::known(subnet.clone())],
            security_group_ids: vec![Input::known(group.clone())],
        };
        let mut graph = Graph::new();
        QueueStack::add(&mut graph, &config, &spec, inputs)?;
        let owner = Ownership { stack: "pb-redis".to_owned(), workspace: "example".to_owned() };
        Ok(Standalone::new(owner, graph).events(Events::new(|event| {
            if let Event::Waiting { address, what } = event {
                eprintln!("{address}: {what}");
            }
        })))
    };

    let small = stack("cache.t3.micro")?;
    let snapshot = small.deploy().await?;
    for (address, record) in &snapshot.resources {
        println!("{address}: {}", record.attrs);
    }
    setup::ensure(stack("cache.t3.micro")?.plan().await?.is_empty(), "no changes after the deploy")?;

    let larger = stack("cache.t3.small")?;
    setup::ensure(larger.plan().await?.changes().count() == 1, "one planned change")?;
    larger.deploy().await?;
    setup::ensure(larger.plan().await?.is_empty(), "no changes after the update")?;

    larger.destroy().await?;
    setup::ensure(stack("cache.t3.small")?.read().await?.managed.is_empty(), "no resources after the destroy")?;
    println!("created, updated and deleted");
    Ok(())
}
