//! `iam.task_role`: the role of the application itself, with the permissions that the configuration gives it.

use crate::policy::{Document, allow_ecs_tasks_of_account_to_assume, trusts_ecs_tasks};
use crate::roles::{NewRole, RoleAttrs, Roles, trust, without_retry};
use aws_sdk_iam::Client;
use pb_aws::ForOperation;
use pb_engine::{Change, Context, Failure, Found, ReadScope, Resource};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Resource kind for task roles (`iam.task_role`).
pub struct TaskRole {
    roles: Roles,
    source: Source,
    policy: String,
}

/// Account and region whose tasks may assume a role that is created.
#[derive(Debug, Clone)]
pub struct Source {
    /// Partition of the region.
    pub partition: String,
    /// Region of the cluster.
    pub region: String,
    /// Id of the account.
    pub account: String,
}

/// Spec of a task role. Other policies that the role has are left unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRoleSpec {
    /// Name of the role.
    pub name: String,
    /// `true` if ECS tasks may assume the role.
    pub trusts_ecs_tasks: bool,
    /// Statements of the inline policy. If they change, the policy is replaced.
    pub statements: Vec<Value>,
    /// ARN of the policy that is the permissions boundary. With `None`, a role keeps the one that it has.
    pub permissions_boundary: Option<String>,
}

impl TaskRole {
    /// Creates the resource kind, which calls AWS through `client`. `policy` is the name of the inline policy that contains
    /// the statements.
    #[must_use]
    pub fn new(client: Client, source: Source, policy: &str) -> Self {
        Self { roles: Roles { client }, source, policy: policy.to_owned() }
    }

    fn trust(&self) -> Value {
        allow_ecs_tasks_of_account_to_assume(&self.source)
    }

    async fn set_boundary(&self, role: &str, boundary: &str) -> Result<(), Failure> {
        let call = self.roles.client.put_role_permissions_boundary().role_name(role).permissions_boundary(boundary);
        let answer = call.send().await.for_operation("iam:PutRolePermissionsBoundary");
        answer.map(drop).map_err(without_retry)
    }

    async fn put_statements(&self, role: &str, spec: &TaskRoleSpec) -> Result<(), Failure> {
        let document = spec.statements.iter().cloned().fold(Document::empty(), Document::with_statement);
        self.roles.put_policy(role, &self.policy, &document).await
    }
}

impl Resource for TaskRole {
    const KIND: &'static str = "iam.task_role";
    const OPTIONAL_FIELDS: &'static [&'static str] = &["permissions_boundary"];
    type Spec = TaskRoleSpec;
    type Attrs = RoleAttrs;

    fn planned_attrs(spec: &TaskRoleSpec) -> RoleAttrs {
        RoleAttrs::planned(&spec.name)
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    fn id(attrs: &RoleAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    /// Counts an existing role with the desired name as managed, regardless of who created it.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, spec) in &scope.desired {
            if let Some(role) = self.roles.find(&spec.name).await? {
                let boundary = role.permissions_boundary().and_then(|found| found.permissions_boundary_arn());
                found.push(Found::Managed {
                    address: address.clone(),
                    spec: TaskRoleSpec {
                        trusts_ecs_tasks: trust(&role)?.any(trusts_ecs_tasks),
                        statements: self.roles.policy(&spec.name, &self.policy).await?.into_statements(),
                        permissions_boundary: boundary.map(str::to_owned),
                        name: spec.name.clone(),
                    },
                    attrs: RoleAttrs { name: spec.name.clone(), arn: role.arn().to_owned() },
                    ready: true,
                });
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &TaskRoleSpec) -> Result<RoleAttrs, Failure> {
        let role = NewRole {
            name: &spec.name,
            description: "Permissions of the application in ECS tasks",
            permissions_boundary: spec.permissions_boundary.as_deref(),
            trust: self.trust(),
        };
        self.roles.create(cx, role).await
    }

    async fn configure(&self, _cx: &Context, attrs: &RoleAttrs, spec: &TaskRoleSpec) -> Result<(), Failure> {
        self.put_statements(&attrs.name, spec).await
    }

    /// Sets the boundary first, so that new statements never apply without it.
    async fn update(
        &self,
        _cx: &Context,
        attrs: &RoleAttrs,
        spec: &TaskRoleSpec,
        changes: &[Change],
    ) -> Result<RoleAttrs, Failure> {
        let is_changed = |field: &str| changes.iter().any(|change| change.field() == field);
        if let Some(boundary) = spec.permissions_boundary.as_ref().filter(|_| is_changed("permissions_boundary")) {
            self.set_boundary(&attrs.name, boundary).await?;
        }
        if is_changed("statements") {
            self.put_statements(&attrs.name, spec).await?;
        }
        if is_changed("trusts_ecs_tasks") {
            self.roles.add_trust(&attrs.name, self.trust()).await?;
        }
        Ok(attrs.clone())
    }

    /// Deletes the role. IAM refuses this if the role has policies that pb-deploy did not create.
    async fn delete(&self, _cx: &Context, attrs: &RoleAttrs) -> Result<(), Failure> {
        self.roles.delete_policy(&attrs.name, &self.policy).await?;
        self.roles.delete(&attrs.name).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, TaskRole, TaskRoleSpec};
    use aws_sdk_iam::Client;
    use aws_sdk_iam::error::ErrorMetadata;
    use aws_sdk_iam::operation::put_role_permissions_boundary::{
        PutRolePermissionsBoundaryError, PutRolePermissionsBoundaryOutput,
    };
    use aws_sdk_iam::operation::put_role_policy::PutRolePolicyOutput;
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::Class;
    use serde_json::{Value, json};

    const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";

    fn role(rules: &[&Rule]) -> TaskRole {
        let client = pb_aws::mock_client!(aws_sdk_iam, rules);
        let [partition, region, account] = ["aws", "us-east-2", "123456789012"].map(str::to_owned);
        TaskRole::new(client, Source { partition, region, account }, "own")
    }

    fn spec() -> TaskRoleSpec {
        TaskRoleSpec {
            name: "app".to_owned(),
            trusts_ecs_tasks: true,
            statements: vec![json!({ "Effect": "Allow", "Action": ["a:B"], "Resource": ["*"] })],
            permissions_boundary: Some(BOUNDARY.to_owned()),
        }
    }

    #[tokio::test]
    async fn changed_statements_replace_the_own_policy() {
        let put = mock!(Client::put_role_policy)
            .match_requests(|input| {
                let document: Value = serde_json::from_str(input.policy_document().unwrap_or_default()).unwrap();
                let own = input.role_name() == Some("app") && input.policy_name() == Some("own");
                own && document["Statement"] == json!(spec().statements)
            })
            .then_output(|| PutRolePolicyOutput::builder().build());
        role(&[&put]).put_statements("app", &spec()).await.unwrap();
        assert_eq!(put.num_calls(), 1);
    }

    #[tokio::test]
    async fn changed_boundary_is_set_and_a_missing_one_is_refused() {
        let put = mock!(Client::put_role_permissions_boundary)
            .match_requests(|input| input.permissions_boundary() == Some(BOUNDARY))
            .then_output(|| PutRolePermissionsBoundaryOutput::builder().build());
        role(&[&put]).set_boundary("app", BOUNDARY).await.unwrap();
        assert_eq!(put.num_calls(), 1);
        let gone = mock!(Client::put_role_permissions_boundary).then_error(|| {
            let gone = ErrorMetadata::builder().code("NoSuchEntity").message("no such policy").build();
            PutRolePermissionsBoundaryError::generic(gone)
        });
        let failure = role(&[&gone]).set_boundary("app", BOUNDARY).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
    }
}
