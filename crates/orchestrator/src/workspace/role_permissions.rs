//! Permissions of the roles that the tasks of a plan need. Fargate reads secrets when a task starts, and ECS Exec connects
//! a task when it runs: without the permission, a rollout would fail, or a shell would never open.
//!
//! IAM's decision on the role's own policies is final only if it is an explicit deny, or if no resource policy can allow the
//! action. Secrets of Secrets Manager can have such a policy, and it can allow a role of the same account what the role's
//! policies do not. (IAM user guide: Policy evaluation for requests within a single account) A plan is therefore not refused
//! because of such a secret, except for those that pb-deploy itself writes.

use crate::invocation;
use crate::stack::names;
use crate::workspace::preparation;
use crate::workspace::prerequisites::Prerequisites;
use aws_config::SdkConfig;
use futures_util::future::join3;
use pb_bootstrap::{Permission, Permissions};
use pb_config::{TaskRole, Workspace};
use pb_engine::{Action, Address, Plan, PlanError, Refusal, Resource, Step};
use pb_fargate::{Services, TaskDefinitions};
use pb_rules::secrets;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the inline policy in the command that adds the permissions for `execute_command`.
const EXEC_POLICY: &str = "ecs-exec";

/// Permissions that roles lack.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Reasons why the plan is refused.
    pub refused: Vec<PlanError>,
    /// Permissions that may be missing.
    pub warnings: Vec<String>,
}

/// Permissions that a plan needs.
struct Needs<'a> {
    workspace: &'a Workspace,
    prerequisites: &'a Prerequisites,
    permissions: Permissions,
    plan: &'a Plan,
}

/// Returns the permissions that the roles lack for the task definitions and services that the plan creates or changes. Makes
/// no call if these need none. A permission that cannot be looked up is not missing.
pub async fn check(aws: &SdkConfig, workspace: &Workspace, prerequisites: &Prerequisites, plan: &Plan) -> Lacking {
    let needs = Needs { workspace, prerequisites, permissions: Permissions::new(aws), plan };
    let (mut lacking, exec, statements) = join3(needs.secrets(), needs.exec(), needs.statements()).await;
    lacking.refused.extend(exec.into_iter().chain(statements));
    lacking
}

impl Needs<'_> {
    /// Returns the steps that create or change a resource of kind `R`, by the key of the service.
    fn changed<R: Resource>(&self) -> impl Iterator<Item = (&str, &Step)> {
        let is_changed = |step: &&Step| {
            step.kind == R::KIND && matches!(step.action, Action::Create | Action::Update | Action::Replace { .. })
        };
        let changed = self.plan.steps.iter().filter(is_changed);
        changed.filter_map(|step| Some((names::workload_key(&step.address)?, step)))
    }

    fn bootstrap(&self) -> String {
        preparation::command(&self.workspace.name, [])
    }

    /// Checks that the execution role may read the secrets of the task definitions.
    async fn secrets(&self) -> Lacking {
        let mut wanted: BTreeMap<(&'static str, String), Vec<&Address>> = BTreeMap::new();
        for (key, step) in self.changed::<TaskDefinitions>() {
            let services = self.workspace.services.all().filter(|(known, _)| *known == key);
            let references = services.flat_map(|(_, service)| service.secrets.values());
            let permissions: BTreeSet<_> = references.filter_map(|one| secrets::permission(one)).collect();
            permissions.into_iter().for_each(|one| wanted.entry(one).or_default().push(&step.address));
        }
        let role = &self.prerequisites.execution_role_arn;
        let decisions = futures_util::future::join_all(wanted.into_iter().map(|((action, arn), of)| async move {
            let found = self.permissions.simulate(role, &[action], Some(&arn)).await;
            (action, arn, of, found.first().copied().unwrap_or(Permission::Unknown))
        }));
        let mut lacking = Lacking::default();
        for (action, arn, of, permission) in decisions.await {
            let Some(&first) = of.first() else { continue };
            if self.is_refused(action, &arn, permission) {
                let why = self.secret_refusal(action, &arn, permission);
                lacking.refused.push(PlanError::new(first.clone(), why).reason(Refusal::RolePermission));
            } else if matches!(permission, Permission::NotAllowed | Permission::OutsideBoundary) && !self.is_read(&arn)
            {
                lacking.warnings.push(format!(
                    "{first}: no policy of role {} allows {action} on {arn}; unless a policy of the secret does, its tasks \
                     cannot start; `{}` adds the permission",
                    self.workspace.roles.execution,
                    self.bootstrap()
                ));
            }
        }
        lacking
    }

    /// Returns whether IAM's decision on the policies of the role is final.
    fn is_refused(&self, action: &str, arn: &str, permission: Permission) -> bool {
        let is_own =
            arn.split(':').nth(6).is_some_and(|name| name.starts_with(&format!("pb-deploy/{}/", self.workspace.stack)));
        match permission {
            Permission::ExplicitlyDenied => true,
            Permission::NotAllowed | Permission::OutsideBoundary => is_own || !action.starts_with("secretsmanager:"),
            Permission::Allowed | Permission::Unknown => false,
        }
    }

    fn secret_refusal(&self, action: &str, arn: &str, permission: Permission) -> String {
        let role = &self.workspace.roles.execution;
        let statement = json!({ "Effect": "Allow", "Action": action, "Resource": arn });
        let lacks = format!("role {role} may not read {arn}, so that no task could start");
        match permission {
            Permission::ExplicitlyDenied => {
                format!("{lacks}: a statement denies {action}; change the policy that contains it")
            }
            Permission::OutsideBoundary => {
                format!(
                    "{lacks}: its permissions boundary does not allow it; add this statement to the boundary: {statement}"
                )
            }
            _ => format!(
                "{lacks}: it lacks the statement {statement}; `{}` adds it, or add it to a policy of the role",
                self.bootstrap()
            ),
        }
    }

    /// Returns whether a revision in use reads the secret with the same execution role: then the role can.
    fn is_read(&self, arn: &str) -> bool {
        let mut live = self
            .plan
            .steps
            .iter()
            .filter(|step| step.kind == TaskDefinitions::KIND)
            .filter_map(|step| step.before.as_ref());
        live.any(|spec| {
            let same_role = spec["execution_role_arn"] == self.prerequisites.execution_role_arn.as_str();
            let containers = spec["containers"].as_object().into_iter().flat_map(|containers| containers.values());
            let mut references =
                containers.filter_map(|container| container["secrets"].as_object()).flat_map(|all| all.values());
            same_role
                && references
                    .any(|one| one.as_str().and_then(secrets::permission).is_some_and(|(_, known)| known == arn))
        })
    }

    /// Checks that a task role that `bootstrap` does not create has the permissions for `execute_command`.
    async fn exec(&self) -> Option<PlanError> {
        let Some(TaskRole::Existing(role)) = &self.workspace.roles.task else { return None };
        let open =
            |key: &str| self.workspace.services.all().any(|(known, service)| known == key && service.execute_command);
        let changed = self.changed::<Services>().chain(self.changed::<TaskDefinitions>());
        let (key, step) = changed.into_iter().find(|(key, _)| open(key))?;
        let statement = pb_config::exec_statement();
        let actions: Vec<&str> = statement["Action"].as_array()?.iter().filter_map(Value::as_str).collect();
        let arn = self.prerequisites.task_role_arn.as_deref()?;
        let decisions = self.permissions.simulate(arn, &actions, None).await;
        let denied = |permission: &Permission| !matches!(permission, Permission::Allowed | Permission::Unknown);
        let permission = decisions.into_iter().find(denied)?;
        let lacks = format!("a shell in the tasks of `{key}` needs permissions that role {role} lacks");
        let why = match permission {
            Permission::ExplicitlyDenied => {
                format!("{lacks}: a statement denies them; change the policy that contains it")
            }
            Permission::OutsideBoundary => {
                format!(
                    "{lacks}: its permissions boundary does not allow them; add this statement to the boundary: {statement}"
                )
            }
            _ => {
                let document = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
                let put = format!(
                    "aws iam put-role-policy --role-name {} --policy-name {EXEC_POLICY} --policy-document {}",
                    invocation::quoted(role),
                    invocation::quoted(&document)
                );
                let region = &self.workspace.region;
                format!(
                    "{lacks}, or set `execute_command = false`; add them with: {}",
                    invocation::aws_command(&put, region)
                )
            }
        };
        Some(PlanError::new(step.address.clone(), why).reason(Refusal::RolePermission))
    }

    /// Checks that the task role that `bootstrap` creates has the statements of the configuration.
    async fn statements(&self) -> Option<PlanError> {
        let role = self.workspace.roles.task.as_ref()?.created()?;
        let (_, step) = self.changed::<TaskDefinitions>().next()?;
        let policy = preparation::task_policy(self.workspace);
        let missing = self.permissions.missing_statements(&role.name, &policy, &role.statements).await?;
        if missing.is_empty() {
            return None;
        }
        let statements: Vec<String> = missing.iter().map(Value::to_string).collect();
        let (noun, verb) = if missing.len() == 1 { ("a statement", "adds it") } else { ("statements", "adds them") };
        let why = format!(
            "role {} lacks {noun} of the configuration: {}; `{}` {verb}",
            role.name,
            statements.join(", "),
            self.bootstrap()
        );
        Some(PlanError::new(step.address.clone(), why).reason(Refusal::RolePermission))
    }
}
