//! Prerequisites of a deploy: an allowed account, the roles, the hosted zone, two Availability Zones, images. They are
//! looked up and never created.

use crate::exit::Error;
use crate::stack::names;
use crate::workspace::images::Images;
use crate::workspace::preparation::{self, Creatable, Lookup};
use crate::workspace::{name_zones, public_dns, queue_version};
use aws_config::SdkConfig;
use futures_util::future::join;
use pb_aws::ForOperation;
use pb_config::{CreatedRole, TaskRole, Workspace};
use pb_dns::Resolver;
use pb_edge::Zone;
use pb_engine::{Cause, Class, Failure, Goal, Refusal, Snapshot};
use pb_redis::QueueNode;
use std::collections::BTreeMap;

/// Values of the prerequisites.
#[derive(Debug, Clone)]
pub struct Prerequisites {
    /// Account of the credentials.
    pub account: String,
    /// Role with which ECS starts tasks.
    pub execution_role_arn: String,
    /// Role of the application itself.
    pub task_role_arn: Option<String>,
    /// Public hosted zone.
    pub zone: Zone,
    /// Zones of the names of the certificate and of further hostnames that are not in that zone, by name.
    pub other_zones: BTreeMap<String, Zone>,
    /// Availability Zones of the two subnets.
    pub zones: [String; 2],
    /// Images of the services.
    pub images: Images,
    /// Resolver of public DNS, if the endpoint is AWS.
    pub public_dns: Option<Resolver>,
    /// Version of the queue's engine.
    pub queue_version: String,
}

impl Prerequisites {
    /// Returns placeholders for all values, for results that do not depend on them.
    #[must_use]
    pub fn unknown(workspace: &Workspace) -> Self {
        let unknown = pb_engine::unknown;
        Self {
            account: unknown(),
            execution_role_arn: unknown(),
            task_role_arn: workspace.roles.task.as_ref().map(|_| unknown()),
            zone: Zone { id: unknown(), name: workspace.zone.clone() },
            other_zones: BTreeMap::new(),
            zones: workspace
                .network
                .zones
                .clone()
                .unwrap_or_else(|| ["a", "b"].map(|zone| format!("{}{zone}", workspace.region))),
            images: Images::default(),
            public_dns: None,
            queue_version: queue_version::unknown(workspace),
        }
    }
}

impl Prerequisites {
    /// Returns the zone in which the records of a name belong.
    pub fn zone_of(&self, name: &str) -> Zone {
        self.other_zones.get(name).unwrap_or(&self.zone).clone()
    }
}

/// Results of the lookups that run while the snapshot is being read.
pub struct IndependentLookups {
    account: Result<String, Failure>,
    execution_role_arn: Result<String, Lookup>,
    task_role_arn: Result<Option<String>, Lookup>,
    zone: Result<Zone, Lookup>,
    other_zones: Result<BTreeMap<String, Zone>, Failure>,
    images: Result<Images, Vec<Failure>>,
    queue_nodes: Result<Option<Vec<QueueNode>>, Failure>,
}

impl IndependentLookups {
    /// Returns the account of the credentials if it could be read and is allowed.
    pub fn account(&self) -> Option<String> {
        self.account.as_ref().ok().cloned()
    }
}

/// Returns the error for a snapshot that could not be read, together with all other failed lookups if its bucket does
/// not exist.
pub async fn without_snapshot(
    aws: &SdkConfig,
    workspace: &Workspace,
    goal: Goal,
    failure: Failure,
    ahead: IndependentLookups,
) -> Error {
    let bucket = Lookup::creatable(failure, Creatable::Bucket);
    if goal == Goal::Destroy || bucket.creatable.is_none() {
        return Error::Failure(bucket.failure);
    }
    let IndependentLookups {
        account,
        execution_role_arn: execution,
        task_role_arn: task,
        zone,
        other_zones,
        images,
        queue_nodes,
    } = ahead;
    let known = account.as_ref().ok().cloned();
    let other = |failure: Option<Failure>| failure.map(Lookup::from);
    let others = [other(other_zones.err()), other(queue_nodes.err())];
    let failed = [other(account.err()), Some(bucket), execution.err(), task.err(), zone.err()];
    let failed = failed.into_iter().chain(others);
    let images = images.err().into_iter().flatten().map(Lookup::from);
    preparation::error(aws, workspace, known.as_deref(), failed.flatten().chain(images).collect()).await
}

/// Runs all lookups that do not depend on the snapshot, concurrently.
pub async fn fetch_independent(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> IndependentLookups {
    let task_role = async {
        match &workspace.roles.task {
            Some(TaskRole::Existing(name)) => Ok(Some(role(aws, name, "roles.task", goal).await?)),
            Some(TaskRole::Created(CreatedRole { name, .. })) => {
                let key = ("roles.task.name", Creatable::TaskRole);
                creatable_role(aws, workspace, name, key, goal).await.map(Some)
            }
            None => Ok(None),
        }
    };
    let execution = ("roles.execution", Creatable::ExecutionRole);
    let (account, execution_role_arn, task_role_arn, zone, other_zones, images, queue_nodes) = tokio::join!(
        account(aws, workspace),
        creatable_role(aws, workspace, &workspace.roles.execution, execution, goal),
        task_role,
        zone(aws, workspace, goal),
        name_zones::look_up(aws, workspace, goal),
        images(aws, workspace, goal),
        queue_version::nodes(aws, workspace, goal),
    );
    IndependentLookups { account, execution_role_arn, task_role_arn, zone, other_zones, images, queue_nodes }
}

/// Resolves the images of the services. A destroy does not need them.
async fn images(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> Result<Images, Vec<Failure>> {
    match goal {
        Goal::Deploy => Images::look_up(aws, workspace).await,
        Goal::Destroy => Ok(Images::default()),
    }
}

/// Completes the lookups and reports all missing prerequisites together. `moved` is set if the images are in a
/// different repository from the one that [`fetch_independent`] read, so that they have to be resolved again.
///
/// # Errors
/// All failures; only one of them if it explains the others, such as refused credentials.
pub async fn resolve(
    aws: &SdkConfig,
    workspace: &Workspace,
    snapshot: &Snapshot,
    goal: Goal,
    ahead: IndependentLookups,
    moved: bool,
) -> Result<Prerequisites, Error> {
    let IndependentLookups {
        account,
        execution_role_arn: execution,
        task_role_arn: task,
        zone,
        other_zones,
        images,
        queue_nodes,
    } = ahead;
    let images = if moved { self::images(aws, workspace, goal).await } else { images };
    let (zones, queue) =
        join(zones(aws, workspace, snapshot), queue_version::resolve(aws, workspace, snapshot, queue_nodes)).await;
    match (account, execution, task, zone, other_zones, zones, images, queue) {
        (Ok(account), Ok(execution), Ok(task), Ok(zone), Ok(other_zones), Ok(zones), Ok(images), Ok(queue_version)) => {
            let (execution_role_arn, task_role_arn) = (execution, task);
            let public_dns = public_dns::resolver(aws);
            Ok(Prerequisites {
                account,
                execution_role_arn,
                task_role_arn,
                zone,
                other_zones,
                zones,
                images,
                public_dns,
                queue_version,
            })
        }
        (account, execution, task, zone, other_zones, zones, images, queue) => {
            let known = account.as_ref().ok().cloned();
            let other = |failure: Option<Failure>| failure.map(Lookup::from);
            let failed = [
                other(account.err()),
                execution.err(),
                task.err(),
                zone.err(),
                other(other_zones.err()),
                other(zones.err()),
                other(queue.err()),
            ];
            let images = images.err().into_iter().flatten().map(Lookup::from);
            let failed = failed.into_iter().flatten().chain(images).collect();
            Err(preparation::error(aws, workspace, known.as_deref(), failed).await)
        }
    }
}

/// Returns the account of the credentials.
///
/// # Errors
/// `Refused` if the configuration does not allow the account.
pub async fn account(aws: &SdkConfig, workspace: &Workspace) -> Result<String, Failure> {
    let operation = "sts:GetCallerIdentity";
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await.for_operation(operation)?;
    let account = identity.account().unwrap_or_default().to_owned();
    match &workspace.allowed_account_ids {
        Some(allowed) if !allowed.contains(&account) => {
            let message = format!(
                "the credentials belong to account {account}; `allowed_account_ids` contains only {}",
                allowed.join(", ")
            );
            let hint = "use other credentials (AWS_PROFILE), or add the account to `allowed_account_ids`";
            Err(Failure::refused(Refusal::WrongAccount, "check the account", message).hint(hint))
        }
        _ => Ok(account),
    }
}

/// Returns the ARN of the role that the configuration key `key` names. A destroy does not need the role: if it is
/// missing, the ARN is unknown.
///
/// # Errors
/// `NotFound` if the role does not exist.
pub async fn role(aws: &SdkConfig, name: &str, key: &str, goal: Goal) -> Result<String, Failure> {
    let answer = aws_sdk_iam::Client::new(aws).get_role().role_name(name).send().await.for_operation("iam:GetRole");
    if let (Goal::Destroy, Err(Class::NotFound)) = (goal, answer.as_ref().map_err(|failure| failure.class)) {
        return Ok(pb_engine::unknown());
    }
    let output = answer.map_err(|failure| match failure.class {
        Class::NotFound => Failure::new(Class::NotFound, "iam:GetRole", format!("role {name:?} not found"))
            .cause(Cause::Prerequisite)
            .hint(format!("create the role, or set `{key}` to another one in the configuration")),
        _ => failure,
    })?;
    let role = output.role().map(|role| role.arn().to_owned());
    role.ok_or_else(|| Failure::new(Class::NotFound, "iam:GetRole", format!("the response contains no role {name:?}")))
}

/// Returns the ARN of a role that `bootstrap` creates, and that a configuration key names.
///
/// # Errors
/// The errors of [`role`].
async fn creatable_role(
    aws: &SdkConfig,
    workspace: &Workspace,
    name: &str,
    (key, what): (&str, Creatable),
    goal: Goal,
) -> Result<String, Lookup> {
    let found = role(aws, name, key, goal).await;
    found.map_err(|failure| match Lookup::creatable(failure, what) {
        Lookup { failure, creatable: Some(what) } => {
            let command = preparation::command(&workspace.name, [what]);
            let hint = format!("run `{command}`, which creates the role, or set `{key}` to another one");
            Lookup { failure: failure.hint(hint), creatable: Some(what) }
        }
        other => other,
    })
}

/// Looks up the zone. If it is missing, the hint names `bootstrap`, or the zone of the account that contains the name;
/// a destroy has a hint of its own.
///
/// # Errors
/// `NotFound` if the zone does not exist, or is private; `Refused` if several zones have the name.
pub async fn zone(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> Result<Zone, Lookup> {
    let failure = match pb_edge::find_zone(aws, &workspace.zone, workspace.zone_id.as_deref()).await {
        Ok(zone) => return Ok(zone),
        Err(failure) if failure.class != Class::NotFound => return Err(failure.into()),
        Err(failure) => failure,
    };
    if goal == Goal::Destroy {
        let failure = failure.hint(
            "check that the credentials belong to the right account; if the zone was deleted, its records are gone: \
             create an empty public zone with this name, and keep it until the destroy is done",
        );
        return Err(failure.into());
    }
    if workspace.zone_id.is_some() {
        return Err(failure.into());
    }
    Err(match pb_edge::containing_zone(aws, &workspace.zone).await {
        Ok(Some(Zone { id, name })) => {
            failure.hint(format!("set `zone = \"{name}\"`: this account has that public zone ({id})")).into()
        }
        _ => {
            let command = preparation::command(&workspace.name, [Creatable::Zone]);
            let hint = format!(
                "run `{command}`, which creates it, and set its name servers at the domain's registrar; or set `zone` to \
                 a zone that exists"
            );
            Lookup::creatable(failure.hint(hint), Creatable::Zone)
        }
    })
}

/// Returns the configured Availability Zones, or otherwise those of the recorded subnets, or otherwise the first two of
/// the region.
///
/// # Errors
/// `Refused` if the region has fewer than two.
pub async fn zones(aws: &SdkConfig, workspace: &Workspace, snapshot: &Snapshot) -> Result<[String; 2], Failure> {
    if let Some(zones) = &workspace.network.zones {
        return Ok(zones.clone());
    }
    if let Some(zones) = recorded_zones(snapshot) {
        return Ok(zones);
    }
    let mut names = pb_net::Ec2::from(aws).zones().await?.into_iter();
    match (names.next(), names.next()) {
        (Some(first), Some(second)) => Ok([first, second]),
        _ => Err(Failure::new(
            Class::Refused,
            "ec2:DescribeAvailabilityZones",
            "the region has fewer than two Availability Zones with Fargate; a load balancer needs two",
        )
        .cause(Cause::Prerequisite)
        .hint("choose another `region`")),
    }
}

/// Returns the recorded zones, so that existing subnets stay where they are if the region gains or loses a zone.
fn recorded_zones(snapshot: &Snapshot) -> Option<[String; 2]> {
    let zone = |address| snapshot.resources.get(address)?.spec.get("zone")?.as_str().map(str::to_owned);
    Some([zone(names::TASKS_SUBNET)?, zone(names::BALANCER_SUBNET)?])
}
