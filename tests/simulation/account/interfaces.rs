//! Network interfaces, which block the deletion of subnets, security groups and gateways.

use super::{ACCOUNT, Account, REGION};
use serde_json::{Value, json};
use std::time::Duration;

/// Network interface of a load balancer, a task or a cache node.
#[derive(Debug, Clone)]
pub struct Interface {
    pub id: String,
    /// Id of the resource that the interface belongs to.
    pub owner: String,
    pub vpc: String,
    pub subnet: String,
    pub groups: Vec<String>,
    pub public: bool,
    /// Time at which the interface is removed; set when its owner no longer uses it.
    pub released_at: Option<Duration>,
}

/// Returns EC2's description of an interface of a load balancer, a cache node or a task.
fn described(interface: &Interface) -> String {
    let Interface { id, owner, .. } = interface;
    if let Some((_, balancer)) = owner.split_once(":loadbalancer/") {
        format!("ELB {balancer}")
    } else if let Some((_, cache)) = owner.split_once(":replicationgroup:") {
        format!("ElastiCache {cache}-001")
    } else {
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/{id}")
    }
}

impl Account {
    /// Adds an interface of `owner` in `subnet`.
    pub fn attach_interface(&mut self, owner: &str, subnet: &str, groups: &[String], public: bool) {
        let vpc = self
            .resources
            .get(subnet)
            .map_or(String::new(), |resource| resource.body["vpcId"].as_str().unwrap().to_owned());
        let id = format!("eni-{:08x}", self.serial());
        let (owner, subnet, groups) = (owner.to_owned(), subnet.to_owned(), groups.to_vec());
        self.interfaces.push(Interface { id, owner, vpc, subnet, groups, public, released_at: None });
    }

    /// Schedules the removal of the interfaces of `owner` after `stay` plus the time for which AWS keeps them.
    pub fn release_interfaces(&mut self, owner: &str, stay: Duration) {
        let released_at = self.now() + stay + self.times.interface_release;
        let own =
            self.interfaces.iter_mut().filter(|interface| interface.owner == owner && interface.released_at.is_none());
        own.for_each(|interface| interface.released_at = Some(released_at));
    }

    pub fn describe_interfaces(&self, vpc: &[String]) -> Value {
        let all = self.interfaces.iter().filter(|interface| vpc.contains(&interface.vpc));
        let items: Vec<Value> = all
            .map(|interface| {
                let groups: Vec<Value> = interface.groups.iter().map(|group| json!({"groupId": group})).collect();
                let association = if interface.public { json!({"publicIp": "198.51.100.1"}) } else { Value::Null };
                json!({
                    "networkInterfaceId": interface.id,
                    "subnetId": interface.subnet,
                    "vpcId": interface.vpc,
                    "description": described(interface),
                    "requesterManaged": "true",
                    "status": "in-use",
                    "groupSet": {"item": groups},
                    "association": association,
                })
            })
            .collect();
        json!({"networkInterfaceSet": {"item": items}})
    }
}
