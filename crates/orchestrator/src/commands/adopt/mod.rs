//! `adopt`, `forget` and `state mv`: what is there becomes ours, is ours no more, or gets another address. Tags and the
//! snapshot change, and nothing else.

mod claims;
mod moves;
mod show;
mod unfinished;

use crate::cli::{Adoption, Consent, Global};
use crate::commands::run::{same, waiting};
use crate::consent;
use crate::exit::{Error, Exit};
use crate::render::run::Show;
use crate::signals;
use crate::site::{Asked, Site};
use claims::Wanted;
use pb_engine::{Address, Cancel, Class, Failure, Goal, Outcome, Plan, PlanError, Run, Snapshot};
use pb_engine::{apply_ownership_changes, observe, plan_forget};
use pb_state::{AcquireOptions, LeaseTable, Session};
use pb_terraform::{Lock, Mapping};
use std::time::Duration;
use unfinished::Keeping;

/// What is done to what is there.
enum Task<'a> {
    Adopt(&'a Adoption),
    Forget(&'a [Address]),
    Move { from: &'a str, to: &'a str },
}

/// What was seen, and what is to be done about it.
struct Looked {
    plan: Plan,
    text: String,
    json: serde_json::Value,
    /// The Terraform state that it was made from, by what it is known.
    state: Option<(String, u64)>,
    /// The resources that the state names.
    mapping: Mapping,
}

/// Takes over what stands at the addresses, or what a Terraform state names.
///
/// # Errors
/// What keeps it from beginning: a claim that cannot be had, a lock that another holds.
pub async fn adopt(global: &Global, workspace: &str, adoption: &Adoption) -> Result<Exit, Error> {
    hand(global, workspace, &Task::Adopt(adoption), &adoption.consent, adoption.dry_run).await
}

/// Lets go of what stands at the addresses.
///
/// # Errors
/// As [`adopt`].
pub async fn forget(
    global: &Global,
    workspace: &str,
    addresses: &[String],
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    let addresses = addresses.iter().map(|text| claims::address(text)).collect::<Result<Vec<_>, _>>()?;
    hand(global, workspace, &Task::Forget(&addresses), consent, dry_run).await
}

/// Gives what stands at an address another one: one resource, or all that is a service's.
///
/// # Errors
/// As [`adopt`].
pub async fn relocate(
    global: &Global,
    workspace: &str,
    (from, to): (&str, &str),
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    hand(global, workspace, &Task::Move { from, to }, consent, dry_run).await
}

async fn hand(
    global: &Global,
    workspace: &str,
    task: &Task<'_>,
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    let show = Show::new(global.json, global.verbose);
    let repository = match task {
        Task::Adopt(adoption) => claims::repository(global, workspace, adoption).await?,
        Task::Forget(_) | Task::Move { .. } => None,
    };
    let site = Site::open(global, workspace, Goal::Deploy, &Asked { repository, ..Asked::default() }).await?;
    unfinished::check(task, &site.snapshot, workspace)?;
    let looked = look(&site, task, &site.snapshot, &Cancel::never()).await?;
    show.json("plan", &looked.json);
    show.say(&looked.text);
    if looked.plan.writes().next().is_none() || dry_run {
        show::removal(&looked, &Outcome::default()).iter().for_each(|removal| show.say(&show::terraform(removal)));
        return Ok(Exit::Done);
    }
    consent::confirm(workspace, &format!("{} this in", task.word()), consent.yes)?;
    let (outcome, interrupted) = locked(&show, global, &site, task, consent, &looked).await?;
    Ok(report(&show, task, &site, &looked, &outcome, interrupted))
}

impl Task<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Adopt(_) => "adopt",
            Self::Forget(_) => "forget",
            Self::Move { .. } => "move",
        }
    }

    /// The word under which Terraform's lock is held: another run of ours knows by it that it was one of ours.
    fn operation(&self, site: &Site) -> String {
        format!("pb-deploy {} {}/{}", self.word(), site.owner.stack, site.owner.workspace)
    }
}

/// Observes and decides. Changes nothing.
async fn look(site: &Site, task: &Task<'_>, snapshot: &Snapshot, cancel: &Cancel) -> Result<Looked, Error> {
    match task {
        Task::Adopt(adoption) => {
            let wanted = Wanted::of(site, adoption).await?;
            let takeover = claims::takeover(site, &wanted, snapshot, cancel).await?;
            Ok(Looked {
                text: show::text(site, &wanted, &takeover),
                json: show::json(&wanted, &takeover),
                state: wanted.state,
                mapping: wanted.mapping,
                plan: takeover.plan,
            })
        }
        Task::Forget(addresses) => {
            let observed = observe(&site.graph, snapshot, &site.owner, cancel).await?;
            let plan = plan_forget(&site.graph, &observed, snapshot, addresses).map_err(Error::Refused)?;
            no_record_alone(&plan)?;
            let text = show::forget(site, &plan);
            let json = serde_json::json!({ "plan": plan });
            Ok(Looked { plan, text, json, state: None, mapping: Mapping::default() })
        }
        Task::Move { from, to } => {
            let moved = moves::look(site, from, to, snapshot, cancel).await?;
            let (text, json) = (show::moved(site, &moved), show::moved_json(&moved));
            Ok(Looked { plan: moved.plan, text, json, state: None, mapping: Mapping::default() })
        }
    }
}

/// A record carries no tags: it is ours as long as the load balancer is that it points to.
fn no_record_alone(plan: &Plan) -> Result<(), Error> {
    let of = |kind: &str| plan.steps.iter().find(|step| step.kind == kind);
    match (of("route53.record"), of("elbv2.load_balancer")) {
        (Some(record), None) => {
            let why = "a record cannot carry tags, and is ours as long as its load balancer is: forget that too";
            Err(Error::Refused(vec![PlanError { address: record.address.clone(), why: why.to_owned() }]))
        }
        _ => Ok(()),
    }
}

/// Does it under the lease, and under Terraform's lock where there is one; on what is seen under them.
async fn locked(
    show: &Show,
    global: &Global,
    site: &Site,
    task: &Task<'_>,
    consent: &Consent,
    looked: &Looked,
) -> Result<(Outcome, bool), Error> {
    let cancel = signals::listen();
    let claim = AcquireOptions {
        lock_timeout: Duration::from_secs(consent.lock_timeout),
        cancel: cancel.clone(),
        on_wait: waiting(show),
        ..AcquireOptions::new(crate::identity::who(), task.word())
    };
    let leases = LeaseTable::new(&site.aws, &site.place, global.timing());
    let session = Session::open(site.store(), &leases, &claim, show.events()).await?;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: task.word().to_owned(),
        owner: site.owner.clone(),
        events: show.events(),
        cancel,
    };
    let done = with_terraform(site, task, &session, &run, looked).await;
    if let (Task::Move { .. } | Task::Adopt(_), Ok(outcome)) = (task, &done)
        && outcome.is_complete()
        && !moves::is_seen(site, &session.snapshot(), &looked.plan, &run.cancel).await
    {
        show.say("AWS does not show all of the new tags yet: wait a minute before the next deploy");
    }
    let closed = session.close().await;
    let outcome = done?;
    closed?;
    Ok((outcome, run.cancel.is_stopped()))
}

async fn with_terraform(
    site: &Site,
    task: &Task<'_>,
    session: &Session,
    run: &Run,
    looked: &Looked,
) -> Result<Outcome, Error> {
    let lock = match task {
        Task::Adopt(adoption) => match claims::source(adoption)? {
            Some(source) => {
                let (table, who) = (&site.place.table, crate::identity::who());
                let lock = Lock::acquire(&site.aws, table, &source, &who, &task.operation(site)).await?;
                lock.map(|lock| (lock, source))
            }
            None => None,
        },
        Task::Forget(_) | Task::Move { .. } => None,
    };
    let checked = match &lock {
        Some((lock, source)) => match source.read(&site.aws).await {
            Ok(bytes) => lock.check(&bytes).await,
            Err(failure) => Err(failure),
        },
        None => Ok(()),
    };
    let done = match checked {
        Ok(()) => under_locks(site, task, session, run, looked).await,
        Err(failure) => Err(failure.into()),
    };
    let released = match lock {
        Some((lock, _)) => lock.release().await,
        None => Ok(()),
    };
    let outcome = done?;
    released?;
    Ok(outcome)
}

async fn under_locks(
    site: &Site,
    task: &Task<'_>,
    session: &Session,
    run: &Run,
    shown: &Looked,
) -> Result<Outcome, Error> {
    let snapshot = session.snapshot();
    unfinished::check(task, &snapshot, &site.workspace.name)?;
    let looked = look(site, task, &snapshot, &run.cancel).await?;
    if !same(&shown.plan, &looked.plan) || shown.state != looked.state {
        let message = "the resources have changed since they were shown: nothing was changed";
        return Err(Error::other(message, "run the same command again and look at what it shows"));
    }
    let ledger = Keeping::new(session, task);
    Ok(apply_ownership_changes(&site.graph, &looked.plan, &ledger, run).await?)
}

fn report(show: &Show, task: &Task<'_>, site: &Site, looked: &Looked, outcome: &Outcome, interrupted: bool) -> Exit {
    let workspace = &site.workspace.name;
    let removal = show::removal(looked, outcome);
    let text = match outcome.is_complete() {
        true => show::done(task.word(), outcome.done.len(), workspace),
        false => show::not_done(task.word(), outcome, workspace),
    };
    show.say(&text);
    removal.iter().for_each(|removal| show.say(&show::terraform(removal)));
    show.json("finished", &show::finished(outcome, removal.as_ref()));
    if outcome.is_complete() {
        return Exit::Done;
    }
    let only_stopped = outcome.failed.iter().all(|unfinished| is_interrupted(&unfinished.failure));
    if interrupted && only_stopped { Exit::Interrupted } else { Exit::Failed }
}

fn is_interrupted(failure: &Failure) -> bool {
    failure.class == Class::Interrupted
}
