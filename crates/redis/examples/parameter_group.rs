//! Example that creates, reads, updates and deletes a single parameter group.
//!
//! Run it with `cargo run --release -p pb-redis --example parameter_group`. Credentials, region and endpoint come from
//! the environment.

use pb_engine::{Graph, Ownership, Standalone};
use pb_redis::{Client, ParameterGroup, ParameterGroupSpec};
use std::error::Error;

#[path = "support/setup.rs"]
mod setup;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = setup::config().await?;
    let stack = |timeout: &str| -> Result<Standalone, Box<dyn Error>> {
        let spec = ParameterGroupSpec {
            name: "example-parameters".to_owned(),
            family: "redis7".to_owned(),
            parameters: [("timeout".to_owned(), timeout.to_owned())].into(),
            tags: [("team".to_owned(), "queue".to_owned())].into(),
        };
        let mut graph = Graph::new();
        let kind = graph.kind(ParameterGroup::new(Client::new(&config)));
        graph.add("example/parameters", &kind, (), move |()| spec.clone())?;
        let owner = Ownership { stack: "pb-redis".to_owned(), workspace: "example-single".to_owned() };
        Ok(Standalone::new(owner, graph))
    };

    stack("60")?.deploy().await?;
    setup::ensure(stack("60")?.plan().await?.is_empty(), "no changes after the deploy")?;
    setup::ensure(stack("90")?.plan().await?.changes().count() == 1, "one planned change")?;
    stack("90")?.deploy().await?;
    setup::ensure(stack("90")?.plan().await?.is_empty(), "no changes after the update")?;
    stack("90")?.destroy().await?;
    setup::ensure(stack("90")?.read().await?.managed.is_empty(), "no resources after the destroy")?;
    println!("created, updated and deleted");
    Ok(())
}
