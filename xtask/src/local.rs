//! `--local`: the local endpoint with the prerequisites of a deploy.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

use serde_json::json;

use crate::cli::{self, EmulatorOptions};
use crate::emulator::{PersistentEmulator, StartOutcome, ensure_prerequisites};
use crate::failure::Failure;
use crate::project::{self, Project};

/// Default path of the configuration file, the same as in pb-deploy.
const CONFIG: &str = "pb_deploy.toml";
const CONFIG_VARIABLE: &str = "PB_DEPLOY_CONFIG";
/// Variable with a text that pb-deploy prints last.
const FINAL_NOTE_VARIABLE: &str = "PB_DEPLOY_FINAL_NOTE";

/// Prerequisites of a deploy; `None` if the configuration does not name one.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Prerequisites {
    region: Option<String>,
    bucket: Option<String>,
    table: Option<String>,
    zone: Option<String>,
    role: Option<String>,
}

/// Prepares the local endpoint for a command of pb-deploy with these arguments, and configures the command to use it.
///
/// # Errors
///
/// Fails if the endpoint cannot be installed or started, or if the prerequisites cannot be created.
pub fn prepare(project: &Project, arguments: &[OsString], command: &mut Command) -> Result<(), Failure> {
    let (process, start) =
        PersistentEmulator::lock(project.emulator_home())?.start(project, &EmulatorOptions::default())?;
    match start {
        StartOutcome::AlreadyRunning => eprintln!("local endpoint at {}", process.url),
        StartOutcome::Started => eprintln!("local endpoint at {} (new and empty)", process.url),
    }
    set_final_note(arguments, command);
    let option = cli::value_of(arguments, "--config").map(OsString::from);
    let config = option.or_else(|| std::env::var_os(CONFIG_VARIABLE)).unwrap_or_else(|| CONFIG.into());
    let mut wanted = match std::fs::read_to_string(config) {
        Ok(text) => prerequisites(&text),
        // pb-deploy itself reports a missing configuration file, with a better message.
        Err(_) => BTreeSet::new(),
    };
    if let Some(region) = cli::value_of(arguments, "--region").and_then(|region| region.to_str()) {
        wanted = wanted.into_iter().map(|one| Prerequisites { region: Some(region.into()), ..one }).collect();
    }
    for one in &wanted {
        ensure_prerequisites(&process.url, &one.json())?;
    }
    let region = wanted.first().and_then(|one| one.region.clone());
    use_endpoint(command, &process.url, region.as_deref());
    Ok(())
}

/// Makes a command that plans or makes a deploy print last what the local endpoint does not do.
fn set_final_note(arguments: &[OsString], command: &mut Command) {
    if let Some(workspace) = deployed_workspace(arguments) {
        let note = format!(
            "Note: the local endpoint runs no containers, and its addresses are not in DNS. To run the services on \
             this machine: cargo xtask local up {workspace} --app examples/app"
        );
        command.env(FINAL_NOTE_VARIABLE, note);
    }
}

/// Returns the workspace of a command that plans or makes a deploy; `None` for another command.
fn deployed_workspace(arguments: &[OsString]) -> Option<&str> {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    words.find(|word| ["plan", "deploy"].contains(word))?;
    words.next().filter(|word| !word.starts_with('-'))
}

/// Configures a command to use an endpoint with test credentials, and removes the user's AWS settings that would
/// interfere.
pub fn use_endpoint(command: &mut Command, url: &str, region: Option<&str>) {
    let own = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"];
    own.iter().for_each(|name| {
        command.env_remove(name);
    });
    project::remove_variables(command, |name| name.starts_with("AWS_ENDPOINT_URL_"));
    command.env("AWS_ENDPOINT_URL", url).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    if let (None, Some(region)) = (std::env::var_os("AWS_REGION"), region) {
        command.env("AWS_REGION", region);
    }
}

/// Returns the prerequisites of all workspaces, without duplicates. An invalid configuration yields none; pb-deploy
/// then refuses it, with the position of each error.
fn prerequisites(text: &str) -> BTreeSet<Prerequisites> {
    let Ok(base) = text.parse::<toml::Table>() else {
        return BTreeSet::new();
    };
    let workspaces = base.get("workspace").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    workspaces.filter_map(toml::Value::as_table).flat_map(|own| workspace_prerequisites(&base, own)).collect()
}

/// Returns the prerequisites of a workspace; a configured task role is a second entry.
fn workspace_prerequisites(base: &toml::Table, own: &toml::Table) -> Vec<Prerequisites> {
    let value = |path: &[&str]| lookup(own, path).or_else(|| lookup(base, path));
    let region = value(&["region"]);
    let main = Prerequisites {
        region: region.clone(),
        bucket: value(&["state", "bucket"]),
        table: value(&["state", "lock_table"]),
        zone: value(&["zone"]).or_else(|| value(&["hostname"])),
        role: value(&["roles", "execution"]),
    };
    let task = value(&["roles", "task"]).map(|role| Prerequisites { region, role: Some(role), ..Default::default() });
    [main].into_iter().chain(task).collect()
}

fn lookup(table: &toml::Table, path: &[&str]) -> Option<String> {
    let (last, tables) = path.split_last()?;
    let table = tables.iter().try_fold(table, |table, name| table.get(*name)?.as_table())?;
    table.get(*last)?.as_str().map(str::to_owned)
}

impl Prerequisites {
    /// Returns the request body with which the emulator creates these prerequisites.
    fn json(&self) -> serde_json::Value {
        let Self { region, bucket, table, zone, role } = self;
        // The emulator does not run images, so nobody pushes any; stand-ins take their place.
        json!({
            "region": region, "bucket": bucket, "table": table, "zone": zone, "role": role, "stand_in_images": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::*;

    const CONFIGURATION: &str = r#"
        region = "us-east-2"
        hostname = "example.org"
        [state]
        bucket = "b"
        lock_table = "t"
        [roles]
        execution = "e"
        [workspace.production]
        [workspace.staging]
    "#;

    fn one() -> Prerequisites {
        let text = |text: &str| Some(text.to_owned());
        let (region, bucket, table) = (text("us-east-2"), text("b"), text("t"));
        Prerequisites { region, bucket, table, zone: text("example.org"), role: text("e") }
    }

    #[test]
    fn shared_prerequisites_are_listed_once() {
        assert_eq!(prerequisites(CONFIGURATION), BTreeSet::from([one()]));
    }

    #[test]
    fn workspace_overrides_region_bucket_and_zone() {
        let own = "\n zone = \"other.org\"\n region = \"eu-west-1\"\n state.bucket = \"c\"\n roles.task = \"r\"";
        let text = format!("{CONFIGURATION}{own}");
        let text_of = |text: &str| Some(text.to_owned());
        let region = text_of("eu-west-1");
        let staging =
            Prerequisites { region: region.clone(), zone: text_of("other.org"), bucket: text_of("c"), ..one() };
        let task = Prerequisites { region, role: text_of("r"), ..Prerequisites::default() };
        assert_eq!(prerequisites(&text), BTreeSet::from([one(), staging, task]));
    }

    #[test]
    fn project_configuration_names_all_prerequisites() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pb_deploy.toml");
        let found = prerequisites(&std::fs::read_to_string(path).unwrap());
        assert!(!found.is_empty());
        for one in found {
            let Prerequisites { region, bucket, table, zone, role } = &one;
            assert!([region, bucket, table, zone, role].iter().all(|value| value.is_some()), "{one:?}");
        }
    }

    #[test]
    fn invalid_configuration_has_no_prerequisites() {
        assert_eq!(prerequisites("region = "), BTreeSet::new());
        assert_eq!(prerequisites("workspace = 1"), BTreeSet::new());
    }

    #[test]
    fn prerequisites_are_encoded_for_the_emulator() {
        let expected = json!({
            "region": "us-east-2", "bucket": "b", "table": "t", "zone": "example.org", "role": "e",
            "stand_in_images": true,
        });
        assert_eq!(one().json(), expected);
        assert_eq!(Prerequisites::default().json()["zone"], serde_json::Value::Null);
    }

    #[test]
    fn workspace_of_a_deploy_is_known() {
        let workspace = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            deployed_workspace(&arguments).map(str::to_owned)
        };
        assert_eq!(workspace("deploy staging --yes"), Some("staging".to_owned()));
        assert_eq!(workspace("--config x.toml plan staging"), Some("staging".to_owned()));
        for line in ["status staging", "deploy --help", "plan", "destroy staging"] {
            assert_eq!(workspace(line), None, "{line}");
        }
    }

    #[test]
    fn note_about_missing_containers_follows_a_deploy() {
        let note = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let mut command = Command::new("true");
            set_final_note(&arguments, &mut command);
            let found = command.get_envs().find(|(name, _)| *name == OsStr::new("PB_DEPLOY_FINAL_NOTE"));
            found.and_then(|(_, value)| value.and_then(OsStr::to_str).map(str::to_owned))
        };
        assert!(note("deploy staging --yes").unwrap().contains("cargo xtask local up staging"));
        assert_eq!(note("status staging"), None);
    }

    #[test]
    fn command_uses_endpoint_and_no_user_credentials() {
        let mut command = Command::new("true");
        use_endpoint(&mut command, "http://127.0.0.1:9", None);
        let value = |name: &str| {
            let found = command.get_envs().find(|(known, _)| *known == OsStr::new(name));
            found.map(|(_, value)| value.and_then(OsStr::to_str).map(str::to_owned))
        };
        assert_eq!(value("AWS_ENDPOINT_URL"), Some(Some("http://127.0.0.1:9".into())));
        assert_eq!(value("AWS_ACCESS_KEY_ID"), Some(Some("test".into())));
        assert_eq!(value("AWS_EC2_METADATA_DISABLED"), Some(Some("true".into())));
        assert_eq!(value("AWS_PROFILE"), Some(None), "removed");
        assert_eq!(value("AWS_SESSION_TOKEN"), Some(None), "removed");
    }
}
