//! The permissions of the credentials, as far as IAM can simulate them.

use super::check::{Check, Verdict};
use aws_config::SdkConfig;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType as Decision,
};
use pb_aws::{ForOperation, no_retry};
use pb_config::Workspace;
use pb_engine::{Class, Failure};

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

/// The first action that certificates need.
const REQUEST_CERTIFICATE: &str = "acm:RequestCertificate";

/// The action that passes a role to a service, so that ECS can start tasks with it.
const PASS_ROLE: &str = "iam:PassRole";

/// The name of the check.
const NAME: &str = "permissions";

/// The result of a simulation by IAM.
#[derive(Debug, Default, PartialEq)]
struct Simulation {
    /// Number of actions that were simulated.
    count: usize,
    /// Actions that are denied on all resources.
    denied: Vec<String>,
    /// Actions that are not allowed on all resources, but may be allowed on those of this stack, which may not exist
    /// yet.
    unclear: Vec<String>,
}

/// Asks IAM for the permissions of the credentials. IAM may deny the simulation itself, and does not take the policies
/// of an organization into account.
pub async fn check(aws: &SdkConfig, workspace: &Workspace) -> Check {
    match simulate(aws, &workspace.roles.execution, &actions(workspace)).await {
        Ok(simulation) => verdict(&simulation, &workspace.roles.execution),
        Err(failure) => Check::failed(NAME, Verdict::Unknown, &failure),
    }
}

/// Returns the actions that are simulated.
fn actions(workspace: &Workspace) -> Vec<&'static str> {
    let requests = workspace.https.as_ref().is_some_and(|https| https.certificate_arn.is_none());
    ACTIONS.into_iter().chain(requests.then_some(REQUEST_CERTIFICATE)).collect()
}

fn verdict(simulation: &Simulation, role: &str) -> Check {
    let hint =
        format!("docs/api-actions.md lists the actions that a deploy uses; {PASS_ROLE} is needed for the role {role}");
    if !simulation.denied.is_empty() {
        return Check::bad(NAME, format!("not allowed: {}", simulation.denied.join(", ")), hint);
    }
    match simulation.unclear.is_empty() {
        true => Check::good(NAME, format!("all {} simulated actions are allowed", simulation.count)),
        false => {
            let found = format!("not allowed on every resource: {}", simulation.unclear.join(", "));
            let hint = format!("make sure that the policy allows them on the resources of this stack; {hint}");
            Check::warning(NAME, found, hint)
        }
    }
}

async fn simulate(aws: &SdkConfig, role: &str, actions: &[&str]) -> Result<Simulation, Failure> {
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await;
    let identity = identity.for_operation("sts:GetCallerIdentity")?;
    let once = aws_sdk_iam::config::Builder::from(aws).retry_config(no_retry()).build();
    let client = aws_sdk_iam::Client::from_conf(once);
    let source = source_arn(&client, identity.arn().unwrap_or_default()).await?;
    // A role that does not exist is reported by another check.
    let role = role_arn(&client, role).await.unwrap_or_else(|_| default_role_arn(&source, role));
    simulate_actions(&client, &source, &role, actions).await
}

/// Returns the ARN of the user or role whose policies IAM can simulate. For a session of a role, this is the ARN of the
/// role. The ARN of the session lacks the path of the role, which all roles of IAM Identity Center have.
async fn source_arn(client: &aws_sdk_iam::Client, caller: &str) -> Result<String, Failure> {
    if let Some((_, session)) = caller.split_once(":assumed-role/") {
        let role = session.split('/').next().unwrap_or(session);
        return role_arn(client, role).await.map_err(|failure| {
            let hint = format!(
                "allow iam:GetRole for role {role}, so that this check finds its ARN; a deploy does not need it"
            );
            failure.hint(hint)
        });
    }
    if [":user/", ":role/"].iter().any(|kind| caller.contains(kind)) {
        return Ok(caller.to_owned());
    }
    let message = format!("IAM simulates the permissions of users and roles only, not those of {caller}");
    let failure = Failure::new(Class::Refused, "iam:SimulatePrincipalPolicy", message);
    Err(failure.hint("use an IAM user or role, or a session of IAM Identity Center"))
}

/// Returns the ARN of a role, with its path.
async fn role_arn(client: &aws_sdk_iam::Client, name: &str) -> Result<String, Failure> {
    let found = client.get_role().role_name(name).send().await.for_operation("iam:GetRole")?;
    let arn = found.role().map(|role| role.arn().to_owned());
    arn.ok_or_else(|| Failure::new(Class::Ambiguous, "iam:GetRole", "the response contains no role"))
}

async fn simulate_actions(
    client: &aws_sdk_iam::Client,
    source: &str,
    role: &str,
    actions: &[&str],
) -> Result<Simulation, Failure> {
    let ask = || client.simulate_principal_policy().policy_source_arn(source);
    let any = ask().set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect())).send();
    // Policies that follow the advice of AWS allow a role to be passed only to the service that needs it.
    let to_tasks = ContextEntry::builder()
        .context_key_name("iam:PassedToService")
        .context_key_values("ecs-tasks.amazonaws.com")
        .context_key_type(ContextKeyTypeEnum::String)
        .build();
    let pass = ask().action_names(PASS_ROLE).resource_arns(role).context_entries(to_tasks).send();
    let (any, pass) = tokio::join!(any, pass);
    let mut simulation = Simulation { count: actions.len() + 1, ..Simulation::default() };
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

/// Returns the ARN of a role without a path in the account of the caller.
fn default_role_arn(caller: &str, role: &str) -> String {
    let mut parts = caller.split(':');
    let partition = parts.nth(1).unwrap_or("aws");
    let account = parts.nth(2).unwrap_or_default();
    format!("arn:{partition}:iam::{account}:role/{role}")
}

#[cfg(test)]
mod tests {
    use super::{ACTIONS, PASS_ROLE, Simulation, Verdict, default_role_arn, simulate_actions, source_arn, verdict};
    use aws_sdk_iam::operation::get_role::{GetRoleError, GetRoleOutput};
    use aws_sdk_iam::operation::simulate_principal_policy::{
        SimulatePrincipalPolicyInput, SimulatePrincipalPolicyOutput,
    };
    use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType as Decision, Role};
    use aws_smithy_mocks::{Rule, mock};

    const ANA: &str = "arn:aws:iam::123456789012:user/ana";

    const SSO: &str = "AWSReservedSSO_Admin_0123456789abcdef";

    async fn source_of(caller: &str, rules: &[&Rule]) -> Result<String, pb_engine::Failure> {
        source_arn(&pb_aws::mock_client!(aws_sdk_iam, rules), caller).await
    }

    #[tokio::test]
    async fn session_is_simulated_as_its_role_with_path() {
        let arn = format!("arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/{SSO}");
        let role = Role::builder()
            .arn(&arn)
            .role_name(SSO)
            .path("/")
            .role_id("AROA1")
            .create_date(aws_sdk_iam::primitives::DateTime::from_secs(0));
        let output = GetRoleOutput::builder().role(role.build().unwrap()).build();
        let rule = mock!(aws_sdk_iam::Client::get_role)
            .match_requests(|input| input.role_name() == Some(SSO))
            .then_output(move || output.clone());
        let caller = format!("arn:aws:sts::123456789012:assumed-role/{SSO}/ana@example.org");
        assert_eq!(source_of(&caller, &[&rule]).await.unwrap(), arn);
        assert_eq!(source_of(ANA, &[]).await.unwrap(), ANA);
    }

    #[tokio::test]
    async fn caller_that_cannot_be_simulated_is_explained() {
        let denied = mock!(aws_sdk_iam::Client::get_role).then_error(|| {
            let denied = aws_sdk_iam::error::ErrorMetadata::builder().code("AccessDenied").message("no");
            GetRoleError::generic(denied.build())
        });
        let failure = source_of("arn:aws:sts::1:assumed-role/deploy/ana", &[&denied]).await.unwrap_err();
        assert!(failure.hint.unwrap().contains("allow iam:GetRole for role deploy"));
        for caller in ["arn:aws:iam::1:root", "arn:aws:sts::1:federated-user/ana"] {
            let failure = source_of(caller, &[]).await.unwrap_err();
            assert!(failure.message.contains(caller) && failure.hint.is_some(), "{failure}");
        }
        assert_eq!(default_role_arn("arn:aws-cn:iam::1:role/deploy", "ecs"), "arn:aws-cn:iam::1:role/ecs");
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
        simulate_actions(&client, ANA, "arn:aws:iam::123456789012:role/ecs", &ACTIONS).await.unwrap()
    }

    #[tokio::test]
    async fn simulation_separates_denied_from_unclear_actions() {
        let allowed = Simulation { count: ACTIONS.len() + 1, ..Simulation::default() };
        assert_eq!(simulation_of(|_| Decision::Allowed).await, allowed);
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
            verdict(&Simulation { count: 11, denied: words(denied), unclear: words(unclear) }, "ecs")
        };
        assert_eq!(simulation(&[], &[]).verdict, Verdict::Good);
        let unclear = simulation(&[], &["ecs:CreateService"]);
        assert_eq!(unclear.verdict, Verdict::Warning);
        assert!(unclear.found.contains("ecs:CreateService") && unclear.hint.is_some());
        assert_eq!(simulation(&[PASS_ROLE], &["ecs:CreateService"]).verdict, Verdict::Bad);
    }
}
