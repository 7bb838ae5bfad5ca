//! Route 53: one existing public zone, and alias records in it.

use super::{Account, Answer, Tags, refused};
use crate::wire::Call;
use serde_json::{Value, json};

pub const RECORD: &str = "route53.record";
/// CNAME records, which validate the names of certificates.
pub const VALIDATION: &str = "acm.validation";
pub const ZONE: &str = "Z0SIM";

impl Account {
    pub fn dns(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "ListHostedZonesByName" => {
                let zone = json!({
                    "Id": format!("/hostedzone/{ZONE}"),
                    "Name": format!("{}.", call.text("name")),
                    "CallerReference": "c",
                    "Config": {"PrivateZone": "false"},
                });
                Ok(json!({"HostedZones": {"HostedZone": [zone]}, "IsTruncated": "false", "MaxItems": "100"}))
            }
            "ListResourceRecordSets" => {
                // The list starts at the requested name and continues with the names after it.
                let from = format!("{}.", call.text("name"));
                let sets = self.of_kind(RECORD).chain(self.of_kind(VALIDATION)).map(|(_, record)| record.body.clone());
                let sets: Vec<Value> = sets.filter(|set| set["Name"].as_str() >= Some(from.as_str())).collect();
                let sets = json!({"ResourceRecordSet": sets});
                Ok(json!({"ResourceRecordSets": sets, "IsTruncated": "false", "MaxItems": "10"}))
            }
            "ChangeResourceRecordSets" => self.change_record(call),
            "GetChange" => {
                let (id, now) = (call.text("id"), self.now());
                match self.changes.get(id) {
                    None => refused("NoSuchChange", format!("Could not find resource with ID: {id}")),
                    Some(created) => Ok(json!({"ChangeInfo": info(id, now >= *created + self.times.dns_change)})),
                }
            }
            other => panic!("unsupported call to Route 53: {other}"),
        }
    }

    fn change_record(&mut self, call: &Call) -> Answer {
        let name = format!("{}.", call.text("name").trim_end_matches('.'));
        let id = format!("{} {}", name.trim_end_matches('.'), call.text("type"));
        let validates = call.text("type") == "CNAME";
        let kind = if validates { VALIDATION } else { RECORD };
        let body = if validates {
            let values = json!({"ResourceRecord": [{"Value": call.text("value")}]});
            json!({"Name": name, "Type": "CNAME", "TTL": "300", "ResourceRecords": values})
        } else {
            json!({
            "Name": name,
            "Type": call.text("type"),
            "AliasTarget": {
                "HostedZoneId": call.text("alias_zone"),
                "DNSName": format!("{}.", call.text("alias").trim_end_matches('.').to_lowercase()),
                "EvaluateTargetHealth": call.text("health"),
            },
            })
        };
        let existing = self.resources.get(&id).map(|resource| resource.body.clone());
        match (call.text("action"), existing) {
            ("CREATE", Some(_)) => {
                let message =
                    format!("[Tried to create resource record set [name='{name}', type='A'] but it already exists]");
                return refused("InvalidChangeBatch", message);
            }
            ("DELETE", None) => {
                let message =
                    format!("[Tried to delete resource record set [name='{name}', type='A'] but it was not found]");
                return refused("InvalidChangeBatch", message);
            }
            ("DELETE", Some(existing)) if existing != body => {
                let message =
                    "[Tried to delete resource record set but the values provided do not match the current values]";
                return refused("InvalidChangeBatch", message);
            }
            ("DELETE", Some(_)) => drop(self.resources.remove(&id)),
            ("UPSERT", Some(existing)) if existing == body => {}
            _ => self.put(kind, &id, body, Tags::new()),
        }
        let change = format!("C{}", self.serial());
        let now = self.now();
        self.changes.insert(change.clone(), now);
        Ok(json!({"ChangeInfo": info(&change, false)}))
    }
}

fn info(id: &str, insync: bool) -> Value {
    let status = if insync { "INSYNC" } else { "PENDING" };
    json!({"Id": format!("/change/{id}"), "Status": status, "SubmittedAt": "2024-01-01T00:00:00Z"})
}
