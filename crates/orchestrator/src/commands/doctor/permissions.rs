//! The permissions of the credentials, as far as IAM can simulate them.

use super::check::{Check, Verdict};
use aws_config::SdkConfig;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType as Decision,
};
use pb_aws::{ForOperation, no_retry};
use pb_config::Workspace;
use pb_engine::Failure;

/// A sample of the actions that a deploy begins with, by their names in IAM.
const ACTIONS: [&str; 10] = [
    "ec2:CreateVpc",
    "ec2:CreateSecurityGroup",
    "ec2:CreateTags",
    "ecs:CreateService",
    "ecs:RegisterTaskDefinition",
    "ecr:CreateRepository",
    "elasticache:CreateReplicationGroup",
    "elasticloadbalancing:CreateLoadBalancer",
    "logs:CreateLogGroup",
    "route53:ChangeResourceRecordSets",
];

/// The action that passes a role to a service, so that ECS can start tasks with it.
const PASS_ROLE: &str = "iam:PassRole";

/// The name of the check.
const NAME: &str = "permissions";

/// The result of a simulation by IAM.
#[derive(Debug, Default, PartialEq)]
struct Simulation {
    /// Actions that are denied on all resources.
    denied: Vec<String>,
    /// Actions that are not allowed on all resources, but may be allowed on those of this stack, which may not exist
    /// yet.
    unclear: Vec<String>,
}

/// Asks IAM for the permissions of the credentials. IAM may deny the simulation itself, and does not take the policies
/// of an organization into account.
pub async fn check(aws: &SdkConfig, workspace: &Workspace) -> Check {
    match simulate(aws, &workspace.roles.execution).await {
        Ok(simulation) => verdict(&simulation, &workspace.roles.execution),
        Err(failure) => Check::failed(NAME, Verdict::Unknown, &failure),
    }
}

fn verdict(simulation: &Simulation, role: &str) -> Check {
    let hint =
        format!("docs/api-actions.md lists the actions that a deploy uses; {PASS_ROLE} is needed for the role {role}");
    if !simulation.denied.is_empty() {
        return Check::bad(NAME, format!("not allowed: {}", simulation.denied.join(", ")), hint);
    }
    match simulation.unclear.is_empty() {
        true => Check::good(NAME, format!("all {} simulated actions are allowed", ACTIONS.len() + 1)),
        false => {
            let found = format!("not allowed on every resource: {}", simulation.unclear.join(", "));
            let hint = format!("make sure that the policy allows them on the resources of this stack; {hint}");
            Check::warning(NAME, found, hint)
        }
    }
}

async fn simulate(aws: &SdkConfig, role: &str) -> Result<Simulation, Failure> {
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await;
    let identity = identity.for_operation("sts:GetCallerIdentity")?;
    let once = aws_sdk_iam::config::Builder::from(aws).retry_config(no_retry()).build();
    simulate_actions(&aws_sdk_iam::Client::from_conf(once), identity.arn().unwrap_or_default(), role).await
}

async fn simulate_actions(client: &aws_sdk_iam::Client, arn: &str, role: &str) -> Result<Simulation, Failure> {
    let ask = || client.simulate_principal_policy().policy_source_arn(principal(arn));
    let any = ask().set_action_names(Some(ACTIONS.map(str::to_owned).to_vec())).send();
    // Policies that follow the advice of AWS allow a role to be passed only to the service that needs it.
    let to_tasks = ContextEntry::builder()
        .context_key_name("iam:PassedToService")
        .context_key_values("ecs-tasks.amazonaws.com")
        .context_key_type(ContextKeyTypeEnum::String)
        .build();
    let pass = ask().action_names(PASS_ROLE).resource_arns(role_arn(arn, role)).context_entries(to_tasks).send();
    let (any, pass) = tokio::join!(any, pass);
    let mut simulation = Simulation::default();
    for result in any.for_operation("iam:SimulatePrincipalPolicy")?.evaluation_results() {
        match result.eval_decision() {
            Decision::Allowed => {}
            Decision::ExplicitDeny => simulation.denied.push(action(result)),
            _ => simulation.unclear.push(action(result)),
        }
    }
    let pass = pass.for_operation("iam:SimulatePrincipalPolicy")?;
    let refused = pass.evaluation_results().iter().filter(|result| *result.eval_decision() != Decision::Allowed);
    simulation.denied.extend(refused.map(action));
    Ok(simulation)
}

fn action(result: &EvaluationResult) -> String {
    result.eval_action_name().to_owned()
}

/// Returns the ARN of the principal to simulate. For a session of an assumed role, this is the role, because IAM cannot
/// simulate sessions.
fn principal(arn: &str) -> String {
    match arn.split_once(":assumed-role/") {
        Some((head, rest)) => {
            let role = rest.split('/').next().unwrap_or(rest);
            format!("{}:role/{role}", head.replacen(":sts:", ":iam:", 1))
        }
        None => arn.to_owned(),
    }
}

/// Returns the ARN of a role in the same account.
fn role_arn(arn: &str, role: &str) -> String {
    let mut parts = arn.split(':');
    let partition = parts.nth(1).unwrap_or("aws");
    let account = parts.nth(2).unwrap_or_default();
    format!("arn:{partition}:iam::{account}:role/{role}")
}

#[cfg(test)]
mod tests {
    use super::{ACTIONS, PASS_ROLE, Simulation, Verdict, principal, role_arn, simulate_actions, verdict};
    use aws_sdk_iam::operation::simulate_principal_policy::{
        SimulatePrincipalPolicyInput, SimulatePrincipalPolicyOutput,
    };
    use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType as Decision};
    use aws_smithy_mocks::mock;

    const ANA: &str = "arn:aws:iam::123456789012:user/ana";

    #[test]
    fn assumed_role_session_is_simulated_as_its_role() {
        assert_eq!(principal("arn:aws:sts::1:assumed-role/deploy/ana"), "arn:aws:iam::1:role/deploy");
        assert_eq!(principal("arn:aws:iam::1:user/ana"), "arn:aws:iam::1:user/ana");
        assert_eq!(role_arn("arn:aws-cn:sts::1:assumed-role/deploy/ana", "ecs"), "arn:aws-cn:iam::1:role/ecs");
    }

    /// Returns IAM's response, with the decisions of `decide`. `iam:PassRole` is denied unless it passes the role of
    /// this account to ECS tasks.
    fn answer(input: &SimulatePrincipalPolicyInput, decide: fn(&str) -> Decision) -> SimulatePrincipalPolicyOutput {
        let results = input.action_names().iter().map(|name| {
            let passed = input.context_entries().iter().any(|entry| {
                entry.context_key_name() == Some("iam:PassedToService")
                    && entry.context_key_values() == ["ecs-tasks.amazonaws.com"]
            });
            let ours = input.resource_arns() == ["arn:aws:iam::123456789012:role/ecs"] && passed;
            let right = if name == PASS_ROLE { ours } else { input.resource_arns().is_empty() };
            let decision = if right { decide(name) } else { Decision::ImplicitDeny };
            EvaluationResult::builder().eval_action_name(name).eval_decision(decision).build().unwrap()
        });
        SimulatePrincipalPolicyOutput::builder().set_evaluation_results(Some(results.collect())).build()
    }

    async fn simulation_of(decide: fn(&str) -> Decision) -> Simulation {
        let rule = mock!(aws_sdk_iam::Client::simulate_principal_policy)
            .then_compute_output(move |input| answer(input, decide));
        let client = pb_aws::mock_client!(aws_sdk_iam, [&rule]);
        simulate_actions(&client, ANA, "ecs").await.unwrap()
    }

    #[tokio::test]
    async fn simulation_separates_denied_from_unclear_actions() {
        assert_eq!(simulation_of(|_| Decision::Allowed).await, Simulation::default());
        let simulation = simulation_of(|name| match name {
            "ec2:CreateVpc" => Decision::ExplicitDeny,
            "ecs:CreateService" => Decision::ImplicitDeny,
            _ => Decision::Allowed,
        })
        .await;
        assert_eq!(simulation.denied, ["ec2:CreateVpc"]);
        assert_eq!(simulation.unclear, ["ecs:CreateService"]);
        let nothing = simulation_of(|_| Decision::ImplicitDeny).await;
        assert_eq!((nothing.denied, nothing.unclear.len()), (vec![PASS_ROLE.to_owned()], ACTIONS.len()));
    }

    #[test]
    fn unclear_permission_warns_denied_permission_fails() {
        let simulation = |denied: &[&str], unclear: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            verdict(&Simulation { denied: words(denied), unclear: words(unclear) }, "ecs")
        };
        assert_eq!(simulation(&[], &[]).verdict, Verdict::Good);
        let unclear = simulation(&[], &["ecs:CreateService"]);
        assert_eq!(unclear.verdict, Verdict::Warning);
        assert!(unclear.found.contains("ecs:CreateService") && unclear.hint.is_some());
        assert_eq!(simulation(&[PASS_ROLE], &["ecs:CreateService"]).verdict, Verdict::Bad);
    }
}
