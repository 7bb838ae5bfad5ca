//! `deploy` and `destroy`: plan, show, ask, act.

use crate::cli::{Consent, Global};
pub use crate::commands::agreed::{Agreed, same};
use crate::commands::interrupted::Interrupted;
use crate::commands::plan::operation;
use crate::commands::{conclude, missing, refresh, verify};
use crate::exit::{Error, Exit};
use crate::render::run::Show;
use crate::render::{self, BAD, BOLD, GOOD, WARN, paint};
use crate::site::{Asked, Site, is_recorded};
use crate::{consent, health, releases, signals};
use pb_engine::{
    Action, Address, Cancel, Class, Entry, Failure, Goal, Ledger, Outcome, Plan, Run, Snapshot, apply_plan,
};
use pb_state::{AcquireOptions, Holder, LeaseTable, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Plans, shows, asks and acts.
///
/// # Errors
/// What keeps the run from beginning. What fails in it is said here, and gives an exit code.
pub async fn run(
    global: &Global,
    workspace: &str,
    goal: Goal,
    consent: &Consent,
    asked: &Asked,
) -> Result<Exit, Error> {
    let show = Show::new(global.json, global.verbose);
    let site = Site::open(global, workspace, goal, asked).await?;
    if asked.selection.refresh_only {
        return refresh::run(global, &site, consent).await;
    }
    let looked = site.glance(goal).await?;
    show_plan(&show, &site, goal, &looked.plan, global.verbose);
    if looked.plan.is_empty() && is_recorded(&site.snapshot, &looked.plan) {
        let exit = verify::unchanged(&show, &site, &looked.plan).await?;
        return Ok(end(&show, global, &site, goal, &site.snapshot.outputs, exit));
    }
    if !looked.plan.is_empty() {
        consent::ask(workspace, goal, consent.yes)?;
    }
    let id = uuid::Uuid::new_v4().to_string();
    let (plan, accept_changed) = (&looked.plan, asked.accept_changed_plan);
    let agreed = if consent.yes { Agreed::Shown { plan, accept_changed } } else { Agreed::Exactly(plan) };
    locked(&show, global, &site, goal, &id, Duration::from_secs(consent.lock_timeout), agreed).await
}

/// Acts under the lease, on a plan that is made anew under it.
///
/// # Errors
/// What keeps the run from beginning: a lease that another holds, a world that is not what was agreed to.
pub async fn locked(
    show: &Show,
    global: &Global,
    site: &Site,
    goal: Goal,
    id: &str,
    lock_timeout: Duration,
    agreed: Agreed<'_>,
) -> Result<Exit, Error> {
    let (session, cancel) = open(show, global, site, operation(goal), lock_timeout).await?;
    let run = Run {
        id: id.to_owned(),
        operation: operation(goal).to_owned(),
        owner: site.owner.clone(),
        events: show.events(),
        cancel,
    };
    let since = Instant::now();
    let exactly = matches!(agreed, Agreed::Saved(_));
    let next = Agreed::Next { accept_changed: agreed.accepts_changed() };
    let acted = under_lease(show, site, goal, &session, &run, agreed).await;
    let (outcome, later) = match acted {
        Ok(outcome) if goal == Goal::Deploy && !exactly && outcome.is_complete() => {
            with_late_images(show, site, &session, run.cancel.clone(), outcome, next).await
        }
        acted => (acted, None),
    };
    let site = later.as_ref().unwrap_or(site);
    let (lost, snapshot) = (session.lost(), session.snapshot());
    let closed = session.close().await;
    let outcome = outcome?;
    report(show, &outcome, word(site, goal), &site.workspace.name, since);
    if let Some(lost) = lost {
        return Err(lost.into());
    }
    closed?;
    if !outcome.is_complete() {
        go_on(show, &outcome, &run, &site.workspace.name, &snapshot);
    }
    Ok(end(show, global, site, goal, &outcome.outputs, exit(&outcome, &run)))
}

fn word(site: &Site, goal: Goal) -> &'static str {
    match goal {
        Goal::Destroy => "Destroyed",
        Goal::Deploy if site.workspace.deploy.wait_timeout == 0 => "Started",
        Goal::Deploy => "Deployed",
    }
}

/// What can be done after a run that is not complete.
fn go_on(show: &Show, outcome: &Outcome, run: &Run, workspace: &str, now: &Snapshot) {
    let again = format!("pb-deploy {} {workspace}", run.operation);
    if outcome.is_applied() && !run.cancel.is_stopped() {
        return show.say(&verify::applied(workspace));
    }
    if !outcome.failed.iter().any(|failed| is_rollout(&failed.failure)) {
        return show.say(&format!("What was done is recorded. Run `{again}` again to finish."));
    }
    show.say(&format!("What was done is recorded. Mend what failed, then go on with `{again}`."));
    let released = now.releases.iter().filter(|release| release.run == run.id).flat_map(|release| &release.services);
    let back = |address: &Address| {
        let mut failed = outcome.failed.iter().filter(|failed| failed.address == *address);
        failed.any(|failed| failed.failure.details.iter().any(|detail| detail.starts_with(pb_fargate::ROLLED_BACK)))
    };
    let left = released.filter(|(address, released)| released.from.is_some() && !back(address));
    let left: Vec<&str> = left.map(|(address, _)| releases::key(address)).collect();
    if !left.is_empty() {
        let (names, verb) = (left.join(" and "), if left.len() == 1 { "is" } else { "are" });
        show.say(&format!(
            "Until then {names} {verb} left at what is new; `pb-deploy rollback {workspace}` goes back."
        ));
    }
}

/// Whether a rollout failed, and not a call.
fn is_rollout(failure: &Failure) -> bool {
    failure.operation.starts_with("roll out ")
}

/// What waited for images that were pushed meanwhile is made too. Gives the site with them.
async fn with_late_images(
    show: &Show,
    site: &Site,
    session: &Session,
    cancel: Cancel,
    outcome: Outcome,
    next: Agreed<'_>,
) -> (Result<Outcome, Error>, Option<Site>) {
    if site.facts.images.missing().next().is_none() || cancel.is_stopped() {
        return (Ok(outcome), None);
    }
    let later = match site.pushed_meanwhile().await {
        Ok(Some(later)) => later,
        Ok(None) => return (Ok(outcome), None),
        Err(error) => return (Err(error), None),
    };
    show.say("The images are in the repository now: going on with what waited for them.");
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: operation(Goal::Deploy).to_owned(),
        owner: site.owner.clone(),
        events: show.events(),
        cancel,
    };
    let more = under_lease(show, &later, Goal::Deploy, session, &run, next).await;
    let joined = more.map(|mut more| {
        more.done.splice(0..0, outcome.done);
        more
    });
    (joined, Some(later))
}

/// Takes the lease, and listens to Ctrl-C from then on.
///
/// # Errors
/// A lease that another holds; a snapshot that cannot be read.
pub async fn open(
    show: &Show,
    global: &Global,
    site: &Site,
    operation: &str,
    lock_timeout: Duration,
) -> Result<(Session, Cancel), Error> {
    let cancel = signals::listen();
    let store = site.store();
    let leases = LeaseTable::new(&site.aws, &site.place, global.timing());
    let claim = AcquireOptions {
        lock_timeout,
        cancel: cancel.clone(),
        on_wait: waiting(show),
        ..AcquireOptions::new(crate::identity::who(), operation)
    };
    Ok((Session::open(store, &leases, &claim, show.events()).await?, cancel))
}

/// Says who holds the lease while it is waited for.
pub fn waiting(show: &Show) -> Arc<dyn Fn(&Holder) + Send + Sync> {
    let show = show.clone();
    Arc::new(move |holder| {
        let Holder { who, operation, since, .. } = holder;
        show.say(&format!("locked by {who} ({operation}, since {since}): waiting to see whether that still runs"));
    })
}

async fn under_lease(
    show: &Show,
    site: &Site,
    goal: Goal,
    session: &Session,
    run: &Run,
    agreed: Agreed<'_>,
) -> Result<Outcome, Error> {
    let snapshot = session.snapshot();
    let mut looked = site.look(&snapshot, goal, &run.cancel).await?;
    verify::skip_unless_waited_for(site, &mut looked.plan);
    if let Some(heading) = agreed.heading(&looked.plan) {
        if !heading.is_empty() {
            show.say(heading);
        }
        show_plan(show, site, goal, &looked.plan, false);
    }
    agreed.check(&looked.plan)?;
    if let Agreed::Saved(saved) = agreed {
        saved.check(&looked.bound, &snapshot.applied, same(&saved.plan, &looked.plan))?;
        session.record(Entry::Applied(saved.id.clone()));
    }
    let mut outcome = tokio::select! {
        outcome = apply_plan(&site.graph, &looked.plan, session, run) => outcome?,
        () = show.still_waiting() => Outcome::default(),
    };
    if run.cancel.is_stopped() && goal == Goal::Deploy {
        let interrupted = Interrupted {
            show,
            aws: &site.aws,
            workspace: &site.workspace.name,
            operation: &run.operation,
            asked: site.on_interrupt,
        };
        interrupted.settle(&looked.plan, &mut outcome, &session.snapshot()).await;
    }
    if goal == Goal::Deploy {
        let waited = site.workspace.deploy.wait_timeout > 0;
        conclude::note(&looked.plan, &outcome, &snapshot, session, waited, true);
    }
    noted(site, goal, &looked.plan, &outcome, session, run);
    Ok(outcome)
}

/// Notes what was released. Counts that were set by hand and not kept are forgotten.
fn noted(site: &Site, goal: Goal, plan: &Plan, outcome: &Outcome, session: &Session, run: &Run) {
    let snapshot = session.snapshot();
    let waited = site.workspace.deploy.wait_timeout > 0;
    let images = Some(&site.facts.images);
    if let Some(release) = releases::of_run(plan, outcome, &snapshot, images, run, waited)
        && goal == Goal::Deploy
    {
        session.record(Entry::Released(release));
    }
    for (address, scaled) in &snapshot.scaled {
        let mut services = site.workspace.services.all();
        let is_kept = services
            .any(|(key, service)| releases::key(address) == key && service.keep_scale && service.count == scaled.count);
        if (!is_kept || goal == Goal::Destroy) && outcome.is_applied() {
            session.record(Entry::Scaled(address.clone(), None));
        }
    }
}

fn show_plan(show: &Show, site: &Site, goal: Goal, plan: &Plan, verbose: bool) {
    show.json("plan", plan);
    let title = if plan.is_empty() { String::new() } else { format!("To {} {}:\n\n", operation(goal), site.title()) };
    if goal == Goal::Destroy && plan.is_empty() {
        show.say(&format!("Nothing to destroy in {}.", site.title()));
    } else {
        let text = render::plan::text_without(plan, &site.not_deployed(goal), verbose);
        show.say(&format!("{title}{text}"));
    }
}

pub fn exit(outcome: &Outcome, run: &Run) -> Exit {
    let interrupted = outcome.failed.iter().all(|unfinished| unfinished.failure.class == Class::Interrupted);
    match outcome.is_complete() {
        true => Exit::Done,
        false if run.cancel.is_stopped() && interrupted => Exit::Interrupted,
        false => Exit::Failed,
    }
}

/// What was done, and what was not and why.
pub fn report(show: &Show, outcome: &Outcome, word: &str, workspace: &str, since: Instant) {
    let count = |is: fn(&Action) -> bool| outcome.done.iter().filter(|(_, action)| is(action)).count();
    let took = render::duration(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
    let did = format!(
        "{} made, {} changed, {} deleted in {took}",
        count(|action| *action == Action::Create),
        count(|action| *action == Action::Update),
        count(|action| *action == Action::Delete),
    );
    if outcome.is_complete() {
        return show.say(&format!("\n{} {}: {did}.", paint(GOOD, word), paint(BOLD, workspace)));
    }
    show.say(&format!("\n{} {workspace}: {did}.", paint(BAD, "Not complete:")));
    failures(show, outcome, workspace);
    if !outcome.skipped.is_empty() {
        let steps = render::count(outcome.skipped.len(), "step");
        show.say(&format!("  {steps} not begun, because of what is above."));
    }
}

/// What failed and why, with all that is known about it.
pub fn failures(show: &Show, outcome: &Outcome, workspace: &str) {
    for unfinished in &outcome.failed {
        let failure = &unfinished.failure;
        show.say(&format!("  {} {failure}", paint(BOLD, format!("{}:", unfinished.address))));
        for detail in &failure.details {
            show.say(&format!("    {detail}"));
        }
        let key = health::key(&unfinished.address).unwrap_or(releases::key(&unfinished.address));
        let more =
            || format!("more is in `pb-deploy logs {workspace} {key} --since 1h` and `pb-deploy tasks {workspace}`");
        let is_of_tasks = is_rollout(failure) || unfinished.action == Action::Check;
        let longer = || "run the same command again to go on, or raise `deploy.wait_timeout`".to_owned();
        let timed_out = || (failure.class == Class::TimedOut && !is_of_tasks).then(longer);
        if let Some(hint) = failure.hint.clone().or_else(|| is_of_tasks.then(more)).or_else(timed_out) {
            show.say(&format!("    {} {hint}", paint(WARN, "hint:")));
        }
    }
}

/// Ends a run: says what it gave, or what it waits for.
fn end(
    show: &Show,
    global: &Global,
    site: &Site,
    goal: Goal,
    outputs: &BTreeMap<String, serde_json::Value>,
    exit: Exit,
) -> Exit {
    let images = &site.facts.images;
    let exit = match goal {
        Goal::Deploy if exit == Exit::Done && images.missing().next().is_some() => Exit::ImagesMissing,
        _ => exit,
    };
    if exit == Exit::ImagesMissing {
        missing::say(show, images, outputs, &site.workspace.region, &site.workspace.name);
    }
    if exit == Exit::Done && site.workspace.deploy.wait_timeout == 0 {
        let follow = format!("pb-deploy wait {}", site.workspace.name);
        show.say(&format!(
            "{} whether what was started succeeds is not known; follow it with `{follow}`",
            paint(WARN, "Not waited for rollouts:")
        ));
    }
    finish(show, global, outputs, exit == Exit::Done);
    exit
}

/// The address on stdout, or the last of the JSON lines.
fn finish(show: &Show, global: &Global, outputs: &BTreeMap<String, serde_json::Value>, complete: bool) {
    if global.json {
        show.json("finished", &serde_json::json!({ "complete": complete, "outputs": outputs }));
    } else if complete && let Some(url) = outputs.get("url").and_then(serde_json::Value::as_str) {
        anstream::println!("{url}");
    }
}
