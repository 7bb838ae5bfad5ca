//! Lifecycle of one log group, with nothing but an SDK configuration: create, no-op, update, delete.
//!
//! ```sh
//! cargo run --release -p pb-fargate --example log_group
//! ```
//!
//! Exits with code 1 if a check fails.

use pb_aws::{Access, connect};
use pb_engine::{Failure, Graph, Ownership, Standalone};
use pb_fargate::{LogGroupSpec, LogGroups};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let environment = std::env::vars().collect();
    let access = Access { region: "us-east-2".to_owned(), environment, ..Access::default() };
    let config = connect(&access).await?;
    let group = |days: i32| -> Result<Standalone, Failure> {
        let mut graph = Graph::new();
        let groups = graph.kind(LogGroups::new(aws_sdk_cloudwatchlogs::Client::new(&config)));
        graph.add("logs/app", &groups, (), move |()| LogGroupSpec {
            name: "alone-app".to_owned(),
            retention_days: Some(days),
            tags: [("Name".to_owned(), "alone-app".to_owned())].into(),
        })?;
        let owner = Ownership { stack: "pb-fargate-alone".to_owned(), workspace: "alone".to_owned() };
        Ok(Standalone::new(owner, graph))
    };

    group(7)?.deploy().await?;
    ensure(group(7)?.plan().await?.is_empty(), "a second deploy finds nothing to do")?;
    let plan = group(30)?.plan().await?;
    let paths: Vec<&str> = plan.changes().flat_map(|step| &step.changes).map(|change| change.path.as_str()).collect();
    ensure(paths == ["retention_days"], "a new retention changes nothing else")?;
    group(30)?.deploy().await?;
    ensure(group(30)?.plan().await?.is_empty(), "the change is applied")?;
    group(30)?.destroy().await?;
    ensure(group(30)?.read().await?.managed.is_empty(), "nothing remains")?;
    Ok(())
}

fn ensure(holds: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if !holds {
        return Err(format!("check failed: {what}").into());
    }
    println!("ok: {what}");
    Ok(())
}
