//! Notes about values that are valid, but do not do what is likely intended. The messages are in the snapshot next to this
//! file.

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
