//! `state push` and `state rm`: edits of the snapshot by hand, under the lease. They change nothing in AWS.

use crate::cli::{Consent, Global};
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{BAD, GOOD, WARN, paint};
use crate::run::session::state_claim;
use crate::workspace::context::{StateContext, connect, load_workspace, state_location};
use crate::workspace::select;
use crate::{confirmation, output};
use pb_engine::{Address, ErrorCode, Failure, Refusal, Snapshot};
use pb_state::{LeaseTable, StateLocation, decode_edited, rewrite};
use std::collections::BTreeSet;
use std::path::Path;

/// Writes the snapshot in a file as the newest version.
///
/// # Errors
/// A file that is not a snapshot of this workspace; another lineage or an older serial without `force`; the errors of
/// [`edit`].
pub async fn push(global: &Global, name: &str, file: &Path, force: bool, consent: &Consent) -> Result<Exit, Error> {
    let unreadable = |e| {
        Error::other(
            ErrorCode::File,
            format!("cannot read {}: {e}", file.display()),
            "pass a file that `state pull` wrote",
        )
    };
    let bytes = std::fs::read(file).map_err(unreadable)?;
    edit(global, name, "push", consent, |location, now| {
        let operation = format!("read {}", file.display());
        let pushed = decode_edited(&bytes, &location.owner).map_err(|failure| Failure { operation, ..failure })?;
        if !force {
            refuse_older(now, &pushed)?;
        }
        Ok(pushed)
    })
    .await
}

/// Refuses a snapshot that is not an edit of the current one.
fn refuse_older(now: &Snapshot, pushed: &Snapshot) -> Result<(), Error> {
    let message = if now.lineage.is_empty() || pushed.lineage == now.lineage {
        if pushed.serial >= now.serial {
            return Ok(());
        }
        format!("the file has serial {}, but the state already has serial {}", pushed.serial, now.serial)
    } else {
        format!("the file has lineage {}, but the state has lineage {}", pushed.lineage, now.lineage)
    };
    Err(Error::other(
        ErrorCode::StateChanged,
        message,
        "pull the state again and edit it, or pass --force if the file is the right one",
    ))
}

/// Removes the records of some resources.
///
/// # Errors
/// An address that is not recorded; the errors of [`edit`].
pub async fn remove(global: &Global, name: &str, addresses: &[String], consent: &Consent) -> Result<Exit, Error> {
    edit(global, name, "rm", consent, |_, now| {
        let mut left = now.clone();
        for text in addresses {
            let address = select::known_address(text, now.resources.keys())?;
            left.resources.remove(&address);
        }
        Ok(left)
    })
    .await
}

/// Shows the effect of an edit of the snapshot, asks for confirmation, and writes the edited snapshot under the lease,
/// with a conditional write.
///
/// # Errors
/// The error of `change`; a snapshot that belongs to another account or region; a lease that another run holds; a
/// snapshot that has changed since it was shown.
async fn edit(
    global: &Global,
    name: &str,
    operation: &str,
    consent: &Consent,
    change: impl FnOnce(&StateLocation, &Snapshot) -> Result<Snapshot, Error>,
) -> Result<Exit, Error> {
    let workspace = load_workspace(global, name)?;
    let aws = connect(global, &workspace).await?;
    let location = state_location(&workspace);
    let StateContext { store, snapshot: now, account_region } = StateContext::open(&aws, &workspace).await?;
    let edited = change(&location, &now)?;
    account_region.check(&edited, name)?;
    // If an old version of pb-deploy wrote the file, it contains no account and region; the recorded ones are kept.
    let (account, region) = (edited.account.or(now.account.clone()), edited.region.or(now.region.clone()));
    let edited = Snapshot { account, region, ..edited };
    if (Snapshot { serial: now.serial, fence: now.fence, ..edited.clone() }) == now {
        console::note("Nothing to change: the state already has these records.");
        return Ok(Exit::Done);
    }
    show(&now, &edited);
    confirmation::confirm(name, "change the state of", consent.yes)?;
    let kept = store.versions().await?.into_iter().find(|version| version.latest);
    let leases = LeaseTable::new(&aws, &location, global.timing());
    let claim = state_claim(format!("state {operation}"), consent.lock_timeout);
    let written = rewrite(store, &leases, &claim, |current| match *current == now {
        true => Ok(edited),
        false => Err(Failure::refused(Refusal::StateChanged, "change the state", "it has changed since it was shown")
            .hint("run the same command again")),
    })
    .await?;
    console::note(format!("Written as serial {}. Show what differs with: pb-deploy plan {name}", written.serial));
    match kept.filter(|version| version.id != "null") {
        Some(version) => console::note(format!("To undo: pb-deploy state restore {name} {}", version.id)),
        None => {
            console::note(format!(
                "{} the bucket keeps no versions, so this cannot be undone",
                paint(WARN, "warning:")
            ));
        }
    }
    Ok(Exit::Done)
}

/// Prints the records that are removed, added and changed.
fn show(now: &Snapshot, edited: &Snapshot) {
    let all: BTreeSet<&Address> = now.resources.keys().chain(edited.resources.keys()).collect();
    for address in all {
        let sign = match (now.resources.get(address), edited.resources.get(address)) {
            (Some(_), None) => paint(BAD, "-"),
            (None, Some(_)) => paint(GOOD, "+"),
            (before, after) if before != after => paint(WARN, "~"),
            _ => continue,
        };
        console::note(format!("  {sign} {address}"));
    }
    let unfinished = |snapshot: &Snapshot| snapshot.intents.as_ref().map_or(0, |intents| intents.steps.len());
    if unfinished(now) != unfinished(edited) {
        let steps = output::count(unfinished(now), "step");
        console::note(format!("  {} intents of an unfinished run ({steps})", paint(WARN, "~")));
    }
    if now.outputs != edited.outputs {
        console::note(format!("  {} outputs", paint(WARN, "~")));
    }
}
