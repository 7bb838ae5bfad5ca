use super::{Client, ServiceAttrs, Status, list, matching, paused_at, previous_revision, stop};
use crate::resources::service::attrs::expected;
use crate::testing::{Fake, refused};
use aws_sdk_ecs::operation::describe_service_deployments::DescribeServiceDeploymentsOutput;
use aws_sdk_ecs::operation::describe_service_revisions::DescribeServiceRevisionsOutput;
use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsOutput;
use aws_sdk_ecs::operation::stop_service_deployment::StopServiceDeploymentOutput;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    DeploymentLifecycleHookDetail, DeploymentLifecycleHookStatus as HookStatus, ServiceDeployment as Described,
    ServiceDeploymentBrief, ServiceDeploymentLifecycleStage, ServiceRevision, StopServiceDeploymentStopType as Stop,
};
use aws_smithy_mocks::{Rule, mock};
use std::time::Duration;

/// Service deployments, latest first: the revision and the status of each.
type Rollouts = Vec<(u32, Status)>;

fn attrs(revision: u32) -> ServiceAttrs {
    ServiceAttrs {
        awaits_ready_log: false,
        arn: "arn".to_owned(),
        name: "web".to_owned(),
        cluster: "c".to_owned(),
        deployment: Some("ecs-svc/1".to_owned()),
        task_definition: format!("arn/web:{revision}"),
    }
}

fn reads(fake: &Fake<Rollouts>) -> [Rule; 2] {
    let fake = fake.clone();
    let listed = mock!(Client::list_service_deployments).then_compute_output(move |_| {
        let brief = |(place, (revision, status)): (usize, &(u32, Status))| {
            ServiceDeploymentBrief::builder()
                .service_deployment_arn(format!("deployment/{place}"))
                .target_service_revision_arn(format!("revision/{revision}"))
                .status(status.clone())
                .build()
        };
        let briefs = fake.get().iter().enumerate().map(brief).collect();
        ListServiceDeploymentsOutput::builder().set_service_deployments(Some(briefs)).build()
    });
    let revisions = mock!(Client::describe_service_revisions).then_compute_output(|input| {
        assert!(input.service_revision_arns().len() <= 20, "more than a call takes");
        let revision = |arn: &String| {
            let number = arn.rsplit('/').next().unwrap();
            ServiceRevision::builder().service_revision_arn(arn).task_definition(format!("arn/web:{number}")).build()
        };
        let revisions = input.service_revision_arns().iter().map(revision).collect();
        DescribeServiceRevisionsOutput::builder().set_service_revisions(Some(revisions)).build()
    });
    [listed, revisions]
}

fn fake_ecs(rollouts: &[(u32, Status)]) -> Fake<Rollouts> {
    let fake = Fake::<Rollouts>::new();
    *fake.get() = rollouts.to_vec();
    fake
}

#[tokio::test]
async fn previous_revision_is_the_last_other_that_succeeded() {
    let tried = [
        (9, Status::Successful),
        (8, Status::RollbackSuccessful),
        (9, Status::Successful),
        (5, Status::Successful),
        (4, Status::Successful),
    ];
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&fake_ecs(&tried)));
    assert_eq!(previous_revision(&client, &attrs(9)).await.unwrap().as_deref(), Some("arn/web:5"));
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&fake_ecs(&[(1, Status::RollbackFailed)])));
    assert_eq!(previous_revision(&client, &attrs(1)).await.unwrap(), None);
}

#[tokio::test]
async fn latest_deployment_matches_only_with_the_same_revision() {
    let two = [(2, Status::InProgress), (1, Status::Successful)];
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&fake_ecs(&two)));
    let all = list(&client, "c", "web").await.unwrap();
    assert!(matching(&all, &expected(&attrs(2))).unwrap().is_open());
    assert_eq!(matching(&all, &expected(&attrs(1))), None, "another deploy followed");
}

#[tokio::test]
async fn service_revisions_are_described_in_batches() {
    let many: Vec<(u32, Status)> = (0..45).map(|number| (number, Status::Successful)).collect();
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&fake_ecs(&many)));
    let all = list(&client, "c", "web").await.unwrap();
    assert!(
        all.iter().zip(0..45).all(|(deployment, number)| deployment.task_definition == format!("arn/web:{number}"))
    );
    let gone = mock!(Client::list_service_deployments).then_http_response(|| refused("ServiceNotFoundException", "no"));
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&gone]);
    assert!(list(&client, "c", "web").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn rollout_is_stopped_once_and_its_rollback_awaited() {
    let fake = fake_ecs(&[(2, Status::InProgress), (1, Status::Successful)]);
    let [listed, revisions] = reads(&fake);
    let end = fake.clone();
    let stopped = mock!(Client::stop_service_deployment)
        .match_requests(|input| {
            (input.stop_type(), input.service_deployment_arn()) == (Some(&Stop::Rollback), Some("deployment/0"))
        })
        .then_compute_output(move |_| {
            end.get()[0].1 = Status::RollbackInProgress;
            let end = end.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(30)).await;
                end.get()[0].1 = Status::RollbackSuccessful;
            });
            StopServiceDeploymentOutput::builder().build()
        });
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions, &stopped]);
    let outcome = stop(&client, &attrs(2), Duration::from_secs(60)).await.unwrap();
    assert_eq!(outcome.text, "rolled back: the previous revision is serving again");
    assert_eq!(stop(&client, &attrs(2), Duration::ZERO).await.unwrap(), outcome, "it is not stopped twice");
    assert_eq!(stopped.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn rollback_in_progress_is_not_reported_as_done() {
    let [listed, revisions] = reads(&fake_ecs(&[(2, Status::InProgress)]));
    let stopped = mock!(Client::stop_service_deployment).then_http_response(|| refused("ConflictException", "no"));
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions, &stopped]);
    let outcome = stop(&client, &attrs(2), Duration::from_secs(3)).await.unwrap();
    assert_eq!(outcome.text, "the rollback is still in progress (IN_PROGRESS)");
}

#[tokio::test(start_paused = true)]
async fn rollout_that_is_listed_late_is_stopped() {
    let fake = fake_ecs(&[(1, Status::Successful)]);
    let [listed, revisions] = reads(&fake);
    let end = fake.clone();
    let stopped = mock!(Client::stop_service_deployment).then_compute_output(move |_| {
        end.get()[0].1 = Status::RollbackSuccessful;
        StopServiceDeploymentOutput::builder().build()
    });
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions, &stopped]);
    let late = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        fake.get().insert(0, (2, Status::Pending));
    };
    let ours = attrs(2);
    let (outcome, ()) = tokio::join!(stop(&client, &ours, Duration::from_secs(60)), late);
    assert_eq!(outcome.unwrap().text, "rolled back: the previous revision is serving again");
    let outcome = stop(&client, &attrs(3), Duration::from_secs(60)).await.unwrap();
    assert!(!outcome.rolled_back && outcome.text.starts_with("ECS does not list this rollout"), "{outcome:?}");
    assert_eq!(stopped.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn completed_rollout_is_not_reported_as_rolled_back() {
    let [listed, revisions] = reads(&fake_ecs(&[(2, Status::Successful), (1, Status::Successful)]));
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions]);
    let outcome = stop(&client, &attrs(2), Duration::from_secs(60)).await.unwrap();
    assert_eq!(outcome.text, "ECS had already completed the rollout; rolling back requires another rollout");
}

#[tokio::test]
async fn service_deployments_are_sorted_latest_first() {
    let listed = mock!(Client::list_service_deployments).then_output(|| {
        let brief = |number: i64| {
            ServiceDeploymentBrief::builder()
                .service_deployment_arn(format!("deployment/{number}"))
                .created_at(DateTime::from_secs(number))
                .build()
        };
        let briefs = [2, 3, 1].map(brief).to_vec();
        ListServiceDeploymentsOutput::builder().set_service_deployments(Some(briefs)).build()
    });
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed]);
    let arns: Vec<String> =
        list(&client, "c", "web").await.unwrap().into_iter().map(|deployment| deployment.arn).collect();
    assert_eq!(arns, ["deployment/3", "deployment/2", "deployment/1"]);
}

#[tokio::test]
async fn paused_rollout_names_the_hook_and_the_command() {
    let fake = fake_ecs(&[(2, Status::InProgress), (1, Status::Successful)]);
    let described = |status: HookStatus| {
        mock!(Client::describe_service_deployments)
            .match_requests(|input| input.service_deployment_arns() == ["deployment/0"])
            .then_output(move || {
                let hook = DeploymentLifecycleHookDetail::builder().hook_id("hook-1").status(status.clone()).build();
                let stage = ServiceDeploymentLifecycleStage::PostScaleUp;
                let deployment = Described::builder().lifecycle_stage(stage).lifecycle_hook_details(hook).build();
                DescribeServiceDeploymentsOutput::builder().service_deployments(deployment).build()
            })
    };
    let paused = async |status| {
        let [listed, revisions] = reads(&fake);
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions, &described(status)]);
        paused_at(&client, &attrs(2)).await
    };
    let text = paused(HookStatus::AwaitingAction).await.unwrap();
    assert!(text.starts_with("paused by a lifecycle hook at POST_SCALE_UP; continue with `aws ecs"), "{text}");
    assert!(text.contains("--service-deployment-arn deployment/0 --hook-id hook-1 --action CONTINUE"), "{text}");
    assert_eq!(paused(HookStatus::InProgress).await, None);
}
