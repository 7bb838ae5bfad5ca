//! `state list`, `show`, `pull`, `versions` and `restore`: the state, and the versions that the bucket keeps.

use crate::cli::{Consent, Global};
use crate::commands::query::read_snapshot;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{DIM, paint};
use crate::run::session::state_claim;
use crate::workspace::context::{account_region, connect, load_workspace, state_location};
use crate::workspace::{prerequisites, select};
use crate::{confirmation, output};
use pb_engine::{ErrorCode, Snapshot};
use pb_state::{LeaseTable, Store, restore as restore_version};

/// Lists the recorded addresses.
///
/// # Errors
/// A snapshot that cannot be read.
pub async fn list(global: &Global, workspace: &str) -> Result<Exit, Error> {
    let snapshot = read_snapshot(global, workspace).await?;
    if global.json {
        console::document(&snapshot.resources.keys().collect::<Vec<_>>())?;
    } else {
        snapshot.resources.keys().for_each(console::print);
    }
    Ok(Exit::Done)
}

/// Shows the records of all resources, or of one.
///
/// # Errors
/// A snapshot that cannot be read; an address that is not recorded.
pub async fn show(global: &Global, workspace: &str, address: Option<&str>) -> Result<Exit, Error> {
    let snapshot = read_snapshot(global, workspace).await?;
    if let Some(text) = address {
        let address = select::known_address(text, snapshot.resources.keys())?;
        console::document(&snapshot.resources.get(&address))?;
    } else if global.json {
        console::document(&snapshot)?;
    } else {
        show_all(&snapshot);
    }
    Ok(Exit::Done)
}

fn show_all(snapshot: &Snapshot) {
    console::print(format!("lineage {}  serial {}  fence {}", snapshot.lineage, snapshot.serial, snapshot.fence));
    let unknown = || "not recorded yet".to_owned();
    let (account, region) = (snapshot.account.clone(), snapshot.region.clone());
    console::print(format!("account {}  region {}", account.unwrap_or_else(unknown), region.unwrap_or_else(unknown)));
    for (address, record) in &snapshot.resources {
        let id = record.attrs.get("id").or_else(|| record.attrs.get("arn")).or_else(|| record.attrs.get("name"));
        let id = id.and_then(|id| id.as_str()).unwrap_or_default();
        let note = if record.ready { "" } else { "  (not ready yet)" };
        console::print(format!("{:<28} {:<30} {}{note}", address.as_str(), record.kind, paint(DIM, id)));
    }
    if let Some(intents) = &snapshot.intents {
        let steps = output::count(intents.steps.len(), "step");
        console::print(format!(
            "the last {} did not finish ({steps} planned); run it again to finish",
            intents.operation
        ));
    }
}

/// Writes the snapshot to stdout, byte for byte as it is stored.
///
/// # Errors
/// A bucket that cannot be read, or has no snapshot.
pub async fn pull(global: &Global, name: &str) -> Result<Exit, Error> {
    let workspace = load_workspace(global, name)?;
    let aws = connect(global, &workspace).await?;
    let stored = Store::new(&aws, &state_location(&workspace)).bytes().await?;
    let bytes = stored.ok_or_else(|| {
        Error::other(
            ErrorCode::NotDeployed,
            format!("{name} has no state yet"),
            format!("deploy it: pb-deploy deploy {name}"),
        )
    })?;
    console::try_write(&bytes).map(|()| Exit::Done).map_err(|e| {
        Error::other(ErrorCode::File, format!("cannot write the state to stdout: {e}"), "run the same command again")
    })
}

/// Lists the versions of a snapshot, newest first.
///
/// # Errors
/// A bucket that cannot be read.
pub async fn versions(global: &Global, workspace: &str) -> Result<Exit, Error> {
    let workspace = load_workspace(global, workspace)?;
    let aws = connect(global, &workspace).await?;
    let versions = Store::new(&aws, &state_location(&workspace)).versions().await?;
    if global.json {
        console::document(&versions)?;
        return Ok(Exit::Done);
    }
    for version in versions {
        let latest = if version.latest { "  (latest)" } else { "" };
        console::print(format!("{}  {}  {} bytes{latest}", version.id, paint(DIM, &version.written), version.bytes));
    }
    Ok(Exit::Done)
}

/// Writes an older version as the newest one, under the lease. Changes nothing in AWS except the snapshot.
///
/// # Errors
/// `Locked` if another run holds the lease; a version that does not exist, cannot be read, or belongs to another
/// account or region.
pub async fn restore(global: &Global, name: &str, version: &str, consent: &Consent) -> Result<Exit, Error> {
    let workspace = load_workspace(global, name)?;
    confirmation::confirm(name, "restore the state of", consent.yes)?;
    let aws = connect(global, &workspace).await?;
    let location = state_location(&workspace);
    let account = prerequisites::account(&aws, &workspace).await?;
    let store = Store::new(&aws, &location).at(account_region(&workspace, Some(account)));
    let leases = LeaseTable::new(&aws, &location, global.timing());
    let claim = state_claim("restore", consent.lock_timeout);
    let snapshot = restore_version(&store, &leases, &claim, version).await?;
    console::note(format!("Restored as serial {}. Show what differs with: pb-deploy plan {name}", snapshot.serial));
    Ok(Exit::Done)
}
