//! Scenarios of the tests.

use crate::account::{Account, Times};
use crate::case::Scenario;
use pb_config::{Config, Workspace};
use pb_engine::Goal;

/// Returns a workspace with additional lines in its configuration.
fn workspace(more: &str) -> Workspace {
    let text = format!(
        "region = \"us-east-2\"\nhostname = \"api.example.org\"\nzone = \"example.org\"\n\
         [state]\nbucket = \"states\"\nlock_table = \"locks\"\n[roles]\nexecution = \"ecsTaskExecutionRole\"\n{more}\n\
         [workspace.staging]\n"
    );
    Config::parse(&text, "pb_deploy.toml").unwrap().workspace("staging").unwrap()
}

fn empty() -> Account {
    Account::new(Times::SHORT)
}

fn change(name: &'static str, more: &str) -> Scenario {
    Scenario::new(name, empty(), Some(&workspace("")), workspace(more), Goal::Deploy)
}

/// Returns the scenario of a deploy from nothing.
pub fn deploy() -> Scenario {
    Scenario::new("deploy", empty(), None, workspace(""), Goal::Deploy)
}

/// Returns the scenario of the destroy of a deployed workspace.
pub fn destroy() -> Scenario {
    Scenario::new("destroy", empty(), Some(&workspace("")), workspace(""), Goal::Destroy)
}

/// Returns the scenario of a deploy from nothing, with the durations that AWS publishes.
pub fn published_deploy() -> Scenario {
    Scenario::new("published-deploy", Account::new(Times::PUBLISHED), None, workspace(""), Goal::Deploy)
}

/// Returns the scenario of the destroy of a deployed workspace whose queue is empty, which a one-off task finds out.
pub fn counted_destroy() -> Scenario {
    let account = Account { counts_jobs: true, ..empty() };
    Scenario::new("counted-destroy", account, Some(&workspace("")), workspace(""), Goal::Destroy)
}

/// Returns the scenario of the destroy of a deployed workspace, with the durations that AWS publishes.
pub fn published_destroy() -> Scenario {
    let account = Account::new(Times::PUBLISHED);
    Scenario::new("published-destroy", account, Some(&workspace("")), workspace(""), Goal::Destroy)
}

/// Returns the scenario of a change of Flask's port: another target group is created before the old one is deleted, and
/// rules change.
pub fn port() -> Scenario {
    change("port", "[services.flask]\nport = 6060")
}

/// Returns the scenario of an upgrade from Redis to Valkey: another parameter group is created before the old one is
/// deleted, and the queue is changed in between.
pub fn engine() -> Scenario {
    change("engine", "[redis]\nengine = \"valkey\"")
}

/// Returns the scenario of the way back from Valkey to Redis: another parameter group is created before the old one is
/// deleted, and the queue is re-created under the same name.
pub fn engine_back() -> Scenario {
    let before = workspace("[redis]\nengine = \"valkey\"");
    Scenario::new("engine-back", empty(), Some(&before), workspace(""), Goal::Deploy)
}

/// Returns the scenario of a change of the VPC's CIDR block: everything is replaced.
pub fn network() -> Scenario {
    change(
        "network",
        "[network]\ncidr = \"10.1.0.0/16\"\ntasks_subnet = \"10.1.1.0/24\"\nbalancer_subnet = \"10.1.2.0/24\"",
    )
}

/// Returns the scenario of a change of services: an existing rule gets another priority, another rule is deleted, and a
/// worker pool and a scheduler are added.
pub fn services() -> Scenario {
    let web = |name: &str, path: &str| format!("[services.{name}]\nkind = \"web\"\npaths = [\"{path}\"]\n");
    let before = format!("{}{}", web("admin", "/admin/*"), web("old", "/old/old/*"));
    let after = format!(
        "{}{}[services.jobs]\nkind = \"worker\"\ncount = 1\n\
         [services.beat]\nkind = \"scheduler\"\ncommand = [\"celery\", \"beat\"]\n",
        web("admin", "/admin/*"),
        web("api", "/much/longer/*"),
    );
    Scenario::new("services", empty(), Some(&workspace(&before)), workspace(&after), Goal::Deploy)
}

/// Returns the scenario of a rollout of workers that succeeds when each new task has logged that it is ready.
pub fn ready() -> Scenario {
    change("ready", "[services.celery]\nready_log = \"ready.\"")
}

/// Returns the scenario of HTTPS for a workspace that has served only HTTP.
pub fn https() -> Scenario {
    change("https", "[https]\nhsts = \"365d\"")
}

/// Returns the scenario of a further name for HTTPS: another certificate is issued before the old one is deleted.
pub fn https_name() -> Scenario {
    let after = workspace("[https]\nnames = [\"www.example.org\"]");
    Scenario::new("https-name", empty(), Some(&workspace("[https]")), after, Goal::Deploy)
}

/// Returns the scenario of another eleventh name and another tag for HTTPS: the further certificate of the listener is
/// replaced, and the tags of the first certificate change.
pub fn https_names() -> Scenario {
    let with = |last: &str, tag: &str| {
        let first: String = (0..9).map(|number| format!("\"n{number}.example.org\", ")).collect();
        workspace(&format!("[tags]\n{tag} = \"x\"\n[https]\nnames = [{first}\"{last}.example.org\"]"))
    };
    Scenario::new("https-names", empty(), Some(&with("a", "old")), with("b", "new"), Goal::Deploy)
}

/// Returns the scenario of the destroy of a workspace with HTTPS.
pub fn https_destroy() -> Scenario {
    Scenario::new("https-destroy", empty(), Some(&workspace("[https]")), workspace("[https]"), Goal::Destroy)
}

/// Returns the scenario of a deploy with HTTPS from nothing, with the durations that AWS publishes.
pub fn published_https_deploy() -> Scenario {
    Scenario::new("published-https-deploy", Account::new(Times::PUBLISHED), None, workspace("[https]"), Goal::Deploy)
}

/// Returns all scenarios.
pub fn all() -> Vec<Scenario> {
    vec![
        deploy(),
        destroy(),
        counted_destroy(),
        port(),
        engine(),
        engine_back(),
        network(),
        services(),
        ready(),
        https(),
        https_name(),
        https_names(),
        https_destroy(),
    ]
}
