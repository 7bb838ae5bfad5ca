use super::{Client, Cluster, ClusterSpec, Clusters, insights};
use crate::testing::{Fake, name_tag, owned_ecs, refused, standalone};
use aws_sdk_ecs::operation::create_cluster::CreateClusterOutput;
use aws_sdk_ecs::operation::delete_cluster::DeleteClusterOutput;
use aws_sdk_ecs::operation::describe_clusters::DescribeClustersOutput;
use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;
use aws_sdk_ecs::operation::list_daemons::ListDaemonsOutput;
use aws_sdk_ecs::operation::list_services::ListServicesOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::operation::stop_task::StopTaskOutput;
use aws_sdk_ecs::operation::update_cluster_settings::UpdateClusterSettingsOutput;
use aws_sdk_ecs::types::{DaemonSummary, Tag};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{Class, Event, Events, Graph, Standalone};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Ecs {
    cluster: Option<Cluster>,
    /// `true` if an unmanaged cluster with the same name is created between plan and create.
    taken: bool,
    /// Number of deletes that are refused because of running tasks.
    tasks: usize,
    /// Number of StopTask calls for one-off tasks and release commands.
    stopped: usize,
}

fn cluster(status: &str, insights_value: &str, tags: Vec<Tag>) -> Cluster {
    Cluster::builder()
        .cluster_name("staging-main")
        .cluster_arn("arn:aws:ecs:us-east-2:1:cluster/staging-main")
        .status(status)
        .settings(insights(insights_value))
        .set_tags(Some(tags))
        .build()
}

fn reads(fake: &Fake<Ecs>) -> Vec<Rule> {
    let (list, describe, stopping) = (fake.clone(), fake.clone(), fake.clone());
    vec![
        mock!(Client::list_clusters).then_compute_output(move |_| {
            let arns = list.get().cluster.iter().filter_map(|cluster| cluster.cluster_arn.clone()).collect();
            ListClustersOutput::builder().set_cluster_arns(Some(arns)).build()
        }),
        mock!(Client::describe_clusters).match_requests(|input| input.include().len() == 2).then_compute_output(
            move |_| {
                let clusters = describe.get().cluster.clone().into_iter().collect();
                DescribeClustersOutput::builder().set_clusters(Some(clusters)).build()
            },
        ),
        mock!(Client::list_services).then_output(|| ListServicesOutput::builder().build()),
        mock!(Client::list_daemons).then_output(|| {
            let arn = "arn:aws:ecs:us-east-2:1:daemon/staging-main/agent";
            ListDaemonsOutput::builder().daemon_summaries_list(DaemonSummary::builder().daemon_arn(arn).build()).build()
        }),
        mock!(Client::list_tasks).match_requests(|call| call.started_by().is_some()).then_output(|| {
            ListTasksOutput::builder().task_arns("arn:aws:ecs:us-east-2:1:task/staging-main/0ne").build()
        }),
        mock!(Client::stop_task)
            .match_requests(|call| call.task() == Some("arn:aws:ecs:us-east-2:1:task/staging-main/0ne"))
            .then_compute_output(move |_| {
                stopping.get().stopped += 1;
                StopTaskOutput::builder().build()
            }),
        mock!(Client::list_tasks).then_output(|| {
            ListTasksOutput::builder().task_arns("arn:aws:ecs:us-east-2:1:task/staging-main/0a1b").build()
        }),
    ]
}

fn writes(fake: &Fake<Ecs>) -> Vec<Rule> {
    let [create, update, delete] = [(); 3].map(|()| fake.clone());
    vec![
        mock!(Client::create_cluster).then_compute_output(move |input| {
            let tags = if create.get().taken { Vec::new() } else { input.tags().to_vec() };
            let made = cluster("ACTIVE", input.settings()[0].value().unwrap(), tags);
            create.get().cluster = Some(made.clone());
            CreateClusterOutput::builder().cluster(made).build()
        }),
        mock!(Client::update_cluster_settings).then_compute_output(move |input| {
            let value = input.settings()[0].value().unwrap();
            update.get().cluster = Some(cluster("ACTIVE", value, owned_ecs("fargate/cluster")));
            UpdateClusterSettingsOutput::builder().build()
        }),
        mock!(Client::delete_cluster).then_compute_response(move |_| {
            let mut ecs = delete.get();
            if ecs.tasks > 0 {
                ecs.tasks -= 1;
                let message = "The Cluster cannot be deleted while Tasks are active.";
                return MockResponse::Http(refused("ClusterContainsTasksException", message));
            }
            ecs.cluster = Some(cluster("INACTIVE", "disabled", owned_ecs("fargate/cluster")));
            MockResponse::Output(DeleteClusterOutput::builder().build())
        }),
    ]
}

fn stack(fake: &Fake<Ecs>, insights: &'static str) -> Standalone {
    let rules: Vec<Rule> = reads(fake).into_iter().chain(writes(fake)).collect();
    let mut graph = Graph::new();
    let kind = graph.kind(Clusters::new(pb_aws::mock_client!(aws_sdk_ecs, &rules)));
    let spec = move |()| ClusterSpec {
        name: "staging-main".to_owned(),
        container_insights: Some(insights.to_owned()),
        tags: name_tag(),
    };
    graph.add("fargate/cluster", &kind, (), spec).unwrap();
    standalone(graph)
}

#[tokio::test(start_paused = true)]
async fn cluster_is_created_with_tags_then_a_no_op() {
    let fake = Fake::<Ecs>::new();
    stack(&fake, "enabled").deploy().await.unwrap();
    let tags = fake.get().cluster.clone().unwrap().tags.unwrap();
    assert_eq!(tags, owned_ecs("fargate/cluster"));
    assert!(stack(&fake, "enabled").plan().await.unwrap().is_empty());
    stack(&fake, "disabled").deploy().await.unwrap();
    assert!(stack(&fake, "disabled").plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn unmanaged_cluster_returned_by_create_is_refused() {
    let fake = Fake::<Ecs>::new();
    fake.get().taken = true;
    let failure = stack(&fake, "disabled").deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Unmanaged);
}

#[tokio::test(start_paused = true)]
async fn inactive_cluster_does_not_exist() {
    let fake = Fake::<Ecs>::new();
    fake.get().cluster = Some(cluster("INACTIVE", "disabled", owned_ecs("fargate/cluster")));
    stack(&fake, "disabled").deploy().await.unwrap();
    assert_eq!(fake.get().cluster.clone().unwrap().status(), Some("ACTIVE"));
}

#[tokio::test(start_paused = true)]
async fn cluster_delete_waits_for_its_tasks_and_names_them() {
    let fake = Fake::<Ecs>::new();
    fake.get().cluster = Some(cluster("ACTIVE", "disabled", owned_ecs("fargate/cluster")));
    fake.get().tasks = 2;
    let said = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&said);
    let events = Events::new(move |event| {
        if let Event::Waiting { what, .. } = event {
            sink.lock().unwrap().push(what);
        }
    });
    stack(&fake, "disabled").events(events).destroy().await.unwrap();
    let message = "the cluster still contains 0 services, 1 daemon and 1 task: agent, 0a1b";
    assert!(said.lock().unwrap()[0].contains(message), "{said:?}");
    assert_eq!(fake.get().stopped, 4, "one-off tasks and release commands are stopped after each refusal");
    assert!(stack(&fake, "disabled").read().await.unwrap().managed.is_empty());
}
