//! `rollback`, `restart`, `scale` and `wait`.

use crate::cli::{Consent, Global, WaitOptions};
use crate::commands::change::{Change, Revision, Scene, Wish, change, step};
use crate::commands::conclude;
use crate::exit::{Error, Exit};
use crate::releases::{self, SERVICE};
use crate::render::run::Show;
use crate::render::{BOLD, GOOD, paint};
use crate::{health, signals, standing};
use pb_config::{OtherService, Workspace};
use pb_engine::{Action, Address, Graph, MemoryLedger, Outcome, Plan, Release, Run, Snapshot, Step, apply_plan};
use pb_fargate::ServiceSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Restarts services: all, or the named ones. Their tasks are replaced as in a rollout.
///
/// # Errors
/// As [`change`].
pub async fn restart(
    global: &Global,
    name: &str,
    services: &[String],
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let scene = Scene::open(global, name).await?;
    let mut wishes = BTreeMap::new();
    for key in services {
        wishes.insert(scene.address(key)?, Wish::Restart);
    }
    if services.is_empty() {
        wishes.extend(deployed(&scene.snapshot).map(|address| (address.clone(), Wish::Restart)));
    }
    let asked = Change { operation: "restart", wishes: &wishes, reach: false };
    change(global, &scene, &asked, consent, wait).await
}

/// Sets how many tasks run.
///
/// # Errors
/// As [`change`].
pub async fn scale(
    global: &Global,
    name: &str,
    counts: &[(String, i32)],
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let scene = Scene::open(global, name).await?;
    let mut wishes = BTreeMap::new();
    for (key, count) in counts {
        let address = scene.address(key)?;
        let most = |service: &pb_config::Service| {
            let rule = match scene.workspace.services.others.get(key) {
                Some(OtherService::Scheduler(_)) => pb_rules::fargate::scheduler_count((*count).into()),
                _ => pb_rules::fargate::desired_count((*count).into()),
            };
            rule.and_then(|()| {
                let (min, max) = (service.min_healthy_percent.into(), service.max_percent.into());
                pb_rules::fargate::rollout_can_progress((*count).into(), min, max)
            })
        };
        let service = scene.workspace.services.all().find(|(known, _)| known == key).map(|(_, service)| service);
        if let Some(Err(why)) = service.map(most) {
            return Err(Error::usage(format!("invalid count of {key}: {why}"), "choose another count"));
        }
        wishes.insert(address, Wish::Count(*count));
    }
    let asked = Change { operation: "scale", wishes: &wishes, reach: false };
    let exit = change(global, &scene, &asked, consent, wait).await?;
    let show = Show::new(global.json, global.verbose);
    counts.iter().for_each(|(key, _)| show.say(&afterwards(&scene.workspace, key)));
    Ok(exit)
}

/// What becomes of a count that was set by hand.
fn afterwards(workspace: &Workspace, key: &str) -> String {
    let field = format!("{}.desired_count", releases::address(key));
    if workspace.ignore_changes.contains(&field) {
        return format!("A deploy leaves the count of {key} alone (`ignore_changes`); what scales it may change it.");
    }
    match workspace.services.all().any(|(known, service)| known == key && service.keep_scale) {
        true => format!("A deploy keeps this count of {key}, until `count` is changed in the configuration."),
        false => format!("The next deploy goes back to the configured count of {key} (`keep_scale` changes that)."),
    }
}

/// Goes back: to the named revision, or to what each service ran before the deploy that brought what it runs now. Repairs what
/// leads from the load balancer to the services.
///
/// # Errors
/// As [`change`]; a revision that cannot be run; nothing to go back to.
pub async fn rollback(
    global: &Global,
    name: &str,
    revision: Option<&str>,
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let scene = Scene::open(global, name).await?;
    let wishes = match revision {
        Some(revision) => BTreeMap::from([named(&scene, revision).await?]),
        None => match before(&scene).await {
            Ok(wishes) => wishes,
            // Where no earlier revision can be run, the way to the one that runs may still have to be repaired.
            Err(error) if !scene.needs_repair().await? => return Err(error),
            Err(_) => BTreeMap::new(),
        },
    };
    let asked = Change { operation: "rollback", wishes: &wishes, reach: true };
    change(global, &scene, &asked, consent, wait).await
}

/// `flask:3` or `staging-flask:3`.
async fn named(scene: &Scene, text: &str) -> Result<(Address, Wish), Error> {
    let hint = format!("see what there is: pb-deploy history {}", scene.workspace.name);
    let malformed = || Error::usage(format!("{text:?} is no revision: flask:3 is one, or its full name"), hint.clone());
    let (family, number) = text.rsplit('/').next().unwrap_or(text).split_once(':').ok_or_else(malformed)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let its = |key: &str| standing::family(&scene.workspace, &scene.snapshot, key);
    let mut keys = scene.workspace.services.all().map(|(key, _)| key);
    let key = keys.find(|key| *key == family || its(key) == family).unwrap_or(family);
    let address = scene.address(key)?;
    let name = format!("{}:{number}", its(key));
    Ok((address, Wish::Revision(usable(scene, &name).await?)))
}

/// A revision that can be run and is ours.
async fn usable(scene: &Scene, name: &str) -> Result<Revision, Error> {
    let hint = format!("see what there is: pb-deploy history {}", scene.workspace.name);
    match pb_fargate::revision(&scene.aws, name).await? {
        None => Err(Error::other(format!("there is no revision {name}"), hint)),
        Some(found) if scene.place.owner.address_from_tags(&found.tags).is_none() => {
            Err(Error::other(format!("the revision {name} does not carry this workspace's tags: it is not ours"), hint))
        }
        Some(found) if !found.active => {
            Err(Error::other(format!("the revision {name} was deregistered and cannot be run any more"), hint))
        }
        Some(found) => Ok(found.into()),
    }
}

/// For each service of the last deploy that still serves: what it ran before.
async fn before(scene: &Scene) -> Result<BTreeMap<Address, Wish>, Error> {
    let none = |message: &str| {
        let hint = format!("name a revision that `pb-deploy history {}` shows", scene.workspace.name);
        Error::other(message, hint)
    };
    let release = last_deploy(&scene.snapshot).ok_or_else(|| none("no deploy is remembered that could be undone"))?;
    let mut wishes = BTreeMap::new();
    for (address, released) in &release.services {
        if in_use(&scene.snapshot, address) != Some(released.to.as_str()) {
            continue;
        }
        let Some(from) = released.from.as_ref().filter(|from| **from != released.to) else {
            return Err(none(&format!("{address} has run nothing else before: there is nothing to go back to")));
        };
        wishes.insert(address.clone(), Wish::Before(usable(scene, from).await?));
    }
    Ok(wishes)
}

/// The latest deploy whose revision some service still has.
fn last_deploy(snapshot: &Snapshot) -> Option<&Release> {
    let deploys = snapshot.releases.iter().rev().filter(|release| release.operation == "deploy");
    deploys.into_iter().find(|release| {
        let mut services = release.services.iter();
        services.any(|(address, released)| in_use(snapshot, address) == Some(released.to.as_str()))
    })
}

fn in_use<'a>(snapshot: &'a Snapshot, address: &Address) -> Option<&'a str> {
    snapshot.resources.get(address)?.spec.get("task_definition")?.as_str()
}

fn deployed(snapshot: &Snapshot) -> impl Iterator<Item = &Address> {
    snapshot.resources.iter().filter(|(_, record)| record.kind == SERVICE).map(|(address, _)| address)
}

/// Waits until what was released last serves. Changes nothing in AWS; what came of the rollouts is recorded, if the lease
/// is free.
///
/// # Errors
/// What a read fails with. A rollout that failed is said here, and gives an exit code.
pub async fn wait(global: &Global, name: &str, wait: &WaitOptions) -> Result<Exit, Error> {
    let scene = Scene::open(global, name).await?;
    let show = Show::new(global.json, global.verbose);
    let mut graph = Graph::new();
    let kind = pb_fargate::register_services(&mut graph, &scene.aws, scene.within(wait), usize::MAX, false);
    let healthy = health::kind(&scene.aws, &scene.workspace, scene.within(wait));
    let mut steps = Vec::new();
    for address in deployed(&scene.snapshot) {
        let record = &scene.snapshot.resources[address];
        let spec: ServiceSpec = serde_json::from_value(record.spec.clone())
            .map_err(|e| Error::other(format!("cannot read {address}: {e}"), "deploy once with this version"))?;
        let (key, count) = (releases::key(address), spec.desired_count);
        let service = graph.add(address.as_str(), &kind, (), {
            let spec = spec.clone();
            move |()| spec.clone()
        })?;
        let at_least = health::at_least(&scene.workspace, key, count);
        health::add(&mut graph, &healthy, (key, service), &spec, at_least)?;
        let (before, attrs) = (Some(record.spec.clone()), Some(record.attrs.clone()));
        let after = before.clone();
        steps.push(Step { before, after, attrs, ..step(address, SERVICE, Action::Wait, None) });
    }
    let run = Run {
        id: String::new(),
        operation: "wait".to_owned(),
        owner: Arc::new(scene.place.owner.clone()),
        events: show.events(),
        cancel: signals::listen(),
    };
    let checks = if scene.within(wait).is_some() { graph.due_checks() } else { Vec::new() };
    let plan = Plan { steps, checks };
    let ledger = MemoryLedger::default();
    let outcome = tokio::select! {
        outcome = apply_plan(&graph, &plan, &ledger, &run) => outcome?,
        () = show.still_waiting() => Outcome::default(),
    };
    conclude::record(&show, global, &scene, &plan, &outcome, &ledger.snapshot()).await;
    super::run::failures(&show, &outcome, name);
    if !outcome.is_complete() {
        show.json("finished", &serde_json::json!({ "complete": false }));
        return Ok(super::run::exit(&outcome, &run));
    }
    show.json("finished", &serde_json::json!({ "complete": true }));
    show.say(&format!("{} all services of {} run what was released last.", paint(GOOD, "Serving:"), paint(BOLD, name)));
    Ok(Exit::Done)
}
