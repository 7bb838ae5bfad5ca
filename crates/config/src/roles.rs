//! Reader of the IAM roles.

use pb_rules::{Violation, account, iam, region};
use serde_json::{Map, Value, json};
use toml::de::DeValue;

use crate::reader::{Located, Location, Origin};
use crate::schema::Shape;
use crate::section::{Layer, Section, TABLES, ValueError, checked, string};
use crate::workspace::{CreatedRole, Roles, Services, TaskRole};

/// Permissions with which the agent of ECS Exec connects a task to Systems Manager. None of these actions supports
/// permissions for single resources. (ECS developer guide: Task IAM role, ECS Exec permissions)
const EXEC_ACTIONS: [&str; 4] = [
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
];

/// Returns the statement that a task role needs for `execute_command`.
#[must_use]
pub fn exec_statement() -> Value {
    json!({ "Effect": "Allow", "Action": EXEC_ACTIONS, "Resource": ["*"] })
}

/// Values of other keys that the names of roles contain.
pub(crate) struct Owner<'a> {
    pub(crate) stack: &'a str,
    pub(crate) workspace: &'a str,
    pub(crate) region: &'a Located<String>,
}

/// Reads the table.
pub(crate) fn roles(section: &mut Section<'_, '_>, owner: &Owner<'_>) -> Roles {
    let execution = section.required_text("execution", "ecsTaskExecutionRole", account::role_name).value;
    let boundary = section.optional_text("permissions_boundary", iam::permissions_boundary);
    if let (Some(arn), Some(partition)) = (&boundary.value, region::partition(&owner.region.value)) {
        let help = "choose a policy of the partition in which the stack is deployed";
        section.reader.check(&[&boundary.origin, &owner.region.origin], "permissions_boundary", help, || {
            match arn.split(':').nth(1) == Some(partition) {
                true => Ok(()),
                false => Err(Violation::new(format!("`{arn}` is not in the partition `{partition}` of the region"))),
            }
        });
    }
    Roles { execution, permissions_boundary: boundary.value, task: task_role(section, owner) }
}

/// Reads the task role: the name of an existing role, or the table of a role that `bootstrap` creates. The value of a
/// workspace replaces the value for all workspaces as a whole.
fn task_role(section: &mut Section<'_, '_>, owner: &Owner<'_>) -> Option<TaskRole> {
    section.register("task", None, Shape::TextOrTable);
    let mut role = None;
    for (location, value) in section.written_values("task") {
        role = match value.get_ref() {
            DeValue::Table(table) => {
                let origin = Origin::Written(location.clone());
                let Location { path, span, layer } = location;
                let layers = vec![Layer { path, span, table, rank: layer }];
                let path = section.path_of("task");
                Some(TaskRole::Created(section.inner(path, layers, |section| created_role(section, owner, &origin))))
            }
            text => match checked(text, account::role_name) {
                Ok(name) => Some(TaskRole::Existing(name)),
                Err(ValueError::Type(_)) => {
                    section.refuse(&location, text, &ValueError::Type("a string or a table"), None);
                    None
                }
                Err(refusal) => {
                    section.refuse(&location, text, &refusal, None);
                    None
                }
            },
        };
    }
    role
}

/// Checks the size of the policy with these statements.
fn size(statements: &[Value]) -> pb_rules::Verdict {
    let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    iam::inline_policy_size(document.chars().filter(|c| !c.is_whitespace()).count())
}

/// Reads the table of a role. Problems of the table as a whole are reported at its location, `origin`.
fn created_role(section: &mut Section<'_, '_>, owner: &Owner<'_>, origin: &Origin) -> CreatedRole {
    let name = section.optional_text("name", account::role_name);
    let default = format!("{}.{}.{}.task", owner.stack, owner.workspace, owner.region.value);
    if matches!(name.origin, Origin::Default) {
        let help = "set a shorter `name` under `task`";
        section.reader.check(&[origin, &owner.region.origin], "task", help, || account::role_name(&default));
    }
    let statements = section.list("statements", TABLES, None, |section, location, value| {
        section.item("statements", location, value, statement)
    });
    let is_missing = matches!(statements.origin, Origin::Default);
    let list = statements.value.unwrap_or_default();
    let example = r#"write `statements = [{ Action = "s3:Get*", Resource = "arn:aws:s3:::my-bucket/*" }]`"#;
    let reader = &mut *section.reader;
    reader.check(&[origin, &statements.origin], "task", example, || match list.is_empty() {
        true if is_missing => Err(Violation::new("a role that `bootstrap` creates needs `statements`")),
        true => Err(Violation::new("a policy has at least one statement")),
        false => size(&list),
    });
    CreatedRole { name: name.value.unwrap_or(default), statements: list }
}

/// Reads a statement, with the element names of IAM. (IAM user guide: IAM JSON policy elements reference)
fn statement(section: &mut Section<'_, '_>) -> Value {
    let sid = section.optional_text("Sid", iam::sid).value;
    let effect = section.choice("Effect", &[("Allow", "Allow"), ("Deny", "Deny")], "Allow", "Allow").value;
    let actions = section.one_or_more("Action", "sqs:SendMessage", iam::action);
    let resources = section.one_or_more("Resource", "*", iam::resource);
    section.register("Condition", None, Shape::Table);
    let condition = section.value("Condition", None, None, |value| condition(value).map(Some)).value;
    let mut statement = json!({ "Effect": effect, "Action": actions, "Resource": resources });
    if let Some(sid) = sid {
        statement["Sid"] = sid.into();
    }
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    statement
}

/// Reads a condition: a table of operators, each a table of condition keys with one value or a list of values.
fn condition(value: &DeValue<'_>) -> Result<Value, ValueError> {
    let table = |value: &DeValue<'_>, rule: fn(&str) -> pb_rules::Verdict, read: &dyn Fn(&DeValue<'_>) -> _| {
        let DeValue::Table(table) = value else { return Err(ValueError::Type("a table")) };
        let mut read_values = Map::new();
        for (key, value) in table {
            rule(key.get_ref())?;
            read_values.insert(key.get_ref().to_string(), read(value.get_ref())?);
        }
        match read_values.is_empty() {
            true => Err(ValueError::Rule(Violation::new("a condition has at least one operator and one key"))),
            false => Ok(Value::Object(read_values)),
        }
    };
    table(value, iam::condition_operator, &|keys| table(keys, iam::condition_key, &condition_values))
}

/// Reads the values of a condition key as a list of strings, which IAM treats like a single string, number or flag.
fn condition_values(value: &DeValue<'_>) -> Result<Value, ValueError> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(digits) => Ok(digits.as_str().to_owned()),
        other => string(other).map_err(|_| ValueError::Type("a string or a list of strings")),
    };
    let values = match value {
        DeValue::Array(items) => items.iter().map(|item| one(item.get_ref())).collect::<Result<Vec<_>, _>>()?,
        value => vec![one(value)?],
    };
    match values.is_empty() {
        true => Err(ValueError::Rule(Violation::new("a condition key has at least one value"))),
        false => Ok(values.into()),
    }
}

/// Completes the task role with what the services need: ECS refuses a service with `execute_command` whose tasks have no
/// task role (ECS developer guide: ECS Exec), and a role that `bootstrap` creates gets the permissions for it.
pub(crate) fn complete(root: &mut Section<'_, '_>, roles: &mut Roles, services: &Services) {
    let mut open = services.all().filter(|(_, service)| service.execute_command).map(|(key, _)| key);
    let Some(key) = open.next() else { return };
    match &mut roles.task {
        Some(TaskRole::Existing(_)) => {}
        Some(TaskRole::Created(role)) => {
            role.statements.push(exec_statement());
            let help = "remove some of the statements of the task role";
            root.reader.check(&[], "statements", help, || size(&role.statements));
        }
        None => {
            let help = "set `task` under `[roles]`: the name of a role with the ssmmessages permissions, or a table, with \
                        which `bootstrap` creates a role that has them";
            let why = format!("a shell in the tasks of `{key}` needs a task role, and none is configured");
            root.reader.check(&[], "execute_command", help, || Err(Violation::new(why)));
        }
    }
}
