//! The prerequisites that `bootstrap` creates, and the error for an account that lacks some of them.

use crate::exit::Error;
use aws_config::SdkConfig;
use pb_bootstrap::{BootstrapSpec, SecretsPolicies, Source, TaskRoleInputs};
use pb_config::{TaskRole, Workspace};
use pb_engine::{
    Action, Cancel, Cause, Class, Failure, Goal, Graph, Plan, PlanError, PlanScope, Snapshot, Step, compute_plan,
    observe,
};
use pb_rules::{region, secrets};
use std::sync::Arc;

/// A failed lookup.
pub struct Lookup {
    pub failure: Failure,
    /// The prerequisite, if it does not exist and `bootstrap` creates it.
    pub creatable: Option<Creatable>,
}

/// A prerequisite that `bootstrap` creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creatable {
    Bucket,
    Table,
    ExecutionRole,
    TaskRole,
    /// Needs `--zone`.
    Zone,
}

impl From<Failure> for Lookup {
    fn from(failure: Failure) -> Self {
        Self { failure, creatable: None }
    }
}

impl Lookup {
    /// Marks a prerequisite that does not exist as one that `bootstrap` creates.
    pub fn creatable(failure: Failure, what: Creatable) -> Self {
        let is_missing = failure.class == Class::NotFound && matches!(failure.cause, Cause::Prerequisite);
        Self { failure, creatable: is_missing.then_some(what) }
    }
}

impl Creatable {
    /// Returns the prerequisite that a step of the plan of `bootstrap` creates.
    fn of(step: &Step) -> Option<Self> {
        match step.kind.as_str() {
            _ if step.action != Action::Create => None,
            <pb_bootstrap::Bucket as pb_engine::Resource>::KIND => Some(Self::Bucket),
            <pb_bootstrap::Table as pb_engine::Resource>::KIND => Some(Self::Table),
            <pb_bootstrap::Role as pb_engine::Resource>::KIND => Some(Self::ExecutionRole),
            <pb_bootstrap::TaskRole as pb_engine::Resource>::KIND => Some(Self::TaskRole),
            <pb_bootstrap::HostedZone as pb_engine::Resource>::KIND => Some(Self::Zone),
            _ => None,
        }
    }

    /// Returns the failure that reports the prerequisite as missing.
    fn failure(self, workspace: &Workspace) -> Failure {
        let state = &workspace.state;
        let (operation, message) = match self {
            Self::Bucket => ("find the state bucket", format!("bucket {} not found", state.bucket)),
            Self::Table => ("find the lock table", format!("lock table {} not found in this region", state.lock_table)),
            Self::ExecutionRole => ("iam:GetRole", format!("role {:?} not found", workspace.roles.execution)),
            Self::TaskRole => {
                let role = workspace.roles.task.as_ref().map(TaskRole::name).unwrap_or_default();
                ("iam:GetRole", format!("role {role:?} not found"))
            }
            Self::Zone => {
                ("find the hosted zone", format!("no public hosted zone `{}` in this account", workspace.zone))
            }
        };
        Failure::new(Class::NotFound, operation, message).cause(Cause::Prerequisite)
    }
}

/// Returns the command that creates these prerequisites.
pub fn command(workspace: &str, what: impl IntoIterator<Item = Creatable>) -> String {
    let zone = if what.into_iter().any(|what| what == Creatable::Zone) { " --zone" } else { "" };
    format!("pb-deploy bootstrap {workspace}{zone}")
}

/// Returns the name of the inline policy with the statements of the task role. It contains the workspace, because several
/// workspaces can name the same role.
pub fn task_policy(workspace: &Workspace) -> String {
    format!("{}.{}.{}.task", workspace.stack, workspace.name, workspace.region)
}

/// Returns the desired prerequisites of a workspace.
pub fn spec(workspace: &Workspace, account: &str, zone: bool) -> BootstrapSpec {
    let references = workspace.services.all().flat_map(|(_, service)| service.secrets.values());
    let (stack, region) = (&workspace.stack, &workspace.region);
    let partition = region::partition(region).unwrap_or("aws");
    BootstrapSpec {
        secrets: references.filter_map(|one| secrets::permission(one)).map(|(_, arn)| arn).collect(),
        stack_secrets: format!("arn:{partition}:secretsmanager:{region}:{account}:secret:pb-deploy/{stack}/*"),
        secrets_policies: SecretsPolicies {
            services: format!("{stack}.{}.{region}.secrets", workspace.name),
            stack: format!("{stack}.{region}.stack-secrets"),
        },
        permissions_boundary: workspace.roles.permissions_boundary.clone(),
        task_role: workspace.roles.task.as_ref().and_then(TaskRole::created).map(|role| TaskRoleInputs {
            name: role.name.clone(),
            policy: task_policy(workspace),
            statements: role.statements.clone(),
            source: Source { partition: partition.to_owned(), region: region.clone(), account: account.to_owned() },
        }),
        account: account.to_owned(),
        bucket: workspace.state.bucket.clone(),
        region: workspace.region.clone(),
        table: workspace.state.lock_table.clone(),
        execution_role: workspace.roles.execution.clone(),
        zone: zone.then(|| workspace.zone.clone()),
    }
}

/// Computes the plan of `bootstrap` for bucket, table and roles.
///
/// # Errors
/// The outer error is that of a call, or `Bug`. The inner error lists what `bootstrap` would refuse.
pub async fn bootstrap_plan(
    aws: &SdkConfig,
    workspace: &Workspace,
    account: &str,
) -> Result<Result<Plan, Vec<PlanError>>, Failure> {
    let mut graph = Graph::new();
    pb_bootstrap::bootstrap(&mut graph, aws, &spec(workspace, account, false))?;
    let (owner, nothing) = (Arc::new(pb_bootstrap::shared_owner(&workspace.stack)), Snapshot::default());
    let observed = observe(&graph, &nothing, &owner, &Cancel::never()).await?;
    compute_plan(&graph, &observed, &nothing, Goal::Deploy, &PlanScope::default())
}

/// Returns the prerequisites that a plan of `bootstrap` creates.
pub fn created(plan: &Plan) -> impl Iterator<Item = Creatable> {
    plan.steps.iter().filter_map(Creatable::of)
}

/// Combines failed lookups. A failure that explains all others is reported alone. If `bootstrap` creates something that
/// is missing, everything that it would create is reported together, with the command that does so.
pub async fn error(aws: &SdkConfig, workspace: &Workspace, account: Option<&str>, mut failed: Vec<Lookup>) -> Error {
    let explains =
        |failed: &Lookup| matches!(failed.failure.class, Class::Credentials | Class::Unreachable | Class::Refused);
    if let Some(index) = failed.iter().position(explains) {
        return Error::Failure(failed.swap_remove(index).failure);
    }
    if let Some(account) = account.filter(|_| failed.iter().any(|failed| failed.creatable.is_some())) {
        add_created(aws, workspace, account, &mut failed).await;
    }
    let creatable: Vec<Creatable> = failed.iter().filter_map(|failed| failed.creatable).collect();
    if creatable.len() < 2 {
        return match failed.len() {
            1 => Error::Failure(failed.swap_remove(0).failure),
            _ => Error::MissingPrerequisites(failed.into_iter().map(|failed| failed.failure).collect()),
        };
    }
    // One hint for all of them replaces their own hints.
    let without_hint = |failed: Lookup| match failed.creatable {
        Some(_) => Failure { hint: None, ..failed.failure },
        None => failed.failure,
    };
    Error::NotPrepared {
        account: account.unwrap_or_default().to_owned(),
        region: workspace.region.clone(),
        hint: format!(
            "run `{}`, which creates what is missing, then the same command again; or correct the names in the \
             configuration",
            command(&workspace.name, creatable)
        ),
        failures: failed.into_iter().map(without_hint).collect(),
    }
}

/// Adds what `bootstrap` would create, too. A failed read adds nothing, because the lookups have already failed.
async fn add_created(aws: &SdkConfig, workspace: &Workspace, account: &str, failed: &mut Vec<Lookup>) {
    let Ok(Ok(plan)) = bootstrap_plan(aws, workspace, account).await else { return };
    for (position, what) in created(&plan).enumerate() {
        if !failed.iter().any(|failed| failed.creatable == Some(what)) {
            failed.insert(position, Lookup { failure: what.failure(workspace), creatable: Some(what) });
        }
    }
}
