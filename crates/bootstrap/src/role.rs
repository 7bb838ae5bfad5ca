//! `iam.role`: the task execution role, with which ECS pulls images, writes logs and reads secrets.

use crate::policy::{Document, allow_ecs_tasks_to_assume, allow_reading_secrets, trusts_ecs_tasks};
use crate::roles::{NewRole, RoleAttrs, Roles, trust};
use aws_sdk_iam::Client;
use aws_sdk_iam::types::{PolicyEvaluationDecisionType, Role as LiveRole};
use pb_aws::{ForOperation, no_retry};
use pb_engine::{Change, Class, Context, Failure, Found, ReadScope, Resource, fetch_each};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Path and name of the policy that AWS provides for execution roles. (Amazon ECS developer guide: Task execution IAM
/// role)
const EXECUTION_POLICY: &str = "service-role/AmazonECSTaskExecutionRolePolicy";

/// Resource kind for execution roles (`iam.role`).
pub struct Role {
    roles: Roles,
    policies: SecretsPolicies,
    permissions_boundary: Option<String>,
}

/// Names of the inline policies that allow an execution role to read secrets.
#[derive(Debug, Clone)]
pub struct SecretsPolicies {
    /// Policy for the secrets of the services of one workspace. Each workspace has its own policy, because workspaces share
    /// the role.
    pub services: String,
    /// Policy for the secrets that pb-deploy itself writes for the stack.
    pub stack: String,
}

/// Spec of an execution role. Other permissions that the role has are left unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// Name of the role.
    pub name: String,
    /// `true` if ECS tasks may assume the role.
    pub trusts_ecs_tasks: bool,
    /// `true` if `AmazonECSTaskExecutionRolePolicy` is attached to the role.
    pub has_policy: bool,
    /// ARNs of the secrets and parameters that the role may read, limited to those that the configuration needs.
    pub reads: BTreeSet<String>,
    /// ARN pattern of the secrets that pb-deploy itself writes for the stack, if the role may read them.
    pub stack_secrets: Option<String>,
}

impl Role {
    /// Creates the resource kind, which calls AWS through `client`. A role that is created gets `permissions_boundary`.
    #[must_use]
    pub fn new(client: Client, policies: SecretsPolicies, permissions_boundary: Option<String>) -> Self {
        Self { roles: Roles { client }, policies, permissions_boundary }
    }

    async fn has_policy(&self, name: &str) -> Result<bool, Failure> {
        let pages = self.roles.client.list_attached_role_policies().role_name(name).into_paginator().items().send();
        let attached: Vec<_> = pages.collect::<Result<_, _>>().await.for_operation("iam:ListAttachedRolePolicies")?;
        Ok(attached.iter().any(|policy| policy.policy_arn().is_some_and(|arn| arn.ends_with(EXECUTION_POLICY))))
    }

    /// Returns those of `secrets` that the role may read. The inline policy is checked first; for secrets that it does
    /// not allow, IAM simulates all policies of the role. Without permission for the simulation, a permission that
    /// another policy grants is not found.
    async fn readable_secrets(
        &self,
        role: &LiveRole,
        policy: &str,
        secrets: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Failure> {
        if secrets.is_empty() {
            return Ok(BTreeSet::new());
        }
        let policy = self.policy_of_secrets(role.role_name(), policy).await?.readable_secrets();
        let (mut reads, others): (BTreeSet<String>, Vec<String>) =
            (secrets & &policy, secrets.difference(&policy).cloned().collect());
        let ask = |secret: String| async move { Ok(self.is_allowed(role.arn(), &secret).await.then_some(())) };
        reads.extend(fetch_each(others, ask).await?.into_keys());
        Ok(reads)
    }

    /// Returns an inline policy of a role, without statements if it may not be read.
    async fn policy_of_secrets(&self, role: &str, policy: &str) -> Result<Document, Failure> {
        match self.roles.policy(role, policy).await {
            Err(failure) if failure.class == Class::Denied => Ok(Document::empty()),
            policy => policy,
        }
    }

    async fn is_allowed(&self, role: &str, secret: &str) -> bool {
        let Some((action, resource)) = pb_rules::secrets::permission(secret) else { return false };
        let call = self.roles.client.simulate_principal_policy().policy_source_arn(role);
        let call = call.action_names(action).resource_arns(resource).customize();
        let call = call.config_override(aws_sdk_iam::config::Builder::new().retry_config(no_retry()));
        call.send().await.is_ok_and(|output| {
            let mut results = output.evaluation_results().iter();
            results.any(|result| *result.eval_decision() == PolicyEvaluationDecisionType::Allowed)
        })
    }

    /// Allows the role to read these secrets, too. Permissions to read other secrets are kept: running revisions, and
    /// revisions to which a rollback returns, may need secrets that the configuration does not contain.
    async fn allow_reads(&self, role: &str, policy: &str, secrets: &BTreeSet<String>) -> Result<(), Failure> {
        let before = self.roles.policy(role, policy).await?;
        let missing: BTreeSet<String> = secrets.difference(&before.readable_secrets()).cloned().collect();
        let document = allow_reading_secrets(&missing).into_iter().fold(before, Document::with_statement);
        self.roles.put_policy(role, policy, &document).await
    }

    /// Allows the role to read the secrets that pb-deploy itself writes for the stack.
    async fn allow_stack_secrets(&self, role: &str, spec: &RoleSpec) -> Result<(), Failure> {
        let secrets: BTreeSet<String> = spec.stack_secrets.iter().cloned().collect();
        self.allow_reads(role, &self.policies.stack, &secrets).await
    }

    async fn attach(&self, attrs: &RoleAttrs) -> Result<(), Failure> {
        let call = self.roles.client.attach_role_policy().role_name(&attrs.name).policy_arn(policy_arn(&attrs.arn));
        call.send().await.for_operation("iam:AttachRolePolicy").map(drop)
    }
}

/// Returns the ARN of the execution policy in the partition of the role: `aws`, `aws-cn`, `aws-us-gov`.
fn policy_arn(role_arn: &str) -> String {
    let partition = role_arn.split(':').nth(1).filter(|partition| partition.starts_with("aws")).unwrap_or("aws");
    format!("arn:{partition}:iam::aws:policy/{EXECUTION_POLICY}")
}

impl Resource for Role {
    const KIND: &'static str = "iam.role";
    type Spec = RoleSpec;
    type Attrs = RoleAttrs;

    fn planned_attrs(spec: &RoleSpec) -> RoleAttrs {
        RoleAttrs::planned(&spec.name)
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    fn id(attrs: &RoleAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, spec) in &scope.desired {
            if let Some(role) = self.roles.find(&spec.name).await? {
                // IAM simulates actions on single resources only, so another policy with the pattern is not found.
                let stack = self.policy_of_secrets(&spec.name, &self.policies.stack).await?.readable_secrets();
                found.push(Found::Managed {
                    address: address.clone(),
                    spec: RoleSpec {
                        name: spec.name.clone(),
                        trusts_ecs_tasks: trust(&role)?.any(trusts_ecs_tasks),
                        has_policy: self.has_policy(&spec.name).await?,
                        reads: self.readable_secrets(&role, &self.policies.services, &spec.reads).await?,
                        stack_secrets: spec.stack_secrets.clone().filter(|pattern| stack.contains(pattern)),
                    },
                    attrs: RoleAttrs { name: spec.name.clone(), arn: role.arn().to_owned() },
                    ready: true,
                });
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &RoleSpec) -> Result<RoleAttrs, Failure> {
        let role = NewRole {
            name: &spec.name,
            description: "Starts ECS tasks: pulls images, writes logs",
            permissions_boundary: self.permissions_boundary.as_deref(),
            trust: allow_ecs_tasks_to_assume(),
        };
        self.roles.create(cx, role).await
    }

    async fn configure(&self, _cx: &Context, attrs: &RoleAttrs, spec: &RoleSpec) -> Result<(), Failure> {
        self.attach(attrs).await?;
        if !spec.reads.is_empty() {
            self.allow_reads(&attrs.name, &self.policies.services, &spec.reads).await?;
        }
        if spec.stack_secrets.is_some() { self.allow_stack_secrets(&attrs.name, spec).await } else { Ok(()) }
    }

    /// Adds missing permissions and keeps all existing statements of the policies.
    async fn update(
        &self,
        _cx: &Context,
        attrs: &RoleAttrs,
        spec: &RoleSpec,
        changes: &[Change],
    ) -> Result<RoleAttrs, Failure> {
        let is_changed = |field: &str| changes.iter().any(|change| change.field() == field);
        if is_changed("has_policy") {
            self.attach(attrs).await?;
        }
        if is_changed("reads") {
            self.allow_reads(&attrs.name, &self.policies.services, &spec.reads).await?;
        }
        if is_changed("stack_secrets") {
            self.allow_stack_secrets(&attrs.name, spec).await?;
        }
        if is_changed("trusts_ecs_tasks") {
            self.roles.add_trust(&attrs.name, allow_ecs_tasks_to_assume()).await?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &RoleAttrs) -> Result<(), Failure> {
        for policy in [&self.policies.services, &self.policies.stack] {
            self.roles.delete_policy(&attrs.name, policy).await?;
        }
        let call = self.roles.client.detach_role_policy().role_name(&attrs.name).policy_arn(policy_arn(&attrs.arn));
        match call.send().await.for_operation("iam:DetachRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => {}
            answer => drop(answer?),
        }
        self.roles.delete(&attrs.name).await
    }
}

#[cfg(test)]
mod tests {
    use super::{LiveRole, Role, SecretsPolicies, policy_arn};
    use aws_sdk_iam::Client;
    use aws_sdk_iam::error::ErrorMetadata;
    use aws_sdk_iam::operation::get_role_policy::{GetRolePolicyError, GetRolePolicyOutput};
    use aws_sdk_iam::operation::simulate_principal_policy::{
        SimulatePrincipalPolicyError, SimulatePrincipalPolicyOutput,
    };
    use aws_sdk_iam::primitives::DateTime;
    use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType as Decision};
    use aws_smithy_mocks::{Rule, mock};
    use std::collections::BTreeSet;

    #[test]
    fn policy_arn_has_the_partition_of_the_role() {
        let policy = "iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
        assert_eq!(policy_arn("arn:aws-cn:iam::1:role/r"), format!("arn:aws-cn:{policy}"));
        assert_eq!(policy_arn("(known after apply)"), format!("arn:aws:{policy}"));
    }

    fn parameter(name: &str) -> String {
        format!("arn:aws:ssm:us-east-2:123456789012:parameter/{name}")
    }

    /// Returns those of the parameters `a` and `b` that `Role::readable_secrets` finds.
    async fn reads(policy: Rule, simulation: Rule) -> Vec<String> {
        let client = pb_aws::mock_client!(aws_sdk_iam, [&policy, &simulation]);
        let role = LiveRole::builder().role_name("ecs").arn("arn:aws:iam::1:role/ecs").path("/").role_id("AROA");
        let role = role.create_date(DateTime::from_secs(0)).build().unwrap();
        let wanted = BTreeSet::from(["a", "b"].map(parameter));
        let policies = SecretsPolicies { services: "secrets".to_owned(), stack: "stack".to_owned() };
        let roles = Role::new(client, policies, None);
        roles.readable_secrets(&role, "secrets", &wanted).await.unwrap().into_iter().collect()
    }

    fn no_policy() -> Rule {
        let gone = || ErrorMetadata::builder().code("NoSuchEntity").message("no such policy").build();
        mock!(Client::get_role_policy).then_error(move || GetRolePolicyError::generic(gone()))
    }

    /// Returns the rule of a simulation in which the role may read only `parameter`.
    fn simulation_allowing(parameter: String) -> Rule {
        mock!(Client::simulate_principal_policy)
            .match_requests(|input| input.policy_source_arn() == Some("arn:aws:iam::1:role/ecs"))
            .then_compute_output(move |input| {
                let allowed =
                    input.resource_arns() == [parameter.clone()] && input.action_names() == ["ssm:GetParameters"];
                let decision = if allowed { Decision::Allowed } else { Decision::ImplicitDeny };
                let result = EvaluationResult::builder().eval_action_name("ssm:GetParameters").eval_decision(decision);
                SimulatePrincipalPolicyOutput::builder().evaluation_results(result.build().unwrap()).build()
            })
    }

    #[tokio::test]
    async fn permission_of_another_policy_is_found_by_simulation() {
        assert_eq!(reads(no_policy(), simulation_allowing(parameter("b"))).await, [parameter("b")]);
        let refused = mock!(Client::simulate_principal_policy).then_error(|| {
            let denied = ErrorMetadata::builder().code("AccessDenied").message("not authorized").build();
            SimulatePrincipalPolicyError::generic(denied)
        });
        assert_eq!(reads(no_policy(), refused).await, [""; 0]);
    }

    #[tokio::test]
    async fn permission_of_the_own_policy_needs_no_simulation() {
        let policy = mock!(Client::get_role_policy)
            .match_requests(|input| input.role_name() == Some("ecs") && input.policy_name() == Some("secrets"))
            .then_output(|| {
                let document = super::allow_reading_secrets(&BTreeSet::from([parameter("a")])).into_iter();
                let text = document.fold(super::Document::empty(), super::Document::with_statement).to_string();
                let output = GetRolePolicyOutput::builder().role_name("ecs").policy_name("secrets");
                output.policy_document(urlencoding::encode(&text)).build().unwrap()
            });
        assert_eq!(reads(policy, simulation_allowing(parameter("b"))).await, ["a", "b"].map(parameter));
    }
}
