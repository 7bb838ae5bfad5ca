//! Policy documents to which statements are added, but from which none are removed.

use crate::task_role::Source;
use pb_engine::{Class, Failure};
use pb_rules::secrets::permission;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Returns a statement that denies every request without TLS. (Amazon S3 user guide: Security best practices)
pub(crate) fn tls_only(bucket: &str) -> Value {
    let arn = format!("arn:aws:s3:::{bucket}");
    json!({
        "Sid": "DenyInsecureTransport",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [&arn, format!("{arn}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } }
    })
}

/// Returns the statement of a trust policy that allows ECS tasks to assume the role.
pub(crate) fn allow_ecs_tasks_to_assume() -> Value {
    json!({ "Effect": "Allow", "Principal": { "Service": ECS_TASKS }, "Action": "sts:AssumeRole" })
}

/// Returns the statement of a trust policy that allows ECS tasks of one account and region to assume the role, so that ECS
/// cannot be made to use it for tasks of another account. ECS supports no restriction to one cluster. (Amazon ECS developer
/// guide: Task IAM role, Creating the task IAM role)
pub(crate) fn allow_ecs_tasks_of_account_to_assume(source: &Source) -> Value {
    let Source { partition, region, account } = source;
    let mut statement = allow_ecs_tasks_to_assume();
    statement["Condition"] = json!({
        "ArnLike": { "aws:SourceArn": format!("arn:{partition}:ecs:{region}:{account}:*") },
        "StringEquals": { "aws:SourceAccount": account },
    });
    statement
}

/// Returns the statements that allow a role to read only these secrets and parameters.
pub(crate) fn allow_reading_secrets(secrets: &BTreeSet<String>) -> Vec<Value> {
    let mut resources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (action, resource) in secrets.iter().filter_map(|secret| permission(secret)) {
        resources.entry(action).or_default().push(resource);
    }
    let allow = |(action, resources)| json!({ "Effect": "Allow", "Action": action, "Resource": resources });
    resources.into_iter().map(allow).collect()
}

const ECS_TASKS: &str = "ecs-tasks.amazonaws.com";

/// Returns whether a statement denies all S3 actions without TLS, for every principal.
pub(crate) fn is_tls_only(statement: &Value) -> bool {
    let everybody = statement["Principal"] == "*" || has(&statement["Principal"]["AWS"], "*");
    let secure = &statement["Condition"]["Bool"]["aws:SecureTransport"];
    statement["Effect"] == "Deny"
        && everybody
        && has(&statement["Action"], "s3:*")
        && (has(secure, "false") || *secure == json!(false))
}

/// Returns whether a statement of a trust policy allows ECS tasks to assume the role.
pub(crate) fn trusts_ecs_tasks(statement: &Value) -> bool {
    statement["Effect"] == "Allow"
        && has(&statement["Principal"]["Service"], ECS_TASKS)
        && has(&statement["Action"], "sts:AssumeRole")
}

/// Returns whether `value` is `text`, or a list that contains it.
fn has(value: &Value, text: &str) -> bool {
    strings(value).contains(&text)
}

/// Returns the strings of a value that is a string or a list.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// A policy document.
pub(crate) struct Document(Value);

impl Document {
    /// Creates a document without statements.
    pub(crate) fn empty() -> Self {
        Self(json!({ "Version": "2012-10-17", "Statement": [] }))
    }

    /// Parses the document in `text`.
    ///
    /// # Errors
    /// `Refused` if `text` is not valid JSON.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let refused = |error: serde_json::Error| {
            Failure::new(Class::Refused, format!("read the policy of {name}"), error.to_string())
        };
        serde_json::from_str(text).map(Self).map_err(refused)
    }

    /// Returns whether `predicate` is true for at least one of the statements.
    pub(crate) fn any(&self, predicate: fn(&Value) -> bool) -> bool {
        self.statements().iter().any(predicate)
    }

    /// Returns the secrets and parameters that the document allows a role to read, with statements like those of
    /// [`allow_reading_secrets`].
    pub(crate) fn readable_secrets(&self) -> BTreeSet<String> {
        let allowed = self.statements().iter().filter(|statement| statement["Effect"] == "Allow");
        let named = allowed.flat_map(|statement| {
            let resources = strings(&statement["Resource"]).into_iter();
            resources.filter(|arn| permission(arn).is_some_and(|(action, _)| has(&statement["Action"], action)))
        });
        named.map(str::to_owned).collect()
    }

    /// Returns the statements. A document may contain a single statement instead of a list.
    fn statements(&self) -> &[Value] {
        match &self.0["Statement"] {
            Value::Array(statements) => statements,
            one => std::slice::from_ref(one),
        }
    }

    /// Returns the statements as a list.
    pub(crate) fn into_statements(mut self) -> Vec<Value> {
        take_statements(&mut self.0)
    }

    /// Returns the document with `statement` added.
    pub(crate) fn with_statement(mut self, statement: Value) -> Self {
        let statements = take_statements(&mut self.0);
        self.0["Statement"] = statements.into_iter().chain([statement]).collect();
        self
    }
}

/// Takes the statements out of a document.
fn take_statements(document: &mut Value) -> Vec<Value> {
    match document["Statement"].take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// Formats the document as JSON.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Document, Source, allow_ecs_tasks_of_account_to_assume, allow_ecs_tasks_to_assume, allow_reading_secrets,
        is_tls_only, tls_only, trusts_ecs_tasks,
    };
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    #[test]
    fn statement_is_added_and_others_stay() {
        let one = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Existing", "Effect": "Allow"}}"#;
        let document = Document::parse(one, "x").unwrap();
        assert!(!document.any(is_tls_only));
        let text = document.with_statement(tls_only("b")).to_string();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["Statement"].as_array().unwrap().len(), 2);
        assert_eq!(value["Statement"][0]["Sid"], "Existing");
        assert!(Document::parse(&text, "x").unwrap().any(is_tls_only));
    }

    #[test]
    fn secrets_policy_allows_only_the_given_secrets() {
        let secret = "arn:aws:secretsmanager:us-east-2:123456789012:secret:db-AbCdEf";
        let parameters = ["a", "b"].map(|name| format!("arn:aws:ssm:us-east-2:123456789012:parameter/{name}"));
        let wanted: BTreeSet<String> = parameters.iter().cloned().chain([format!("{secret}:password::")]).collect();
        let document = allow_reading_secrets(&wanted).into_iter().fold(Document::empty(), Document::with_statement);
        assert_eq!(
            document.0["Statement"],
            json!([
                {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [secret]},
                {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": parameters},
            ])
        );
        let reads: BTreeSet<String> = parameters.into_iter().chain([secret.to_owned()]).collect();
        assert_eq!(document.readable_secrets(), reads);
        let other = "arn:aws:ssm:us-east-2:123456789012:parameter/c";
        let denied = json!({"Effect": "Deny", "Action": "ssm:GetParameters", "Resource": other});
        assert_eq!(document.with_statement(denied).readable_secrets(), reads);
    }

    #[test]
    fn trust_of_a_task_role_names_account_and_region() {
        let [partition, region, account] = ["aws-cn", "cn-north-1", "123456789012"].map(str::to_owned);
        let trust = allow_ecs_tasks_of_account_to_assume(&Source { partition, region, account });
        assert!(trusts_ecs_tasks(&trust));
        let condition = json!({
            "ArnLike": {"aws:SourceArn": "arn:aws-cn:ecs:cn-north-1:123456789012:*"},
            "StringEquals": {"aws:SourceAccount": "123456789012"},
        });
        assert_eq!(trust["Condition"], condition);
    }

    #[test]
    fn equivalent_statements_are_recognized() {
        let trust = json!({"Effect": "Allow", "Principal": {"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]},
                           "Action": ["sts:AssumeRole"]});
        assert!(trusts_ecs_tasks(&trust) && trusts_ecs_tasks(&allow_ecs_tasks_to_assume()));
        let mut deny = tls_only("b");
        deny["Principal"] = json!({"AWS": "*"});
        deny["Condition"]["Bool"]["aws:SecureTransport"] = json!(["false"]);
        assert!(is_tls_only(&deny));
        deny["Action"] = json!("s3:PutObject");
        assert!(!is_tls_only(&deny), "reads are still possible without TLS");
    }
}
