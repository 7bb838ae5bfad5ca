//! Identification of the AWS call in a request, with the names that the emulator's request log uses.

use crate::http::Message;

/// Calls to the services whose operations are identified by method and path: service, method, part of the path,
/// operation.
const REST: [(&str, &str, &str, &str); 8] = [
    ("s3", "GET", "?versions", "ListObjectVersions"),
    ("s3", "GET", "", "GetObject"),
    ("s3", "PUT", "", "PutObject"),
    ("route53", "POST", "/rrset", "ChangeResourceRecordSets"),
    ("route53", "GET", "/rrset", "ListResourceRecordSets"),
    ("route53", "GET", "/hostedzonesbyname", "ListHostedZonesByName"),
    ("route53", "GET", "/change/", "GetChange"),
    ("route53", "GET", "/hostedzone/", "GetHostedZone"),
];
/// Verbs of read-only operations.
const READS: [&str; 5] = ["Describe", "List", "Get", "Head", "BatchGet"];

/// Service and action of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) service: String,
    pub(crate) action: String,
    /// Error format of the service.
    pub(crate) format: Format,
}

/// Error format of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Ec2,
    Query,
    S3,
}

impl Call {
    /// Identifies the call that a request makes.
    pub(crate) fn parse(request: &Message) -> Self {
        let service = service(request).unwrap_or_else(|| "unknown".to_owned());
        let form =
            request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if let Some(target) = request.header("x-amz-target") {
            let action = target.rsplit('.').next().unwrap_or(target).to_owned();
            return Self { service, action, format: Format::Json };
        }
        let format = match service.as_str() {
            "ec2" => Format::Ec2,
            "s3" => Format::S3,
            _ => Format::Query,
        };
        let action = if form { field(&request.body, "Action") } else { None };
        let action = action.unwrap_or_else(|| rest(&service, request));
        Self { service, action, format }
    }

    /// Returns the name of the call, such as `ec2:CreateVpc`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }
}

/// Returns whether the call `service:Action` is a write, judging by its verb.
#[must_use]
pub fn is_write(name: &str) -> bool {
    let action = name.split_once(':').map_or(name, |(_, action)| action);
    !READS.iter().any(|verb| action.starts_with(verb))
}

/// Returns the service from `Authorization: AWS4-HMAC-SHA256 Credential=KEY/20250101/us-east-2/ec2/aws4_request, ...`.
fn service(request: &Message) -> Option<String> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    credential.split('/').nth(3).map(str::to_owned)
}

fn field(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

fn rest(service: &str, request: &Message) -> String {
    let (method, target) = request.target();
    let fits = |(known, verb, part, _): &&(&str, &str, &str, &str)| {
        *known == service && *verb == method && target.contains(part)
    };
    match REST.iter().find(fits) {
        Some((.., action)) => (*action).to_owned(),
        None => format!("{method} {}", target.split('?').next().unwrap_or(target)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Format, is_write};
    use crate::http::Message;

    fn call(service: &str, start: &str, header: (&str, &str), body: &str) -> Call {
        let credential =
            format!("AWS4-HMAC-SHA256 Credential=1/20250101/us-east-2/{service}/aws4_request, SignedHeaders=x");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![pair("authorization", &credential), pair(header.0, header.1)];
        Call::parse(&Message { start: format!("{start} HTTP/1.1"), headers, body: body.into() })
    }

    #[test]
    fn calls_of_every_protocol_are_parsed() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let none = ("accept", "*/*");
        for (found, name, format) in [
            (
                call("ecs", "POST /", ("x-amz-target", "AmazonEC2X.CreateCluster"), ""),
                "ecs:CreateCluster",
                Format::Json,
            ),
            (call("ec2", "POST /", form, "Action=CreateVpc&Version=1"), "ec2:CreateVpc", Format::Ec2),
            (call("elasticache", "POST /", form, "V=1&Action=A"), "elasticache:A", Format::Query),
            (call("s3", "PUT /b/k?x-id=PutObject", none, ""), "s3:PutObject", Format::S3),
            (call("s3", "GET /b/k?x-id=GetObject", none, ""), "s3:GetObject", Format::S3),
            (call("s3", "GET /b?versions&prefix=k", none, ""), "s3:ListObjectVersions", Format::S3),
            (
                call("route53", "POST /2013-04-01/hostedzone/Z/rrset", none, ""),
                "route53:ChangeResourceRecordSets",
                Format::Query,
            ),
            (
                call("route53", "GET /2013-04-01/hostedzone/Z/rrset?x", none, ""),
                "route53:ListResourceRecordSets",
                Format::Query,
            ),
            (call("s3", "POST /b/k?x", none, ""), "s3:POST /b/k", Format::S3),
        ] {
            assert_eq!((found.name().as_str(), found.format), (name, format));
        }
    }

    #[test]
    fn reads_are_recognised_by_their_verb() {
        assert!(!is_write("ec2:DescribeVpcs") && !is_write("dynamodb:GetItem") && !is_write("ecr:BatchGetImage"));
        assert!(is_write("ec2:CreateVpc") && is_write("dynamodb:UpdateItem") && is_write("s3:PutObject"));
    }
}
