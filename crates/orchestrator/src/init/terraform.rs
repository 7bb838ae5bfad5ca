//! Values from a Terraform configuration of a similar stack: `terraform.tfvars`, and the backend in the same folder.

use super::{LeftOut, Origin, Setting};
use crate::exit::Error;
use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::parser::parse_body;
use hcl_edit::structure::{Attribute, Body};
use pb_engine::ErrorCode;
use pb_rules::secrets::{is_secret_name, may_contain_secret, plain_variable, plain_word};
use std::path::Path;

/// Values found in a Terraform configuration.
#[derive(Debug, Default, PartialEq)]
pub struct Variables {
    /// Values for which the configuration of pb-deploy has a key.
    pub settings: Vec<Setting>,
    /// Variables without such a key: name and line.
    pub left_out: Vec<(String, usize)>,
    /// Values that look like secrets and are therefore left out: name, and line of the variable.
    pub secrets: Vec<(String, usize)>,
    /// Values that are empty or placeholders.
    pub placeholders: Vec<LeftOut>,
}

/// Values that stand for a value that is still to be set; compared case-insensitively, with `-` and ` ` as `_`.
const PLACEHOLDERS: [&str; 9] =
    ["changeme", "change_me", "replaceme", "replace_me", "todo", "tbd", "fixme", "xxx", "placeholder"];

/// Names of Terraform variables with the CIDR blocks of public subnets.
const SUBNETS: [&str; 5] =
    ["public_subnets", "public_subnet_cidrs", "public_subnets_cidr", "public_subnet_cidr_blocks", "subnet_cidrs"];

/// Names of Terraform variables, with the section and key that they correspond to.
const KNOWN: [(&[&str], &str, &str); 32] = [
    (&["region", "aws_region"], "", "region"),
    (&["api_hostname", "hostname", "domain", "domain_name"], "", "hostname"),
    (&["zone", "zone_name", "hosted_zone", "hosted_zone_name"], "", "zone"),
    (&["zone_id", "hosted_zone_id"], "", "zone_id"),
    (&["bucket", "state_bucket"], "state", "bucket"),
    (&["lock_table", "state_lock_table", "dynamodb_table"], "state", "lock_table"),
    (&["execution_role", "execution_role_name", "ecs_execution_role"], "roles", "execution"),
    (&["task_role", "task_role_name"], "roles", "task"),
    (&["vpc_cidr", "cidr", "cidr_block"], "network", "cidr"),
    (&["redis_port"], "redis", "port"),
    (&["redis_engine", "cache_engine"], "redis", "engine"),
    (&["redis_version", "redis_engine_version"], "redis", "version"),
    (&["redis_node_type", "redis_instance_type", "node_type", "cache_node_type"], "redis", "node_type"),
    (&["log_retention", "log_retention_days", "log_retention_in_days", "retention_in_days"], "logs", "retention_days"),
    (&["flask_tag", "flask_ecr_tag", "flask_image_tag"], "services.flask", "tag"),
    (&["flask_image"], "services.flask", "image"),
    (&["flask_count", "flask_desired_count"], "services.flask", "count"),
    (&["flask_cpu"], "services.flask", "cpu"),
    (&["flask_memory"], "services.flask", "memory"),
    (&["flask_port"], "services.flask", "port"),
    (&["flask_environment"], "services.flask", "environment"),
    (&["flask_command"], "services.flask", "command"),
    (&["celery_tag", "celery_ecr_tag", "celery_image_tag"], "services.celery", "tag"),
    (&["celery_image"], "services.celery", "image"),
    (&["celery_count", "celery_desired_count", "worker_count"], "services.celery", "count"),
    (&["celery_cpu"], "services.celery", "cpu"),
    (&["celery_memory"], "services.celery", "memory"),
    (&["celery_environment"], "services.celery", "environment"),
    (&["celery_command"], "services.celery", "command"),
    (&["health_check_path", "health_path"], "load_balancer", "health_path"),
    (&["deregistration_delay"], "load_balancer", "deregistration_delay"),
    (&["allowed_account_ids"], "", "allowed_account_ids"),
];

/// Keys whose values are numbers, which may be quoted in Terraform files.
const NUMBERS: [&str; 6] = ["port", "count", "cpu", "memory", "retention_days", "deregistration_delay"];

impl Variables {
    /// Reads a variables file, and the `s3` backend of the configuration in the same folder.
    ///
    /// # Errors
    /// If a file cannot be read or is not valid HCL; the message contains the position.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let mut found = Self::default();
        let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        found.backend(folder)?;
        let text = std::fs::read_to_string(file).map_err(|e| {
            Error::other(
                ErrorCode::File,
                format!("cannot read {}: {e}", file.display()),
                "pass the path of a terraform.tfvars",
            )
        })?;
        found.variables(&parsed(file, &text)?, &text, &file.display().to_string());
        Ok(found)
    }

    /// Takes the bucket and the lock table from the backend: the state is kept in the bucket of the Terraform state,
    /// and the locks in its lock table.
    fn backend(&mut self, folder: &Path) -> Result<(), Error> {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "tf"));
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|e| {
                Error::other(
                    ErrorCode::File,
                    format!("cannot read {}: {e}", file.display()),
                    "check the permissions of the file",
                )
            })?;
            let body = parsed(&file, &text)?;
            for backend in body.get_blocks("terraform").flat_map(|block| block.body.get_blocks("backend")) {
                for (name, section, key) in
                    [("region", "", "region"), ("bucket", "state", "bucket"), ("dynamodb_table", "state", "lock_table")]
                {
                    let Some(attribute) = backend.body.get_attribute(name) else { continue };
                    let line = line_of(attribute, &text);
                    let origin = Origin { name: name.to_owned(), file: file.display().to_string(), line };
                    if let Some(value) = attribute.value.as_str() {
                        self.add(Setting::text(section, key, value).with_origin(origin));
                    }
                }
            }
        }
        Ok(())
    }

    fn variables(&mut self, body: &Body, text: &str, file: &str) {
        for attribute in body.attributes() {
            let name = attribute.key.as_str();
            let line = line_of(attribute, text);
            let origin = Origin { name: name.to_owned(), file: file.to_owned(), line };
            if !self.variable(name, &attribute.value, &origin) {
                match is_secret(name, &attribute.value) {
                    true => self.secrets.push((name.to_owned(), line)),
                    false => self.left_out.push((name.to_owned(), line)),
                }
            }
        }
    }

    /// Takes a variable. Returns whether it has a corresponding key and a literal value.
    fn variable(&mut self, name: &str, expression: &Expression, origin: &Origin) -> bool {
        if name == "tags" {
            return self.tags(expression, origin);
        }
        if SUBNETS.contains(&name) {
            return self.subnets(expression, origin);
        }
        let Some((_, section, key)) = KNOWN.iter().find(|(names, ..)| names.contains(&name)) else { return false };
        let Some(value) = value(expression).map(|value| unquoted(key, value)) else { return false };
        let (value, secrets) = without_secrets(name, key, value);
        let is_taken = value.is_some() || !secrets.is_empty();
        self.secrets.extend(secrets.into_iter().map(|name| (name, origin.line)));
        if let Some(value) = value {
            self.add(Setting::new(section, key, value.to_string()).with_origin(origin.clone()));
        }
        is_taken
    }

    /// Adds a setting, unless its value is empty or a placeholder.
    fn add(&mut self, setting: Setting) {
        match (setting.origin.clone(), placeholder(&setting)) {
            (Some(origin), Some(reason)) => self.placeholders.push(LeftOut { origin, reason: reason.to_owned() }),
            _ => self.settings.push(setting),
        }
    }

    fn tags(&mut self, tags: &Expression, origin: &Origin) -> bool {
        let Some(toml::Value::Table(tags)) = value(tags) else { return false };
        let tags = tags.into_iter().map(|(key, value)| (toml_edit::Key::new(key).to_string(), value));
        self.settings
            .extend(tags.map(|(key, value)| Setting::new("tags", &key, value.to_string()).with_origin(origin.clone())));
        true
    }

    /// Takes the first two of several subnets.
    fn subnets(&mut self, subnets: &Expression, origin: &Origin) -> bool {
        let Some(toml::Value::Array(blocks)) = value(subnets) else { return false };
        let [tasks, balancer, ..] = blocks.as_slice() else { return false };
        for (key, block) in [("tasks_subnet", tasks), ("balancer_subnet", balancer)] {
            self.add(Setting::new("network", key, block.to_string()).with_origin(origin.clone()));
        }
        true
    }
}

/// Returns the line of an attribute in the text of its file, starting at 1.
fn line_of(attribute: &Attribute, text: &str) -> usize {
    let start = attribute.span().map_or(0, |span| span.start);
    text[..start].matches('\n').count() + 1
}

/// Returns whether a variable without a corresponding key contains a secret, by its name or by its value.
fn is_secret(name: &str, expression: &Expression) -> bool {
    match value(expression) {
        Some(toml::Value::String(text)) => plain_variable(name, &text).is_err(),
        Some(_) | None => is_secret_name(name),
    }
}

/// Returns the reason why the value of a setting only stands for a value; `None` if it is a value.
fn placeholder(setting: &Setting) -> Option<&'static str> {
    let Ok(toml::Value::String(text)) = setting.value.parse::<toml::Value>() else { return None };
    let plain = |text: &str| text.trim().to_lowercase().replace(['-', ' '], "_");
    let value = plain(&text);
    let is_name = |name: &str| value == plain(name) && !text.contains(|c: char| c.is_ascii_lowercase());
    let stands_for = is_name(&setting.key)
        || setting.origin.as_ref().is_some_and(|origin| is_name(&origin.name))
        || value.starts_with("your_")
        || (value.starts_with('<') && value.ends_with('>'))
        || PLACEHOLDERS.contains(&value.as_str());
    match (value.is_empty(), stands_for) {
        (true, _) => Some("it is empty"),
        (_, true) => Some("it is a placeholder"),
        _ => None,
    }
}

fn parsed(file: &Path, text: &str) -> Result<Body, Error> {
    parse_body(text).map_err(|e| {
        let (line, column) = (e.location().line(), e.location().column());
        let message = format!("{}:{line}:{column}: {}", file.display(), e.message().replace('\n', ", "));
        let shown = if may_contain_secret(e.line()) { "" } else { e.line().trim() };
        Error::other(ErrorCode::File, message, format!("cannot parse this line: {shown}"))
    })
}

/// Returns a literal value; `None` for expressions with variables or functions.
fn value(expression: &Expression) -> Option<toml::Value> {
    match expression {
        Expression::Bool(flag) => Some(toml::Value::Boolean(*flag.value())),
        Expression::Number(number) => number.as_i64().map(toml::Value::Integer),
        Expression::String(text) => Some(toml::Value::String(text.as_str().to_owned())),
        Expression::Array(items) => items.iter().map(value).collect::<Option<Vec<_>>>().map(toml::Value::Array),
        Expression::Object(fields) => {
            let field = |(key, field): (&hcl_edit::expr::ObjectKey, &hcl_edit::expr::ObjectValue)| {
                let key = key.as_ident().map(hcl_edit::Ident::as_str).or_else(|| key.as_expr()?.as_str())?;
                Some((key.to_owned(), value(field.expr())?))
            };
            fields.iter().map(field).collect::<Option<toml::Table>>().map(toml::Value::Table)
        }
        _ => None,
    }
}

/// Removes everything that looks like a secret. Returns the rest of the value, and the names of the secrets. An
/// `environment` that is not a table is dropped.
fn without_secrets(name: &str, key: &str, value: toml::Value) -> (Option<toml::Value>, Vec<String>) {
    let is_secret_word = |word: &toml::Value| word.as_str().is_some_and(|word| plain_word(word).is_err());
    match value {
        toml::Value::Table(variables) if key == "environment" => {
            let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let (plain, secret): (Vec<_>, Vec<_>) =
                variables.into_iter().partition(|(name, value)| plain_variable(name, &text(value)).is_ok());
            let secret = secret.into_iter().map(|(variable, _)| format!("{name}.{variable}")).collect();
            (Some(toml::Value::Table(plain.into_iter().collect())), secret)
        }
        _ if key == "environment" => (None, Vec::new()),
        toml::Value::Array(words) if words.iter().any(is_secret_word) => (None, vec![name.to_owned()]),
        value => (Some(value), Vec::new()),
    }
}

/// Converts a quoted number to an integer if the key expects one.
fn unquoted(key: &str, value: toml::Value) -> toml::Value {
    match &value {
        toml::Value::String(text) if NUMBERS.contains(&key) => text.parse().map_or(value, toml::Value::Integer),
        _ => value,
    }
}
