//! EC2: route tables, their routes and their associations with subnets.

use super::ec2::{GATEWAY, SUBNET, TABLE, VPC, associations, creation_tags, dependency_violation, missing};
use super::{Account, Answer, refused};
use crate::wire::Call;
use serde_json::{Value, json};

impl Account {
    pub fn routes(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "CreateRouteTable" => self.create_table(call),
            "DeleteRouteTable" => self.delete_table(call.text("RouteTableId")),
            "CreateRoute" | "ReplaceRoute" | "DeleteRoute" => self.route(call),
            "AssociateRouteTable" => self.associate(call),
            "DisassociateRouteTable" => self.disassociate(call.text("AssociationId")),
            "ReplaceRouteTableAssociation" => {
                let subnet = self.find_association(call.text("AssociationId")).map(|found| found["subnetId"].clone());
                self.disassociate(call.text("AssociationId"))?;
                let mut call = call.clone();
                call.input["SubnetId"] = subnet.unwrap_or_default();
                self.associate(&call)
            }
            other => panic!("unsupported call to EC2: {other}"),
        }
    }

    fn create_table(&mut self, call: &Call) -> Answer {
        let token = call.text("ClientToken");
        if let Some((id, _)) = self.of_kind(TABLE).find(|(_, table)| table.token == token) {
            return Ok(json!({"routeTable": {"routeTableId": id}}));
        }
        let vpc = call.text("VpcId");
        self.get_for_write(VPC, vpc)?;
        let id = format!("rtb-{:08x}", self.serial());
        let local = json!({"destinationCidrBlock": "10.0.0.0/8", "gatewayId": "local", "origin": "CreateRouteTable"});
        let body = json!({"vpcId": vpc, "routeSet": {"item": [local]}, "associationSet": {"item": []}});
        self.put(TABLE, &id, body, creation_tags(call));
        self.get(TABLE, &id, "")?.token = token.to_owned();
        Ok(json!({"routeTable": {"routeTableId": id}}))
    }

    fn delete_table(&mut self, id: &str) -> Answer {
        if associations(self.get(TABLE, id, missing(TABLE))?).next().is_some() {
            return dependency_violation(id, "it is associated");
        }
        self.resources.remove(id);
        Ok(json!({"return": "true"}))
    }

    fn route(&mut self, call: &Call) -> Answer {
        let (block, gateway) = (call.text("DestinationCidrBlock"), call.text("GatewayId"));
        if call.operation != "DeleteRoute" {
            let vpc = self.get_for_write(TABLE, call.text("RouteTableId"))?.body["vpcId"].clone();
            if self.get_for_write(GATEWAY, gateway)?.body["attachmentSet"]["item"][0]["vpcId"] != vpc {
                let message = format!("route table and network gateway {gateway} belong to different networks");
                return refused("InvalidParameterValue", message);
            }
        }
        let table = self.get_for_write(TABLE, call.text("RouteTableId"))?;
        let routes = table.body["routeSet"]["item"].as_array_mut().unwrap();
        let existing = routes.iter().position(|route| route["destinationCidrBlock"] == block);
        let route = json!({
            "destinationCidrBlock": block, "gatewayId": gateway, "state": "active", "origin": "CreateRoute",
        });
        match (call.operation.as_str(), existing) {
            ("CreateRoute", Some(_)) => return refused("RouteAlreadyExists", format!("the route to {block} exists")),
            ("CreateRoute", None) => routes.push(route),
            (_, None) => return refused("InvalidRoute.NotFound", format!("no route with destination {block}")),
            ("ReplaceRoute", Some(at)) => routes[at] = route,
            (_, Some(at)) => drop(routes.remove(at)),
        }
        Ok(json!({"return": "true"}))
    }

    fn associate(&mut self, call: &Call) -> Answer {
        let (id, subnet) = (call.text("RouteTableId"), call.text("SubnetId"));
        self.get_for_write(SUBNET, subnet)?;
        if self.of_kind(TABLE).any(|(_, table)| associations(table).any(|found| found["subnetId"] == subnet)) {
            return refused("Resource.AlreadyAssociated", format!("{subnet} is associated with a route table"));
        }
        let association = format!("rtbassoc-{:08x}", self.serial());
        let table = self.get_for_write(TABLE, id)?;
        let entry = json!({
            "routeTableAssociationId": association, "routeTableId": id, "subnetId": subnet, "main": "false",
            "associationState": {"state": "associated"},
        });
        table.body["associationSet"]["item"].as_array_mut().unwrap().push(entry);
        Ok(json!({"associationId": association, "newAssociationId": association}))
    }

    fn find_association(&self, id: &str) -> Option<&Value> {
        let mut all = self.of_kind(TABLE).flat_map(|(_, table)| associations(table));
        all.find(|found| found["routeTableAssociationId"] == id)
    }

    fn disassociate(&mut self, id: &str) -> Answer {
        if self.find_association(id).is_none() {
            return refused("InvalidAssociationID.NotFound", format!("{id} does not exist"));
        }
        for table in self.resources.values_mut().filter(|resource| resource.kind == TABLE) {
            let kept = associations(table).filter(|found| found["routeTableAssociationId"] != id).cloned().collect();
            table.body["associationSet"]["item"] = Value::Array(kept);
        }
        Ok(json!({"return": "true"}))
    }
}
