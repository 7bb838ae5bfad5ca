//! The message for each problem of a configuration. The messages are in the snapshots next to this file.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use pb_config::{Config, ConfigError};

const BASE: &str = r#"region = "us-east-2"
hostname = "example.org"
[state]
bucket = "my-bucket"
lock_table = "my-table"
[roles]
execution = "role"
"#;

fn refused(text: &str) -> String {
    Config::parse(text, "pb_deploy.toml").unwrap_err().to_string()
}

/// Returns the problems in `BASE` followed by `rest`, and by a workspace if `rest` contains none.
fn added(rest: &str) -> String {
    let workspace = if rest.contains("[workspace.") { "" } else { "\n[workspace.staging]" };
    refused(&format!("{BASE}{rest}{workspace}\n"))
}

/// Returns the configuration of a variable with this reference.
fn secret_of(arn: &str) -> String {
    format!("[services.flask.secrets]\nDB = \"{arn}\"")
}

/// Returns a text of this length, for values that are too large.
fn filler(length: usize) -> String {
    "x".repeat(length)
}

/// Returns the messages of all cases, each below the name of its case.
fn table(cases: &[(&str, String)]) -> String {
    let entry = |(name, text): &(&str, String)| format!("# {name}\n\n{text}\n");
    cases.iter().map(entry).collect::<Vec<_>>().join("\n")
}

#[test]
fn keys_and_types() {
    let texts = table(&[
        ("unknown key", added("[redis]\nprot = 6400")),
        ("unknown key without a near match", added("[redis]\ncolour = 1")),
        ("unknown table", refused(&format!("{BASE}[workspace.a]\n[staging]\ncount = 1"))),
        ("unknown key in a workspace", added("[workspace.staging.redis]\nnode_typ = \"cache.t3.micro\"")),
        ("workspace inside a workspace", added("[workspace.staging.workspace.a]")),
        ("string for a number", added("[redis]\nport = \"6400\"")),
        ("number for a string", added("[redis]\nversion = 7")),
        ("fraction for a string", added("[redis]\nversion = 7.1")),
        ("text for a flag", added("[load_balancer]\ndeletion_protection = \"yes\"")),
        ("text for a list", added("[load_balancer]\ningress_cidrs = \"10.0.0.0/8\"")),
        ("number in a list", added("[services.flask]\ncommand = [\"gunicorn\", 4]")),
        ("number in an environment", added("[services.flask.environment]\nWORKERS = 4")),
        ("number for a table", added("[services]\nflask = 3")),
        ("number for a workspace", refused(&format!("workspace.a = 3\n{BASE}"))),
        ("number out of range", added("[redis]\nport = 99999999999999999999")),
    ]);
    insta::assert_snapshot!(texts);
}

#[test]
fn network() {
    let texts = table(&[
        ("bad cidr", added("[network]\ncidr = \"10.0.0.0\"")),
        ("cidr with host bits", added("[network]\ntasks_subnet = \"10.0.1.7/24\"")),
        ("vpc too large", added("[network]\ncidr = \"10.0.0.0/8\"")),
        ("overlapping subnets", added("[network]\ntasks_subnet = \"10.0.0.0/17\"")),
        (
            "overlapping subnets in a workspace",
            added(
                "[network]\nbalancer_subnet = \"10.0.9.0/24\"\n[workspace.staging.network]\ntasks_subnet = \"10.0.8.0/23\"",
            ),
        ),
        ("subnets outside of the vpc", added("[network]\ncidr = \"10.9.0.0/16\"")),
        ("balancer subnet too small", added("[network]\nbalancer_subnet = \"10.0.2.0/28\"")),
        ("zone listed twice", added("[network]\nzones = [\"us-east-2a\", \"us-east-2a\"]")),
        ("zone of another region", added("[network]\nzones = [\"us-east-2a\", \"us-west-2b\"]")),
        ("egress without port", added("[network]\negress = [{ cidr = \"10.0.0.0/8\" }]")),
        ("egress twice", added("[network]\negress = [{ port = 443 }, { port = 443, description = \"again\" }]")),
        ("egress typo", added("[[network.egress]]\nport = 443\nprotocoll = \"tcp\"")),
        ("egress protocol", added("[[network.egress]]\nport = 443\nprotocol = \"icmp\"")),
    ]);
    insta::assert_snapshot!(texts);
}

#[test]
fn services() {
    let texts = table(&[
        ("bad fargate size", added("[services.flask]\nmemory = 5000")),
        (
            "bad fargate size in a workspace",
            added("[services.celery]\nmemory = 8192\n[workspace.staging.services.celery]\ncpu = 512"),
        ),
        ("bad fargate cpu", added("[services.flask]\ncpu = 1000")),
        ("stop timeout too long", added("[services.celery]\nstop_timeout = 600")),
        ("rollout that can never begin", added("[services.flask]\nmax_percent = 100")),
        ("image and tag", added("[services.flask]\nimage = \"x/y:1\"\ntag = \"v1\"")),
        ("variable of the queue", added("[services.flask.environment]\nCELERY_BROKER_URL = \"redis://elsewhere\"")),
        ("bad retention", added("[logs]\nretention_days = 45")),
        ("more tasks than addresses", added("[services.celery]\ncount = 300")),
        (
            "more tasks than addresses in one workspace",
            added("[services.celery]\ncount = 100\n[workspace.staging.network]\ntasks_subnet = \"10.0.1.0/26\""),
        ),
        (
            "large variable",
            added(&format!("[services.flask.environment]\nLEVEL = \"info\"\nBIG = \"{}\"", filler(70_000))),
        ),
        (
            "variables that are large together",
            added(&format!(
                "[services.flask]\nenvironment = {{ A = \"{0}\" }}\n[workspace.staging.services.flask]\nenvironment = {{ B = \"{0}\" }}",
                filler(33_000)
            )),
        ),
        ("large command", added(&format!("[services.flask]\ncommand = [\"sh\", \"-c\", \"{}\"]", filler(70_000)))),
        ("large release command", added(&format!("[deploy]\nbefore = {{ command = [\"{}\"] }}", filler(9_000)))),
        ("image in capitals", added("[services.flask]\nimage = \"ghcr.io/My-Team/App:1.0\"")),
        ("image as a URL", added("[services.flask]\nimage = \"https://ghcr.io/my-team/app\"")),
        ("image with half a digest", added("[services.flask]\nimage = \"ghcr.io/my-team/app@sha256:0123\"")),
        ("image of a registry with a bad port", added("[services.flask]\nimage = \"registry.example.org:x/app\"")),
        ("redis too old for celery", added("[redis]\nversion = \"5.0.6\"")),
    ]);
    insta::assert_snapshot!(texts);
}

/// The messages may appear in CI logs, so they must not show secrets.
#[test]
fn secrets() {
    let arn = "arn:aws:secretsmanager:us-east-2:123456789012:secret:db-AbCdEf";
    let texts = table(&[
        ("a password", added("[services.flask]\nenvironment = { LEVEL = \"info\", DB_PASSWORD = \"hunter2\" }")),
        ("a password of digits, without quotes", added("[services.celery.environment]\nDB_PASSWORD = 4711")),
        ("an address with a password", added("[services.flask.environment]\nDB = \"postgres://app:hunter2@db/app\"")),
        ("a secret in a workspace", added("[workspace.staging.services.flask.environment]\nAPI_TOKEN = 'hunter2'")),
        ("a secret in a command", added("[services.celery]\ncommand = [\"celery\", \"amqp://app:hunter2@mq\"]")),
        (
            "a secret in the release command",
            added("[deploy]\nbefore = { command = [\"migrate\", \"postgres://app:hunter2@db/app\"] }"),
        ),
        (
            "another problem on the line of a secret",
            added("[services]\nflask = { secrets = { A_TOKEN = \"hunter2\" }, cpu = 3 }"),
        ),
        ("a parameter with an empty level", added(&secret_of("arn:aws:ssm:us-east-2:123456789012:parameter//app/key"))),
        ("a parameter of another partition", added(&secret_of("arn:aws:ssm:us-gov-west-1:123456789012:parameter/key"))),
        ("a secret in a mistyped region", added(&secret_of(&arn.replace("us-east-2", "us-est-2")))),
        ("a secret instead of its ARN", added("[services.flask.secrets]\nDB_PASSWORD = \"hunter2\"")),
        (
            "an ARN without its suffix",
            added(&format!("[services.flask.secrets]\nDB = \"{}\"", arn.trim_end_matches("-AbCdEf"))),
        ),
        ("a key of a secret without its colons", added(&format!("[services.flask.secrets]\nDB = \"{arn}:password\""))),
        ("the secret under another name", added("[services.flask.secrets]\nDB = \"hunter2\"")),
        (
            "a variable that is both plain and secret",
            added(&format!("[services.flask]\nenvironment = {{ DB = \"x\" }}\nsecrets = {{ DB = \"{arn}\" }}")),
        ),
        ("the queue as a secret", added(&format!("[services.flask.secrets]\nCELERY_BROKER_URL = \"{arn}\""))),
        (
            "queues as a secret",
            added(&format!("[services.celery]\nqueues = [\"a\"]\nsecrets = {{ CELERY_WORKER_QUEUES = \"{arn}\" }}")),
        ),
        ("a secret as a tag", added("[tags]\nAPI_TOKEN = \"hunter2\"")),
        ("an unquoted flag with a secret name", added("[services.flask.environment]\nUSE_TOKEN = true")),
        (
            "an environment in the form of ECS",
            added("[services.flask]\nenvironment = [{ name = \"DB_PASSWORD\", value = \"hunter2\" }]"),
        ),
        ("an environment in the form of Compose", added("[services.flask]\nenvironment = [\"DB=hunter2\"]")),
        ("a secret in a table", added("[services.flask.environment]\nDB_PASSWORD = { value = \"hunter2\" }")),
        ("secrets as a string", added("[services.flask]\nsecrets = \"hunter2\"")),
        ("secrets as a list", added("[services.flask]\nsecrets = [\"hunter2\"]")),
        ("secrets under a wrong key", added("[services.flask]\nsecret = { DB = \"hunter2\" }")),
        ("a secret in YAML", refused("[services.flask.environment]\nDB_PASSWORD: \"hunter2\"\n")),
        (
            "secrets after another syntax error",
            refused("x = = 1\n[services.flask]\nenvironment = { DB_PASSWORD = \"hunter2\", x = }\n"),
        ),
        ("a secret in invalid TOML", refused("[services.flask.environment]\nDB_PASSWORD = \"hunter2")),
        ("a secret next to invalid TOML", refused("a = { DB_PASSWORD = \"hunter2\", x = }")),
    ]);
    assert!(!texts.contains("hunter2") && !texts.contains("4711"), "{texts}");
    insta::assert_snapshot!(texts);
}

#[test]
fn more_services() {
    let web = "[services.api]\nkind = \"web\"\n";
    let worker = "[services.jobs]\nkind = \"worker\"\n";
    let beat = "[services.beat]\nkind = \"scheduler\"\ncommand = [\"celery\", \"beat\"]\n";
    let texts = table(&[
        ("no kind", added("[services.jobs]\ncount = 2")),
        ("bad kind", added("[services.jobs]\nkind = \"cron\"\ncount = 2")),
        ("bad name", added("[services.my_jobs]\nkind = \"worker\"")),
        ("reserved name", added("[services.cluster]\nkind = \"worker\"")),
        ("name too long", added("[services.an-api-with-a-long-name]\nkind = \"web\"\npaths = [\"/a\"]")),
        ("key of another kind of service", added(&format!("{worker}port = 8000"))),
        ("web service without a rule", added(web)),
        ("bad path", added(&format!("{web}paths = [\"v1/*\"]"))),
        ("bad host", added(&format!("{web}hosts = [\"API\"]"))),
        ("too many conditions", added(&format!("{web}paths = [\"/a\", \"/b\", \"/c\", \"/d\", \"/e\", \"/f\"]"))),
        ("bad priority", added(&format!("{web}paths = [\"/a\"]\npriority = 0"))),
        (
            "two services with the same priority",
            added(&format!(
                "{web}paths = [\"/a\"]\npriority = 5\n[services.b]\nkind = \"web\"\npaths = [\"/b\"]\npriority = 5"
            )),
        ),
        (
            "two services with the same rule",
            added(&format!("{web}paths = [\"/a\"]\n[services.b]\nkind = \"web\"\npaths = [\"/a\"]")),
        ),
        (
            "queues configured twice",
            added(&format!("{worker}queues = [\"a\"]\ncommand = [\"celery\", \"worker\", \"-Q\", \"b\"]")),
        ),
        (
            "queues in a script",
            added(&format!("{worker}queues = [\"a\"]\ncommand = [\"sh\", \"-c\", \"exec celery worker -EQb\"]")),
        ),
        ("bad queue", added(&format!("{worker}queues = [\"a,b\"]"))),
        ("more than one task of a scheduler", added(&format!("{beat}count = 2"))),
        ("schedulers that overlap in a rollout", added(&format!("{beat}max_percent = 200\nmin_healthy_percent = 100"))),
        ("a second scheduler", added(&format!("{beat}[services.clock]\nkind = \"scheduler\"\ncommand = [\"x\"]"))),
        ("a scheduler without a command", added("[services.beat]\nkind = \"scheduler\"")),
        ("an empty release command", added("[deploy.before]\nservice = \"flask\"")),
        (
            "a release command of an unknown service",
            added("[deploy]\nbefore = { service = \"web\", command = [\"x\"] }"),
        ),
        ("a shell without a task role", added("[services.flask]\nexecute_command = true")),
        ("too many web services", added(&many_web_services())),
    ]);
    insta::assert_snapshot!(texts);
}

fn many_web_services() -> String {
    let one = |n: u32| format!("[services.w{n:03}]\nkind = \"web\"\npaths = [\"/{n}/*\"]\n");
    (1..=100).map(one).collect()
}

#[test]
fn redis() {
    let texts = table(&[
        ("bad port", added("[redis]\nport = 70000")),
        ("bad port in a workspace", added("[workspace.staging.redis]\nport = 0")),
        (
            "bad for all workspaces, but overridden in one",
            added("[redis]\nport = 0\n[workspace.staging.redis]\nport = 1"),
        ),
        ("bad in one workspace, but valid for all", added("[redis]\nport = 7000\n[workspace.staging.redis]\nport = 0")),
        ("bad engine", added("[redis]\nengine = \"memcached\"")),
        ("bad engine version", added("[redis]\nversion = \"8.0\"")),
        ("version after the last one", added("[redis]\nversion = \"7.2\"")),
        ("patch version", added("[redis]\nversion = \"7.1.0\"")),
        (
            "shared version that the engine of a workspace lacks",
            added("[redis]\nversion = \"7.1\"\n[workspace.staging.redis]\nengine = \"valkey\""),
        ),
        ("bad node type", added("[redis]\nnode_type = \"t3.small\"")),
    ]);
    insta::assert_snapshot!(texts);
}

#[test]
fn load_balancer() {
    let texts = table(&[
        ("health timeout not less than the interval", added("[load_balancer]\nhealth_timeout = 30")),
        ("bad matcher", added("[load_balancer]\nhealth_matcher = \"2xx\"")),
        ("relative health path", added("[load_balancer]\nhealth_path = \"hello\"")),
        ("path that is not ASCII", added("[load_balancer]\n\thealth_path = \"/grüße\" # ü")),
    ]);
    insta::assert_snapshot!(texts);
}

#[test]
fn names_and_tags() {
    let texts = table(&[
        ("tag with the prefix of AWS", added("[tags]\n\"aws:owner\" = \"me\"")),
        ("ownership tag", added("[tags]\n\"pb-deploy:stack\" = \"mine\"")),
        ("workspace name too long", added("[workspace.a-name-that-is-far-too-long]")),
        ("workspace name in capitals", added("[workspace.Staging]")),
        ("workspace name reserved by AWS", added("[workspace.internal]")),
        ("workspace name with a dot", added("[workspace.\"a.b\"]")),
        (
            "two workspaces with the same hostname",
            added(
                "[workspace.staging]\n[workspace.production]\nhostname = \"staging.example.org\"\nzone = \"example.org\"",
            ),
        ),
        ("hostname outside of the zone", refused(&format!("zone = \"example.com\"\n{BASE}[workspace.staging]"))),
        ("account id", refused(&format!("allowed_account_ids = [\"1234\"]\n{BASE}[workspace.staging]"))),
        ("region", refused(&format!("{}[workspace.staging]", BASE.replace("us-east-2", "us-east-2a")))),
        ("mistyped region", refused(&format!("{}[workspace.staging]", BASE.replace("us-east-2", "us-est-2")))),
        ("no region at all", refused(&format!("{}[workspace.staging]", BASE.replace("us-east-2", "frankfurt")))),
    ]);
    insta::assert_snapshot!(texts);
}

#[test]
fn whole_file() {
    let texts = table(&[
        ("missing key", refused(&format!("{}[workspace.staging]", BASE.replace("bucket = \"my-bucket\"\n", "")))),
        ("missing table", refused("region = \"us-east-2\"\nhostname = \"example.org\"\n[workspace.staging]")),
        ("no workspace", refused(BASE)),
        ("empty file", refused("")),
        ("not toml", refused("region: us-east-2\n")),
        ("unclosed quote", refused("region = \"us-east-2\nhostname = \"example.org\"\n")),
        ("duplicate key", refused("region = \"us-east-2\"\nregion = \"us-east-1\"\n")),
        (
            "several problems",
            refused(&format!(
                "{}[redis]\nport = 0\n[logs]\nretention_days = 45\n[workspace.staging.redis]\nport = \"x\"\n[workspace.Qa]\n",
                BASE.replace("my-bucket", "My_Bucket")
            )),
        ),
    ]);
    insta::assert_snapshot!(texts);
}

#[test]
fn typo_in_a_workspace() {
    let config =
        Config::parse(&format!("{BASE}[workspace.production]\n[workspace.staging]"), "pb_deploy.toml").unwrap();
    let texts = ["stagign", "prod", "qa"].map(|name| {
        let error = config.workspace(name).unwrap_err();
        format!("{error}\n  hint: {}", error.hint().unwrap())
    });
    let texts = texts.join("\n\n");
    insta::assert_snapshot!(texts);
}

#[test]
fn no_such_file() {
    let error = Config::load("does/not/exist.toml").unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration `does/not/exist.toml`");
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(error.problems().is_empty());
}

#[test]
fn problems_for_programs() {
    let text = format!("{BASE}[workspace.staging]\nredis.port = 70000\n");
    let error = Config::parse(&text, "pb_deploy.toml").unwrap_err();
    let json = serde_json::to_string_pretty(error.problems()).unwrap();
    insta::assert_snapshot!(json);
}
