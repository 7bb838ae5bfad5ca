//! Notes about values that are valid, but do not do what is likely intended. The messages are in the snapshot next to this
//! file.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use pb_config::{Config, Problem};

/// Configuration of two workspaces, with notes about values for both and about values of one.
const TEXT: &str = r#"region = "us-east-2"
hostname = "example.org"
[state]
bucket = "my-bucket"
lock_table = "my-table"
[roles]
execution = "role"
[services.flask]
command = ["gunicorn", "--threads", "4", "app:web"]
[services.celery]
command = ["sh", "-c", "cd /app && celery -A app worker"]
environment = { CELERY_WORKER_QUEUES = "mail, reports" }
[services.beat]
kind = "scheduler"
command = ["sh", "-c", "exec celery -A app beat"]
[workspace.production]
[workspace.staging.services.flask]
command = ["gunicorn", "app:web"]
stop_timeout = 20
"#;

#[test]
fn notes_have_lines_and_hints_and_appear_once() {
    let config = Config::parse(TEXT, "pb_deploy.toml").unwrap();
    let notes: Vec<String> = config.notes().iter().map(Problem::to_string).collect();
    insta::assert_snapshot!(notes.join("\n\n"));
}

#[test]
fn schedule_file_is_set_unless_the_configuration_names_one() {
    let schedule = |service: &str| {
        let beat = format!("[services.beat]\nkind = \"scheduler\"\n{service}\n[workspace.production]");
        let text = TEXT.split("[services.beat]").next().unwrap().to_owned() + &beat;
        let workspace = Config::parse(&text, "pb_deploy.toml").unwrap().workspace("production").unwrap();
        let beat = workspace.services.get("beat").unwrap();
        assert!(!workspace.services.celery.environment.contains_key("CELERY_BEAT_SCHEDULE"));
        beat.environment.get("CELERY_BEAT_SCHEDULE").cloned()
    };
    let command = r#"command = ["celery", "beat"]"#;
    assert_eq!(schedule(command).as_deref(), Some("/tmp/celerybeat-schedule"));
    let own = format!("{command}\nenvironment = {{ CELERY_BEAT_SCHEDULE = \"/data/schedule\" }}");
    assert_eq!(schedule(&own).as_deref(), Some("/data/schedule"));
    for named in [
        r#"command = ["celery", "beat", "--schedule", "/data/schedule"]"#,
        r#"command = ["celery", "beat", "-s/data/schedule"]"#,
        r#"command = ["sh", "-c", "exec celery beat --schedule=/data/schedule"]"#,
    ] {
        assert_eq!(schedule(named), None, "{named}");
    }
}

/// Returns the configuration of a worker and a scheduler with these lines, and its notes.
fn ready(celery: &str, beat: &str) -> (pb_config::Workspace, Vec<String>) {
    let head = TEXT.split("[services.flask]").next().unwrap_or_default();
    let text = format!(
        "{head}[services.celery]\n{celery}\n[services.beat]\nkind = \"scheduler\"\n{beat}\n[workspace.production]\n"
    );
    let config = Config::parse(&text, "pb_deploy.toml").unwrap_or_else(|error| panic!("{error}"));
    let notes = config.notes().iter().map(Problem::to_string).collect();
    (config.workspace("production").unwrap_or_else(|error| panic!("{error}")), notes)
}

#[test]
fn log_level_is_set_if_a_rollout_waits_for_the_line_of_celery() {
    let beat = "command = [\"celery\", \"beat\"]";
    let (found, notes) = ready("ready_log = \"ready.\"", &format!("{beat}\nready_log = \"beat: Starting\""));
    assert_eq!(notes, [""; 0]);
    assert_eq!(found.services.celery.ready_log.as_deref(), Some("ready."));
    assert_eq!(found.services.celery.environment["CELERY_WORKER_LOGLEVEL"], "INFO");
    let scheduler = found.services.get("beat").unwrap();
    assert_eq!(scheduler.ready_log.as_deref(), Some("beat: Starting"));
    assert_eq!(scheduler.environment["CELERY_BEAT_LOGLEVEL"], "INFO");
    let arn = "arn:aws:ssm:us-east-2:123456789012:parameter/app/level";
    for own in [
        "",
        "ready_log = \"warmed up\"",
        "ready_log = \"ready.\"\ncommand = [\"celery\", \"worker\", \"-l\", \"DEBUG\"]",
        &format!("ready_log = \"ready.\"\nsecrets = {{ CELERY_WORKER_LOGLEVEL = \"{arn}\" }}"),
    ] {
        let (found, notes) = ready(own, beat);
        assert!(!found.services.celery.environment.contains_key("CELERY_WORKER_LOGLEVEL"), "{own}");
        assert_eq!(notes, [""; 0], "{own}");
    }
}

#[test]
fn log_level_that_hides_the_line_has_a_note() {
    let beat = "command = [\"celery\", \"beat\"]";
    for own in [
        "ready_log = \"ready.\"\ncommand = [\"celery\", \"worker\", \"--loglevel=WARNING\"]",
        "ready_log = \"ready.\"\nenvironment = { CELERY_WORKER_LOGLEVEL = \"error\" }",
    ] {
        let (_, notes) = ready(own, beat);
        assert!(notes.len() == 1 && notes[0].contains("hides it") && notes[0].contains("ready_log"), "{notes:?}");
    }
}

#[test]
fn web_service_has_no_text_to_wait_for() {
    let text = TEXT.replacen("[services.flask]", "[services.flask]\nready_log = \"x\"", 1);
    let error = Config::parse(&text, "pb_deploy.toml").unwrap_err().to_string();
    assert!(error.contains("unknown key `ready_log`"), "{error}");
}
