//! Precedence of the defaults, the keys for all workspaces, and the keys for one workspace.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use pb_config::{Config, Engine, Image};

const BASE: &str = r#"
region = "us-east-2"
hostname = "example.org"
[state]
bucket = "my-bucket"
lock_table = "my-table"
[roles]
execution = "role"
"#;

fn parse(rest: &str) -> Config {
    Config::parse(&format!("{BASE}{rest}"), "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn workspace_overrides_file_and_file_overrides_default() {
    let config = parse(
        "[services.celery]\ncount = 2\ncpu = 2048\n[workspace.a]\n[workspace.b.services.celery]\ncount = 8\nmemory = 16384",
    );
    let celery = |name| config.workspace(name).unwrap().services.celery;
    assert_eq!((celery("a").count, celery("a").cpu, celery("a").memory), (2, 2048, 4096));
    assert_eq!((celery("b").count, celery("b").cpu, celery("b").memory), (8, 2048, 16384));
}

#[test]
fn variable_is_plain_or_secret_per_workspace() {
    let arn = "arn:aws:ssm:us-east-2:123456789012:parameter/app/db";
    let text = format!(
        "{BASE}[services.flask]\nenvironment = {{ DB = \"postgres://db/app\", LEVEL = \"info\" }}\nsecrets = {{ KEY = \"{arn}\" }}\n\
         [workspace.production.services.flask]\nsecrets = {{ DB = \"{arn}\" }}\n\
         [workspace.staging.services.flask]\nenvironment = {{ KEY = \"none\" }}\n"
    );
    let config = Config::parse(&text, "x").unwrap();
    let names = |map: &std::collections::BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    let flask = |name: &str| config.workspace(name).unwrap().services.flask.service;
    let production = flask("production");
    assert_eq!(
        (names(&production.environment), names(&production.secrets)),
        (vec!["LEVEL".into()], vec!["DB".into(), "KEY".into()])
    );
    let staging = flask("staging");
    assert_eq!(
        (names(&staging.environment), names(&staging.secrets)),
        (vec!["DB".into(), "KEY".into(), "LEVEL".into()], vec![])
    );
}

#[test]
fn tags_and_environments_are_merged_and_lists_replaced() {
    let config = parse(
        "[tags]\nowner = \"web\"\nstage = \"any\"\n[load_balancer]\ningress_cidrs = [\"10.0.0.0/8\"]\n\
         [workspace.a.tags]\nstage = \"a\"\n[workspace.a.load_balancer]\ningress_cidrs = [\"10.1.0.0/16\"]",
    );
    let workspace = config.workspace("a").unwrap();
    let tags: Vec<_> = workspace.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(tags, [("owner", "web"), ("stage", "a")]);
    let cidrs: Vec<_> = workspace.load_balancer.ingress_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(cidrs, ["10.1.0.0/16"]);
}

#[test]
fn only_redis_has_a_default_version() {
    let config = parse(
        "[workspace.a]\n[workspace.b]\nredis.engine = \"valkey\"\n\
         [workspace.c]\nredis = { engine = \"valkey\", version = \"8.0\" }",
    );
    let names = |name| config.workspace(name).unwrap().names;
    let redis = config.workspace("b").unwrap().redis;
    assert_eq!((redis.engine, redis.version, redis.family), (Engine::Valkey, None, None));
    assert_eq!(names("b").cache_parameter_group, None);
    assert_eq!(names("b").parameter_group("b", "valkey8"), "b-jobqr-valkey8");
    assert_eq!(names("c").cache_parameter_group.as_deref(), Some("c-jobqr-valkey8"));
    assert_eq!(names("a").cache_parameter_group.as_deref(), Some("a-jobqr-redis7"));
    assert_eq!(config.workspace("a").unwrap().redis.version.as_deref(), Some("7.1"));
}

#[test]
fn image_of_a_workspace_replaces_the_tag_of_all() {
    let config =
        parse("[services.flask]\ntag = \"v1\"\n[workspace.a]\n[workspace.b.services.flask]\nimage = \"x/y:1\"");
    let image = |name| config.workspace(name).unwrap().services.flask.service.image;
    assert_eq!(image("a"), Image::Tag("v1".to_owned()));
    assert_eq!(image("b"), Image::Reference("x/y:1".to_owned()));
}

#[test]
fn workspaces_keep_the_order_of_the_file() {
    let config = parse("[workspace.zeta]\n[workspace.alpha]\n[workspace.mid]");
    assert_eq!(config.workspaces().collect::<Vec<_>>(), ["zeta", "alpha", "mid"]);
}

#[test]
fn integers_are_read_in_every_notation() {
    let config = parse("[redis]\nport = 0x1900\n[logs]\nretention_days = 1_827\n[workspace.a]");
    let workspace = config.workspace("a").unwrap();
    assert_eq!((workspace.redis.port, workspace.logs.retention_days), (6400, 1827));
}

#[test]
fn egress_rules_have_defaults_of_their_own() {
    let config = parse("[[network.egress]]\nport = 5432\n[workspace.a]");
    let [rule] = &config.workspace("a").unwrap().network.egress[..] else { panic!("one rule") };
    assert_eq!((rule.protocol.as_str(), rule.port, rule.cidr.to_string().as_str()), ("tcp", 5432, "0.0.0.0/0"));
}

const MORE: &str = r#"
[services.api]
kind = "web"
hosts = ["api"]
port = 8000
[services.admin]
kind = "web"
paths = ["/admin/*"]
[services.admin-reports]
kind = "web"
paths = ["/admin/reports/*"]
[services.old]
kind = "web"
paths = ["/old/*"]
priority = 7
[services.reports]
kind = "worker"
queues = ["reports", "mail"]
count = 2
[services.beat]
kind = "scheduler"
command = ["celery", "-A", "app", "beat"]
[workspace.production]
[workspace.staging.services.reports]
count = 1
[workspace.staging.services.extra]
kind = "worker"
"#;

#[test]
fn additional_services_are_resolved() {
    let config = parse(MORE);
    let production = config.workspace("production").unwrap();
    let keys: Vec<&str> = production.services.all().map(|(key, _)| key).collect();
    assert_eq!(keys, ["flask", "celery", "admin", "admin-reports", "api", "beat", "old", "reports"]);
    let names: Vec<&str> = production.names.services().collect();
    assert_eq!(names[..3], ["production-flask", "production-celery", "production-admin"]);
    assert_eq!(production.names.other_target_groups["api"], "production-api-8000");
    let reports = production.services.get("reports").unwrap();
    assert_eq!((reports.count, reports.image.clone()), (2, Image::Tag("celery".to_owned())));
    assert_eq!(reports.environment[pb_config::WORKER_QUEUES], "reports,mail");
    let beat = production.services.get("beat").unwrap();
    assert_eq!((beat.count, beat.min_healthy_percent, beat.max_percent), (1, 0, 100));

    let staging = config.workspace("staging").unwrap();
    assert_eq!(staging.services.get("reports").map(|reports| reports.count), Some(1));
    assert_eq!((staging.services.get("extra").is_some(), production.services.get("extra")), (true, None));
}

#[test]
fn rule_priorities_are_ordered_by_specificity() {
    let production = parse(MORE).workspace("production").unwrap();
    let mut order: Vec<(i32, &str)> =
        production.services.routed().map(|(key, _, route)| (route.priority, key)).collect();
    order.sort_unstable();
    assert_eq!(order, [(7, "old"), (1001, "api"), (1002, "admin-reports"), (1003, "admin")]);
}

#[test]
fn host_without_a_dot_is_a_subdomain_of_the_workspace() {
    let config =
        parse(&format!("{MORE}[workspace.qa.services.api]\nhosts = [\"*.qa.example.org\", \"api.example.com\"]"));
    let route = |name| {
        let workspace = config.workspace(name).unwrap();
        let (_, _, route) = workspace.services.routed().find(|(key, ..)| *key == "api").unwrap();
        (route.hosts.clone(), route.records.clone())
    };
    let api = vec!["api.staging.example.org".to_owned()];
    assert_eq!(route("staging"), (api.clone(), api));
    assert_eq!(route("production").0, ["api.example.org"]);
    let (hosts, records) = route("qa");
    assert_eq!((hosts.len(), records.len()), (2, 0));
}
