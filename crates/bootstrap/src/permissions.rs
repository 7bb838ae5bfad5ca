//! Permissions that a role has, as far as IAM tells.

use crate::roles::Roles;
use aws_sdk_iam::types::{
    EvaluationResult, PermissionsBoundaryDecisionDetail as BoundaryDetail, PolicyEvaluationDecisionType as Decision,
};
use aws_types::SdkConfig;
use pb_aws::no_retry;
use serde_json::Value;

/// IAM's decision about an action of a role, by the role's own policies and its permissions boundary. Policies of the
/// resource and of the organization can decide otherwise: IAM does not simulate them. (IAM API: SimulatePrincipalPolicy)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// The action is allowed.
    Allowed,
    /// A statement denies the action. No other policy can allow it.
    ExplicitlyDenied,
    /// No policy of the role allows the action.
    NotAllowed,
    /// A policy allows the action, but the permissions boundary does not.
    OutsideBoundary,
    /// IAM did not answer, or the decision depends on values that only a real request has.
    Unknown,
}

/// Permissions of roles, which are only read.
#[derive(Debug, Clone)]
pub struct Permissions(Roles);

impl Permissions {
    /// Creates the reader of an account.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self(Roles { client: aws_sdk_iam::Client::new(config) })
    }

    /// Returns IAM's decision about each of `actions` on `resource`, or on `*` if there is none. A simulation that IAM
    /// refuses has the result [`Permission::Unknown`].
    pub async fn simulate(&self, role_arn: &str, actions: &[&str], resource: Option<&str>) -> Vec<Permission> {
        let call = self.0.client.simulate_principal_policy().policy_source_arn(role_arn);
        let call = call.set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()));
        let call = call.set_resource_arns(resource.map(|resource| vec![resource.to_owned()])).customize();
        let call = call.config_override(aws_sdk_iam::config::Builder::new().retry_config(no_retry()));
        let Ok(output) = call.send().await else { return vec![Permission::Unknown; actions.len()] };
        let results = output.evaluation_results();
        let of = |action: &&str| {
            let result = results.iter().find(|result| result.eval_action_name().eq_ignore_ascii_case(action));
            result.map_or(Permission::Unknown, permission)
        };
        actions.iter().map(of).collect()
    }

    /// Returns those of `statements` that an inline policy of a role does not contain. Returns `None` if the policy cannot
    /// be read.
    pub async fn missing_statements(&self, role: &str, policy: &str, statements: &[Value]) -> Option<Vec<Value>> {
        let live = self.0.policy(role, policy).await.ok()?.into_statements();
        Some(statements.iter().filter(|statement| !live.contains(statement)).cloned().collect())
    }
}

/// Returns the decision of a simulation. A deny that names a missing value may not apply to a real request, and so may a
/// missing permission.
fn permission(result: &EvaluationResult) -> Permission {
    let is_certain = result.missing_context_values().is_empty();
    let in_boundary =
        result.permissions_boundary_decision_detail().is_none_or(BoundaryDetail::allowed_by_permissions_boundary);
    match result.eval_decision() {
        Decision::Allowed => Permission::Allowed,
        _ if !is_certain => Permission::Unknown,
        Decision::ExplicitDeny => Permission::ExplicitlyDenied,
        Decision::ImplicitDeny if !in_boundary => Permission::OutsideBoundary,
        Decision::ImplicitDeny => Permission::NotAllowed,
        _ => Permission::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{BoundaryDetail, Decision, EvaluationResult, Permission, permission};

    fn decided(decision: Decision, boundary: Option<bool>, missing: &[&str]) -> Permission {
        let detail = boundary.map(|allowed| BoundaryDetail::builder().allowed_by_permissions_boundary(allowed).build());
        let missing = missing.iter().map(|key| (*key).to_owned()).collect();
        let result = EvaluationResult::builder().eval_action_name("a:B").eval_decision(decision);
        let result = result.set_permissions_boundary_decision_detail(detail).set_missing_context_values(Some(missing));
        permission(&result.build().unwrap())
    }

    #[test]
    fn decision_that_depends_on_a_request_is_unknown() {
        assert_eq!(decided(Decision::Allowed, None, &["aws:SourceIp"]), Permission::Allowed);
        assert_eq!(decided(Decision::ExplicitDeny, None, &["aws:SourceVpce"]), Permission::Unknown);
        assert_eq!(decided(Decision::ImplicitDeny, None, &["aws:SourceVpce"]), Permission::Unknown);
        assert_eq!(decided(Decision::ExplicitDeny, Some(false), &[]), Permission::ExplicitlyDenied);
    }

    #[test]
    fn permissions_boundary_differs_from_a_missing_statement() {
        assert_eq!(decided(Decision::ImplicitDeny, Some(true), &[]), Permission::NotAllowed);
        assert_eq!(decided(Decision::ImplicitDeny, None, &[]), Permission::NotAllowed);
        assert_eq!(decided(Decision::ImplicitDeny, Some(false), &[]), Permission::OutsideBoundary);
    }
}
