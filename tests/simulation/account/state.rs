//! S3 and DynamoDB: the bucket with the snapshot and the table with the lease.

use super::{Account, Answer, Refusal, refused};
use crate::process::owner;
use crate::wire::Call;
use serde_json::{Map, Value, json};

impl Account {
    pub fn state(&mut self, call: &Call) -> Answer {
        match call.operation.as_str() {
            "GetObject" => match &self.object {
                None => {
                    refused("NoSuchKey", "The specified key does not exist.").map_err(|e| Refusal { status: 404, ..e })
                }
                Some((body, etag)) => Ok(json!({"body": String::from_utf8_lossy(body), "etag": etag})),
            },
            "PutObject" => self.put_object(call),
            "GetItem" => Ok(self.lease.as_ref().map_or(json!({}), |item| json!({"Item": item}))),
            "UpdateItem" => self.update_item(&call.input),
            other => panic!("unsupported call to {}: {other}", call.service),
        }
    }

    /// Executes a conditional write. The body must be an intact snapshot with a higher serial, the same lineage and the
    /// fencing token of the lease.
    fn put_object(&mut self, call: &Call) -> Answer {
        let etag = self.object.as_ref().map(|(_, etag)| etag.as_str());
        let met = match (call.input["if_match"].as_str(), call.input["if_none_match"].as_str()) {
            (Some(expected), None) => etag == Some(expected),
            (None, Some("*")) => etag.is_none(),
            other => panic!("write of the snapshot without a condition: {other:?}"),
        };
        if !met && etag.is_none() {
            // S3 looks up the object that must match, and reports that there is none.
            let refusal = refused("NoSuchKey", "The specified key does not exist.");
            return refusal.map_err(|e| Refusal { status: 404, ..e });
        }
        if !met {
            let refusal =
                refused("PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
            return refusal.map_err(|e| Refusal { status: 412, ..e });
        }
        let next = pb_state::decode(&call.body, &owner()).expect("the stored bytes are an intact snapshot");
        if let Some(before) = &self.stored {
            assert!(
                next.serial > before.serial && next.fence >= before.fence,
                "the serial of the snapshot did not increase, or its fencing token decreased"
            );
            assert_eq!(next.lineage, before.lineage, "the lineage of the snapshot changed");
        }
        let fence = self.lease.as_ref().map_or(0, |item| number(item, "fence"));
        assert_eq!(next.fence, fence, "the snapshot was written under another run's lease");
        let etag = format!("\"{}\"", self.serial());
        self.object = Some((call.body.clone(), etag.clone()));
        self.stored = Some(next);
        Ok(json!({"body": "", "etag": etag}))
    }

    fn update_item(&mut self, input: &Value) -> Answer {
        let expressions = Expressions { input };
        let old = self.lease.clone();
        if !expressions.is_met(old.as_ref().unwrap_or(&Map::new())) {
            let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            return refused(code, "The conditional request failed")
                .map_err(|e| Refusal { item: old.map(Value::Object), ..e });
        }
        let mut item = old.unwrap_or_else(|| input["Key"].as_object().unwrap().clone());
        expressions.change(&mut item);
        self.lease = Some(item.clone());
        Ok(json!({"Attributes": item}))
    }
}

/// DynamoDB expressions of one request.
struct Expressions<'a> {
    input: &'a Value,
}

impl Expressions<'_> {
    fn name(&self, name: &str) -> &str {
        self.input["ExpressionAttributeNames"][name].as_str().unwrap()
    }

    fn value(&self, value: &str) -> &Value {
        &self.input["ExpressionAttributeValues"][value]
    }

    fn number(&self, value: &str) -> u64 {
        self.value(value)["N"].as_str().unwrap().parse().unwrap()
    }

    fn is_met(&self, item: &Map<String, Value>) -> bool {
        self.input["ConditionExpression"].as_str().unwrap().split(" AND ").all(|clause| {
            if let Some(name) = clause.strip_prefix("attribute_not_exists(") {
                return !item.contains_key(self.name(name.trim_end_matches(')')));
            }
            if let Some((name, value)) = clause.split_once(" >= ") {
                return item.contains_key(self.name(name)) && number(item, self.name(name)) >= self.number(value);
            }
            if let Some((name, value)) = clause.split_once(" < ") {
                return number(item, self.name(name)) < self.number(value);
            }
            let (name, value) = clause.split_once(" = ").unwrap();
            item.get(self.name(name)) == Some(self.value(value))
        })
    }

    fn change(&self, item: &mut Map<String, Value>) {
        let change = self.input["UpdateExpression"].as_str().unwrap();
        if let Some(names) = change.strip_prefix("REMOVE ") {
            names.split(", ").for_each(|name| drop(item.remove(self.name(name))));
            return;
        }
        let before = item.clone();
        for part in change.strip_prefix("SET ").unwrap().split(", #") {
            let (name, value) = part.split_once(" = ").unwrap();
            let name = self.name(&format!("#{}", name.trim_start_matches('#')));
            let value = match value.split_once(" + ") {
                None => self.value(value).clone(),
                Some((_, more)) => json!({"N": (number(&before, name) + self.number(more)).to_string()}),
            };
            item.insert(name.to_owned(), value);
        }
    }
}

fn number(item: &Map<String, Value>, name: &str) -> u64 {
    item.get(name).map_or(0, |value| value["N"].as_str().unwrap().parse().unwrap())
}
