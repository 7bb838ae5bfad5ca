//! Security groups of a network: one per role, with the rules between them.

use pb_engine::{Failure, Graph, Handle, Input, Kind};
use std::collections::BTreeMap;

use crate::ec2::Ec2;
use crate::names;
use crate::rule::{Direction, SecurityGroupRule, SecurityGroupRuleAttrs, SecurityGroupRuleSpec};
use crate::security_group::{SecurityGroup, SecurityGroupAttrs, SecurityGroupSpec};
use crate::spec::{Egress, NetworkSpec};
use crate::vpc::VpcAttrs;

/// Port of HTTPS, whose rules have another description in AWS.
const HTTPS: u16 = 443;

/// Handles of a security group and its rules.
#[derive(Clone)]
pub struct GroupHandles {
    /// Handle of the group.
    pub handle: Handle<SecurityGroupAttrs>,
    /// Handles of the rules in the group.
    pub rules: Vec<Handle<SecurityGroupRuleAttrs>>,
    /// Handles of the rules in other groups that allow the connections of this group at their other end.
    pub peer_rules: Vec<Handle<SecurityGroupRuleAttrs>>,
}

impl GroupHandles {
    /// Returns the id of the group, known once other services can see the group.
    #[must_use]
    pub fn id(&self) -> Input<String> {
        self.handle.map(|group| group.id)
    }

    /// Returns the id of the group, known once all of its rules exist.
    #[must_use]
    pub fn ready(&self) -> Input<String> {
        Input::of((self.handle, self.rules.clone()), |(group, _)| group.id)
    }

    /// Returns the id of the group, known once its rules and those at the other end of its connections exist. A
    /// connection needs two rules, an outbound rule in one group and an inbound rule in the other. Resources that use
    /// the network as soon as they start need this id.
    #[must_use]
    pub fn connected(&self) -> Input<String> {
        Input::of((self.handle, self.rules.clone(), self.peer_rules.clone()), |(group, _, _)| group.id)
    }
}

/// Builder that adds the groups and rules to the graph.
struct GroupBuilder<'a> {
    graph: &'a mut Graph,
    groups: Kind<SecurityGroup>,
    rules: Kind<SecurityGroupRule>,
    spec: &'a NetworkSpec,
    vpc: Handle<VpcAttrs>,
}

/// Traffic that a rule allows.
struct Allow<'a> {
    direction: Direction,
    protocol: &'a str,
    port: u16,
    peer: Input<String>,
    description: &'a str,
}

/// Adds the groups of the load balancer, the web tasks, the workers and the queue, with all of their rules.
pub(crate) fn add_groups(
    graph: &mut Graph,
    ec2: &Ec2,
    spec: &NetworkSpec,
    vpc: Handle<VpcAttrs>,
) -> Result<[GroupHandles; 4], Failure> {
    let groups = graph.kind(SecurityGroup::new(ec2.clone()));
    let rules = graph.kind(SecurityGroupRule::new(ec2.clone()));
    GroupBuilder { graph, groups, rules, spec, vpc }.build()
}

impl GroupBuilder<'_> {
    fn build(&mut self) -> Result<[GroupHandles; 4], Failure> {
        use Direction::{Egress, Ingress};
        let spec = self.spec;
        let (flask_port, redis_port) = (spec.flask_port, spec.redis_port);
        let mut lb =
            self.group(names::LB_GROUP, &spec.names.lb_group, "load balancer: in from the internet, out to Flask")?;
        let mut flask =
            self.group(names::FLASK_GROUP, &spec.names.flask_group, "Flask tasks: in from the load balancer")?;
        let mut celery = self.group(names::CELERY_GROUP, &spec.names.celery_group, "Celery tasks: nothing in")?;
        let mut redis =
            self.group(names::REDIS_GROUP, &spec.names.redis_group, "queue: in from the tasks, nothing out")?;
        for (port, from) in spec.lb_ports.iter().flat_map(|port| spec.ingress_cidrs.iter().map(|from| (*port, *from))) {
            let address = names::ingress(port, from);
            let peer = Input::known(from.to_string());
            let description = if port == HTTPS { "HTTPS" } else { "HTTP" };
            let allow = Allow { direction: Ingress, protocol: "tcp", port, peer, description };
            self.rule(&address, &mut lb, allow)?;
        }
        let [out, into] = names::WEB_RULES;
        self.rule_to_peer(out, &mut lb, &mut flask, (Egress, flask_port, "to Flask"))?;
        self.rule_to_peer(into, &mut flask, &mut lb, (Ingress, flask_port, "from the load balancer"))?;
        for port in spec.more_web_ports() {
            let [out, into] = names::other_web_rules(port);
            self.rule_to_peer(&out, &mut lb, &mut flask, (Egress, port, "to a web service"))?;
            self.rule_to_peer(&into, &mut flask, &mut lb, (Ingress, port, "from the load balancer"))?;
        }
        let [flask_out, flask_into] = names::FLASK_TO_REDIS;
        let [celery_out, celery_into] = names::CELERY_TO_REDIS;
        self.rule_to_peer(flask_out, &mut flask, &mut redis, (Egress, redis_port, "to the queue"))?;
        self.rule_to_peer(celery_out, &mut celery, &mut redis, (Egress, redis_port, "to the queue"))?;
        self.rule_to_peer(flask_into, &mut redis, &mut flask, (Ingress, redis_port, "from Flask"))?;
        self.rule_to_peer(celery_into, &mut redis, &mut celery, (Ingress, redis_port, "from Celery"))?;
        for egress in &spec.egress {
            self.egress("flask", &mut flask, egress)?;
            self.egress("celery", &mut celery, egress)?;
        }
        Ok([lb, flask, celery, redis])
    }

    fn group(&mut self, address: &str, name: &str, description: &str) -> Result<GroupHandles, Failure> {
        let (tags, name, description) = (self.spec.tagged(name), name.to_owned(), description.to_owned());
        let handle = self.graph.add(address, &self.groups, self.vpc, move |vpc| SecurityGroupSpec {
            vpc_id: vpc.id,
            name: name.clone(),
            description: description.clone(),
            unmanaged_rules: BTreeMap::new(),
            tags: tags.clone(),
        })?;
        Ok(GroupHandles { handle, rules: Vec::new(), peer_rules: Vec::new() })
    }

    fn egress(&mut self, role: &str, group: &mut GroupHandles, egress: &Egress) -> Result<(), Failure> {
        let Egress { protocol, port, cidr, description } = egress;
        let address = names::egress(role, egress);
        let peer = Input::known(cidr.to_string());
        let allow = Allow { direction: Direction::Egress, protocol, port: *port, peer, description };
        self.rule(&address, group, allow)
    }

    /// Adds a TCP rule to `group`, for traffic from or to resources that use the group `peer`.
    fn rule_to_peer(
        &mut self,
        address: &str,
        group: &mut GroupHandles,
        peer: &mut GroupHandles,
        (direction, port, description): (Direction, u16, &str),
    ) -> Result<(), Failure> {
        let id = peer.handle.created().map(|group| group.id);
        self.rule(address, group, Allow { direction, protocol: "tcp", port, peer: id, description })?;
        peer.peer_rules.extend(group.rules.last());
        Ok(())
    }

    fn rule(&mut self, address: &str, group: &mut GroupHandles, allow: Allow<'_>) -> Result<(), Failure> {
        let Allow { direction, protocol, port, peer, description } = allow;
        let name = names::label(address);
        let (tags, protocol, description) = (self.spec.tagged(name), protocol.to_owned(), description.to_owned());
        let inputs = (group.handle.created(), peer);
        let rule = self.graph.add(address, &self.rules, inputs, move |(group, peer)| SecurityGroupRuleSpec {
            group_id: group.id,
            direction,
            protocol: protocol.clone(),
            from_port: port.into(),
            to_port: port.into(),
            peer,
            description: description.clone(),
            tags: tags.clone(),
        })?;
        group.rules.push(rule);
        Ok(())
    }
}
