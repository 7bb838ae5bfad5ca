//! Elastic Load Balancing: load balancers, target groups, listeners.

use super::ec2::{GATEWAY, GROUP, SUBNET, VPC};
use super::ecs::SERVICE;
use super::{ACCOUNT, Account, Answer, REGION, Resource, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

/// TLS policy that the tool sets.
const POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09";

pub const BALANCER: &str = "elbv2.load_balancer";
pub const TARGETS: &str = "elbv2.target_group";
pub const LISTENER: &str = "elbv2.listener";
pub const RULE: &str = "elbv2.listener_rule";

const NO_BALANCER: &str = "LoadBalancerNotFound";
pub const NO_TARGETS: &str = "TargetGroupNotFound";
pub const NO_LISTENER: &str = "ListenerNotFound";
pub const NO_RULE: &str = "RuleNotFound";

pub fn arn(rest: &str) -> String {
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{rest}")
}

pub fn members(items: impl IntoIterator<Item = Value>) -> Value {
    json!({"member": items.into_iter().collect::<Vec<_>>()})
}

impl Account {
    pub fn elb(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "CreateLoadBalancer" => self.create_balancer(call),
            "DescribeLoadBalancers" => self.describe_balancers(call),
            "DeleteLoadBalancer" => self.delete_balancer(call.text("LoadBalancerArn")),
            "SetSecurityGroups" | "SetSubnets" => self.set_balancer_placement(call),
            "DescribeLoadBalancerAttributes" => self.attributes(BALANCER, call.text("LoadBalancerArn"), NO_BALANCER),
            "ModifyLoadBalancerAttributes" => self.set_attributes(BALANCER, call.text("LoadBalancerArn"), call),
            "CreateTargetGroup" => self.create_targets(call),
            "ModifyTargetGroup" => self.modify_targets(call),
            "DescribeTargetGroups" => Ok(json!({"TargetGroups": members(self.bodies(TARGETS, "TargetGroupArn"))})),
            "DeleteTargetGroup" => self.delete_targets(call.text("TargetGroupArn")),
            "DescribeTargetGroupAttributes" => self.attributes(TARGETS, call.text("TargetGroupArn"), NO_TARGETS),
            "DescribeTargetHealth" => self.target_health(call.text("TargetGroupArn")),
            "ModifyTargetGroupAttributes" => self.set_attributes(TARGETS, call.text("TargetGroupArn"), call),
            "CreateListener" => self.create_listener(call),
            "ModifyListener" => self.modify_listener(call),
            "DescribeListeners" => {
                let balancer = call.text("LoadBalancerArn");
                self.get(BALANCER, balancer, NO_BALANCER)?;
                let all = self.bodies(LISTENER, "ListenerArn");
                Ok(json!({"Listeners": members(all.into_iter().filter(|one| one["LoadBalancerArn"] == balancer))}))
            }
            "CreateRule" => self.create_rule(call),
            "ModifyRule" => self.modify_rule(call),
            "SetRulePriorities" => self.set_priorities(call),
            "DescribeRules" => {
                let listener = call.text("ListenerArn");
                self.get(LISTENER, listener, NO_LISTENER)?;
                let all = self.bodies(RULE, "RuleArn");
                Ok(json!({"Rules": members(all.into_iter().filter(|one| one["ListenerArn"] == listener))}))
            }
            "DeleteRule" => {
                self.get(RULE, call.text("RuleArn"), NO_RULE)?;
                self.resources.remove(call.text("RuleArn"));
                Ok(json!({}))
            }
            "DescribeListenerCertificates" | "AddListenerCertificates" | "RemoveListenerCertificates" => {
                self.listener_certificates(call)
            }
            "DescribeListenerAttributes" => self.attributes(LISTENER, call.text("ListenerArn"), NO_LISTENER),
            "ModifyListenerAttributes" => self.set_attributes(LISTENER, call.text("ListenerArn"), call),
            "DescribeSSLPolicies" => Ok(json!({"SslPolicies": members([json!({"Name": POLICY})])})),
            "DeleteListener" => {
                self.get(LISTENER, call.text("ListenerArn"), NO_LISTENER)?;
                self.release_certificates(call.text("ListenerArn"));
                let id = call.text("ListenerArn");
                self.resources.retain(|key, resource| key != id && resource.body["ListenerArn"] != id);
                Ok(json!({}))
            }
            "DescribeTags" => self.elb_tags(call),
            "AddTags" | "RemoveTags" => self.elb_retag(call),
            other => panic!("unsupported call to Elastic Load Balancing: {other}"),
        }
    }

    fn bodies(&self, kind: &str, id_field: &str) -> Vec<Value> {
        let body = |(id, resource): (&String, &Resource)| {
            let mut body = resource.body.clone();
            body[id_field] = json!(id);
            body
        };
        self.of_kind(kind).map(body).collect()
    }

    fn create_balancer(&mut self, call: &Call) -> Answer {
        let name = call.text("Name");
        let zones = |subnets: &[String]| members(subnets.iter().map(|id| json!({"SubnetId": id, "ZoneName": "z"})));
        let (mut subnets, groups) = (call.texts("Subnets"), call.texts("SecurityGroups"));
        subnets.sort();
        let requested = json!({
            "LoadBalancerName": name,
            "Scheme": call.text("Scheme"),
            "Type": "application",
            "IpAddressType": "ipv4",
            "AvailabilityZones": zones(&subnets),
            "SecurityGroups": {"member": groups},
            "DNSName": format!("{name}-1.{REGION}.elb.amazonaws.com"),
            "CanonicalHostedZoneId": "Z3AADJGX6KTTL2",
        });
        let existing = self.of_kind(BALANCER).find(|(_, existing)| existing.body["LoadBalancerName"] == name);
        if let Some((id, mut body)) = existing.map(|(id, existing)| (id.clone(), existing.body.clone())) {
            body.as_object_mut().unwrap().retain(|field, _| !["attributes", "VpcId"].contains(&field.as_str()));
            body["DNSName"] = requested["DNSName"].clone();
            if body != requested {
                return refused("DuplicateLoadBalancerName", format!("A load balancer with the name '{name}' exists"));
            }
            return self.balancer(&id).map(|one| json!({"LoadBalancers": members([one])}));
        }
        for (kind, ids, code) in [(SUBNET, &subnets, "SubnetNotFound"), (GROUP, &groups, "InvalidSecurityGroup")] {
            if let Some(removed) =
                ids.iter().find(|id| self.resources.get(*id).is_none_or(|resource| resource.kind != kind))
            {
                return refused(code, format!("{removed} does not exist"));
            }
        }
        if subnets.len() < 2 {
            return refused("ValidationError", "At least two subnets in two different Availability Zones");
        }
        let vpc = self.resources[&subnets[0]].body["vpcId"].clone();
        if !self.of_kind(GATEWAY).any(|(_, gateway)| gateway.body["attachmentSet"]["item"][0]["vpcId"] == vpc) {
            return refused("InvalidSubnet", format!("VPC {vpc} has no internet gateway"));
        }
        let serial = self.serial();
        let id = arn(&format!("loadbalancer/app/{name}/{serial:016x}"));
        let mut body = requested;
        body["DNSName"] = json!(format!("{name}-{serial}.{REGION}.elb.amazonaws.com"));
        body["VpcId"] = vpc;
        self.put(BALANCER, &id, body, tags_of(&call.input["Tags"], "Key", "Value"));
        for subnet in &subnets {
            self.attach_interface(&id, subnet, &groups, true);
        }
        self.balancer(&id).map(|one| json!({"LoadBalancers": members([one])}))
    }

    fn balancer(&mut self, id: &str) -> Answer {
        let (now, time) = (self.now(), self.times.load_balancer);
        let balancer = self.get(BALANCER, id, NO_BALANCER)?;
        let mut body = balancer.body.clone();
        body["LoadBalancerArn"] = json!(id);
        body["State"] = json!({"Code": if now < balancer.created + time { "provisioning" } else { "active" }});
        body.as_object_mut().unwrap().remove("attributes");
        Ok(body)
    }

    fn describe_balancers(&mut self, call: &Call) -> Answer {
        let mut ids = call.texts("LoadBalancerArns");
        if ids.is_empty() {
            ids = self.of_kind(BALANCER).map(|(id, _)| id.clone()).collect();
        }
        let all: Result<Vec<Value>, _> = ids.iter().map(|id| self.balancer(id)).collect();
        Ok(json!({"LoadBalancers": members(all?)}))
    }

    fn delete_balancer(&mut self, id: &str) -> Answer {
        let Ok(balancer) = self.get(BALANCER, id, NO_BALANCER) else { return Ok(json!({})) };
        if balancer.body["attributes"]["deletion_protection.enabled"] == "true" {
            return refused("OperationNotPermitted", "deletion protection is enabled");
        }
        let own: Vec<String> = self
            .of_kind(LISTENER)
            .filter(|(_, listener)| listener.body["LoadBalancerArn"] == id)
            .map(|(listener, _)| listener.clone())
            .collect();
        own.iter().for_each(|listener| self.release_certificates(listener));
        self.resources.retain(|key, resource| key != id && resource.body["LoadBalancerArn"] != id);
        self.release_interfaces(id, Duration::ZERO);
        Ok(json!({}))
    }

    fn set_balancer_placement(&mut self, call: &Call) -> Answer {
        let id = call.text("LoadBalancerArn");
        let (groups, subnets) = (call.texts("SecurityGroups"), call.texts("Subnets"));
        let balancer = self.get(BALANCER, id, NO_BALANCER)?;
        if call.operation == "SetSecurityGroups" {
            balancer.body["SecurityGroups"] = json!({"member": groups});
            let own = self.interfaces.iter_mut().filter(|one| one.owner == id && one.released_at.is_none());
            own.for_each(|one| one.groups.clone_from(&groups));
        } else {
            balancer.body["AvailabilityZones"] =
                members(subnets.iter().map(|id| json!({"SubnetId": id, "ZoneName": "z"})));
        }
        Ok(json!({}))
    }

    fn attributes(&mut self, kind: &str, id: &str, code: &str) -> Answer {
        let attributes = self.get(kind, id, code)?.body["attributes"].clone();
        let pairs = attributes.as_object().cloned().unwrap_or_default();
        Ok(json!({"Attributes": members(pairs.iter().map(|(key, value)| json!({"Key": key, "Value": value})))}))
    }

    fn set_attributes(&mut self, kind: &str, id: &str, call: &Call) -> Answer {
        let code = match kind {
            BALANCER => NO_BALANCER,
            LISTENER => NO_LISTENER,
            _ => NO_TARGETS,
        };
        let resource = self.get(kind, id, code)?;
        for (key, value) in tags_of(&call.input["Attributes"], "Key", "Value") {
            resource.body["attributes"][key] = json!(value);
        }
        self.attributes(kind, id, "")
    }

    fn create_targets(&mut self, call: &Call) -> Answer {
        let name = call.text("Name");
        let mut requested = call.input.clone();
        requested.as_object_mut().unwrap().retain(|field, _| !["Name", "Tags"].contains(&field.as_str()));
        requested["TargetGroupName"] = json!(name);
        if let Some((id, existing)) =
            self.of_kind(TARGETS).find(|(_, existing)| existing.body["TargetGroupName"] == name)
        {
            let mut body = existing.body.clone();
            body.as_object_mut().unwrap().remove("attributes");
            if body != requested {
                return refused("DuplicateTargetGroupName", format!("A target group with the name '{name}' exists"));
            }
            body["TargetGroupArn"] = json!(id);
            return Ok(json!({"TargetGroups": members([body])}));
        }
        if self.resources.get(call.text("VpcId")).is_none_or(|resource| resource.kind != VPC) {
            return refused("ValidationError", format!("The VPC ID '{}' is not found", call.text("VpcId")));
        }
        let id = arn(&format!("targetgroup/{name}/{:016x}", self.serial()));
        self.put(TARGETS, &id, requested.clone(), tags_of(&call.input["Tags"], "Key", "Value"));
        requested["TargetGroupArn"] = json!(id);
        Ok(json!({"TargetGroups": members([requested])}))
    }

    fn modify_targets(&mut self, call: &Call) -> Answer {
        let group = self.get(TARGETS, call.text("TargetGroupArn"), NO_TARGETS)?;
        for (field, value) in
            call.input.as_object().into_iter().flatten().filter(|(field, _)| *field != "TargetGroupArn")
        {
            group.body[field] = value.clone();
        }
        Ok(json!({}))
    }

    fn delete_targets(&mut self, id: &str) -> Answer {
        self.get(TARGETS, id, NO_TARGETS)?;
        if self.load_balancer_of(id).is_some() {
            return refused("ResourceInUse", format!("Target group '{id}' is currently in use by a listener"));
        }
        self.resources.remove(id);
        Ok(json!({}))
    }

    /// Returns one target for each task of the services that register their tasks with the group.
    fn target_health(&mut self, id: &str) -> Answer {
        self.get(TARGETS, id, NO_TARGETS)?;
        let (now, rollout, is_used) = (self.now(), self.times.rollout, self.load_balancer_of(id).is_some());
        let registers = |service: &Resource| {
            let mut balancers = service.body["loadBalancers"].as_array().into_iter().flatten();
            service.deleted_at.is_none() && !service.inactive && balancers.any(|one| one["targetGroupArn"] == id)
        };
        let mut targets = Vec::new();
        for (_, service) in self.of_kind(SERVICE).filter(|(_, service)| registers(service)) {
            let state = match () {
                () if !is_used => "unused",
                () if now < service.changed_at + rollout => "initial",
                () => "healthy",
            };
            let target = json!({"Target": {"Id": "10.0.1.9", "Port": 5050}, "TargetHealth": {"State": state}});
            let count = service.body["desiredCount"].as_u64().unwrap_or_default();
            targets.extend((0..count).map(|_| target.clone()));
        }
        Ok(json!({"TargetHealthDescriptions": members(targets)}))
    }

    /// Returns the load balancer that has a listener or a rule that forwards to this target group.
    pub fn load_balancer_of(&self, targets: &str) -> Option<&Value> {
        let listens = |listener: &Resource| listener.body["DefaultActions"]["member"][0]["TargetGroupArn"] == targets;
        if let Some((_, listener)) = self.of_kind(LISTENER).find(|(_, listener)| listens(listener)) {
            return Some(&listener.body["LoadBalancerArn"]);
        }
        let (_, rule) =
            self.of_kind(RULE).find(|(_, rule)| rule.body["Actions"]["member"][0]["TargetGroupArn"] == targets)?;
        let listener = self.resources.get(rule.body["ListenerArn"].as_str()?)?;
        Some(&listener.body["LoadBalancerArn"])
    }

    fn create_listener(&mut self, call: &Call) -> Answer {
        let (balancer, port) = (call.text("LoadBalancerArn"), call.text("Port"));
        self.get(BALANCER, balancer, NO_BALANCER)?;
        let same = |one: &Value| one["LoadBalancerArn"] == balancer && one["Port"] == port;
        if self.of_kind(LISTENER).any(|(_, one)| same(&one.body)) {
            return refused("DuplicateListener", format!("A listener already exists on port {port}"));
        }
        let targets = call.input["DefaultActions"][0]["TargetGroupArn"].as_str().unwrap();
        self.get(TARGETS, targets, NO_TARGETS)?;
        if self.load_balancer_of(targets).is_some_and(|other| other != balancer) {
            return refused(
                "TargetGroupAssociationLimit",
                format!("{targets} cannot be associated with more load balancers"),
            );
        }
        if call.text("Protocol") == "HTTPS" {
            self.check_certificate(call)?;
        }
        let id = arn(&format!("listener/app/x/{:016x}", self.serial()));
        let mut body = json!({
            "LoadBalancerArn": balancer, "Port": port, "Protocol": call.text("Protocol"),
            "DefaultActions": {"member": call.input["DefaultActions"]},
            "Certificates": members(call.input["Certificates"].as_array().cloned().unwrap_or_default()),
            "SslPolicy": call.input["SslPolicy"],
        });
        self.put(LISTENER, &id, body.clone(), tags_of(&call.input["Tags"], "Key", "Value"));
        body["ListenerArn"] = json!(id);
        Ok(json!({"Listeners": members([body])}))
    }

    /// Checks that an HTTPS listener has a policy and a certificate that is issued.
    fn check_certificate(&mut self, call: &Call) -> Result<(), super::Refusal> {
        assert_eq!(call.text("SslPolicy"), POLICY, "without a policy, AWS chooses one of 2016");
        let certificate = call.input["Certificates"][0]["CertificateArn"].as_str().unwrap_or_default().to_owned();
        match self.is_issued(&certificate) {
            true => Ok(()),
            false => refused("UnsupportedCertificate", format!("{certificate} is not issued")),
        }
    }

    fn modify_listener(&mut self, call: &Call) -> Answer {
        if let Some(targets) = call.input["DefaultActions"][0]["TargetGroupArn"].as_str() {
            self.get(TARGETS, targets, NO_TARGETS)?;
        }
        let changes_tls = !call.input["Certificates"].is_null();
        if changes_tls {
            self.check_certificate(call)?;
            self.release_certificates(call.text("ListenerArn"));
        }
        let listener = self.get(LISTENER, call.text("ListenerArn"), NO_LISTENER)?;
        if changes_tls {
            listener.body["Certificates"] = json!({"member": call.input["Certificates"]});
            listener.body["SslPolicy"] = call.input["SslPolicy"].clone();
        }
        if !call.input["DefaultActions"].is_null() {
            listener.body["DefaultActions"] = json!({"member": call.input["DefaultActions"]});
        }
        Ok(json!({}))
    }

    fn elb_tags(&mut self, call: &Call) -> Answer {
        let mut described = Vec::new();
        for id in call.texts("ResourceArns") {
            let Some(resource) = self.resources.get(&id) else {
                let code = if id.contains("targetgroup") { NO_TARGETS } else { NO_BALANCER };
                return refused(code, format!("{id} does not exist"));
            };
            described.push(json!({"ResourceArn": id, "Tags": members(tag_list(&resource.tags, "Key", "Value"))}));
        }
        Ok(json!({"TagDescriptions": members(described)}))
    }

    fn elb_retag(&mut self, call: &Call) -> Answer {
        for id in call.texts("ResourceArns") {
            let Some(resource) = self.resources.get_mut(&id) else { return refused(NO_BALANCER, id) };
            resource.tags.extend(tags_of(&call.input["Tags"], "Key", "Value"));
            let removed = call.texts("TagKeys");
            resource.tags.retain(|key, _| !removed.contains(key));
        }
        Ok(json!({}))
    }
}
