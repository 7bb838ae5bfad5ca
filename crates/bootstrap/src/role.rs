//! `iam.role`: the task execution role, with which ECS pulls images, writes logs and reads secrets.

use crate::policy::{Document, allow_ecs_tasks_to_assume, allow_reading_secrets, trusts_ecs_tasks};
use aws_sdk_iam::Client;
use aws_sdk_iam::types::{PolicyEvaluationDecisionType, Role as LiveRole, Tag};
use pb_aws::{ForOperation, no_retry};
use pb_engine::{Change, Class, Context, Failure, Found, ReadScope, Resource, fetch_each, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Path and name of the policy that AWS provides for execution roles. (Amazon ECS developer guide: Task execution IAM
/// role)
const EXECUTION_POLICY: &str = "service-role/AmazonECSTaskExecutionRolePolicy";

/// Resource kind for execution roles (`iam.role`).
pub struct Role {
    client: Client,
    secrets_policy: String,
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
}

/// Attributes of an execution role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAttrs {
    /// Name of the role.
    pub name: String,
    /// ARN of the role.
    pub arn: String,
}

impl Role {
    /// Creates the resource kind, which calls AWS through `client`. `secrets_policy` is the name of the inline policy
    /// that allows a role to read secrets.
    #[must_use]
    pub fn new(client: Client, secrets_policy: &str) -> Self {
        Self { client, secrets_policy: secrets_policy.to_owned() }
    }

    async fn find(&self, name: &str) -> Result<Option<LiveRole>, Failure> {
        match self.client.get_role().role_name(name).send().await.for_operation("iam:GetRole") {
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            answer => Ok(answer?.role),
        }
    }

    async fn has_policy(&self, name: &str) -> Result<bool, Failure> {
        let pages = self.client.list_attached_role_policies().role_name(name).into_paginator().items().send();
        let attached: Vec<_> = pages.collect::<Result<_, _>>().await.for_operation("iam:ListAttachedRolePolicies")?;
        Ok(attached.iter().any(|policy| policy.policy_arn().is_some_and(|arn| arn.ends_with(EXECUTION_POLICY))))
    }

    /// Returns those of `secrets` that the role may read. The inline policy is checked first; for secrets that it does
    /// not allow, IAM simulates all policies of the role. Without permission for the simulation, a permission that
    /// another policy grants is not found.
    async fn readable_secrets(&self, role: &LiveRole, secrets: &BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
        if secrets.is_empty() {
            return Ok(BTreeSet::new());
        }
        let policy = match self.secrets_policy_document(role.role_name()).await {
            Err(failure) if failure.class == Class::Denied => Document::empty(),
            policy => policy?,
        };
        let policy = policy.readable_secrets();
        let (mut reads, others): (BTreeSet<String>, Vec<String>) =
            (secrets & &policy, secrets.difference(&policy).cloned().collect());
        let ask = |secret: String| async move { Ok(self.is_allowed(role.arn(), &secret).await.then_some(())) };
        reads.extend(fetch_each(others, ask).await?.into_keys());
        Ok(reads)
    }

    async fn secrets_policy_document(&self, role: &str) -> Result<Document, Failure> {
        let call = self.client.get_role_policy().role_name(role).policy_name(&self.secrets_policy);
        match call.send().await.for_operation("iam:GetRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => Ok(Document::empty()),
            answer => document(&answer?.policy_document, &self.secrets_policy),
        }
    }

    async fn is_allowed(&self, role: &str, secret: &str) -> bool {
        let Some((action, resource)) = pb_rules::secrets::permission(secret) else { return false };
        let call = self.client.simulate_principal_policy().policy_source_arn(role);
        let call = call.action_names(action).resource_arns(resource).customize();
        let call = call.config_override(aws_sdk_iam::config::Builder::new().retry_config(no_retry()));
        call.send().await.is_ok_and(|output| {
            let mut results = output.evaluation_results().iter();
            results.any(|result| *result.eval_decision() == PolicyEvaluationDecisionType::Allowed)
        })
    }

    /// Allows the role to read these secrets, too. Permissions to read other secrets are kept: running revisions, and
    /// revisions to which a rollback returns, may need secrets that the configuration does not contain.
    async fn allow_reads(&self, attrs: &RoleAttrs, secrets: &BTreeSet<String>) -> Result<(), Failure> {
        let before = self.secrets_policy_document(&attrs.name).await?;
        let missing: BTreeSet<String> = secrets.difference(&before.readable_secrets()).cloned().collect();
        let document = allow_reading_secrets(&missing).into_iter().fold(before, Document::with_statement);
        let call = self.client.put_role_policy().role_name(&attrs.name).policy_name(&self.secrets_policy);
        call.policy_document(document.to_string()).send().await.for_operation("iam:PutRolePolicy").map(drop)
    }

    async fn attach(&self, attrs: &RoleAttrs) -> Result<(), Failure> {
        let call = self.client.attach_role_policy().role_name(&attrs.name).policy_arn(policy_arn(&attrs.arn));
        call.send().await.for_operation("iam:AttachRolePolicy").map(drop)
    }
}

/// Returns the ARN of the execution policy in the partition of the role: `aws`, `aws-cn`, `aws-us-gov`.
fn policy_arn(role_arn: &str) -> String {
    let partition = role_arn.split(':').nth(1).filter(|partition| partition.starts_with("aws")).unwrap_or("aws");
    format!("arn:{partition}:iam::aws:policy/{EXECUTION_POLICY}")
}

/// Returns the trust policy of a role.
fn trust(role: &LiveRole) -> Result<Document, Failure> {
    document(role.assume_role_policy_document().unwrap_or_default(), role.role_name())
}

/// Parses a policy document, which IAM returns percent-encoded. (IAM API: GetRole, GetRolePolicy)
fn document(text: &str, of: &str) -> Result<Document, Failure> {
    if text.is_empty() {
        return Ok(Document::empty());
    }
    let decoded = urlencoding::decode(text).unwrap_or_else(|_| text.into());
    Document::parse(&decoded, of)
}

impl Resource for Role {
    const KIND: &'static str = "iam.role";
    type Spec = RoleSpec;
    type Attrs = RoleAttrs;

    fn planned_attrs(spec: &RoleSpec) -> RoleAttrs {
        RoleAttrs { name: spec.name.clone(), arn: unknown() }
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
            if let Some(role) = self.find(&spec.name).await? {
                found.push(Found::Managed {
                    address: address.clone(),
                    spec: RoleSpec {
                        name: spec.name.clone(),
                        trusts_ecs_tasks: trust(&role)?.any(trusts_ecs_tasks),
                        has_policy: self.has_policy(&spec.name).await?,
                        reads: self.readable_secrets(&role, &spec.reads).await?,
                    },
                    attrs: RoleAttrs { name: spec.name.clone(), arn: role.arn().to_owned() },
                    ready: true,
                });
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &RoleSpec) -> Result<RoleAttrs, Failure> {
        let bug = |error: aws_sdk_iam::error::BuildError| Failure::new(Class::Bug, "create a role", error.to_string());
        let tags = cx.tags(&BTreeMap::new()).into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let call = self
            .client
            .create_role()
            .role_name(&spec.name)
            .description("Starts ECS tasks: pulls images, writes logs")
            .assume_role_policy_document(Document::empty().with_statement(allow_ecs_tasks_to_assume()).to_string())
            .set_tags(Some(tags.collect::<Result<_, _>>().map_err(bug)?));
        let answer = call.send().await.for_operation("iam:CreateRole");
        let output = answer.map_err(|failure| failure.when(&["EntityAlreadyExists"], Class::Exists))?;
        let arn = output.role().map(|role| role.arn().to_owned());
        Ok(RoleAttrs { arn: arn.unwrap_or_else(unknown), ..Self::planned_attrs(spec) })
    }

    async fn configure(&self, _cx: &Context, attrs: &RoleAttrs, spec: &RoleSpec) -> Result<(), Failure> {
        self.attach(attrs).await?;
        if spec.reads.is_empty() { Ok(()) } else { self.allow_reads(attrs, &spec.reads).await }
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
            self.allow_reads(attrs, &spec.reads).await?;
        }
        if is_changed("trusts_ecs_tasks")
            && let Some(role) = self.find(&attrs.name).await?
        {
            let policy = trust(&role)?.with_statement(allow_ecs_tasks_to_assume()).to_string();
            let call = self.client.update_assume_role_policy().role_name(&attrs.name).policy_document(policy);
            call.send().await.for_operation("iam:UpdateAssumeRolePolicy")?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &RoleAttrs) -> Result<(), Failure> {
        let call = self.client.delete_role_policy().role_name(&attrs.name).policy_name(&self.secrets_policy);
        match call.send().await.for_operation("iam:DeleteRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => {}
            answer => drop(answer?),
        }
        let call = self.client.detach_role_policy().role_name(&attrs.name).policy_arn(policy_arn(&attrs.arn));
        match call.send().await.for_operation("iam:DetachRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => {}
            answer => drop(answer?),
        }
        self.client.delete_role().role_name(&attrs.name).send().await.for_operation("iam:DeleteRole").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{LiveRole, Role, policy_arn};
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
        Role::new(client, "secrets").readable_secrets(&role, &wanted).await.unwrap().into_iter().collect()
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
