//! A run that is interrupted in the middle of a rollout: leave the rollout going, or stop it and roll back.

use crate::cli::OnInterrupt;
use crate::releases::SERVICE;
use crate::render::run::Show;
use crate::render::{BOLD, WARN, paint};
use crate::signals;
use crate::site::Site;
use pb_engine::{Address, Class, Outcome, Plan, Snapshot};
use pb_fargate::ServiceAttrs;
use std::io::{BufRead, IsTerminal};
use std::time::Duration;

/// How long a rollback is waited for that somebody asked for.
const ROLLBACK: Duration = Duration::from_secs(600);

/// Settles what becomes of the rollouts that an interrupted run has started. It still holds the lease.
pub async fn settle(
    show: &Show,
    site: &Site,
    plan: &Plan,
    outcome: &Outcome,
    now: &Snapshot,
    asked: Option<OnInterrupt>,
) {
    let started = started(plan, outcome, now);
    if started.is_empty() {
        return;
    }
    let names: Vec<&str> = started.iter().map(|(_, attrs)| attrs.name.as_str()).collect();
    let names = names.join(", ");
    let choice = match asked {
        Some(choice) => choice,
        None => ask(show, &names).await,
    };
    let workspace = &site.workspace.name;
    if choice == OnInterrupt::Leave {
        return show.say(&format!(
            "{} {names}. Follow with `pb-deploy wait {workspace}`; undo with `pb-deploy rollback {workspace}`.",
            paint(WARN, "The rollout goes on in ECS:")
        ));
    }
    for (address, attrs) in started {
        show.say(&format!("  {}: stopping the rollout and rolling back", paint(BOLD, &address)));
        match pb_fargate::stop_rollout(&site.aws, &attrs, ROLLBACK).await {
            Ok(came) => show.say(&format!("  {}: {came}", paint(BOLD, &address))),
            Err(failure) => show.say(&format!("  {}: it may still go on: {failure}", paint(BOLD, &address))),
        }
    }
}

/// The services whose rollout was begun and not waited for to its end.
fn started(plan: &Plan, outcome: &Outcome, now: &Snapshot) -> Vec<(Address, ServiceAttrs)> {
    let services = plan.changes().filter(|step| step.kind == SERVICE);
    let interrupted = |address: &Address| {
        let mut failed = outcome.failed.iter();
        failed.any(|failed| failed.address == *address && failed.failure.class == Class::Interrupted)
    };
    let attrs = |address: &Address| {
        let record = now.resources.get(address).filter(|record| !record.settled)?;
        serde_json::from_value(record.attrs.clone()).ok()
    };
    services
        .filter(|step| interrupted(&step.address))
        .filter_map(|step| Some((step.address.clone(), attrs(&step.address)?)))
        .collect()
}

/// Asks in a terminal; without one, and after SIGTERM, nobody can answer and the rollout is left going.
async fn ask(show: &Show, names: &str) -> OnInterrupt {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !is_terminal || signals::terminated() {
        return OnInterrupt::Leave;
    }
    show.say(&format!("The rollout of {} is under way in ECS.", paint(BOLD, names)));
    anstream::eprint!(
        "{} Leave it going, or stop it and roll back? Type {} or {}: ",
        paint(WARN, "?"),
        paint(BOLD, "leave"),
        paint(BOLD, "rollback")
    );
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    match answer.await {
        Ok(Ok(answer)) if answer.trim() == "rollback" => OnInterrupt::Rollback,
        _ => OnInterrupt::Leave,
    }
}
