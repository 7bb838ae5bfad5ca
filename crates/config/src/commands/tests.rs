use super::{Command, Role, environment_note, level_note, tokens};

fn command(words: &[&str]) -> Command {
    Command::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

/// Returns the messages of the notes about a command of a service whose `stop_timeout` is 35.
fn notes(role: Role, words: &[&str]) -> Vec<String> {
    command(words).notes(role, 35).into_iter().map(|note| note.message).collect()
}

#[test]
fn queues_are_found_in_every_spelling() {
    for words in [
        &["celery", "worker", "-Q", "mail"][..],
        &["celery", "worker", "-Qmail"],
        &["celery", "worker", "-EQ", "mail"],
        &["celery", "worker", "-EQmail"],
        &["celery", "worker", "--queues", "mail"],
        &["celery", "worker", "--queues=mail"],
        &["sh", "-c", "celery -A app worker -Qmail"],
        &["/bin/sh", "-ec", "cd /app && exec celery worker --queues 'mail'"],
        &["bash", "-lc", "exec celery worker -Q \"mail\""],
    ] {
        assert_eq!(command(words).queues(), Some("mail"), "{words:?}");
    }
    for words in [
        &["celery", "-A", "app", "worker", "-q"][..],
        &["celery", "worker", "--queue-name", "-c", "2"],
        &["sh", "run.sh", "-c"],
        &[],
    ] {
        assert_eq!(command(words).queues(), None, "{words:?}");
    }
}

#[test]
fn log_level_of_celery_is_found_in_every_spelling() {
    for words in [
        &["celery", "-A", "app", "worker", "-l", "INFO"][..],
        &["celery", "worker", "-lINFO"],
        &["celery", "worker", "--loglevel", "INFO"],
        &["celery", "beat", "--loglevel=INFO"],
        &["sh", "-c", "cd /app && exec celery worker --loglevel INFO"],
    ] {
        assert_eq!(command(words).log_level(), Some("INFO"), "{words:?}");
    }
    for words in [&["celery", "worker", "--logfile", "x"][..], &["gunicorn", "--log-level", "x", "-l", "y"], &[]] {
        assert_eq!(command(words).log_level(), None, "{words:?}");
    }
    assert!(level_note("warning").is_some() && level_note("info").is_none() && level_note("DEBUG").is_none());
}

#[test]
fn shell_without_exec_has_a_note() {
    let worker = |script: &str| notes(Role::Workers, &["sh", "-c", script]);
    assert!(worker("celery -A app worker")[0].contains("exit code 143"));
    assert!(worker("cd /app && celery worker 2>&1")[0].contains("without `exec`"));
    assert!(notes(Role::Web, &["dash", "-c", "flask run"])[0].contains("ignores SIGTERM"));
    for script in ["exec celery worker", "cd /app; exec celery worker 2>&1", "trap x TERM; celery worker & wait", ""] {
        assert_eq!(worker(script), [""; 0], "{script}");
    }
    assert_eq!(notes(Role::Workers, &["bash", "-c", "celery worker"]), [""; 0], "bash replaces itself");
    assert_eq!(notes(Role::Workers, &["celery", "worker", "-c", "2"]), [""; 0]);
}

#[test]
fn gunicorn_options_that_lose_requests_have_notes() {
    let web = |options: &[&str]| notes(Role::Web, &[&["gunicorn", "app:web"], options].concat());
    assert_eq!(web(&["--workers", "2"]), [""; 0]);
    assert!(web(&["--threads", "4"])[0].contains("idle connections after 2 s"));
    assert!(web(&["-k", "gthread", "--keep-alive=60"])[0].contains("idle connections after 60 s"));
    assert_eq!(web(&["--threads=4", "--keep-alive", "75"]), [""; 0]);
    assert_eq!(web(&["--threads", "1"]), [""; 0]);
    assert!(web(&["--graceful-timeout", "35"])[0].contains("35 s to end"));
    assert_eq!(web(&["--graceful-timeout", "34"]), [""; 0]);
    assert_eq!(command(&["gunicorn", "app:web"]).notes(Role::Web, 30).len(), 1, "30 s is the default of gunicorn");
    let uvicorn = ["-k", "uvicorn.workers.UvicornWorker", "--max-requests", "1000"];
    assert!(web(&uvicorn)[0].contains("cuts off requests"));
    assert_eq!(web(&uvicorn[..2]), [""; 0]);
    assert_eq!(web(&["--max-requests", "1000"]), [""; 0]);
}

#[test]
fn worker_options_that_cost_time_or_jobs_have_notes() {
    let worker = |options: &[&str]| notes(Role::Workers, &[&["celery", "worker"], options].concat());
    assert!(worker(&["--max-tasks-per-child", "10"])[0].contains("after 10 tasks"));
    assert_eq!(worker(&["--max-tasks-per-child=100"]), [""; 0]);
    assert!(worker(&["-Q", "mail, reports"])[0].contains("the queue's name: ` reports`"));
    assert_eq!(worker(&["-Q", "mail,reports"]), [""; 0]);
}

#[test]
fn variables_that_break_the_broker_have_notes() {
    let note = |name: &str, value: &str| environment_note(name, value).map(|note| note.message).unwrap_or_default();
    assert!(note("CELERY_WORKER_QUEUES", "mail, reports").contains("` reports`"));
    assert!(note("CELERY_BROKER_READ_URL", "redis://q:6379/0?socket_timeout=3").contains("`socket_timeout`"));
    assert!(note("CELERY_BROKER_WRITE_URL", "valkey://q:6379/0").contains("does not know"));
    for (name, value) in [
        ("CELERY_WORKER_QUEUES", "mail,reports"),
        ("CELERY_BROKER_READ_URL", "rediss://q:6379/0?ssl_cert_reqs=required"),
        ("CACHE_URL", "valkey://q:6379/0?socket_timeout=3"),
    ] {
        assert_eq!(note(name, value), "", "{name}");
    }
}

#[test]
fn script_is_split_into_words_and_separators() {
    assert_eq!(tokens("a 'b c'&&d\\ e|f"), ["a", "b c", "&&", "d e", "|", "f"]);
    assert_eq!(tokens("a 2>&1 &>x; b ''\nc"), ["a", "2>&1", "&>x", ";", "b", "", "\n", "c"]);
}
