//! Initial configuration: the commented reference configuration, with the known values filled in.

mod subnets;
mod terraform;
mod valid;

pub use subnets::add_subnets;
pub use terraform::Variables;
pub use valid::{LeftOut, valid_configuration};

use pb_config::REFERENCE_CONFIG;

/// Value of a configuration key, with its section.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Section, such as `services.celery`; empty for the top of the file.
    pub section: &'static str,
    pub key: String,
    /// Value as TOML.
    pub value: String,
    /// Place in Terraform's files; `None` for an option of the command line.
    pub origin: Option<Origin>,
}

/// Place of a value in Terraform's files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Origin {
    /// Name of the variable, or of the argument of the backend.
    pub name: String,
    pub file: String,
    pub line: usize,
}

/// Returns the name with the file and the line.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.file, self.line)
    }
}

impl Setting {
    pub fn new(section: &'static str, key: &str, value: String) -> Self {
        Self { section, key: key.to_owned(), value, origin: None }
    }

    /// Sets the place in Terraform's files.
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }

    pub fn text(section: &'static str, key: &str, value: &str) -> Self {
        Self::new(section, key, toml::Value::from(value).to_string())
    }

    /// Returns the full path of the key, such as `services.celery.count`.
    pub fn path(&self) -> String {
        let dot = if self.section.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.section, self.key)
    }
}

/// Keys without a default, with their placeholders: section, key, value.
pub const REQUIRED: [(&str, &str, &str); 4] = [
    ("", "region", "us-east-2"),
    ("", "hostname", "example.org"),
    ("state", "bucket", "my-state-bucket"),
    ("state", "lock_table", "my-lock-table"),
];

/// Header of the table that switches HTTPS on, in the reference configuration and in a new one.
const HTTPS_OFF: &str = "# [https]";
const HTTPS_ON: &str = "[https]";

/// Default version of Redis in the reference configuration, and the example of a version in a new one.
const REDIS_VERSION: &str = "#version = \"7.1\"";
const VALKEY_VERSION: &str = "# version = \"8.0\"";

/// Line that makes a rollout of workers wait until they are ready, in the reference configuration and in a new one.
const READY_LOG_OFF: &str = "# ready_log = \"ready.\"";
const READY_LOG_ON: &str = "ready_log = \"ready.\"";

/// Returns the last setting of each key, in the order of the first.
pub fn without_duplicates(settings: Vec<Setting>) -> Vec<Setting> {
    let mut kept: Vec<Setting> = Vec::new();
    for setting in settings {
        match kept.iter_mut().find(|earlier| earlier.path() == setting.path()) {
            Some(earlier) => *earlier = setting,
            None => kept.push(setting),
        }
    }
    kept
}

/// Returns the text of a configuration with these values; later ones win.
pub fn configuration(settings: &[Setting]) -> String {
    let mut lines: Vec<String> = REFERENCE_CONFIG.lines().map(str::to_owned).collect();
    if let Some(first) = lines.first_mut() {
        "# Configuration of the deployment. Check it with `pb-deploy validate`; preview it with `pb-deploy plan`."
            .clone_into(first);
    }
    // An existing deployment keeps its port, its queue and the log level of its workers; a new one has HTTPS, Valkey and
    // workers that log when they are ready from the start.
    if settings.iter().all(|setting| setting.origin.is_none()) {
        set(&mut lines, &Setting::text("redis", "engine", "valkey"));
        for (off, on) in [(REDIS_VERSION, VALKEY_VERSION), (HTTPS_OFF, HTTPS_ON), (READY_LOG_OFF, READY_LOG_ON)] {
            lines.iter_mut().filter(|line| *line == off).for_each(|line| on.clone_into(line));
        }
    }
    for (section, key, value) in REQUIRED {
        set(&mut lines, &Setting::text(section, key, value));
    }
    for setting in settings {
        set(&mut lines, setting);
    }
    let hostname = settings.iter().rfind(|setting| setting.path() == "hostname");
    let hostname = hostname.map_or("example.org", |setting| setting.value.trim_matches('"'));
    let text = lines.join("\n").replace("ospcapi.org", hostname);
    let text = text.replace("\n[workspace.default]", "");
    format!("{}\n", text.trim_end())
}

/// Replaces the line of a key, even if it is commented out. A key that the file does not mention is added at the start
/// of its section; a missing section is added at the end of the file.
fn set(lines: &mut Vec<String>, setting: &Setting) {
    let header = format!("[{}]", setting.section);
    let start = if setting.section.is_empty() { Some(0) } else { lines.iter().position(|line| *line == header) };
    let line = format!("{} = {}", setting.key, setting.value);
    let Some(start) = start else {
        lines.extend([String::new(), header, line]);
        return;
    };
    let is_header = |line: &String| line.starts_with('[');
    let end = lines.iter().skip(start + 1).position(is_header).map_or(lines.len(), |length| start + 1 + length);
    let shown = format!("{} = ", setting.key);
    let shows = |line: &String| line.trim_start_matches('#').trim_start().starts_with(&shown);
    match lines[start..end].iter().position(shows) {
        Some(offset) => lines[start + offset] = line,
        None => lines.insert(start + 1, line),
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Setting, configuration};
    use pb_config::Config;

    #[test]
    fn default_configuration_is_valid_and_complete() {
        let text = configuration(&[]);
        let config = Config::parse(&text, "new").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.workspaces().collect::<Vec<_>>(), ["production", "staging"]);
        assert_eq!(config.workspace("staging").unwrap().names.hostname, "staging.example.org");
        assert!(!text.contains("ospc"), "no value of another deployment");
        assert!(text.contains("#retention_days = 30"));
        let staging = config.workspace("staging").unwrap();
        assert!(staging.https.is_some(), "a new deployment has HTTPS");
        assert_eq!((staging.redis.engine, staging.redis.version), (pb_config::Engine::Valkey, None));
        assert_eq!(staging.services.celery.ready_log.as_deref(), Some("ready."));
        assert_eq!(staging.services.celery.environment["CELERY_WORKER_LOGLEVEL"], "INFO");
    }

    #[test]
    fn settings_replace_documented_keys_in_place() {
        let settings = [
            Setting::text("", "hostname", "api.example.com"),
            Setting::text("", "zone", "example.com"),
            Setting::new("services.celery", "count", "12".to_owned()),
            Setting::new("tags", "team", "\"web\"".to_owned()),
        ];
        let text = configuration(&settings);
        assert_eq!(text.matches("\ncount = 12\n").count(), 1);
        let config = Config::parse(&text, "new").unwrap_or_else(|error| panic!("{error}"));
        let staging = config.workspace("staging").unwrap();
        assert_eq!((staging.services.celery.count, staging.services.flask.service.count), (12, 1));
        assert_eq!((staging.zone.as_str(), staging.tags["team"].as_str()), ("example.com", "web"));
    }

    #[test]
    fn configuration_of_an_existing_deployment_has_no_https() {
        let origin = Origin { name: "region".to_owned(), file: "terraform.tfvars".to_owned(), line: 1 };
        let text = configuration(&[Setting::text("", "region", "us-west-2").with_origin(origin)]);
        let config = Config::parse(&text, "new").unwrap_or_else(|error| panic!("{error}"));
        let staging = config.workspace("staging").unwrap();
        assert_eq!((staging.https, staging.services.celery.ready_log), (None, None));
        assert_eq!((staging.redis.engine, staging.redis.version.as_deref()), (pb_config::Engine::Redis, Some("7.1")));
    }
}
