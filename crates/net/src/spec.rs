//! What is wanted of a whole network.

use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted of a whole network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The names, which stand in `Name` tags and, for groups, are their names.
    pub names: NetworkNames,
    /// The VPC's block, /16 to /28.
    pub cidr: Ipv4Net,
    /// Block of the subnet of everything that runs.
    pub tasks_cidr: Ipv4Net,
    /// Block of the second subnet, which only the load balancer uses; /27 or larger.
    pub balancer_cidr: Ipv4Net,
    /// The Availability Zones of the two subnets, in this order. They differ.
    pub zones: [String; 2],
    /// Port on which the load balancer listens.
    pub lb_port: u16,
    /// Who may reach the load balancer.
    pub ingress_cidrs: BTreeSet<Ipv4Net>,
    /// Port on which web tasks listen.
    pub flask_port: u16,
    /// Ports on which more web services listen; that of Flask need not be among them.
    pub more_web_ports: BTreeSet<u16>,
    /// Port on which the queue listens.
    pub redis_port: u16,
    /// What tasks may reach besides the queue. Without [`Egress::https`] they can pull no image from ECR and write no logs.
    pub egress: Vec<Egress>,
    /// Plain tags of each resource, besides `Name`.
    pub tags: BTreeMap<String, String>,
}

/// Something that tasks may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// The addresses.
    pub cidr: Ipv4Net,
    /// Why; shown in AWS. May be empty.
    pub description: String,
}

impl Egress {
    /// Port 443 anywhere.
    #[must_use]
    pub fn https() -> Self {
        Self { protocol: "tcp".to_owned(), port: 443, cidr: Ipv4Net::default(), description: "HTTPS".to_owned() }
    }
}

/// The names of a network's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNames {
    /// The VPC.
    pub vpc: String,
    /// The internet gateway.
    pub internet_gateway: String,
    /// The route table.
    pub route_table: String,
    /// The subnet of everything that runs.
    pub tasks_subnet: String,
    /// The second subnet, which only the load balancer uses.
    pub balancer_subnet: String,
    /// The VPC's default security group; only as a tag.
    pub default_group: String,
    /// The load balancer's security group.
    pub lb_group: String,
    /// The web tasks' security group.
    pub flask_group: String,
    /// The workers' security group.
    pub celery_group: String,
    /// The queue's security group.
    pub redis_group: String,
}

impl NetworkNames {
    /// The names in `workspace`: `production-vpc`, `production-igw`, ...
    #[must_use]
    pub fn of(workspace: &str) -> Self {
        let of = |suffix: &str| format!("{workspace}-{suffix}");
        Self {
            vpc: of("vpc"),
            internet_gateway: of("igw"),
            route_table: of("public"),
            tasks_subnet: of("tasks"),
            balancer_subnet: of("balancer"),
            default_group: of("default"),
            lb_group: of("lb-public"),
            flask_group: of("ecs-flask-sg"),
            celery_group: of("ecs-celery-sg"),
            redis_group: of("elasticache-jobqr-sg"),
        }
    }
}

impl NetworkSpec {
    /// Refuses what AWS would refuse and no single resource can see: blocks and zones that do not fit together, rules that
    /// are there twice or are too many.
    ///
    /// # Errors
    /// In words: what is wrong, and what is right.
    pub fn check(&self) -> Result<(), String> {
        use pb_rules::network as rules;
        let all = || -> pb_rules::Verdict {
            rules::vpc_cidr(self.cidr)?;
            rules::subnet_cidr(self.tasks_cidr, self.cidr)?;
            rules::subnet_cidr(self.balancer_cidr, self.cidr)?;
            rules::load_balancer_subnet_cidr(self.tasks_cidr)?;
            rules::load_balancer_subnet_cidr(self.balancer_cidr)?;
            rules::disjoint(self.tasks_cidr, self.balancer_cidr)?;
            rules::zones(&self.zones)?;
            rules::rule_count(self.ingress_cidrs.len())?;
            rules::rule_count(self.egress.len() + 1)?;
            rules::rule_count(self.more_web_ports().count() + 1)?;
            rules::distinct_rules(self.egress.iter().map(|rule| (rule.protocol.as_str(), rule.port, rule.cidr)))
        };
        all().map_err(|violation| format!("invalid network: {violation}"))
    }

    /// The ports of web services beside Flask's.
    pub(crate) fn more_web_ports(&self) -> impl Iterator<Item = u16> {
        self.more_web_ports.iter().copied().filter(|port| *port != self.flask_port)
    }

    /// The plain tags of a resource called `name`.
    pub(crate) fn tagged(&self, name: &str) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        tags.insert("Name".to_owned(), name.to_owned());
        tags
    }
}
