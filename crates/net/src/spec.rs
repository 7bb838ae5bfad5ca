//! Spec of a whole network.

use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};

/// Spec of a whole network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Names of the resources: values of `Name` tags, and group names.
    pub names: NetworkNames,
    /// CIDR block of the VPC, /16 to /28.
    pub cidr: Ipv4Net,
    /// CIDR block of the subnet of the tasks and the queue.
    pub tasks_cidr: Ipv4Net,
    /// CIDR block of the second subnet, used only by the load balancer; /27 or larger.
    pub balancer_cidr: Ipv4Net,
    /// Availability Zones of the two subnets, in this order; they must differ.
    pub zones: [String; 2],
    /// Ports of the load balancer's listeners.
    pub lb_ports: BTreeSet<u16>,
    /// CIDR blocks that may reach the load balancer.
    pub ingress_cidrs: BTreeSet<Ipv4Net>,
    /// Port of the web tasks.
    pub flask_port: u16,
    /// Ports of further web services; may contain the port of the web tasks.
    pub more_web_ports: BTreeSet<u16>,
    /// Port of the queue.
    pub redis_port: u16,
    /// Destinations, other than the queue, that the tasks may reach. Without [`Egress::https`], the tasks can neither
    /// pull images from ECR nor write logs.
    pub egress: Vec<Egress>,
    /// Tags of each resource, without `Name` and the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// A destination that tasks may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Protocol: `tcp` or `udp`.
    pub protocol: String,
    /// Destination port.
    pub port: u16,
    /// CIDR block of the destination addresses.
    pub cidr: Ipv4Net,
    /// Purpose, shown in AWS; may be empty.
    pub description: String,
}

impl Egress {
    /// Returns the destination of HTTPS: TCP port 443 of all addresses.
    #[must_use]
    pub fn https() -> Self {
        Self { protocol: "tcp".to_owned(), port: 443, cidr: Ipv4Net::default(), description: "HTTPS".to_owned() }
    }
}

/// Names of a network's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNames {
    /// Name of the VPC.
    pub vpc: String,
    /// Name of the internet gateway.
    pub internet_gateway: String,
    /// Name of the route table.
    pub route_table: String,
    /// Name of the subnet of the tasks and the queue.
    pub tasks_subnet: String,
    /// Name of the second subnet, which only the load balancer uses.
    pub balancer_subnet: String,
    /// `Name` tag of the default security group of the VPC, whose group name is fixed.
    pub default_group: String,
    /// Name of the security group of the load balancer.
    pub lb_group: String,
    /// Name of the security group of the web tasks.
    pub flask_group: String,
    /// Name of the security group of the workers.
    pub celery_group: String,
    /// Name of the security group of the queue.
    pub redis_group: String,
}

impl NetworkNames {
    /// Returns the names for `workspace`: `production-vpc`, `production-igw`, ...
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
    /// Refuses mistakes that AWS would refuse and that involve more than one resource: CIDR blocks or zones that do not
    /// fit together, duplicate rules, too many rules.
    ///
    /// # Errors
    /// A message with the mistake and the valid values.
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
            rules::rule_count(self.ingress_cidrs.len() * self.lb_ports.len())?;
            rules::rule_count(self.egress.len() + 1)?;
            rules::rule_count(self.more_web_ports().count() + 1)?;
            rules::distinct_rules(self.egress.iter().map(|rule| (rule.protocol.as_str(), rule.port, rule.cidr)))
        };
        all().map_err(|violation| format!("invalid network: {violation}"))
    }

    /// Returns the ports of the further web services that differ from the port of Flask.
    pub(crate) fn more_web_ports(&self) -> impl Iterator<Item = u16> {
        self.more_web_ports.iter().copied().filter(|port| *port != self.flask_port)
    }

    /// Returns the tags of a resource called `name`, without the ownership tags.
    pub(crate) fn tagged(&self, name: &str) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        tags.insert("Name".to_owned(), name.to_owned());
        tags
    }
}
