//! `iam.role`: with which ECS starts tasks: it pulls images and writes logs.

use crate::policy::{Document, is_trust_of_ecs_tasks, trust_ecs_tasks};
use aws_sdk_iam::Client;
use aws_sdk_iam::types::{Role as Live, Tag};
use pb_aws::Answer;
use pb_engine::{Change, Class, Context, Failure, Found, Resource, Scope, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// AWS's own policy for it. (Amazon ECS developer guide: Task execution IAM role)
const POLICY: &str = "service-role/AmazonECSTaskExecutionRolePolicy";

/// The kind of execution roles.
pub struct Role {
    client: Client,
}

/// What is wanted of an execution role. What it has besides is left to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// The name.
    pub name: String,
    /// Whether ECS tasks may have it.
    pub trusts_ecs_tasks: bool,
    /// Whether `AmazonECSTaskExecutionRolePolicy` is attached to it.
    pub has_policy: bool,
}

/// What names an execution role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAttrs {
    /// The name.
    pub name: String,
    /// The ARN.
    pub arn: String,
}

impl Role {
    /// Roles behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn find(&self, name: &str) -> Result<Option<Live>, Failure> {
        match self.client.get_role().role_name(name).send().await.answer("iam:GetRole") {
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            answer => Ok(answer?.role),
        }
    }

    async fn has_policy(&self, name: &str) -> Result<bool, Failure> {
        let pages = self.client.list_attached_role_policies().role_name(name).into_paginator().items().send();
        let attached: Vec<_> = pages.collect::<Result<_, _>>().await.answer("iam:ListAttachedRolePolicies")?;
        Ok(attached.iter().any(|policy| policy.policy_arn().is_some_and(|arn| arn.ends_with(POLICY))))
    }

    async fn attach(&self, attrs: &RoleAttrs) -> Result<(), Failure> {
        let call = self.client.attach_role_policy().role_name(&attrs.name).policy_arn(policy_arn(&attrs.arn));
        call.send().await.answer("iam:AttachRolePolicy").map(drop)
    }
}

/// The policy in the partition that a role is in: `aws`, `aws-cn`, `aws-us-gov`.
fn policy_arn(role_arn: &str) -> String {
    let partition = role_arn.split(':').nth(1).filter(|partition| partition.starts_with("aws")).unwrap_or("aws");
    format!("arn:{partition}:iam::aws:policy/{POLICY}")
}

/// The trust policy. IAM gives documents back percent-encoded. (IAM API: GetRole)
fn trust(role: &Live) -> Result<Document, Failure> {
    let text = role.assume_role_policy_document().unwrap_or_default();
    if text.is_empty() {
        return Ok(Document::empty());
    }
    let decoded = urlencoding::decode(text).unwrap_or_else(|_| text.into());
    Document::parse(&decoded, role.role_name())
}

impl Resource for Role {
    const KIND: &'static str = "iam.role";
    type Spec = RoleSpec;
    type Attrs = RoleAttrs;

    fn pending(spec: &RoleSpec) -> RoleAttrs {
        RoleAttrs { name: spec.name.clone(), arn: unknown() }
    }

    fn replaces(field: &str) -> bool {
        field == "name"
    }

    fn id(attrs: &RoleAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &Scope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, spec) in &scope.wanted {
            if let Some(role) = self.find(&spec.name).await? {
                found.push(Found::Ours {
                    address: address.clone(),
                    spec: RoleSpec {
                        name: spec.name.clone(),
                        trusts_ecs_tasks: trust(&role)?.any(is_trust_of_ecs_tasks),
                        has_policy: self.has_policy(&spec.name).await?,
                    },
                    attrs: RoleAttrs { name: spec.name.clone(), arn: role.arn().to_owned() },
                    settled: true,
                });
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &RoleSpec) -> Result<RoleAttrs, Failure> {
        let bug = |error: aws_sdk_iam::error::BuildError| Failure::new(Class::Bug, "make a role", error.to_string());
        let tags = cx.tags(&BTreeMap::new()).into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let call = self
            .client
            .create_role()
            .role_name(&spec.name)
            .description("Starts ECS tasks: pulls images, writes logs")
            .assume_role_policy_document(Document::empty().with(trust_ecs_tasks()))
            .set_tags(Some(tags.collect::<Result<_, _>>().map_err(bug)?));
        let answer = call.send().await.answer("iam:CreateRole");
        let output = answer.map_err(|failure| failure.when(&["EntityAlreadyExists"], Class::Exists))?;
        let arn = output.role().map(|role| role.arn().to_owned());
        Ok(RoleAttrs { arn: arn.unwrap_or_else(unknown), ..Self::pending(spec) })
    }

    async fn complete(&self, _cx: &Context, attrs: &RoleAttrs, _spec: &RoleSpec) -> Result<(), Failure> {
        self.attach(attrs).await
    }

    /// Adds what is missing; the trust policy keeps what is in it.
    async fn update(
        &self,
        _cx: &Context,
        attrs: &RoleAttrs,
        _spec: &RoleSpec,
        changes: &[Change],
    ) -> Result<RoleAttrs, Failure> {
        if changes.iter().any(|change| change.field() == "has_policy") {
            self.attach(attrs).await?;
        }
        if changes.iter().any(|change| change.field() == "trusts_ecs_tasks")
            && let Some(role) = self.find(&attrs.name).await?
        {
            let policy = trust(&role)?.with(trust_ecs_tasks());
            let call = self.client.update_assume_role_policy().role_name(&attrs.name).policy_document(policy);
            call.send().await.answer("iam:UpdateAssumeRolePolicy")?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &RoleAttrs) -> Result<(), Failure> {
        let call = self.client.detach_role_policy().role_name(&attrs.name).policy_arn(policy_arn(&attrs.arn));
        match call.send().await.answer("iam:DetachRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => {}
            answer => drop(answer?),
        }
        self.client.delete_role().role_name(&attrs.name).send().await.answer("iam:DeleteRole").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::policy_arn;

    #[test]
    fn the_policy_is_of_the_partition_of_the_role() {
        let policy = "iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
        assert_eq!(policy_arn("arn:aws-cn:iam::1:role/r"), format!("arn:aws-cn:{policy}"));
        assert_eq!(policy_arn("(known after apply)"), format!("arn:aws:{policy}"));
    }
}
