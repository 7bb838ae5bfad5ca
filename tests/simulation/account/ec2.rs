//! EC2: VPCs, gateways and subnets, and the tags and filters of all resource kinds of EC2.

use super::{Account, Answer, Refusal, Resource, Tags, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};

pub const VPC: &str = "ec2.vpc";
pub const GATEWAY: &str = "ec2.internet_gateway";
pub const SUBNET: &str = "ec2.subnet";
pub const TABLE: &str = "ec2.route_table";
pub const GROUP: &str = "ec2.security_group";
pub const DEFAULT: &str = "ec2.default_security_group";
pub const RULE: &str = "ec2.security_group_rule";

/// Returns the error code of EC2 for a missing resource of `kind`.
pub fn missing(kind: &str) -> &'static str {
    match kind {
        VPC => "InvalidVpcID.NotFound",
        GATEWAY => "InvalidInternetGatewayID.NotFound",
        SUBNET => "InvalidSubnetID.NotFound",
        TABLE => "InvalidRouteTableID.NotFound",
        RULE => "InvalidSecurityGroupRuleId.NotFound",
        _ => "InvalidGroup.NotFound",
    }
}

/// Returns the tags of a create call.
pub fn creation_tags(call: &Call) -> Tags {
    tags_of(&call.input["TagSpecification"][0]["Tag"], "Key", "Value")
}

pub fn dependency_violation<T>(id: &str, what: &str) -> Result<T, Refusal> {
    refused("DependencyViolation", format!("{id} has dependencies and cannot be deleted: {what}"))
}

impl Account {
    pub fn ec2(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "CreateVpc" => self.create_vpc(call),
            "DeleteVpc" => self.delete_vpc(call.text("VpcId")),
            "DescribeVpcs" => Ok(self.describe(&[VPC], "vpcSet", "vpcId", call)),
            "DescribeVpcAttribute" => self.vpc_attribute(call),
            "ModifyVpcAttribute" => self.modify_vpc(call),
            "CreateInternetGateway" => self.create_gateway(call),
            "AttachInternetGateway" => self.attach(call),
            "DetachInternetGateway" => self.detach(call),
            "DeleteInternetGateway" => self.delete_gateway(call.text("InternetGatewayId")),
            "DescribeInternetGateways" => {
                Ok(self.describe(&[GATEWAY], "internetGatewaySet", "internetGatewayId", call))
            }
            "CreateSubnet" => self.create_subnet(call),
            "ModifySubnetAttribute" => self.modify_subnet(call),
            "DeleteSubnet" => self.delete_subnet(call.text("SubnetId")),
            "DescribeSubnets" => Ok(self.describe(&[SUBNET], "subnetSet", "subnetId", call)),
            "DescribeSecurityGroups" => Ok(self.describe(&[GROUP, DEFAULT], "securityGroupInfo", "groupId", call)),
            "DescribeSecurityGroupRules" => {
                Ok(self.describe(&[RULE], "securityGroupRuleSet", "securityGroupRuleId", call))
            }
            "DescribeRouteTables" => Ok(self.describe(&[TABLE], "routeTableSet", "routeTableId", call)),
            "DescribeNetworkInterfaces" => Ok(self.describe_interfaces(&filter(call, "vpc-id"))),
            "CreateTags" | "DeleteTags" => self.tag(call),
            "DescribeTags" => Ok(self.describe_tags(&filter(call, "resource-id"))),
            "DescribeAvailabilityZones" => {
                let zone = |name: &str| json!({"zoneName": name, "zoneState": "available"});
                Ok(json!({"availabilityZoneInfo": {"item": [zone("us-east-2a"), zone("us-east-2b")]}}))
            }
            "DescribeNetworkAcls" => Ok(json!({"networkAclSet": {"item": []}})),
            "DescribeVpcEndpoints" => Ok(json!({"vpcEndpointSet": {"item": []}})),
            "DescribeVpnGateways" => Ok(json!({"vpnGatewaySet": {"item": []}})),
            "DescribeVpcPeeringConnections" => Ok(json!({"vpcPeeringConnectionSet": {"item": []}})),
            "DescribeEgressOnlyInternetGateways" => Ok(json!({"egressOnlyInternetGatewaySet": {"item": []}})),
            name if name.contains("Route") => self.routes(call),
            _ => self.security_groups(call),
        }
    }

    /// Returns the resource with this id, unless it is so new that writes do not find it yet.
    pub fn get_for_write(&mut self, kind: &str, id: &str) -> Result<&mut Resource, Refusal> {
        let (now, write_visibility) = (self.now(), self.times.write_visibility);
        match self.get(kind, id, missing(kind)) {
            Ok(resource) if now < resource.created + write_visibility => {
                refused(missing(kind), format!("{id} does not exist"))
            }
            answer => answer,
        }
    }

    fn describe(&mut self, kinds: &[&str], set: &str, id_field: &str, call: &Call) -> Value {
        let now = self.now();
        let filters = call.input["Filter"].as_array().cloned().unwrap_or_default();
        let all = self.resources.iter().filter(|(id, resource)| {
            kinds.contains(&resource.kind)
                && now >= resource.created + self.times.id_visibility
                && filters.iter().all(|filter| self.matches_filter(id, resource, filter, now))
        });
        let items: Vec<Value> = all
            .map(|(id, resource)| {
                let mut body = resource.body.clone();
                body[id_field] = json!(id);
                body["tagSet"] = json!({"item": tag_list(&resource.tags, "key", "value")});
                body
            })
            .collect();
        json!({set: {"item": items}})
    }

    fn matches_filter(&self, id: &str, resource: &Resource, filter: &Value, now: std::time::Duration) -> bool {
        let values: Vec<&str> = filter["Value"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let name = filter["Name"].as_str().unwrap();
        if let Some(key) = name.strip_prefix("tag:") {
            let visible = now >= resource.tagged_at + self.times.tag_visibility;
            return visible && resource.tags.get(key).is_some_and(|value| values.contains(&value.as_str()));
        }
        let is = |field: &Value| field.as_str().is_some_and(|text| values.contains(&text));
        match name {
            "vpc-id" if resource.kind == VPC => values.contains(&id),
            "vpc-id" => is(&resource.body["vpcId"]),
            "group-id" if resource.kind == RULE => is(&resource.body["groupId"]),
            "group-id" | "subnet-id" | "internet-gateway-id" | "route-table-id" | "security-group-rule-id" => {
                values.contains(&id)
            }
            "group-name" => is(&resource.body["groupName"]),
            "attachment.vpc-id" => is(&resource.body["attachmentSet"]["item"][0]["vpcId"]),
            "association.subnet-id" => associations(resource).any(|association| is(&association["subnetId"])),
            "ip-permission.group-id" | "egress.ip-permission.group-id" => {
                let egress = name.starts_with("egress");
                self.of_kind(RULE).any(|(_, rule)| {
                    rule.body["groupId"] == id
                        && rule.body["isEgress"] == egress
                        && is(&rule.body["referencedGroupInfo"]["groupId"])
                })
            }
            other => panic!("unsupported filter: {other}"),
        }
    }

    fn tag(&mut self, call: &Call) -> Answer {
        let now = self.now();
        let tags = tags_of(&call.input["Tag"], "Key", "Value");
        for id in call.texts("ResourceId") {
            let Some(resource) = self.resources.get_mut(&id) else {
                return refused("InvalidID", format!("The ID '{id}' is not valid"));
            };
            if call.operation == "CreateTags" {
                resource.tags.extend(tags.clone());
            } else {
                resource.tags.retain(|key, _| !tags.contains_key(key));
            }
            resource.tagged_at = now;
        }
        Ok(json!({"return": "true"}))
    }

    fn describe_tags(&self, ids: &[String]) -> Value {
        let of = |id: &String| {
            let tags = self.resources.get(id).map(|resource| resource.tags.clone()).unwrap_or_default();
            tags.into_iter()
                .map(|(key, value)| json!({"resourceId": id, "key": key, "value": value}))
                .collect::<Vec<_>>()
        };
        json!({"tagSet": {"item": ids.iter().flat_map(of).collect::<Vec<_>>()}})
    }

    fn create_vpc(&mut self, call: &Call) -> Answer {
        if self.of_kind(VPC).count() >= 5 {
            return refused("VpcLimitExceeded", "The maximum number of VPCs has been reached");
        }
        let id = format!("vpc-{:08x}", self.serial());
        let body = json!({
            "cidrBlock": call.text("CidrBlock"), "state": "available", "support": "true", "hostnames": "false",
        });
        self.put(VPC, &id, body, creation_tags(call));
        let group = format!("sg-{:08x}", self.serial());
        let body = json!({"groupName": "default", "groupDescription": "default VPC security group", "vpcId": id});
        self.put(DEFAULT, &group, body, Tags::new());
        let members = json!({"ipProtocol": "-1", "referencedGroupInfo": {"groupId": group}});
        self.add_rule(&group, false, members, Tags::new());
        self.add_rule(&group, true, json!({"ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"}), Tags::new());
        Ok(json!({"vpc": {"vpcId": id, "state": "pending"}}))
    }

    fn delete_vpc(&mut self, id: &str) -> Answer {
        self.get(VPC, id, missing(VPC))?;
        let inside = self.resources.iter().find(|(_, resource)| {
            let attached = &resource.body["attachmentSet"]["item"][0]["vpcId"];
            matches!(resource.kind, SUBNET | TABLE | GROUP) && resource.body["vpcId"] == id
                || resource.kind == GATEWAY && attached == id
        });
        if let Some((inside, _)) = inside {
            return dependency_violation(id, inside);
        }
        if let Some(interface) = self.interfaces.iter().find(|interface| interface.vpc == id) {
            return dependency_violation(id, &interface.id);
        }
        let groups: Vec<String> =
            self.of_kind(DEFAULT).filter(|(_, group)| group.body["vpcId"] == id).map(|(id, _)| id.clone()).collect();
        self.resources.retain(|key, resource| {
            key != id && !groups.contains(key) && !groups.iter().any(|group| resource.body["groupId"] == *group)
        });
        Ok(json!({"return": "true"}))
    }

    fn vpc_attribute(&mut self, call: &Call) -> Answer {
        let (id, attribute) = (call.text("VpcId"), call.text("Attribute"));
        let vpc = self.get(VPC, id, missing(VPC))?;
        let field = if attribute == "enableDnsSupport" { "support" } else { "hostnames" };
        Ok(json!({"vpcId": id, attribute: {"value": vpc.body[field]}}))
    }

    fn modify_vpc(&mut self, call: &Call) -> Answer {
        let input = &call.input;
        let vpc = self.get_for_write(VPC, call.text("VpcId"))?;
        for (name, field) in [("EnableDnsSupport", "support"), ("EnableDnsHostnames", "hostnames")] {
            if let Some(value) = input[name]["Value"].as_str() {
                vpc.body[field] = json!(value);
            }
        }
        Ok(json!({"return": "true"}))
    }

    fn create_gateway(&mut self, call: &Call) -> Answer {
        let id = format!("igw-{:08x}", self.serial());
        self.put(GATEWAY, &id, json!({"attachmentSet": {"item": []}}), creation_tags(call));
        Ok(json!({"internetGateway": {"internetGatewayId": id}}))
    }

    fn attach(&mut self, call: &Call) -> Answer {
        let (id, vpc) = (call.text("InternetGatewayId"), call.text("VpcId"));
        self.get_for_write(VPC, vpc)?;
        let taken = self.of_kind(GATEWAY).any(|(_, other)| other.body["attachmentSet"]["item"][0]["vpcId"] == vpc);
        let gateway = self.get_for_write(GATEWAY, id)?;
        let attached = &mut gateway.body["attachmentSet"]["item"];
        if attached.as_array().is_some_and(|attached| !attached.is_empty()) {
            return refused("Resource.AlreadyAssociated", format!("resource {id} is already attached to network"));
        }
        if taken {
            return refused("InvalidParameterValue", format!("Network {vpc} already has an internet gateway attached"));
        }
        *attached = json!([{"vpcId": vpc, "state": "available"}]);
        Ok(json!({"return": "true"}))
    }

    fn detach(&mut self, call: &Call) -> Answer {
        let (id, vpc) = (call.text("InternetGatewayId"), call.text("VpcId"));
        let gateway = self.get(GATEWAY, id, missing(GATEWAY))?;
        if gateway.body["attachmentSet"]["item"][0]["vpcId"] != vpc {
            return refused("Gateway.NotAttached", format!("resource {id} is not attached to network {vpc}"));
        }
        if self.interfaces.iter().any(|interface| interface.vpc == vpc && interface.public) {
            let message = format!("Network {vpc} has some mapped public address(es). Please unmap those first.");
            return refused("DependencyViolation", message);
        }
        self.get(GATEWAY, id, missing(GATEWAY))?.body["attachmentSet"]["item"] = json!([]);
        Ok(json!({"return": "true"}))
    }

    fn delete_gateway(&mut self, id: &str) -> Answer {
        let gateway = self.get(GATEWAY, id, missing(GATEWAY))?;
        if gateway.body["attachmentSet"]["item"].as_array().is_some_and(|attached| !attached.is_empty()) {
            return dependency_violation(id, "it is attached");
        }
        self.resources.remove(id);
        Ok(json!({"return": "true"}))
    }

    fn create_subnet(&mut self, call: &Call) -> Answer {
        let (vpc, cidr) = (call.text("VpcId"), call.text("CidrBlock"));
        self.get_for_write(VPC, vpc)?;
        if self.of_kind(SUBNET).any(|(_, other)| other.body["vpcId"] == vpc && other.body["cidrBlock"] == cidr) {
            return refused("InvalidSubnet.Conflict", format!("The CIDR '{cidr}' conflicts with another subnet"));
        }
        let id = format!("subnet-{:08x}", self.serial());
        let body = json!({
            "vpcId": vpc, "cidrBlock": cidr, "availabilityZone": call.text("AvailabilityZone"),
            "mapPublicIpOnLaunch": "false", "state": "available",
        });
        self.put(SUBNET, &id, body, creation_tags(call));
        Ok(json!({"subnet": {"subnetId": id, "state": "pending"}}))
    }

    fn modify_subnet(&mut self, call: &Call) -> Answer {
        let subnet = self.get_for_write(SUBNET, call.text("SubnetId"))?;
        subnet.body["mapPublicIpOnLaunch"] = call.input["MapPublicIpOnLaunch"]["Value"].clone();
        Ok(json!({"return": "true"}))
    }

    fn delete_subnet(&mut self, id: &str) -> Answer {
        self.get(SUBNET, id, missing(SUBNET))?;
        if let Some(interface) = self.interfaces.iter().find(|interface| interface.subnet == id) {
            return dependency_violation(id, &interface.id);
        }
        let names = |resource: &Resource| {
            resource.body["subnets"].as_array().is_some_and(|subnets| subnets.contains(&json!(id)))
        };
        if let Some((group, _)) = self.of_kind("elasticache.subnet_group").find(|(_, group)| names(group)) {
            return dependency_violation(id, group);
        }
        self.resources.remove(id);
        for table in self.resources.values_mut().filter(|resource| resource.kind == TABLE) {
            let kept = associations(table).filter(|association| association["subnetId"] != id).cloned().collect();
            table.body["associationSet"]["item"] = Value::Array(kept);
        }
        Ok(json!({"return": "true"}))
    }
}

/// Returns the associations of a route table.
pub fn associations(table: &Resource) -> impl Iterator<Item = &Value> {
    table.body["associationSet"]["item"].as_array().into_iter().flatten()
}

/// Returns the values of the filter `name`.
fn filter(call: &Call, name: &str) -> Vec<String> {
    let filters = call.input["Filter"].as_array().map(Vec::as_slice).unwrap_or_default();
    let values = filters.iter().find(|filter| filter["Name"] == name).and_then(|filter| filter["Value"].as_array());
    values.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}
