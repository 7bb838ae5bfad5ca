//! `doctor`: checks everything that a deploy needs.

mod account;
mod certificates;
mod check;
mod hostnames;
mod https;
mod permissions;
mod prerequisites;
mod quotas;

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output;
use crate::output::console;
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::workspace::context::{account_region, connection, load_workspace, state_location};
use crate::workspace::stack_context::{RunOptions, StackContext};
use crate::workspace::untagged;
use anstyle::Style;
use check::{Check, Verdict};
use pb_engine::{Goal, Snapshot};
use pb_state::{Session, Store};

/// Checks everything that a deploy needs, and prints a remedy for each problem. Changes nothing; exits with 1 if a
/// deploy would fail.
///
/// # Errors
/// An invalid configuration; an endpoint that does not answer.
pub async fn doctor(global: &Global, name: &str) -> Result<Exit, Error> {
    let workspace = load_workspace(global, name)?;
    let connection = connection(global, &workspace).await?;
    let mut checks: Vec<Check> = connection.ineffective_keys().into_iter().map(ineffective_key).collect();
    let aws = connection.config().await;
    let account = crate::workspace::prerequisites::account(&aws, &workspace).await;
    let mut command = None;
    match account {
        // Without an account, no other check can be made.
        Err(failure) => checks.push(Check::failed("account", Verdict::Bad, &failure)),
        Ok(account) => {
            let allowed = if workspace.allowed_account_ids.is_some() { ", which is allowed" } else { "" };
            checks.push(Check::good("account", format!("{account}{allowed}")));
            let store =
                Store::new(&aws, &state_location(&workspace)).at(account_region(&workspace, Some(account.clone())));
            let (state, conditions) = tokio::join!(Session::read_only(&store), store.probe_conditional_writes());
            checks.extend(prerequisites::conditions(&workspace.state.bucket, conditions));
            let snapshot = state.as_ref().map_or_else(|_| Snapshot::default(), Clone::clone);
            let (prepared, ownership_tags, rest, https) = tokio::join!(
                prerequisites::checks(global, &aws, &workspace, &account, state),
                ownership_tags(global, name, &snapshot),
                account::checks(&aws, &workspace, &snapshot),
                https::checks(&aws, &workspace, &snapshot),
            );
            let (prepared, missing) = prepared;
            checks.extend(prepared);
            command = missing;
            checks.extend(ownership_tags);
            checks.extend(rest);
            checks.extend(https);
        }
    }
    let ready = checks.iter().all(|check| check.verdict != Verdict::Bad);
    if global.json {
        console::document(&serde_json::json!({ "workspace": name, "ready": ready, "checks": checks }))?;
    } else {
        show(name, ready, &checks);
        if let Some(command) = command {
            console::print(format!("{} this account is not prepared: run `{command}`", paint(WARN, "hint:")));
        }
    }
    Ok(if ready { Exit::Done } else { Exit::Failed })
}

/// Checks whether all recorded resources still have their ownership tags. Returns `None` if nothing was deployed.
async fn ownership_tags(global: &Global, name: &str, snapshot: &Snapshot) -> Option<Check> {
    const NAME: &str = "ownership tags";
    if snapshot.resources.is_empty() {
        return None;
    }
    let found = async {
        let context = StackContext::open(global, name, Goal::Destroy, &RunOptions::default()).await?;
        Ok::<_, Error>(untagged::summary(&context.untagged().await?))
    };
    Some(match found.await {
        Ok(None) => Check::good(NAME, "present on all recorded resources"),
        Ok(Some(lost)) => Check::bad(NAME, lost, untagged::hint(name)),
        Err(error) => Check::new(NAME, Verdict::Unknown, error.to_string()),
    })
}

fn ineffective_key(found: pb_aws::IneffectiveKey) -> Check {
    let pb_aws::IneffectiveKey { profile, key, effect, hint } = found;
    Check::warning("credentials", format!("`{key}` of profile {profile} has no effect: {effect}"), hint)
}

fn show(name: &str, ready: bool, checks: &[Check]) {
    for check in checks {
        let (sign, style): (&str, Style) = match check.verdict {
            Verdict::Good => ("ok", GOOD),
            Verdict::Warning => ("warn", WARN),
            Verdict::Unknown => ("?", DIM),
            Verdict::Bad => ("bad", BAD),
        };
        console::print(format!(
            "{}  {}  {}",
            paint(style, format!("{sign:>4}")),
            paint(BOLD, &check.name),
            check.found
        ));
        if let Some(hint) = check.hint.as_ref().filter(|_| check.verdict != Verdict::Good) {
            console::print(format!("        {} {hint}", paint(WARN, "hint:")));
        }
    }
    let bad = checks.iter().filter(|check| check.verdict == Verdict::Bad).count();
    match ready {
        true => console::print(format!("\n{name} can be deployed.")),
        false => console::print(format!("\n{name} is not ready: {}.", output::count(bad, "problem"))),
    }
}
