//! `state versions` and `state restore`: the snapshots that the bucket keeps.

use crate::cli::{Consent, Global};
use crate::exit::{Error, Exit};
use crate::render::{self, DIM, paint};
use crate::site::{configured, connect, place};
use crate::{consent, signals};
use pb_state::{Claim, LeaseTable, Store, restore as write_again};
use std::time::Duration;

/// Lists the versions of a snapshot, the latest first.
///
/// # Errors
/// A bucket that cannot be read.
pub async fn versions(global: &Global, workspace: &str) -> Result<Exit, Error> {
    let workspace = configured(global, workspace)?;
    let aws = connect(global, &workspace).await?;
    let versions = Store::new(&aws, &place(&workspace)).versions().await?;
    if global.json {
        render::document(&versions)?;
        return Ok(Exit::Done);
    }
    for version in versions {
        let latest = if version.latest { "  (latest)" } else { "" };
        anstream::println!("{}  {}  {} bytes{latest}", version.id, paint(DIM, &version.written), version.bytes);
    }
    Ok(Exit::Done)
}

/// Writes an older version as the newest one, under the lease. Nothing in AWS but the snapshot changes.
///
/// # Errors
/// `Locked` when another holds the lease; a version that is not there or cannot be read.
pub async fn restore(global: &Global, name: &str, version: &str, consent: &Consent) -> Result<Exit, Error> {
    let workspace = configured(global, name)?;
    consent::confirm(name, "restore the state of", consent.yes)?;
    let aws = connect(global, &workspace).await?;
    let place = place(&workspace);
    let store = Store::new(&aws, &place);
    let leases = LeaseTable::new(&aws, &place, global.timing());
    let claim = Claim {
        lock_timeout: Duration::from_secs(consent.lock_timeout),
        cancel: signals::listen(),
        ..Claim::new(crate::identity::who(), "restore")
    };
    let snapshot = write_again(&store, &leases, &claim, version).await?;
    anstream::eprintln!("restored as serial {}; see what differs: pb-deploy plan {name}", snapshot.serial);
    Ok(Exit::Done)
}
