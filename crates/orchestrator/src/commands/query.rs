//! Queries that are answered from the configuration or the snapshot, and `unlock`.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{DIM, GOOD, WARN, paint};
use crate::workspace::context::{connect, load_workspace, state_location};
use pb_config::Config;
use pb_engine::{ErrorCode, Snapshot};
use pb_state::{LeaseTable, Session, Store};
use serde_json::json;

/// `validate`: checks the configuration, and prints notes about values that are valid, but do not do what is likely
/// intended. Makes no AWS calls.
///
/// # Errors
/// An invalid configuration.
pub fn validate(global: &Global) -> Result<Exit, Error> {
    let config = Config::load(&global.config)?;
    let names: Vec<&str> = config.workspaces().collect();
    if global.json {
        console::document(
            &json!({ "file": config.file(), "valid": true, "workspaces": names, "notes": config.notes() }),
        )?;
    } else {
        console::print(format!("{}: {} ({})", config.file(), paint(GOOD, "valid"), names.join(", ")));
        config.notes().iter().for_each(|note| console::print(format!("\n{} {note}", paint(WARN, "note:"))));
    }
    Ok(Exit::Done)
}

/// `workspace list`: lists the configured workspaces.
///
/// # Errors
/// An invalid configuration.
pub fn workspaces(global: &Global) -> Result<Exit, Error> {
    let config = Config::load(&global.config)?;
    let mut rows = Vec::new();
    for name in config.workspaces() {
        let workspace = config.workspace(name)?;
        rows.push(json!({ "name": name, "hostname": workspace.names.hostname, "region": workspace.region }));
    }
    if global.json {
        console::document(&rows)?;
    } else {
        for row in rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            console::print(format!(
                "{:<16} {}",
                text("name"),
                paint(DIM, format!("{} {}", text("region"), text("hostname")))
            ));
        }
    }
    Ok(Exit::Done)
}

/// `output`: prints the outputs of the last run.
///
/// # Errors
/// A snapshot that cannot be read, or does not have this output.
pub async fn output(global: &Global, workspace: &str, name: Option<&str>) -> Result<Exit, Error> {
    let outputs = read_snapshot(global, workspace).await?.outputs;
    if outputs.is_empty() {
        let hint = format!("deploy it: pb-deploy deploy {workspace}");
        return Err(Error::other(
            ErrorCode::NotDeployed,
            format!("{workspace} has no outputs: it is not deployed"),
            hint,
        ));
    }
    let bare = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match name {
        Some(name) => {
            let known: Vec<&str> = outputs.keys().map(String::as_str).collect();
            let value = outputs.get(name).ok_or_else(|| {
                Error::unknown_name(
                    format!("{workspace} has no output {name:?}"),
                    format!("there are: {}", known.join(", ")),
                )
            })?;
            if global.json { console::document(value)? } else { console::print(bare(value)) }
        }
        None if global.json => console::document(&outputs)?,
        None => outputs.iter().for_each(|(name, value)| console::print(format!("{name} = {}", bare(value)))),
    }
    Ok(Exit::Done)
}

/// `unlock`: takes the lease from its holder.
///
/// # Errors
/// A lease that nobody holds, or that a holder with another id holds.
pub async fn unlock(global: &Global, workspace: &str, id: &str) -> Result<Exit, Error> {
    let workspace = load_workspace(global, workspace)?;
    let aws = connect(global, &workspace).await?;
    LeaseTable::new(&aws, &state_location(&workspace), global.timing()).unlock(id).await?;
    console::note(format!("{} is unlocked.", workspace.name));
    Ok(Exit::Done)
}

/// Returns the snapshot of a workspace.
///
/// # Errors
/// A snapshot that cannot be read.
pub async fn read_snapshot(global: &Global, workspace: &str) -> Result<Snapshot, Error> {
    let workspace = load_workspace(global, workspace)?;
    let aws = connect(global, &workspace).await?;
    Ok(Session::read_only(&Store::new(&aws, &state_location(&workspace))).await?)
}
