//! The table `roles`: the forms of the task role, and what is refused.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use pb_config::{Config, Roles, TaskRole};
use serde_json::json;

fn parse(roles: &str, rest: &str) -> Result<Config, String> {
    let text = format!(
        "region = \"us-east-2\"\nhostname = \"example.org\"\n[state]\nbucket = \"my-bucket\"\nlock_table = \"my-table\"\n\
         [roles]\nexecution = \"role\"\n{roles}\n[workspace.staging]\n{rest}\n"
    );
    Config::parse(&text, "test.toml").map_err(|error| error.to_string())
}

fn roles(roles: &str, rest: &str) -> Roles {
    let config = parse(roles, rest).unwrap_or_else(|error| panic!("{error}"));
    config.workspace("staging").unwrap_or_else(|error| panic!("{error}")).roles
}

const READ: &str = r#"{ Action = "s3:GetObject", Resource = "arn:aws:s3:::b/*" }"#;

#[test]
fn task_role_is_a_name_or_a_table() {
    assert_eq!(roles("", "").task, None);
    assert_eq!(roles("task = \"mine\"", "").task, Some(TaskRole::Existing("mine".to_owned())));
    let Some(TaskRole::Created(role)) = roles(&format!("task = {{ statements = [{READ}] }}"), "").task else {
        panic!("no role to create");
    };
    assert_eq!(role.name, "pb-deploy.staging.us-east-2.task");
    let read = json!({ "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::b/*"] });
    assert_eq!(role.statements, [read]);
}

#[test]
fn statement_has_the_elements_of_iam() {
    let text = r#"
[[roles.task.statements]]
Sid = "Queue"
Effect = "Deny"
Action = ["sqs:SendMessage", "sqs:Get*"]
Resource = "*"
Condition = { StringEquals = { "aws:ResourceAccount" = ["123456789012"] }, Bool = { "aws:SecureTransport" = false } }
"#;
    let roles = roles(text, "");
    let statements = roles.task.as_ref().and_then(TaskRole::created).map(|role| role.statements.clone());
    let expected = json!([{
        "Sid": "Queue", "Effect": "Deny", "Action": ["sqs:SendMessage", "sqs:Get*"], "Resource": ["*"],
        "Condition": {
            "StringEquals": { "aws:ResourceAccount": ["123456789012"] }, "Bool": { "aws:SecureTransport": ["false"] },
        },
    }]);
    assert_eq!(json!(statements), expected);
}

#[test]
fn task_role_of_a_workspace_replaces_the_general_one() {
    let own = format!("[workspace.staging.roles]\ntask = {{ name = \"own\", statements = [{READ}] }}");
    assert_eq!(roles("task = \"mine\"", &own).task.as_ref().map(TaskRole::name), Some("own"));
    let general = format!("task = {{ name = \"general\", statements = [{READ}] }}");
    let found = roles(&general, "[workspace.staging.roles]\ntask = \"mine\"").task;
    assert_eq!(found, Some(TaskRole::Existing("mine".to_owned())));
}

#[test]
fn execute_command_adds_its_statement_to_a_created_role() {
    let open = "[workspace.staging.services.flask]\nexecute_command = true";
    let found = roles(&format!("task = {{ statements = [{READ}] }}"), open).task;
    let statements = found.as_ref().and_then(TaskRole::created).map(|role| role.statements.clone()).unwrap_or_default();
    assert_eq!(statements.len(), 2);
    assert_eq!(statements.last(), Some(&pb_config::exec_statement()));
}

#[test]
fn role_that_iam_would_refuse_is_refused_with_its_line() {
    let statement = |text: &str| format!("task = {{ statements = [{{ {text} }}] }}");
    let of = |action: &str, resource: &str| statement(&format!("Action = {action}, Resource = {resource}"));
    let many = |n: usize| vec![READ; n].join(", ");
    for (text, line, why, help) in [
        ("task = 3".to_owned(), 8, "invalid task: expected a string or a table, got a number", ""),
        ("task = \"a/b\"".to_owned(), 8, "is a path or an ARN", "write `task = \"b\"`"),
        ("task = {}".to_owned(), 8, "needs `statements`", "write `statements = [{ Action"),
        ("task = { statements = [] }".to_owned(), 8, "at least one statement", "write `statements = [{ Action"),
        ("task = { statements = [3] }".to_owned(), 8, "expected a table, got a number", ""),
        (statement("Action = \"s3:Get*\""), 8, "`Resource` is required but missing", "write `Resource = "),
        (statement("Resource = \"*\""), 8, "`Action` is required but missing", "write `Action = "),
        (of("[]", "\"*\""), 8, "invalid Action: the list is empty", ""),
        (of("3", "\"*\""), 8, "invalid Action: expected a string or a list of strings, got a number", ""),
        (of("\"s3\"", "\"*\""), 8, "`s3` is not an action of IAM", "such as `s3:GetObject`"),
        (of("\"s3:*\"", "\"my-bucket\""), 8, "`my-bucket` is neither an ARN nor `*`", "arn:aws:s3:::my-bucket/*"),
        (statement("Efect = \"Deny\""), 8, "unknown key `Efect`", "did you mean `Effect`?"),
        (statement("action = \"s3:*\""), 8, "unknown key `action`", "did you mean `Action`?"),
        (statement("Effect = \"allow\""), 8, "`allow` is not one of `Allow`, `Deny`", ""),
        (statement("Sid = \"a b\""), 8, "a statement id", ""),
        (
            statement("Condition = { StringEqual = { \"aws:a\" = \"b\" } }"),
            8,
            "StringEqual",
            "did you mean `StringEquals`?",
        ),
        (statement("Condition = { Bool = { a = true } }"), 8, "`a` is not a condition key", "aws:SourceAccount"),
        (statement("Condition = { Bool = true }"), 8, "expected a table", ""),
        (statement("Condition = {}"), 8, "at least one operator", ""),
        (format!("task = {{ statements = [{}] }}", many(150)), 8, "at most 10240", "remove"),
        (
            format!("task = {{ statements = [{READ}], names = \"a\" }}"),
            8,
            "unknown key `names`",
            "did you mean `name`?",
        ),
        ("permissions_boundary = \"b\"".to_owned(), 8, "is not the ARN of a managed policy", "arn:aws:iam::"),
        (
            "permissions_boundary = \"arn:aws-cn:iam::123456789012:policy/b\"".to_owned(),
            8,
            "is not in the partition `aws`",
            "choose a policy",
        ),
    ] {
        let error = parse(&text, "").err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(
            error.contains(&format!("test.toml:{line}:")) && error.contains(why) && error.contains(help),
            "{text}\n{error}"
        );
    }
}

#[test]
fn default_name_beyond_64_characters_is_refused() {
    let text = format!("stack = \"{}\"", "s".repeat(40));
    let task = format!("task = {{ statements = [{READ}] }}");
    let config = |task: &str| {
        let text = format!(
            "{text}\nregion = \"us-east-2\"\nhostname = \"example.org\"\n[state]\nbucket = \"my-bucket\"\nlock_table = \"my-table\"\n\
             [roles]\nexecution = \"role\"\n{task}\n[workspace.a-workspace-name]\n"
        );
        Config::parse(&text, "test.toml").map(drop).map_err(|error| error.to_string())
    };
    let error = config(&task).err().unwrap_or_default();
    assert!(error.contains("test.toml:9:") && error.contains("set a shorter `name`"), "{error}");
    assert_eq!(config(&task.replace("{ st", "{ name = \"mine\", st")), Ok(()));
}
