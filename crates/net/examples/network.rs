//! Example that creates a whole network, finds it unchanged, repairs it after changes by hand, changes it and deletes
//! it. Exits with status 1 at the first unexpected result.
//!
//! ```text
//! AWS_ENDPOINT_URL=http://127.0.0.1:PORT AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
//!     cargo run --release -p pb-net --example network
//! ```

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{IpPermission, IpRange, UserIdGroupPair};
use pb_aws::Access;
use pb_engine::{Action, Address, Graph, Ownership, Plan, Snapshot, Standalone};
use pb_net::{Ec2, Egress, NetworkNames, NetworkSpec, NetworkStack};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

type ExampleResult = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExampleResult {
    let environment = std::env::vars().collect();
    let access = Access { region: "us-east-2".to_owned(), environment, ..Access::default() };
    let config = pb_aws::connect(&access).await?;
    let client = Client::new(&config);
    let ec2 = Ec2::from(&config);
    let zones = ec2.zones().await?;
    let [first, second, ..] = zones.as_slice() else { return Err("the region has fewer than two zones".into()) };
    let mut spec = spec([first.clone(), second.clone()]);

    let stack = standalone(&ec2, &spec)?;
    let deployed = stack.deploy().await?;
    println!("created {} resources", deployed.resources.len());
    expect_changes(&stack.plan().await?, &[])?;
    // A process without state finds all resources by their tags.
    expect_changes(&standalone(&ec2, &spec)?.plan().await?, &[])?;

    change_by_hand(&client, &deployed).await?;
    expect_changes(&stack.plan().await?, &["net/default_group", "net/flask_group", "net/igw", "net/routes"])?;
    stack.deploy().await?;
    expect_changes(&stack.plan().await?, &[])?;
    println!("repaired the changes made by hand");

    spec.flask_port = 8000;
    spec.egress.push(Egress {
        protocol: "tcp".to_owned(),
        port: 587,
        cidr: "198.51.100.0/24".parse()?,
        description: "mail".to_owned(),
    });
    spec.tags = BTreeMap::new();
    spec.ingress_cidrs = BTreeSet::from(["192.0.2.0/24".parse()?]);
    let changed = standalone(&ec2, &spec)?;
    changed.deploy().await?;
    expect_changes(&changed.plan().await?, &[])?;
    println!("changed ports, rules and tags");

    // A changed CIDR block replaces the VPC and everything in it, create-before-destroy.
    spec.cidr = "10.8.0.0/16".parse()?;
    (spec.tasks_cidr, spec.balancer_cidr) = ("10.8.1.0/24".parse()?, "10.8.2.0/24".parse()?);
    let changed = standalone(&ec2, &spec)?;
    let moved = changed.deploy().await?;
    expect_changes(&changed.plan().await?, &[])?;
    println!("replaced the VPC");

    // Groups that reference each other in rules added by hand can still be deleted.
    let id = |address: &str| id(&moved, address);
    for (group, other) in [("net/flask_group", "net/celery_group"), ("net/celery_group", "net/flask_group")] {
        let from = UserIdGroupPair::builder().group_id(id(other)?).build();
        let ping = IpPermission::builder().ip_protocol("tcp").from_port(9).to_port(9).user_id_group_pairs(from).build();
        let call = client.authorize_security_group_ingress().group_id(id(group)?).ip_permissions(ping);
        call.send().await?;
    }
    changed.destroy().await?;
    let left = changed.read().await?.managed;
    if !left.is_empty() {
        return Err(format!("left over: {:?}", left.keys()).into());
    }
    println!("deleted everything");
    Ok(())
}

/// Opens SSH to the world in two groups, and disconnects the network from the internet.
async fn change_by_hand(client: &Client, deployed: &Snapshot) -> ExampleResult {
    let anyone = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let ssh = IpPermission::builder().ip_protocol("tcp").from_port(22).to_port(22).ip_ranges(anyone).build();
    for group in ["net/flask_group", "net/default_group"] {
        let call = client.authorize_security_group_ingress().group_id(id(deployed, group)?).ip_permissions(ssh.clone());
        call.send().await?;
    }
    let call = client.delete_route().route_table_id(id(deployed, "net/routes")?).destination_cidr_block("0.0.0.0/0");
    call.send().await?;
    let call =
        client.detach_internet_gateway().internet_gateway_id(id(deployed, "net/igw")?).vpc_id(id(deployed, "net/vpc")?);
    call.send().await?;
    Ok(())
}

/// Returns the id of a deployed resource.
fn id(deployed: &Snapshot, address: &str) -> Result<String, Box<dyn Error>> {
    let record = deployed.resources.get(&Address::new(address)?).ok_or("the resource is not recorded")?;
    Ok(record.attrs.get("id").and_then(|id| id.as_str()).ok_or("the resource has no id")?.to_owned())
}

fn standalone(ec2: &Ec2, spec: &NetworkSpec) -> Result<Standalone, Box<dyn Error>> {
    let mut graph = Graph::new();
    NetworkStack::add(&mut graph, ec2.clone(), spec)?;
    let owner = Ownership { stack: "example-network".to_owned(), workspace: "example".to_owned() };
    Ok(Standalone::new(owner, graph))
}

fn spec(zones: [String; 2]) -> NetworkSpec {
    let block = |a, b, c, d, length| ipnet::Ipv4Net::new_assert([a, b, c, d].into(), length);
    NetworkSpec {
        names: NetworkNames::of("example"),
        cidr: block(10, 0, 0, 0, 16),
        tasks_cidr: block(10, 0, 1, 0, 24),
        balancer_cidr: block(10, 0, 2, 0, 24),
        zones,
        lb_ports: [80].into(),
        ingress_cidrs: BTreeSet::from([block(0, 0, 0, 0, 0)]),
        flask_port: 5050,
        more_web_ports: BTreeSet::new(),
        redis_port: 6400,
        egress: vec![Egress::https()],
        tags: BTreeMap::from([("Environment".to_owned(), "example".to_owned())]),
    }
}

/// Fails unless the plan changes exactly these addresses.
fn expect_changes(plan: &Plan, addresses: &[&str]) -> ExampleResult {
    let mut planned: Vec<&str> = plan.changes().map(|step| step.address.as_str()).collect();
    planned.sort_unstable();
    for step in plan.changes().filter(|step| step.action != Action::Create) {
        for change in &step.changes {
            println!("  {} {}: {:?} -> {:?}", step.address, change.path, change.before, change.after);
        }
    }
    if planned == addresses { Ok(()) } else { Err(format!("planned {planned:?}, not {addresses:?}").into()) }
}
