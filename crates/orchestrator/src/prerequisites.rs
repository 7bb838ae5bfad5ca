//! What must be there before a deploy: an account that is allowed, the roles, the zone, two Availability Zones, images. All of
//! it is looked up, none of it is made.

use crate::exit::Error;
use crate::images::Images;
use aws_config::SdkConfig;
use pb_aws::ForOperation;
use pb_config::Workspace;
use pb_edge::Zone;
use pb_engine::{Class, Failure, Goal, Snapshot};

/// What was looked up.
#[derive(Debug, Clone)]
pub struct Prerequisites {
    /// The account of the credentials.
    pub account: String,
    /// What ECS uses to start tasks.
    pub execution_role_arn: String,
    /// What the application itself may do.
    pub task_role_arn: Option<String>,
    /// The public hosted zone.
    pub zone: Zone,
    /// The Availability Zones of the two subnets.
    pub zones: [String; 2],
    /// What the services run.
    pub images: Images,
}

impl Prerequisites {
    /// Stand-ins for all that would have to be looked up: for what is the same whatever the answers are.
    #[must_use]
    pub fn unknown(workspace: &Workspace) -> Self {
        let unknown = pb_engine::unknown;
        Self {
            account: unknown(),
            execution_role_arn: unknown(),
            task_role_arn: workspace.roles.task.as_ref().map(|_| unknown()),
            zone: Zone { id: unknown(), name: workspace.zone.clone() },
            zones: workspace
                .network
                .zones
                .clone()
                .unwrap_or_else(|| ["a", "b"].map(|zone| format!("{}{zone}", workspace.region))),
            images: Images::default(),
        }
    }
}

/// What is looked up while the snapshot is still on its way.
pub struct IndependentLookups {
    account: Result<String, Failure>,
    execution_role_arn: Result<String, Failure>,
    task_role_arn: Result<Option<String>, Failure>,
    zone: Result<Zone, Failure>,
    images: Result<Images, Vec<Failure>>,
}

impl IndependentLookups {
    /// The account of the credentials, when it was answered and is allowed.
    pub fn account(&self) -> Option<String> {
        self.account.as_ref().ok().cloned()
    }
}

/// Looks up at once what needs no snapshot.
pub async fn fetch_independent(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> IndependentLookups {
    let task_role = async {
        match &workspace.roles.task {
            Some(name) => role(aws, name, "roles.task", goal).await.map(Some),
            None => Ok(None),
        }
    };
    let (account, execution_role_arn, task_role_arn, zone, images) = tokio::join!(
        account(aws, workspace),
        role(aws, &workspace.roles.execution, "roles.execution", goal),
        task_role,
        zone(aws, workspace, goal),
        images(aws, workspace, goal),
    );
    IndependentLookups { account, execution_role_arn, task_role_arn, zone, images }
}

/// What the services run; to destroy nothing needs it.
async fn images(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> Result<Images, Vec<Failure>> {
    match goal {
        Goal::Deploy => Images::look_up(aws, workspace).await,
        Goal::Destroy => Ok(Images::default()),
    }
}

/// Looks up the rest, and tells everything that is missing at once. `moved` says that the images are in another repository than
/// was looked into ahead.
///
/// # Errors
/// Missing or refused credentials alone; otherwise all that is missing.
pub async fn resolve(
    aws: &SdkConfig,
    workspace: &Workspace,
    snapshot: &Snapshot,
    goal: Goal,
    ahead: IndependentLookups,
    moved: bool,
) -> Result<Prerequisites, Error> {
    let IndependentLookups { account, execution_role_arn: execution, task_role_arn: task, zone, images } = ahead;
    let images = if moved { self::images(aws, workspace, goal).await } else { images };
    let zones = zones(aws, workspace, snapshot).await;
    match (account, execution, task, zone, zones, images) {
        (Ok(account), Ok(execution_role_arn), Ok(task_role_arn), Ok(zone), Ok(zones), Ok(images)) => {
            Ok(Prerequisites { account, execution_role_arn, task_role_arn, zone, zones, images })
        }
        (account, execution, task, zone, zones, images) => {
            let failures = [account.err(), execution.err(), task.err(), zone.err(), zones.err()];
            let failures = failures.into_iter().flatten().chain(images.err().into_iter().flatten());
            Err(combined_error(failures.collect()))
        }
    }
}

/// One failure alone, and what explains all others alone.
fn combined_error(mut failures: Vec<Failure>) -> Error {
    let explains =
        |failure: &Failure| matches!(failure.class, Class::Credentials | Class::Unreachable | Class::Refused);
    let alone = failures.iter().position(explains).or((failures.len() == 1).then_some(0));
    match alone {
        Some(index) => Error::Failure(failures.swap_remove(index)),
        None => Error::MissingPrerequisites(failures),
    }
}

/// The account of the credentials.
///
/// # Errors
/// `Refused` when it is not one that may be deployed to.
pub async fn account(aws: &SdkConfig, workspace: &Workspace) -> Result<String, Failure> {
    let operation = "sts:GetCallerIdentity";
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await.for_operation(operation)?;
    let account = identity.account().unwrap_or_default().to_owned();
    match &workspace.allowed_account_ids {
        Some(allowed) if !allowed.contains(&account) => {
            let message =
                format!("these are credentials of account {account}, and {} may be deployed to", allowed.join(", "));
            let hint = "choose other credentials (AWS_PROFILE), or add the account to `allowed_account_ids`";
            Err(Failure::new(Class::Refused, "check the account", message).hint(hint))
        }
        _ => Ok(account),
    }
}

/// The ARN of a role; `key` names it in the configuration. To destroy nothing needs it: one that is gone is then as good as one
/// that is there.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn role(aws: &SdkConfig, name: &str, key: &str, goal: Goal) -> Result<String, Failure> {
    let answer = aws_sdk_iam::Client::new(aws).get_role().role_name(name).send().await.for_operation("iam:GetRole");
    if let (Goal::Destroy, Err(Class::NotFound)) = (goal, answer.as_ref().map_err(|failure| failure.class)) {
        return Ok(pb_engine::unknown());
    }
    let output = answer.map_err(|failure| match failure.class {
        Class::NotFound => Failure::new(Class::NotFound, "iam:GetRole", format!("there is no role {name:?}"))
            .hint(format!("make the role, or name another with `{key}` in the configuration")),
        _ => failure,
    })?;
    let role = output.role().map(|role| role.arn().to_owned());
    role.ok_or_else(|| Failure::new(Class::NotFound, "iam:GetRole", format!("the role {name:?} was not described")))
}

/// The zone, with what it means for a destroy that it is not there.
async fn zone(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> Result<Zone, Failure> {
    let found = pb_edge::find_zone(aws, &workspace.zone, workspace.zone_id.as_deref()).await;
    found.map_err(|failure| match (goal, failure.class) {
        (Goal::Destroy, Class::NotFound) => failure.hint(
            "these may be credentials of another account; if the zone was deleted, its records went with it: create an empty \
             public zone of this name until the destroy is done",
        ),
        _ => failure,
    })
}

/// The configured zones; else those that the subnets are in; else the region's first two.
///
/// # Errors
/// `Refused` when the region has fewer than two.
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
            "the region has fewer than two Availability Zones with Fargate, and a load balancer needs two",
        )
        .hint("choose another `region`")),
    }
}

/// Zones that a region gains or loses must not move subnets that are there.
fn recorded_zones(snapshot: &Snapshot) -> Option<[String; 2]> {
    let zone = |name: &str| {
        let (_, record) = snapshot.resources.iter().find(|(address, _)| address.as_str() == name)?;
        record.spec.get("zone")?.as_str().map(str::to_owned)
    };
    Some([zone("net/tasks_subnet")?, zone("net/balancer_subnet")?])
}
