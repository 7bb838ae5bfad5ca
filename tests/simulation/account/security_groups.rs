//! EC2: security groups and their rules.

use super::ec2::{DEFAULT, GROUP, RULE, VPC, creation_tags, dependency_violation, missing};
use super::{Account, Answer, Refusal, Tags, refused, tag_list};
use crate::wire::Call;
use serde_json::{Value, json};

/// Fields that identify a rule of a group, together with the group to which the rule refers.
const IDENTITY_FIELDS: [&str; 5] = ["isEgress", "ipProtocol", "fromPort", "toPort", "cidrIpv4"];

impl Account {
    pub fn security_groups(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "CreateSecurityGroup" => self.create_group(call),
            "DeleteSecurityGroup" => self.delete_group(call.text("GroupId")),
            "AuthorizeSecurityGroupIngress" => self.authorize(call, false),
            "AuthorizeSecurityGroupEgress" => self.authorize(call, true),
            "RevokeSecurityGroupIngress" => self.revoke(call, false),
            "RevokeSecurityGroupEgress" => self.revoke(call, true),
            "ModifySecurityGroupRules" => self.modify_rules(call),
            other => panic!("unsupported call to EC2: {other}"),
        }
    }

    fn create_group(&mut self, call: &Call) -> Answer {
        let (vpc, name) = (call.text("VpcId"), call.text("GroupName"));
        self.get_for_write(VPC, vpc)?;
        if self.of_kind(GROUP).any(|(_, group)| group.body["vpcId"] == vpc && group.body["groupName"] == name) {
            return refused("InvalidGroup.Duplicate", format!("The security group '{name}' already exists for {vpc}"));
        }
        let id = format!("sg-{:08x}", self.serial());
        let body = json!({"groupName": name, "groupDescription": call.text("GroupDescription"), "vpcId": vpc});
        self.put(GROUP, &id, body, creation_tags(call));
        self.add_rule(&id, true, json!({"ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"}), Tags::new());
        Ok(json!({"groupId": id, "return": "true"}))
    }

    fn delete_group(&mut self, id: &str) -> Answer {
        self.get(GROUP, id, missing(GROUP))?;
        if let Some(interface) = self.interfaces.iter().find(|interface| interface.groups.iter().any(|one| one == id)) {
            return dependency_violation(id, &interface.id);
        }
        let named = |rule: &Value| rule["referencedGroupInfo"]["groupId"] == id && rule["groupId"] != id;
        if let Some((rule, _)) = self.of_kind(RULE).find(|(_, rule)| named(&rule.body)) {
            return dependency_violation(id, rule);
        }
        self.resources.retain(|key, resource| key != id && resource.body["groupId"] != id);
        Ok(json!({"return": "true"}))
    }

    /// Adds a rule to a group.
    pub fn add_rule(&mut self, group: &str, egress: bool, mut body: Value, tags: Tags) -> String {
        let id = format!("sgr-{:08x}", self.serial());
        body["groupId"] = json!(group);
        body["isEgress"] = json!(egress);
        self.put(RULE, &id, body, tags);
        id
    }

    fn group(&mut self, id: &str) -> Result<(), Refusal> {
        match self.get_for_write(GROUP, id) {
            Ok(_) => Ok(()),
            Err(_) => self.get_for_write(DEFAULT, id).map(drop),
        }
    }

    /// Returns the rules of a group that are identical to `requested`.
    fn same_rules(&self, group: &str, requested: &Value) -> Vec<String> {
        let same = |body: &Value| {
            body["groupId"] == group
                && IDENTITY_FIELDS.iter().all(|field| body[*field] == requested[*field])
                && body["referencedGroupInfo"] == requested["referencedGroupInfo"]
        };
        self.of_kind(RULE).filter(|(_, rule)| same(&rule.body)).map(|(id, _)| id.clone()).collect()
    }

    fn authorize(&mut self, call: &Call, egress: bool) -> Answer {
        let group = call.text("GroupId");
        self.group(group)?;
        let body = rule(&call.input["IpPermissions"][0], egress);
        if let Some(peer) = body["referencedGroupInfo"]["groupId"].as_str() {
            self.group(peer)?;
        }
        if !self.same_rules(group, &body).is_empty() {
            return refused("InvalidPermission.Duplicate", "the specified rule already exists");
        }
        let id = self.add_rule(group, egress, body, creation_tags(call));
        let rule = self.get(RULE, &id, "")?;
        let mut made = rule.body.clone();
        made["securityGroupRuleId"] = json!(id);
        made["tagSet"] = json!({"item": tag_list(&rule.tags, "key", "value")});
        Ok(json!({"return": "true", "securityGroupRuleSet": {"item": [made]}}))
    }

    fn revoke(&mut self, call: &Call, egress: bool) -> Answer {
        let group = call.text("GroupId");
        self.group(group)?;
        let mut ids = call.texts("SecurityGroupRuleId");
        if ids.is_empty() {
            ids = self.same_rules(group, &rule(&call.input["IpPermissions"][0], egress));
            if ids.is_empty() {
                return refused("InvalidPermission.NotFound", "The specified rule does not exist in this group");
            }
        }
        for id in ids {
            let found = self.get(RULE, &id, missing(RULE))?;
            if found.body["groupId"] != group || found.body["isEgress"] != egress {
                return refused(missing(RULE), format!("{id} is not in {group}"));
            }
            self.resources.remove(&id);
        }
        Ok(json!({"return": "true"}))
    }

    fn modify_rules(&mut self, call: &Call) -> Answer {
        for update in call.input["SecurityGroupRule"].as_array().into_iter().flatten() {
            let (id, requested) = (update["SecurityGroupRuleId"].as_str().unwrap(), &update["SecurityGroupRule"]);
            let rule = self.get(RULE, id, missing(RULE))?;
            let fields = [
                ("ipProtocol", "IpProtocol"),
                ("fromPort", "FromPort"),
                ("toPort", "ToPort"),
                ("cidrIpv4", "CidrIpv4"),
                ("description", "Description"),
            ];
            for (field, name) in fields {
                rule.body[field] = requested[name].clone();
            }
            if let Some(peer) = requested["ReferencedGroupId"].as_str() {
                rule.body["referencedGroupInfo"] = json!({"groupId": peer});
            }
        }
        Ok(json!({"return": "true"}))
    }
}

/// Converts a requested permission to the description of a rule.
fn rule(permission: &Value, egress: bool) -> Value {
    let group = &permission["Groups"][0];
    let range = &permission["IpRanges"][0];
    let mut body = json!({"isEgress": egress, "ipProtocol": permission["IpProtocol"]});
    for (field, value) in [
        ("fromPort", &permission["FromPort"]),
        ("toPort", &permission["ToPort"]),
        ("cidrIpv4", &range["CidrIp"]),
        ("description", if group.is_null() { &range["Description"] } else { &group["Description"] }),
    ] {
        if !value.is_null() {
            body[field] = value.clone();
        }
    }
    if !group.is_null() {
        body["referencedGroupInfo"] = json!({"groupId": group["GroupId"]});
    }
    body
}
