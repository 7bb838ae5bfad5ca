//! Elastic Load Balancing: listener rules.

use super::elb::{LISTENER, NO_LISTENER, NO_RULE, NO_TARGETS, RULE, TARGETS, arn, members};
use super::{Account, Answer, Resource, refused, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};

/// Sets conditions and actions in the form in which DescribeRules returns them.
fn rule_body(body: &mut Value, call: &Call) {
    // If an object contains only a list, the form parser replaces the object with the list.
    let config = |condition: &Value| {
        let mut condition = condition.clone();
        for field in ["HostHeaderConfig", "PathPatternConfig"] {
            if let Some(values) = condition[field].as_array().cloned() {
                condition[field] = json!({"Values": {"member": values}});
            }
        }
        condition
    };
    if let Some(conditions) = call.input["Conditions"].as_array() {
        body["Conditions"] = members(conditions.iter().map(config));
    }
    if !call.input["Actions"].is_null() {
        body["Actions"] = json!({"member": call.input["Actions"]});
    }
}

impl Account {
    pub fn create_rule(&mut self, call: &Call) -> Answer {
        let (listener, priority) = (call.text("ListenerArn"), call.text("Priority"));
        self.get(LISTENER, listener, NO_LISTENER)?;
        if call.input["Actions"][0]["Type"] == "redirect" {
            assert_eq!(call.input["Actions"][0]["RedirectConfig"]["StatusCode"], "HTTP_301");
        } else {
            self.get(TARGETS, call.input["Actions"][0]["TargetGroupArn"].as_str().unwrap(), NO_TARGETS)?;
        }
        let same = |one: &Value| one["ListenerArn"] == listener && one["Priority"] == priority;
        if self.of_kind(RULE).any(|(_, one)| same(&one.body)) {
            return refused("PriorityInUse", format!("Priority '{priority}' is currently in use"));
        }
        let id = arn(&format!("listener-rule/app/x/{:016x}", self.serial()));
        let mut body = json!({"ListenerArn": listener, "Priority": priority, "IsDefault": false});
        rule_body(&mut body, call);
        self.put(RULE, &id, body.clone(), tags_of(&call.input["Tags"], "Key", "Value"));
        body["RuleArn"] = json!(id);
        Ok(json!({"Rules": members([body])}))
    }

    pub fn modify_rule(&mut self, call: &Call) -> Answer {
        let rule = self.get(RULE, call.text("RuleArn"), NO_RULE)?;
        rule_body(&mut rule.body, call);
        Ok(json!({}))
    }

    /// Sets all priorities at once, so that two rules can exchange their priorities in one call.
    pub fn set_priorities(&mut self, call: &Call) -> Answer {
        let pairs = call.input["RulePriorities"].as_array().cloned().unwrap_or_default();
        let moved = |id: &str| pairs.iter().any(|pair| pair["RuleArn"] == id);
        for pair in &pairs {
            let taken = |(id, rule): (&String, &Resource)| !moved(id) && rule.body["Priority"] == pair["Priority"];
            if self.of_kind(RULE).any(taken) {
                return refused("PriorityInUse", format!("Priority {} is in use", pair["Priority"]));
            }
        }
        for pair in &pairs {
            self.get(RULE, pair["RuleArn"].as_str().unwrap(), NO_RULE)?.body["Priority"] = pair["Priority"].clone();
        }
        Ok(json!({}))
    }
}
