//! Parsing of requests.

use crate::account::REGION;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Map, Value, json};

/// Protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Requests are forms, and responses are XML.
    Ec2,
    /// Requests are forms, and responses are XML with the result in an element of its own.
    Query,
    /// JSON in both directions.
    Json,
    /// Requests are identified by method and path; bodies are XML in both directions.
    RestXml,
    /// S3: like `RestXml`, but bodies are arbitrary bytes.
    S3,
}

/// A parsed request.
#[derive(Debug, Clone)]
pub struct Call {
    pub protocol: Protocol,
    /// `acm`, `ec2`, `elasticloadbalancing`, `elasticache`, `ecs`, `ecr`, `logs`, `route53`, `s3`, `dynamodb`, `iam`, `sts`,
    /// `servicequotas`.
    pub service: &'static str,
    /// Name of the operation, such as `CreateVpc`.
    pub operation: String,
    /// Fields; numbers are strings if the protocol has no numbers.
    pub input: Value,
    /// Body of an object, for S3.
    pub body: Vec<u8>,
}

/// Services by the prefix of their host name.
const SERVICES: [(&str, &str, Protocol); 12] = [
    ("acm.", "acm", Protocol::Json),
    ("ec2.", "ec2", Protocol::Ec2),
    ("elasticloadbalancing.", "elasticloadbalancing", Protocol::Query),
    ("elasticache.", "elasticache", Protocol::Query),
    ("iam.", "iam", Protocol::Query),
    ("sts.", "sts", Protocol::Query),
    ("ecs.", "ecs", Protocol::Json),
    ("api.ecr.", "ecr", Protocol::Json),
    ("logs.", "logs", Protocol::Json),
    ("dynamodb.", "dynamodb", Protocol::Json),
    ("servicequotas.", "servicequotas", Protocol::Json),
    ("route53.", "route53", Protocol::RestXml),
];

/// Prefixes of read-only operations.
const READS: [&str; 5] = ["Describe", "List", "Get", "Head", "Lookup"];

impl Call {
    pub fn read(request: &HttpRequest) -> Self {
        let (host, path) = split(request.uri());
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let known = SERVICES.iter().find(|(prefix, ..)| host.starts_with(prefix));
        let (service, protocol) = known.map_or(("s3", Protocol::S3), |(_, service, protocol)| (*service, *protocol));
        let (operation, input) = match protocol {
            Protocol::Ec2 | Protocol::Query => form(&body),
            Protocol::Json => {
                let target = request.headers().get("x-amz-target").unwrap_or_default();
                let operation = target.rsplit('.').next().unwrap_or_default();
                let mut input: Value = serde_json::from_slice(&body).unwrap();
                if !host.contains(REGION) {
                    input["region"] = json!(host);
                }
                (operation.to_owned(), input)
            }
            Protocol::RestXml => route53(request.method(), path, &String::from_utf8_lossy(&body)),
            Protocol::S3 => s3(request),
        };
        Self { protocol, service, operation, input, body }
    }

    /// Returns whether the call is a write.
    pub fn writes(&self) -> bool {
        !READS.iter().any(|prefix| self.operation.starts_with(prefix))
    }

    /// Returns whether the call concerns the snapshot or the lease.
    pub fn is_state(&self) -> bool {
        matches!(self.service, "s3" | "dynamodb")
    }

    /// Returns the name, such as `ec2:CreateVpc`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    /// Returns a text field, or an empty string if it is missing.
    pub fn text(&self, field: &str) -> &str {
        self.input[field].as_str().unwrap_or_default()
    }

    /// Returns a field that is a list of strings, or an empty list if it is missing.
    pub fn texts(&self, field: &str) -> Vec<String> {
        let items = self.input[field].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

fn split(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.split_once('/').unwrap_or((rest, ""))
}

/// Parses a form into an operation and a tree: `Tag.1.Key=a` becomes `{"Tag": [{"Key": "a"}]}`, and
/// `Tags.member.1.Key=a` becomes the same for `Tags`.
fn form(body: &[u8]) -> (String, Value) {
    let text = String::from_utf8_lossy(body);
    let mut root = json!({});
    for (key, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        let mut at = &mut root;
        for part in key.split('.') {
            if !at.is_object() {
                *at = json!({});
            }
            at = at.as_object_mut().unwrap().entry(part).or_insert(Value::Null);
        }
        *at = Value::String(decode(value));
    }
    let Value::Object(fields) = root else { unreachable!() };
    let mut input: Map<String, Value> = fields.into_iter().map(|(key, value)| (key, collapse(value))).collect();
    let operation = input.remove("Action").and_then(|action| action.as_str().map(str::to_owned)).unwrap_or_default();
    input.remove("Version");
    (operation, Value::Object(input))
}

fn collapse(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let mut fields: Vec<(String, Value)> = fields.into_iter().map(|(key, value)| (key, collapse(value))).collect();
    let number = |key: &str| key.parse::<usize>().ok();
    if !fields.is_empty() && fields.iter().all(|(key, _)| number(key).is_some()) {
        fields.sort_by_key(|(key, _)| number(key));
        return fields.into_iter().map(|(_, value)| value).collect();
    }
    match fields.as_slice() {
        [(_, Value::Array(items))] => Value::Array(items.clone()),
        _ => Value::Object(fields.into_iter().collect()),
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns the text of the first element with this name.
fn element(body: &str, name: &str) -> String {
    let inside = body.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inside.map(|(text, _)| text.to_owned()).unwrap_or_default()
}

fn route53(method: &str, path: &str, body: &str) -> (String, Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let asked = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decode(value)).unwrap_or_default()
    };
    let parts: Vec<&str> = path.trim_matches('/').split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        (_, ["hostedzonesbyname"]) => ("ListHostedZonesByName".to_owned(), json!({"name": asked("dnsname")})),
        (_, ["change", id]) => ("GetChange".to_owned(), json!({"id": id})),
        ("GET", ["hostedzone", zone, "rrset"]) => {
            ("ListResourceRecordSets".to_owned(), json!({"zone": zone, "name": asked("name")}))
        }
        ("POST", ["hostedzone", zone, "rrset"]) => {
            let target = element(body, "AliasTarget");
            let input = json!({
                "zone": zone,
                "action": element(body, "Action"),
                "name": element(body, "Name"),
                "type": element(body, "Type"),
                "alias": element(&target, "DNSName"),
                "alias_zone": element(&target, "HostedZoneId"),
                "health": element(&target, "EvaluateTargetHealth"),
                "value": element(body, "Value"),
            });
            ("ChangeResourceRecordSets".to_owned(), input)
        }
        other => panic!("unsupported call to Route 53: {other:?}"),
    }
}

fn s3(request: &HttpRequest) -> (String, Value) {
    let header = |name: &str| request.headers().get(name).map(str::to_owned);
    let operation = match request.method() {
        "GET" => "GetObject",
        "PUT" => "PutObject",
        other => panic!("unsupported call to S3: {other} {}", request.uri()),
    };
    (operation.to_owned(), json!({"if_match": header("if-match"), "if_none_match": header("if-none-match")}))
}
