use super::{Client, ServiceAttrs, Status, before, list, ours, stop};
use crate::service::wanted;
use crate::testing::{World, refused};
use aws_sdk_ecs::operation::describe_service_revisions::DescribeServiceRevisionsOutput;
use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsOutput;
use aws_sdk_ecs::operation::stop_service_deployment::StopServiceDeploymentOutput;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{ServiceDeploymentBrief, ServiceRevision, StopServiceDeploymentStopType as Stop};
use aws_smithy_mocks::{Rule, mock};
use std::time::Duration;

/// The rollouts, the latest first: what each is to bring, and how it is.
type Rollouts = Vec<(u32, Status)>;

fn attrs(revision: u32) -> ServiceAttrs {
    ServiceAttrs {
        arn: "arn".to_owned(),
        name: "web".to_owned(),
        cluster: "c".to_owned(),
        deployment: Some("ecs-svc/1".to_owned()),
        task_definition: format!("arn/web:{revision}"),
    }
}

fn reads(world: &World<Rollouts>) -> [Rule; 2] {
    let world = world.clone();
    let listed = mock!(Client::list_service_deployments).then_compute_output(move |_| {
        let brief = |(place, (revision, status)): (usize, &(u32, Status))| {
            ServiceDeploymentBrief::builder()
                .service_deployment_arn(format!("deployment/{place}"))
                .target_service_revision_arn(format!("revision/{revision}"))
                .status(status.clone())
                .build()
        };
        let briefs = world.get().iter().enumerate().map(brief).collect();
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

fn world(rollouts: &[(u32, Status)]) -> World<Rollouts> {
    let world = World::<Rollouts>::new();
    *world.get() = rollouts.to_vec();
    world
}

#[tokio::test]
async fn the_one_before_is_the_last_other_one_that_succeeded() {
    let tried = [
        (9, Status::Successful),
        (8, Status::RollbackSuccessful),
        (9, Status::Successful),
        (5, Status::Successful),
        (4, Status::Successful),
    ];
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&world(&tried)));
    assert_eq!(before(&client, &attrs(9)).await.unwrap().as_deref(), Some("arn/web:5"));
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&world(&[(1, Status::RollbackFailed)])));
    assert_eq!(before(&client, &attrs(1)).await.unwrap(), None);
}

#[tokio::test]
async fn ours_is_the_latest_when_it_is_about_our_revision() {
    let two = [(2, Status::InProgress), (1, Status::Successful)];
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&world(&two)));
    let all = list(&client, "c", "web").await.unwrap();
    assert!(ours(&all, &wanted(&attrs(2))).unwrap().is_open());
    assert_eq!(ours(&all, &wanted(&attrs(1))), None, "somebody deployed after us");
}

#[tokio::test]
async fn forty_rollouts_are_more_than_one_call() {
    let many: Vec<(u32, Status)> = (0..45).map(|number| (number, Status::Successful)).collect();
    let client = pb_aws::mock_client!(aws_sdk_ecs, &reads(&world(&many)));
    let all = list(&client, "c", "web").await.unwrap();
    assert!(all.iter().zip(0..45).all(|(rolled, number)| rolled.task_definition == format!("arn/web:{number}")));
    let gone = mock!(Client::list_service_deployments).then_http_response(|| refused("ServiceNotFoundException", "no"));
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&gone]);
    assert!(list(&client, "c", "web").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_stopped_once_and_its_rollback_waited_for() {
    let world = world(&[(2, Status::InProgress), (1, Status::Successful)]);
    let [listed, revisions] = reads(&world);
    let end = world.clone();
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
    let came = stop(&client, &attrs(2), Duration::from_secs(60)).await.unwrap();
    assert_eq!(came, "rolled back: the revision before serves again");
    assert_eq!(stop(&client, &attrs(2), Duration::ZERO).await.unwrap(), came, "it is not stopped twice");
    assert_eq!(stopped.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_goes_on_is_not_called_done() {
    let [listed, revisions] = reads(&world(&[(2, Status::InProgress)]));
    let stopped = mock!(Client::stop_service_deployment).then_http_response(|| refused("ConflictException", "no"));
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions, &stopped]);
    let came = stop(&client, &attrs(2), Duration::from_secs(3)).await.unwrap();
    assert_eq!(came, "the rollback still goes on (IN_PROGRESS)");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_listed_late_is_stopped_all_the_same() {
    let world = world(&[(1, Status::Successful)]);
    let [listed, revisions] = reads(&world);
    let end = world.clone();
    let stopped = mock!(Client::stop_service_deployment).then_compute_output(move |_| {
        end.get()[0].1 = Status::RollbackSuccessful;
        StopServiceDeploymentOutput::builder().build()
    });
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions, &stopped]);
    let late = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.get().insert(0, (2, Status::Pending));
    };
    let ours = attrs(2);
    let (came, ()) = tokio::join!(stop(&client, &ours, Duration::from_secs(60)), late);
    assert_eq!(came.unwrap(), "rolled back: the revision before serves again");
    let came = stop(&client, &attrs(3), Duration::from_secs(60)).await.unwrap();
    assert!(came.starts_with("ECS does not know it"), "{came}");
    assert_eq!(stopped.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_succeeded_is_not_called_rolled_back() {
    let [listed, revisions] = reads(&world(&[(2, Status::Successful), (1, Status::Successful)]));
    let client = pb_aws::mock_client!(aws_sdk_ecs, [&listed, &revisions]);
    let came = stop(&client, &attrs(2), Duration::from_secs(60)).await.unwrap();
    assert_eq!(came, "ECS had completed it before it could be given up: going back takes another rollout");
}

#[tokio::test]
async fn the_latest_comes_first_in_whatever_order_they_are_listed() {
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
    let arns: Vec<String> = list(&client, "c", "web").await.unwrap().into_iter().map(|rolled| rolled.arn).collect();
    assert_eq!(arns, ["deployment/3", "deployment/2", "deployment/1"]);
}
