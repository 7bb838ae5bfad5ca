//! What the credentials may do, as far as IAM says.

use super::{Check, Verdict};
use aws_config::SdkConfig;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType as Decision,
};
use pb_aws::{ForOperation, no_retry};
use pb_config::Workspace;
use pb_engine::Failure;

/// One action of each sort that a deploy begins with, as IAM calls them.
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

/// What a service is given when it is to start tasks in a role.
const PASS: &str = "iam:PassRole";

/// What the check is called.
const NAME: &str = "permissions";

/// What IAM says of the actions.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// Not allowed, whatever they are done to.
    denied: Vec<String>,
    /// Not allowed on everything: on what is yet to be made they may be.
    unclear: Vec<String>,
}

/// Asks IAM what the credentials may do. IAM may refuse to say, and says nothing about what an organization forbids.
pub async fn check(aws: &SdkConfig, workspace: &Workspace) -> Check {
    match said(aws, &workspace.roles.execution).await {
        Ok(said) => verdict(&said, &workspace.roles.execution),
        Err(failure) => Check::failed(NAME, Verdict::Unknown, &failure),
    }
}

fn verdict(said: &Said, role: &str) -> Check {
    let hint = format!("docs/api-actions.md lists what a deployment uses; {PASS} is needed for the role {role}");
    if !said.denied.is_empty() {
        return Check::bad(NAME, format!("not allowed: {}", said.denied.join(", ")), hint);
    }
    match said.unclear.is_empty() {
        true => Check::good(NAME, format!("the {} that were asked about", ACTIONS.len() + 1)),
        false => {
            let found = format!("not allowed on every resource: {}", said.unclear.join(", "));
            let hint = format!("see that the policy allows them on those of this stack; {hint}");
            Check::warning(NAME, found, hint)
        }
    }
}

async fn said(aws: &SdkConfig, role: &str) -> Result<Said, Failure> {
    let identity = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await;
    let identity = identity.for_operation("sts:GetCallerIdentity")?;
    let once = aws_sdk_iam::config::Builder::from(aws).retry_config(no_retry()).build();
    simulated(&aws_sdk_iam::Client::from_conf(once), identity.arn().unwrap_or_default(), role).await
}

async fn simulated(client: &aws_sdk_iam::Client, arn: &str, role: &str) -> Result<Said, Failure> {
    let ask = || client.simulate_principal_policy().policy_source_arn(principal(arn));
    let any = ask().set_action_names(Some(ACTIONS.map(str::to_owned).to_vec())).send();
    // Policies that follow AWS's advice allow a role to be passed to the one service that is to have it.
    let to_tasks = ContextEntry::builder()
        .context_key_name("iam:PassedToService")
        .context_key_values("ecs-tasks.amazonaws.com")
        .context_key_type(ContextKeyTypeEnum::String)
        .build();
    let pass = ask().action_names(PASS).resource_arns(role_arn(arn, role)).context_entries(to_tasks).send();
    let (any, pass) = tokio::join!(any, pass);
    let mut said = Said::default();
    for result in any.for_operation("iam:SimulatePrincipalPolicy")?.evaluation_results() {
        match result.eval_decision() {
            Decision::Allowed => {}
            Decision::ExplicitDeny => said.denied.push(action(result)),
            _ => said.unclear.push(action(result)),
        }
    }
    let pass = pass.for_operation("iam:SimulatePrincipalPolicy")?;
    let refused = pass.evaluation_results().iter().filter(|result| *result.eval_decision() != Decision::Allowed);
    said.denied.extend(refused.map(action));
    Ok(said)
}

fn action(result: &EvaluationResult) -> String {
    result.eval_action_name().to_owned()
}

/// The role of an assumed role; IAM simulates no sessions.
fn principal(arn: &str) -> String {
    match arn.split_once(":assumed-role/") {
        Some((head, rest)) => {
            let role = rest.split('/').next().unwrap_or(rest);
            format!("{}:role/{role}", head.replacen(":sts:", ":iam:", 1))
        }
        None => arn.to_owned(),
    }
}

/// The ARN of a role of the same account.
fn role_arn(arn: &str, role: &str) -> String {
    let mut parts = arn.split(':');
    let partition = parts.nth(1).unwrap_or("aws");
    let account = parts.nth(2).unwrap_or_default();
    format!("arn:{partition}:iam::{account}:role/{role}")
}

#[cfg(test)]
mod tests {
    use super::{ACTIONS, PASS, Said, Verdict, principal, role_arn, simulated, verdict};
    use aws_sdk_iam::operation::simulate_principal_policy::{
        SimulatePrincipalPolicyInput, SimulatePrincipalPolicyOutput,
    };
    use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType as Decision};
    use aws_smithy_mocks::mock;

    const ANA: &str = "arn:aws:iam::123456789012:user/ana";

    #[test]
    fn a_session_is_judged_by_its_role() {
        assert_eq!(principal("arn:aws:sts::1:assumed-role/deploy/ana"), "arn:aws:iam::1:role/deploy");
        assert_eq!(principal("arn:aws:iam::1:user/ana"), "arn:aws:iam::1:user/ana");
        assert_eq!(role_arn("arn:aws-cn:sts::1:assumed-role/deploy/ana", "ecs"), "arn:aws-cn:iam::1:role/ecs");
    }

    /// What IAM answers to `decide`; the role has to be that of the account, passed to the tasks.
    fn answer(input: &SimulatePrincipalPolicyInput, decide: fn(&str) -> Decision) -> SimulatePrincipalPolicyOutput {
        let results = input.action_names().iter().map(|name| {
            let passed = input.context_entries().iter().any(|entry| {
                entry.context_key_name() == Some("iam:PassedToService")
                    && entry.context_key_values() == ["ecs-tasks.amazonaws.com"]
            });
            let ours = input.resource_arns() == ["arn:aws:iam::123456789012:role/ecs"] && passed;
            let right = if name == PASS { ours } else { input.resource_arns().is_empty() };
            let decision = if right { decide(name) } else { Decision::ImplicitDeny };
            EvaluationResult::builder().eval_action_name(name).eval_decision(decision).build().unwrap()
        });
        SimulatePrincipalPolicyOutput::builder().set_evaluation_results(Some(results.collect())).build()
    }

    async fn asked(decide: fn(&str) -> Decision) -> Said {
        let rule = mock!(aws_sdk_iam::Client::simulate_principal_policy)
            .then_compute_output(move |input| answer(input, decide));
        let client = pb_aws::mock_client!(aws_sdk_iam, [&rule]);
        simulated(&client, ANA, "ecs").await.unwrap()
    }

    #[tokio::test]
    async fn what_is_allowed_denied_and_not_to_be_told_are_three_things() {
        assert_eq!(asked(|_| Decision::Allowed).await, Said::default());
        let said = asked(|name| match name {
            "ec2:CreateVpc" => Decision::ExplicitDeny,
            "ecs:CreateService" => Decision::ImplicitDeny,
            _ => Decision::Allowed,
        })
        .await;
        assert_eq!(said.denied, ["ec2:CreateVpc"]);
        assert_eq!(said.unclear, ["ecs:CreateService"]);
        let nothing = asked(|_| Decision::ImplicitDeny).await;
        assert_eq!((nothing.denied, nothing.unclear.len()), (vec![PASS.to_owned()], ACTIONS.len()));
    }

    #[test]
    fn what_cannot_be_told_is_a_warning_and_what_is_denied_stands_in_the_way() {
        let said = |denied: &[&str], unclear: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            verdict(&Said { denied: words(denied), unclear: words(unclear) }, "ecs")
        };
        assert_eq!(said(&[], &[]).verdict, Verdict::Good);
        let unclear = said(&[], &["ecs:CreateService"]);
        assert_eq!(unclear.verdict, Verdict::Warning);
        assert!(unclear.found.contains("ecs:CreateService") && unclear.hint.is_some());
        assert_eq!(said(&[PASS], &["ecs:CreateService"]).verdict, Verdict::Bad);
    }
}
