//! `status`: shows services, target health, drift, address and lock.

use crate::cli::Global;
use crate::commands::release_status::{self, ReleaseStatus};
use crate::exit::{Error, Exit};
use crate::output;
use crate::output::console;
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::workspace::context::{account_region, connect, load_workspace, state_location};
use crate::workspace::deployed_certificates::{self, DeployedCertificate};
use crate::workspace::images::{NOT_PUSHED, NotDeployed};
use crate::workspace::recorded_names::use_recorded_names;
use crate::workspace::stack_context::{RunOptions, StackContext};
use crate::workspace::{images, prerequisites};
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_edge::{CertificateStatus, TargetHealth};
use pb_engine::{Address, Failure, Goal, Intents, Origin, Plan, Snapshot};
use pb_fargate::ServiceStatus;
use pb_state::{Holder, LeaseTable, Session, StateLocation, Store};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Interval between two refreshes with `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Number of refreshes with `--watch` between two plans: a plan is made only once a minute, because it takes many more
/// calls.
const ROUNDS_PER_DRIFT: u32 = 30;

#[derive(Serialize)]
struct Status<'a> {
    workspace: &'a str,
    url: Option<&'a str>,
    deployed: bool,
    /// Operation of a run that did not finish.
    unfinished: Option<&'a str>,
    services: &'a [ServiceStatus],
    /// Configured services that do not exist in ECS.
    not_deployed: Vec<NotDeployed>,
    /// Releases that do not serve.
    unserved: Vec<ReleaseStatus<'a>>,
    /// Releases whose rollout ECS completed after the run that waited for it had ended.
    unconfirmed: Vec<ReleaseStatus<'a>>,
    targets: &'a [Target<'a>],
    certificates: Vec<Certificate<'a>>,
    drift: Option<&'a Drift>,
    /// Checks that currently fail.
    failing: Vec<Failing<'a>>,
    lock: Option<Lock<'a>>,
}

/// A check that fails.
#[derive(Serialize)]
struct Failing<'a> {
    address: &'a Address,
    message: &'a str,
    details: &'a [String],
}

/// A target of a service.
#[derive(Serialize)]
struct Target<'a> {
    service: &'a str,
    #[serde(flatten)]
    health: TargetHealth,
}

/// A certificate of the workspace.
#[derive(Serialize)]
struct Certificate<'a> {
    arn: &'a str,
    #[serde(flatten)]
    status: Option<&'a CertificateStatus>,
    /// Reason why its state is unknown.
    unknown: Option<String>,
}

impl<'a> From<&'a DeployedCertificate> for Certificate<'a> {
    fn from(DeployedCertificate { arn, status, .. }: &'a DeployedCertificate) -> Self {
        Self { arn, status: status.as_ref().ok(), unknown: status.as_ref().err().map(ToString::to_string) }
    }
}

/// The difference between the configuration and AWS.
#[derive(Clone, Serialize)]
struct Drift {
    /// Number of resources that a deploy would change.
    differ: usize,
    /// Number of these resources that were changed outside of pb-deploy.
    outside: usize,
    /// Reason why the difference is unknown.
    unknown: Option<String>,
    /// The plan from which the numbers were computed.
    #[serde(skip)]
    plan: Plan,
    /// Keys of the services whose images are not pushed yet.
    #[serde(skip)]
    not_pushed: BTreeSet<String>,
}

#[derive(Serialize)]
struct Lock<'a> {
    id: &'a str,
    who: &'a str,
    operation: &'a str,
    since: &'a str,
    fence: u64,
}

/// Reads and shows the status of one workspace.
struct StatusReader<'a> {
    global: &'a Global,
    workspace: Workspace,
    aws: SdkConfig,
    location: StateLocation,
    /// Account of the credentials, read only once; `None` if it could not be read.
    account: OnceCell<Option<String>>,
}

/// Shows services, target health, drift, address and lock. Changes nothing, and finds the services through the
/// snapshot.
///
/// # Errors
/// A read that fails.
pub async fn status(global: &Global, name: &str, watch: bool) -> Result<Exit, Error> {
    let workspace = load_workspace(global, name)?;
    let aws = connect(global, &workspace).await?;
    let location = state_location(&workspace);
    let reader = StatusReader { global, workspace, aws, location, account: OnceCell::new() };
    if !watch {
        let drift = async { Some(drift(global, name).await) };
        return reader.show(drift, false).await.map(|()| Exit::Done);
    }
    let mut known = None;
    for round in 0_u32.. {
        if round % ROUNDS_PER_DRIFT == 0 {
            known = Some(drift(global, name).await);
        }
        match reader.show(std::future::ready(known.clone()), true).await {
            // A temporary failure does not end the watch.
            Err(error) if round > 0 => {
                console::note(format!("{} {error}; retrying", paint(WARN, "status unavailable:")));
            }
            planned => planned?,
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(Exit::Done)
}

/// Returns the changes that a deploy would make.
async fn drift(global: &Global, name: &str) -> Drift {
    let planned = async {
        let context = StackContext::open(global, name, Goal::Deploy, &RunOptions::default()).await?;
        let planned = context.preview_plan(Goal::Deploy).await?;
        Ok::<_, Error>((planned.plan, context.prerequisites.images.missing().map(|(key, _)| key.to_owned()).collect()))
    };
    match planned.await {
        Ok((plan, not_pushed)) => {
            let outside = |origin| matches!(origin, Some(Origin::Drift | Origin::Both));
            let outside = plan.writes().filter(|step| outside(step.origin)).count();
            Drift { differ: plan.writes().count(), outside, unknown: None, plan, not_pushed }
        }
        Err(why) => Drift {
            differ: 0,
            outside: 0,
            unknown: Some(why.to_string()),
            plan: Plan::default(),
            not_pushed: BTreeSet::new(),
        },
    }
}

/// Returns the configured services that are not among `services`.
fn not_deployed(
    workspace: &Workspace,
    snapshot: &Snapshot,
    services: &[ServiceStatus],
    drift: Option<&Drift>,
) -> Vec<NotDeployed> {
    let is_there = |key: &str| {
        let name = workspace.names.service(key);
        services.iter().any(|service| Some(service.name.as_str()) == name)
    };
    let uri = images::repository(workspace, &snapshot.outputs);
    let missing = workspace.services.all().filter(|(key, _)| !is_there(key));
    let one = |(key, service)| {
        let is_pushed = drift.is_none_or(|drift| !drift.not_pushed.contains(key));
        let reason = (!is_pushed).then(|| NOT_PUSHED.to_owned());
        NotDeployed { reason, ..images::not_deployed(workspace, key, service, uri) }
    };
    missing.map(one).collect()
}

impl StatusReader<'_> {
    async fn show(&self, drift: impl Future<Output = Option<Drift>>, watched: bool) -> Result<(), Error> {
        let Self { global, workspace, aws, location, account } = self;
        let store = Store::new(aws, location);
        let leases = LeaseTable::new(aws, location, global.timing());
        let services = async {
            let account = account.get_or_init(async || prerequisites::account(aws, workspace).await.ok());
            let (snapshot, account) = tokio::join!(Session::read_only(&store), account);
            let snapshot = snapshot?;
            account_region(workspace, account.clone()).check(&snapshot, &workspace.name)?;
            let mut workspace = workspace.clone();
            use_recorded_names(&mut workspace, &snapshot);
            let names: Vec<String> = workspace.names.services().map(str::to_owned).collect();
            let (services, certificates) = tokio::join!(
                pb_fargate::status(aws, &workspace.names.cluster, &names),
                deployed_certificates::read(aws, &snapshot),
            );
            Ok::<_, Failure>((snapshot, services?, certificates, workspace))
        };
        let (services, holder, drift) = tokio::join!(services, leases.peek(), drift);
        let ((snapshot, services, certificates, deployed), holder) = (services?, holder?);
        let mut targets = Vec::new();
        for service in &services {
            for group in &service.target_groups {
                let found = pb_edge::target_health(aws, group).await?;
                targets.extend(found.into_iter().map(|health| Target { service: &service.name, health }));
            }
        }
        let (unserved, unconfirmed) = release_status::unserved(&deployed, &services, &snapshot);
        let status = Status {
            workspace: &workspace.name,
            url: snapshot.outputs.get("url").and_then(|url| url.as_str()),
            deployed: !snapshot.resources.is_empty(),
            unfinished: snapshot.intents.as_ref().map(|intents| intents.operation.as_str()),
            services: &services,
            not_deployed: not_deployed(&deployed, &snapshot, &services, drift.as_ref()),
            unserved,
            unconfirmed,
            targets: &targets,
            certificates: certificates.iter().map(Certificate::from).collect(),
            drift: drift.as_ref(),
            failing: drift.iter().flat_map(failing).collect(),
            lock: holder.as_ref().map(lock),
        };
        if global.json {
            // Each round of a watch is one line.
            match watched {
                true => console::json_line(&status)?,
                false => console::document(&status)?,
            }
        } else {
            if watched {
                console::clear_screen();
            }
            show(&status, &snapshot);
        }
        Ok(())
    }
}

fn failing(drift: &Drift) -> impl Iterator<Item = Failing<'_>> {
    let failing = drift.plan.failing();
    failing.map(|(check, message, details)| Failing { address: &check.address, message, details })
}

fn lock(holder: &Holder) -> Lock<'_> {
    let Holder { id, who, operation, since, fence, .. } = holder;
    Lock { id, who, operation, since, fence: *fence }
}

fn show(status: &Status<'_>, snapshot: &Snapshot) {
    let resources = output::count(snapshot.resources.len(), "resource");
    let state = if status.deployed { resources } else { paint(DIM, "not deployed") };
    console::print(format!("{}  {state}  {}", paint(BOLD, status.workspace), status.url.unwrap_or_default()));
    status.certificates.iter().for_each(show_certificate);
    for service in status.services {
        show_service(service);
        let last = status.unserved.iter().chain(&status.unconfirmed).filter(|last| last.service == service.name);
        last.for_each(|last| release_status::show(last, status.workspace));
        status.targets.iter().filter(|target| target.service == service.name).for_each(show_target);
    }
    if status.deployed {
        status.not_deployed.iter().for_each(show_not_deployed);
        if let Some(drift) = status.drift {
            show_drift(drift, &status.not_deployed, status.workspace);
        }
    }
    for Failing { address, message, .. } in &status.failing {
        console::print(format!("  {} {address}: {message}", paint(BAD, "failing:")));
    }
    if let Some(intents) = &snapshot.intents {
        show_unfinished(intents, status.workspace);
    }
    match &status.lock {
        Some(lock) => console::print(format!(
            "  {} by {} ({}, since {}), id {}",
            paint(WARN, "locked"),
            lock.who,
            lock.operation,
            lock.since,
            lock.id
        )),
        None => console::print(format!("  {}", paint(DIM, "not locked"))),
    }
}

fn show_unfinished(intents: &Intents, workspace: &str) {
    let operation = &intents.operation;
    let words = match intents.written {
        true => format!("the last {operation} left rollouts in progress; follow them with: pb-deploy wait {workspace}"),
        false => format!("the last {operation} did not finish; run it again"),
    };
    console::print(format!("  {} {words}", paint(WARN, "unfinished:")));
}

fn show_service(service: &ServiceStatus) {
    let full = service.running == service.desired && service.rollout.as_deref() == Some("COMPLETED");
    let rollout = service.rollout.as_deref().unwrap_or("no deployment");
    let counts = format!("{} of {} running, {} pending", service.running, service.desired, service.pending);
    let failed = if service.failed > 0 { format!(", {} failed", service.failed) } else { String::new() };
    let revision = service.revision.as_deref().unwrap_or_default();
    let age = service.age_seconds.map(|seconds| format!(", {}", output::age(seconds))).unwrap_or_default();
    let style = if full { GOOD } else { WARN };
    let about = paint(DIM, format!("{revision}{age}"));
    console::print(format!("  {:<20} {}  {rollout}{failed}  {about}", service.name, paint(style, counts)));
    if let Some(image) = &service.image {
        console::print(format!("  {:<20} {}", "", paint(DIM, image)));
    }
}

fn show_certificate(certificate: &Certificate<'_>) {
    let Some(status) = certificate.status else {
        let unknown = certificate.unknown.as_deref().unwrap_or_default();
        return console::print(format!("  {:<20} {}", "certificate", paint(WARN, format!("unknown: {unknown}"))));
    };
    let style = if output::certificate::is_fine(status) { GOOD } else { WARN };
    let state = paint(style, output::certificate::state(status));
    console::print(format!("  {:<20} {}: {state}", "certificate", output::certificate::names(status, 2)));
}

fn show_not_deployed(service: &NotDeployed) {
    let reason = service.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let state = paint(WARN, format!("not deployed{reason}"));
    console::print(format!("  {:<20} {state}  {}", service.name, paint(DIM, &service.image)));
}

fn show_target(target: &Target<'_>) {
    let TargetHealth { address, state, reason } = &target.health;
    let style = match state.as_str() {
        "healthy" => GOOD,
        "initial" | "draining" => WARN,
        _ => BAD,
    };
    let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    console::print(format!("  {:<20} target {address} {}{reason}", "", paint(style, state)));
}

fn show_drift(drift: &Drift, not_deployed: &[NotDeployed], workspace: &str) {
    if !not_deployed.is_empty() {
        let verb = if not_deployed.len() == 1 { "is" } else { "are" };
        let what = format!("{} {verb} not deployed", output::count(not_deployed.len(), "service"));
        let push = if drift.not_pushed.is_empty() { "" } else { "push the images, then " };
        console::print(format!("  {}", paint(WARN, format!("{what}: {push}pb-deploy deploy {workspace}"))));
    }
    let text = match drift {
        Drift { unknown: Some(why), .. } => paint(WARN, format!("drift unknown: {why}")),
        Drift { differ: 0, .. } if !not_deployed.is_empty() => return,
        Drift { differ: 0, .. } => paint(GOOD, "as configured"),
        Drift { differ, outside, .. } => {
            let differ =
                if *differ == 1 { "1 resource differs".to_owned() } else { format!("{differ} resources differ") };
            let outside = match outside {
                0 => String::new(),
                _ => format!("{outside} changed outside of pb-deploy; "),
            };
            paint(WARN, format!("{differ} from the configuration ({outside}see `pb-deploy plan {workspace}`)"))
        }
    };
    console::print(format!("  {text}"));
}
