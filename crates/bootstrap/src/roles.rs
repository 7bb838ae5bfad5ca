//! Calls to IAM that all roles have in common.

use crate::policy::Document;
use aws_sdk_iam::Client;
use aws_sdk_iam::types::{Role, Tag};
use pb_aws::ForOperation;
use pb_engine::{Class, Context, Failure, unknown};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Attributes of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAttrs {
    /// Name of the role.
    pub name: String,
    /// ARN of the role.
    pub arn: String,
}

impl RoleAttrs {
    /// Returns the attributes of a role that does not exist yet.
    pub(crate) fn planned(name: &str) -> Self {
        Self { name: name.to_owned(), arn: unknown() }
    }
}

/// A role to be created.
pub(crate) struct NewRole<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) permissions_boundary: Option<&'a str>,
    /// Statement of the trust policy.
    pub(crate) trust: Value,
}

/// Client for roles.
#[derive(Debug, Clone)]
pub(crate) struct Roles {
    pub(crate) client: Client,
}

impl Roles {
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Role>, Failure> {
        match self.client.get_role().role_name(name).send().await.for_operation("iam:GetRole") {
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            answer => Ok(answer?.role),
        }
    }

    /// Creates a role with the ownership tags and the permissions boundary: an account may refuse roles without one.
    pub(crate) async fn create(&self, cx: &Context, role: NewRole<'_>) -> Result<RoleAttrs, Failure> {
        let bug = |error: aws_sdk_iam::error::BuildError| Failure::new(Class::Bug, "create a role", error.to_string());
        let tags = cx.tags(&BTreeMap::new()).into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let call = self
            .client
            .create_role()
            .role_name(role.name)
            .description(role.description)
            .assume_role_policy_document(Document::empty().with_statement(role.trust).to_string())
            .set_permissions_boundary(role.permissions_boundary.map(str::to_owned))
            .set_tags(Some(tags.collect::<Result<_, _>>().map_err(bug)?));
        let answer = call.send().await.for_operation("iam:CreateRole");
        let output = answer.map_err(|failure| without_retry(failure.when(&["EntityAlreadyExists"], Class::Exists)))?;
        let arn = output.role().map(|role| role.arn().to_owned());
        Ok(RoleAttrs { name: role.name.to_owned(), arn: arn.unwrap_or_else(unknown) })
    }

    /// Returns an inline policy of a role; a policy without statements if the role has no policy with this name.
    pub(crate) async fn policy(&self, role: &str, policy: &str) -> Result<Document, Failure> {
        let call = self.client.get_role_policy().role_name(role).policy_name(policy);
        match call.send().await.for_operation("iam:GetRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => Ok(Document::empty()),
            answer => document(&answer?.policy_document, policy),
        }
    }

    pub(crate) async fn put_policy(&self, role: &str, policy: &str, document: &Document) -> Result<(), Failure> {
        let call = self.client.put_role_policy().role_name(role).policy_name(policy);
        call.policy_document(document.to_string()).send().await.for_operation("iam:PutRolePolicy").map(drop)
    }

    /// Adds a statement to the trust policy of a role.
    pub(crate) async fn add_trust(&self, role: &str, statement: Value) -> Result<(), Failure> {
        let Some(found) = self.find(role).await? else { return Ok(()) };
        let policy = trust(&found)?.with_statement(statement).to_string();
        let call = self.client.update_assume_role_policy().role_name(role).policy_document(policy);
        call.send().await.for_operation("iam:UpdateAssumeRolePolicy").map(drop)
    }

    /// Deletes an inline policy of a role, if the role has it.
    pub(crate) async fn delete_policy(&self, role: &str, policy: &str) -> Result<(), Failure> {
        let call = self.client.delete_role_policy().role_name(role).policy_name(policy);
        match call.send().await.for_operation("iam:DeleteRolePolicy") {
            Err(failure) if failure.class == Class::NotFound => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Deletes a role without policies.
    pub(crate) async fn delete(&self, role: &str) -> Result<(), Failure> {
        self.client.delete_role().role_name(role).send().await.for_operation("iam:DeleteRole").map(drop)
    }
}

/// Treats `NoSuchEntity` as a refusal: a permissions boundary that does not exist will not appear by itself. (IAM API:
/// CreateRole, PutRolePermissionsBoundary)
pub(crate) fn without_retry(failure: Failure) -> Failure {
    failure.when(&["NoSuchEntity", "NoSuchEntityException"], Class::Refused)
}

/// Returns the trust policy of a role.
pub(crate) fn trust(role: &Role) -> Result<Document, Failure> {
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
