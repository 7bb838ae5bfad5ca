//! `--refresh-only`: the snapshot is brought up to what is there; nothing in AWS is changed.

use crate::cli::{Consent, Global};
use crate::commands::run::open;
use crate::consent;
use crate::exit::{Error, Exit};
use crate::render;
use crate::render::run::Show;
use crate::saved::Saved;
use crate::site::Site;
use pb_engine::{Cancel, Drift, DriftKind, Entry, Ledger, Observed, Record, drift, other_revisions};
use pb_state::Session;
use serde_json::json;
use std::time::Duration;

/// The word for it, in plans and in the lease.
pub const OPERATION: &str = "refresh";

/// Shows what somebody else changed, asks, and records it.
///
/// # Errors
/// What keeps it from being read or recorded.
pub async fn run(global: &Global, site: &Site, consent: &Consent) -> Result<Exit, Error> {
    let show = Show::new(global.json, global.verbose);
    let observed = site.glimpse(&site.snapshot).await?;
    let seen = drift(&site.graph, &observed, &site.snapshot);
    say(&show, &seen);
    if seen.is_empty() {
        show.json("finished", &json!({ "complete": true, "outputs": site.snapshot.outputs }));
        return Ok(Exit::Done);
    }
    consent::confirm(&site.workspace.name, "record this as the state of", consent.yes)?;
    let shown = Agreed::Shown { drift: &seen, yes: consent.yes };
    locked(&show, global, site, Duration::from_secs(consent.lock_timeout), &shown).await
}

fn say(show: &Show, drift: &[Drift]) {
    show.json("drift", &json!({ "drift": drift }));
    show.say(&render::drift::text(drift));
}

/// The drift that somebody has agreed to record.
pub enum Agreed<'a> {
    /// The drift that was shown. With `--yes` it is shown again where it has changed: nothing in AWS is.
    Shown { drift: &'a [Drift], yes: bool },
    /// That of a saved plan, which is applied at most once.
    Saved(&'a Saved),
}

/// Records what is there, under the lease. A saved plan has to be about just that.
///
/// # Errors
/// A lease that another holds; a saved plan that does not fit any more; a snapshot that cannot be stored.
pub async fn locked(
    show: &Show,
    global: &Global,
    site: &Site,
    lock_timeout: Duration,
    agreed: &Agreed<'_>,
) -> Result<Exit, Error> {
    let (session, cancel) = open(show, global, site, OPERATION, lock_timeout).await?;
    let recorded = record(show, site, &session, &cancel, agreed).await;
    let closed = session.close().await;
    let count = recorded?;
    closed?;
    show.say(&format!("Recorded: {}. Nothing in AWS was changed.", render::count(count, "resource")));
    show.json("finished", &json!({ "complete": true, "outputs": site.snapshot.outputs }));
    Ok(Exit::Done)
}

async fn record(
    show: &Show,
    site: &Site,
    session: &Session,
    cancel: &Cancel,
    agreed: &Agreed<'_>,
) -> Result<usize, Error> {
    let snapshot = session.snapshot();
    let observed = site.observe(&snapshot, cancel).await?;
    let seen = drift(&site.graph, &observed, &snapshot);
    match agreed {
        Agreed::Shown { drift, .. } if *drift == seen => {}
        Agreed::Shown { yes: true, .. } => {
            show.say("The resources have changed since they were shown:\n");
            say(show, &seen);
        }
        Agreed::Shown { .. } => {
            let message = "the resources have changed since they were shown: nothing was recorded";
            return Err(Error::other(message, "run the same command again and look at what it shows"));
        }
        Agreed::Saved(saved) => {
            saved.check(&site.bound(&snapshot, &observed), &snapshot.applied, saved.drift == seen)?;
            session.record(Entry::Applied(saved.id.clone()));
        }
    }
    let editions = other_revisions(&site.graph, &observed, &snapshot).into_iter();
    let editions = editions.map(|(address, record)| Entry::Put(address, record));
    let entries: Vec<Entry> = seen.iter().filter_map(|drift| entry(drift, &observed)).chain(editions).collect();
    let count = entries.len();
    entries.into_iter().for_each(|entry| session.record(entry));
    session.end(false).await?;
    Ok(count)
}

/// Returns the entry for a resource that is not as the last run left it. The record of one that has lost its tags stays:
/// `adopt --restore-tags` goes by it.
fn entry(drift: &Drift, observed: &Observed) -> Option<Entry> {
    if drift.what == DriftKind::Untagged {
        return None;
    }
    let found = observed.managed.get(&drift.address).into_iter().flatten();
    let live = found.filter(|live| live.kind == drift.kind).find(|_| drift.what != DriftKind::Deleted);
    Some(match live {
        None => Entry::Remove(drift.address.clone()),
        Some(live) => {
            let (spec, attrs) = (live.spec.clone(), live.attrs.clone());
            let record = Record { kind: live.kind.clone(), spec, attrs, ready: live.ready };
            Entry::Put(drift.address.clone(), record)
        }
    })
}
