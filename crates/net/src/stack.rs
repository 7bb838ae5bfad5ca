//! The network as a part of a graph.

use ipnet::Ipv4Net;
use pb_engine::{Failure, Graph, Handle, Input, Kind, Refusal};
use std::collections::{BTreeMap, BTreeSet};

use crate::blockers::Blockers;
use crate::default_group::{DefaultSecurityGroup, DefaultSecurityGroupAttrs, DefaultSecurityGroupSpec};
use crate::ec2::Ec2;
use crate::internet_gateway::{InternetGateway, InternetGatewayAttrs, InternetGatewaySpec};
use crate::names;
use crate::route_table::{RouteTable, RouteTableAttrs, RouteTableSpec};
use crate::security_groups::{GroupHandles, add_groups};
use crate::spec::NetworkSpec;
use crate::subnet::{Subnet, SubnetAttrs, SubnetSpec};
use crate::vpc::{Vpc, VpcAttrs, VpcSpec};

/// Handles of the network's resources.
pub struct NetworkStack {
    /// VPC.
    pub vpc: Handle<VpcAttrs>,
    /// Internet gateway, attached to the VPC.
    pub igw: Handle<InternetGatewayAttrs>,
    /// Subnet of the tasks and the queue; also the first subnet of the load balancer.
    pub tasks_subnet: Handle<SubnetAttrs>,
    /// Second subnet, used only by the load balancer.
    pub balancer_subnet: Handle<SubnetAttrs>,
    /// Route table of both subnets. Resources that need the internet depend on it.
    pub routes: Handle<RouteTableAttrs>,
    /// Default group of the VPC, without rules.
    pub default_group: Handle<DefaultSecurityGroupAttrs>,
    /// Group of the load balancer.
    pub lb_group: GroupHandles,
    /// Group of the web tasks.
    pub flask_group: GroupHandles,
    /// Group of the workers.
    pub celery_group: GroupHandles,
    /// Group of the queue.
    pub redis_group: GroupHandles,
}

impl NetworkStack {
    /// Adds a network to the graph:
    ///
    /// ```text
    /// net/vpc ── net/igw ─────────────── net/routes        any  ─lb_ports→   lb_group
    ///    ├─ net/tasks_subnet ───────────────┤              lb_group ─flask_port→ flask_group
    ///    ├─ net/balancer_subnet ────────────┘              flask_group, celery_group ─redis_port→ redis_group
    ///    ├─ net/default_group  (emptied)                   flask_group, celery_group ─egress→ as configured
    ///    └─ net/{lb,flask,celery,redis}_group ── net/*_in_*, net/*_out_*
    /// ```
    ///
    /// [`preflight`](pb_engine::preflight()) refuses a plan that deletes some of these resources while an unmanaged
    /// resource depends on them.
    ///
    /// There is one group per role, not per service: further web services and pools of workers use the same groups.
    ///
    /// # Errors
    /// `Refused` if AWS would refuse the spec; `Bug` if an address is already used.
    pub fn add(graph: &mut Graph, ec2: impl Into<Ec2>, spec: &NetworkSpec) -> Result<Self, Failure> {
        spec.check().map_err(|why| Failure::refused(Refusal::Configuration, "create the network", why))?;
        let ec2 = ec2.into();
        let vpc_handle = vpc(graph, &ec2, spec)?;
        // EC2 resources need only the ids of the EC2 resources on which they depend. A call made before such a
        // dependency is visible is retried, which takes less time than waiting until a describe call returns the
        // dependency.
        let vpc = vpc_handle.created();
        let igw = internet_gateway(graph, &ec2, spec, vpc)?;
        let subnets = graph.kind(Subnet::new(ec2.clone()));
        let mut subnet = |address, cidr, zone, name| {
            subnet(graph, &subnets, spec, vpc, SubnetPlacement { address, cidr, zone, name })
        };
        let tasks_subnet = subnet(names::TASKS_SUBNET, spec.tasks_cidr, &spec.zones[0], &spec.names.tasks_subnet)?;
        let balancer_subnet =
            subnet(names::BALANCER_SUBNET, spec.balancer_cidr, &spec.zones[1], &spec.names.balancer_subnet)?;
        let inputs = (vpc, igw.created(), tasks_subnet.created(), balancer_subnet.created());
        let routes = routes(graph, &ec2, spec, inputs)?;
        let default_group = default_group(graph, &ec2, spec, vpc)?;
        let [lb_group, flask_group, celery_group, redis_group] = add_groups(graph, &ec2, spec, vpc)?;
        graph.add_preflight_check(Blockers::new(ec2));
        Ok(Self {
            vpc: vpc_handle,
            igw,
            tasks_subnet,
            balancer_subnet,
            routes,
            default_group,
            lb_group,
            flask_group,
            celery_group,
            redis_group,
        })
    }

    /// Returns the id of the tasks' subnet, known once its routes exist.
    #[must_use]
    pub fn routed_tasks_subnet(&self) -> Input<String> {
        Input::of((self.tasks_subnet, self.routes), |(subnet, _)| subnet.id)
    }

    /// Returns the ids of both subnets, known once their routes exist; the tasks' subnet comes first.
    #[must_use]
    pub fn routed_subnets(&self) -> Vec<Input<String>> {
        vec![self.routed_tasks_subnet(), Input::of((self.balancer_subnet, self.routes), |(subnet, _)| subnet.id)]
    }
}

fn vpc(graph: &mut Graph, ec2: &Ec2, spec: &NetworkSpec) -> Result<Handle<VpcAttrs>, Failure> {
    let kind = graph.kind(Vpc::new(ec2.clone()));
    let (cidr, tags) = (spec.cidr.to_string(), spec.tagged(&spec.names.vpc));
    graph.add(names::VPC, &kind, (), move |()| VpcSpec {
        cidr: cidr.clone(),
        dns_support: true,
        dns_hostnames: true,
        tags: tags.clone(),
    })
}

fn internet_gateway(
    graph: &mut Graph,
    ec2: &Ec2,
    spec: &NetworkSpec,
    vpc: Handle<VpcAttrs>,
) -> Result<Handle<InternetGatewayAttrs>, Failure> {
    let kind = graph.kind(InternetGateway::new(ec2.clone()));
    let tags = spec.tagged(&spec.names.internet_gateway);
    graph.add(names::INTERNET_GATEWAY, &kind, vpc, move |vpc| InternetGatewaySpec {
        vpc_id: vpc.id,
        attached: true,
        tags: tags.clone(),
    })
}

/// Address, CIDR block, zone and name of a subnet.
struct SubnetPlacement<'a> {
    address: &'a str,
    cidr: Ipv4Net,
    zone: &'a str,
    name: &'a str,
}

fn subnet(
    graph: &mut Graph,
    kind: &Kind<Subnet>,
    spec: &NetworkSpec,
    vpc: Handle<VpcAttrs>,
    placement: SubnetPlacement<'_>,
) -> Result<Handle<SubnetAttrs>, Failure> {
    let (cidr, zone, tags) = (placement.cidr.to_string(), placement.zone.to_owned(), spec.tagged(placement.name));
    graph.add(placement.address, kind, vpc, move |vpc| SubnetSpec {
        vpc_id: vpc.id,
        cidr: cidr.clone(),
        zone: zone.clone(),
        public_addresses: None,
        tags: tags.clone(),
    })
}

type RoutesInputs = (Handle<VpcAttrs>, Handle<InternetGatewayAttrs>, Handle<SubnetAttrs>, Handle<SubnetAttrs>);

fn routes(
    graph: &mut Graph,
    ec2: &Ec2,
    spec: &NetworkSpec,
    inputs: RoutesInputs,
) -> Result<Handle<RouteTableAttrs>, Failure> {
    let kind = graph.kind(RouteTable::new(ec2.clone()));
    let tags = spec.tagged(&spec.names.route_table);
    graph.add(names::ROUTES, &kind, inputs, move |(vpc, igw, tasks, balancer)| RouteTableSpec {
        vpc_id: vpc.id,
        routes: BTreeMap::from([("0.0.0.0/0".to_owned(), igw.id)]),
        subnets: BTreeSet::from([tasks.id, balancer.id]),
        tags: tags.clone(),
    })
}

fn default_group(
    graph: &mut Graph,
    ec2: &Ec2,
    spec: &NetworkSpec,
    vpc: Handle<VpcAttrs>,
) -> Result<Handle<DefaultSecurityGroupAttrs>, Failure> {
    let kind = graph.kind(DefaultSecurityGroup::new(ec2.clone()));
    let tags = spec.tagged(&spec.names.default_group);
    graph.add(names::DEFAULT_GROUP, &kind, vpc, move |vpc| DefaultSecurityGroupSpec {
        vpc_id: vpc.id,
        rules: BTreeMap::new(),
        tags: tags.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Egress, NetworkNames};
    use aws_smithy_mocks::Rule;
    use pb_aws::mock_client;
    use pb_engine::Class;

    fn spec() -> NetworkSpec {
        let net = |text: &str| text.parse().unwrap();
        NetworkSpec {
            names: NetworkNames::of("staging"),
            cidr: net("10.0.0.0/16"),
            tasks_cidr: net("10.0.1.0/24"),
            balancer_cidr: net("10.0.2.0/24"),
            zones: ["us-east-2a".to_owned(), "us-east-2b".to_owned()],
            lb_ports: BTreeSet::from([80]),
            ingress_cidrs: BTreeSet::from([net("0.0.0.0/0")]),
            flask_port: 5050,
            more_web_ports: BTreeSet::new(),
            redis_port: 6400,
            egress: vec![Egress::https()],
            tags: BTreeMap::from([("Environment".to_owned(), "staging".to_owned())]),
        }
    }

    fn graph(spec: &NetworkSpec) -> Result<Graph, Failure> {
        let mut graph = Graph::new();
        let client = mock_client!(aws_sdk_ec2, [] as [&Rule; 0]);
        NetworkStack::add(&mut graph, client, spec)?;
        Ok(graph)
    }

    #[test]
    fn network_specs_match_the_request_and_pass_the_checks() {
        let graph = graph(&spec()).unwrap();
        assert_eq!(graph.validate().unwrap(), []);
        let line = |(address, spec): &(pb_engine::Address, serde_json::Value)| {
            let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
            let rule = spec.get("direction").map(|_| {
                let ports = format!("{}-{}", spec["from_port"], spec["to_port"]);
                format!("{} {} {ports} {}", text("direction"), text("protocol"), text("peer"))
            });
            let fields = ["cidr", "zone", "name"].map(text).join(" ");
            format!("{address}: {} {}", spec["tags"]["Name"].as_str().unwrap(), rule.unwrap_or(fields))
                .trim()
                .to_owned()
        };
        let lines: Vec<String> = graph.specs().unwrap().iter().map(line).collect();
        let later = "(known after apply)";
        assert_eq!(
            lines,
            [
                "net/vpc: staging-vpc 10.0.0.0/16".to_owned(),
                "net/igw: staging-igw".to_owned(),
                "net/tasks_subnet: staging-tasks 10.0.1.0/24 us-east-2a".to_owned(),
                "net/balancer_subnet: staging-balancer 10.0.2.0/24 us-east-2b".to_owned(),
                "net/routes: staging-public".to_owned(),
                "net/default_group: staging-default".to_owned(),
                "net/lb_group: staging-lb-public   staging-lb-public".to_owned(),
                "net/flask_group: staging-ecs-flask-sg   staging-ecs-flask-sg".to_owned(),
                "net/celery_group: staging-ecs-celery-sg   staging-ecs-celery-sg".to_owned(),
                "net/redis_group: staging-elasticache-jobqr-sg   staging-elasticache-jobqr-sg".to_owned(),
                "net/lb_in_80_any: lb_in_80_any ingress tcp 80-80 0.0.0.0/0".to_owned(),
                format!("net/lb_out_flask: lb_out_flask egress tcp 5050-5050 {later}"),
                format!("net/flask_in_lb: flask_in_lb ingress tcp 5050-5050 {later}"),
                format!("net/flask_out_redis: flask_out_redis egress tcp 6400-6400 {later}"),
                format!("net/celery_out_redis: celery_out_redis egress tcp 6400-6400 {later}"),
                format!("net/redis_in_flask: redis_in_flask ingress tcp 6400-6400 {later}"),
                format!("net/redis_in_celery: redis_in_celery ingress tcp 6400-6400 {later}"),
                "net/flask_out_tcp_443_any: flask_out_tcp_443_any egress tcp 443-443 0.0.0.0/0".to_owned(),
                "net/celery_out_tcp_443_any: celery_out_tcp_443_any egress tcp 443-443 0.0.0.0/0".to_owned(),
            ]
        );
        assert!(graph.specs().unwrap().iter().all(|(_, spec)| spec["tags"]["Environment"] == "staging"));
    }

    #[test]
    fn additional_web_port_adds_a_pair_of_rules() {
        let plain = graph(&spec()).unwrap();
        let more = graph(&NetworkSpec { more_web_ports: BTreeSet::from([5050, 8000]), ..spec() }).unwrap();
        assert_eq!(more.validate().unwrap(), []);
        let addresses = |graph: &Graph| -> BTreeSet<String> {
            graph.addresses().map(|address| address.as_str().to_owned()).collect()
        };
        let (plain, more) = (addresses(&plain), addresses(&more));
        assert_eq!(plain.difference(&more).count(), 0);
        assert!(more.difference(&plain).eq(["net/flask_in_lb_8000", "net/lb_out_web_8000"]));
        let many = NetworkSpec { more_web_ports: (8000..8060).collect(), ..spec() };
        assert!(graph(&many).err().unwrap().message.contains("61 rules"));
    }

    #[test]
    fn removed_ingress_block_keeps_the_addresses_of_other_rules() {
        let blocks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let addresses = |blocks: BTreeSet<Ipv4Net>| -> BTreeSet<String> {
            let graph = graph(&NetworkSpec { ingress_cidrs: blocks, ..spec() }).unwrap();
            graph.addresses().map(|address| address.as_str().to_owned()).collect()
        };
        let (two, one) =
            (addresses(blocks(&["192.0.2.0/24", "198.51.100.0/24"])), addresses(blocks(&["198.51.100.0/24"])));
        let gone: Vec<&String> = two.difference(&one).collect();
        assert_eq!(gone, ["net/lb_in_80_192-0-2-0_24"]);
        assert_eq!(one.difference(&two).count(), 0);
    }

    #[test]
    fn inconsistent_network_spec_is_refused() {
        let net = |text: &str| text.parse().unwrap();
        for (bad, why) in [
            (NetworkSpec { tasks_cidr: net("10.1.0.0/24"), ..spec() }, "is not inside the VPC"),
            (NetworkSpec { balancer_cidr: net("10.0.1.128/25"), ..spec() }, "overlaps"),
            (NetworkSpec { balancer_cidr: net("10.0.2.0/28"), ..spec() }, "too small"),
            (NetworkSpec { zones: ["a".to_owned(), "a".to_owned()], ..spec() }, "twice"),
            (NetworkSpec { egress: vec![Egress::https(), Egress::https()], ..spec() }, "twice"),
        ] {
            let failure = graph(&bad).err().unwrap();
            assert!(failure.class == Class::Refused && failure.message.contains(why), "{failure}");
        }
    }
}
