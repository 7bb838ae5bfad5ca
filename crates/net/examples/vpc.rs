//! Example that creates, reads, changes and deletes a single VPC. Exits with status 1 at the first unexpected result.
//!
//! ```text
//! AWS_ENDPOINT_URL=http://127.0.0.1:PORT AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
//!     cargo run --release -p pb-net --example vpc
//! ```

use pb_aws::Access;
use pb_engine::{Graph, Ownership, Standalone};
use pb_net::{Ec2, Vpc, VpcSpec};
use std::collections::BTreeMap;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let environment = std::env::vars().collect();
    let access = Access { region: "us-east-2".to_owned(), environment, ..Access::default() };
    let config = pb_aws::connect(&access).await?;
    let ec2 = Ec2::from(&config);

    let snapshot = vpc(&ec2, false)?.deploy().await?;
    println!("created {:?}", snapshot.resources.keys());

    // A stack without state finds the same VPC by its tags.
    let named = vpc(&ec2, true)?;
    let changes: Vec<String> =
        named.plan().await?.changes().flat_map(|step| step.changes.iter().map(|change| change.path.clone())).collect();
    if changes != ["dns_hostnames"] {
        return Err(format!("planned {changes:?}, not dns_hostnames").into());
    }
    named.deploy().await?;
    if !named.plan().await?.is_empty() {
        return Err("the plan after a deploy is not empty".into());
    }

    named.destroy().await?;
    if !named.read().await?.managed.is_empty() {
        return Err("the VPC still exists".into());
    }
    println!("deleted the VPC");
    Ok(())
}

fn vpc(ec2: &Ec2, dns_hostnames: bool) -> Result<Standalone, Box<dyn Error>> {
    let mut graph = Graph::new();
    let kind = graph.kind(Vpc::new(ec2.clone()));
    graph.add("example/vpc", &kind, (), move |()| VpcSpec {
        cidr: "10.1.0.0/16".to_owned(),
        dns_support: true,
        dns_hostnames,
        tags: BTreeMap::from([("Name".to_owned(), "example".to_owned())]),
    })?;
    let owner = Ownership { stack: "example-vpc".to_owned(), workspace: "example".to_owned() };
    Ok(Standalone::new(owner, graph))
}
