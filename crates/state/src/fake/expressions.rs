//! Evaluation of the DynamoDB expressions that a lease needs.

use serde_json::{Map, Value, json};

/// Expressions of one request, with the names and values that they use.
pub(super) struct Expressions<'a> {
    condition: &'a str,
    change: &'a str,
    names: &'a Value,
    values: &'a Value,
}

impl<'a> Expressions<'a> {
    pub(super) fn new(request: &'a Value) -> Self {
        let text = |name: &str| request[name].as_str().unwrap();
        let (condition, change) = (text("ConditionExpression"), text("UpdateExpression"));
        let (names, values) = (&request["ExpressionAttributeNames"], &request["ExpressionAttributeValues"]);
        for given in [names, values].into_iter().flat_map(|map| map.as_object().unwrap().keys()) {
            let used = format!("{condition} {change}");
            let words = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '#' && c != ':');
            assert!(words.into_iter().any(|word| word == given), "{given} is defined but not used");
        }
        Self { condition, change, names, values }
    }

    fn name(&self, name: &str) -> &str {
        self.names[name].as_str().unwrap_or_else(|| panic!("{name} is not defined"))
    }

    fn number(&self, name: &str) -> u64 {
        self.values[name]["N"].as_str().unwrap().parse().unwrap()
    }

    pub(super) fn is_met(&self, item: &Map<String, Value>) -> bool {
        self.condition.split(" AND ").all(|clause| {
            if let Some(name) = clause.strip_prefix("attribute_not_exists(") {
                return !item.contains_key(self.name(name.trim_end_matches(')')));
            }
            if let Some((name, value)) = clause.split_once(" >= ") {
                return item.contains_key(self.name(name)) && held(item, self.name(name)) >= self.number(value);
            }
            if let Some((name, value)) = clause.split_once(" < ") {
                return item.contains_key(self.name(name)) && held(item, self.name(name)) < self.number(value);
            }
            let (name, value) = clause.split_once(" = ").unwrap();
            item.get(self.name(name)) == Some(&self.values[value])
        })
    }

    pub(super) fn change(&self, item: &mut Map<String, Value>) {
        if let Some(names) = self.change.strip_prefix("REMOVE ") {
            for name in names.split(", ") {
                item.remove(self.name(name));
            }
            return;
        }
        let before = item.clone();
        for part in self.change.strip_prefix("SET ").unwrap().split(", #") {
            let (name, value) = part.split_once(" = ").unwrap();
            let name = self.name(&format!("#{}", name.trim_start_matches('#')));
            let value = match value.split_once(" + ") {
                None => self.values[value].clone(),
                Some((old, more)) => {
                    let zero = old.starts_with("if_not_exists(");
                    assert!(zero || before.contains_key(name), "{name} does not exist and cannot be incremented");
                    json!({"N": (held(&before, name) + self.number(more)).to_string()})
                }
            };
            item.insert(name.to_owned(), value);
        }
    }
}

fn held(item: &Map<String, Value>, name: &str) -> u64 {
    item.get(name).map_or(0, |value| value["N"].as_str().unwrap().parse().unwrap())
}
