use super::{Client, LogGroupSpec, LogGroups, Tags};
use crate::testing::{Fake, name_tag, owned_tags, refused, standalone};
use aws_sdk_cloudwatchlogs::operation::create_log_group::CreateLogGroupOutput;
use aws_sdk_cloudwatchlogs::operation::delete_log_group::DeleteLogGroupOutput;
use aws_sdk_cloudwatchlogs::operation::describe_log_groups::DescribeLogGroupsOutput;
use aws_sdk_cloudwatchlogs::operation::list_tags_for_resource::ListTagsForResourceOutput;
use aws_sdk_cloudwatchlogs::operation::put_retention_policy::PutRetentionPolicyOutput;
use aws_sdk_cloudwatchlogs::operation::tag_resource::TagResourceOutput;
use aws_sdk_cloudwatchlogs::operation::untag_resource::UntagResourceOutput;
use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{Class, Graph, Resource, Standalone};

const ARN: &str = "arn:aws:logs:us-east-2:1:log-group:staging-app";

/// State of the fake CloudWatch Logs: a log group, and the write calls so far.
#[derive(Default)]
struct Logs {
    group: Option<(Option<i32>, Tags)>,
    protected: bool,
    /// Retention by a policy of the account.
    policy: Option<i32>,
    writes: Vec<String>,
}

fn reads(fake: &Fake<Logs>) -> [Rule; 2] {
    let (groups, tags) = (fake.clone(), fake.clone());
    [
        mock!(Client::describe_log_groups).then_compute_output(move |input| {
            let logs = groups.get();
            let group =
                logs.group.as_ref().filter(|_| "staging-app".starts_with(input.log_group_name_prefix().unwrap()));
            let group = group.map(|(days, _)| {
                let group = LogGroup::builder().log_group_name("staging-app").arn(format!("{ARN}:*"));
                let group = group.set_retention_policy_name(logs.policy.map(|_| "all".to_owned()));
                let days = logs.policy.or(*days);
                group.set_retention_in_days(days).deletion_protection_enabled(logs.protected).build()
            });
            DescribeLogGroupsOutput::builder().set_log_groups(Some(group.into_iter().collect())).build()
        }),
        mock!(Client::list_tags_for_resource)
            .match_requests(|input| input.resource_arn() == Some(ARN))
            .then_compute_output(move |_| {
                let group = tags.get().group.clone().unwrap();
                ListTagsForResourceOutput::builder().set_tags(Some(group.1.into_iter().collect())).build()
            }),
    ]
}

fn writes(fake: &Fake<Logs>) -> [Rule; 5] {
    let [create, retain, tag, untag, delete] = [(); 5].map(|()| fake.clone());
    [
        mock!(Client::create_log_group).then_compute_response(move |input| {
            let mut logs = create.get();
            if logs.group.is_some() {
                return MockResponse::Http(refused("ResourceAlreadyExistsException", "it exists"));
            }
            logs.writes.push("create".to_owned());
            logs.group = Some((None, input.tags().unwrap().clone().into_iter().collect()));
            MockResponse::Output(CreateLogGroupOutput::builder().build())
        }),
        mock!(Client::put_retention_policy).then_compute_output(move |input| {
            let mut logs = retain.get();
            logs.writes.push(format!("retain {:?}", input.retention_in_days().unwrap()));
            logs.group.as_mut().unwrap().0 = input.retention_in_days();
            PutRetentionPolicyOutput::builder().build()
        }),
        mock!(Client::tag_resource).match_requests(|input| input.resource_arn() == Some(ARN)).then_compute_output(
            move |input| {
                let mut logs = tag.get();
                logs.writes.push(format!("tag {:?}", input.tags().unwrap()));
                logs.group.as_mut().unwrap().1.extend(input.tags().unwrap().clone());
                TagResourceOutput::builder().build()
            },
        ),
        mock!(Client::untag_resource).then_compute_output(move |input| {
            let mut logs = untag.get();
            logs.writes.push(format!("untag {:?}", input.tag_keys()));
            logs.group.as_mut().unwrap().1.retain(|key, _| !input.tag_keys().contains(key));
            UntagResourceOutput::builder().build()
        }),
        mock!(Client::delete_log_group).then_compute_output(move |_| {
            delete.get().group = None;
            DeleteLogGroupOutput::builder().build()
        }),
    ]
}

fn stack(fake: &Fake<Logs>, days: Option<i32>, tags: Tags) -> Standalone {
    let rules: Vec<Rule> = reads(fake).into_iter().chain(writes(fake)).collect();
    let mut graph = Graph::new();
    let kind = graph.kind(LogGroups::new(pb_aws::mock_client!(aws_sdk_cloudwatchlogs, &rules)));
    let spec = move |()| LogGroupSpec { name: "staging-app".to_owned(), retention_days: days, tags: tags.clone() };
    graph.add("fargate/logs", &kind, (), spec).unwrap();
    standalone(graph)
}

#[tokio::test(start_paused = true)]
async fn log_group_is_created_with_tags_then_a_no_op() {
    let fake = Fake::<Logs>::new();
    let made = stack(&fake, Some(30), name_tag()).deploy().await.unwrap();
    assert_eq!(fake.get().group, Some((Some(30), owned_tags("fargate/logs"))));
    assert_eq!(crate::testing::attrs_of(&made, "fargate/logs")["arn"], ARN);
    assert!(stack(&fake, Some(30), name_tag()).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn log_group_update_writes_only_differences() {
    let fake = Fake::<Logs>::new();
    let mut there = owned_tags("fargate/logs");
    there.insert("old".to_owned(), "1".to_owned());
    fake.get().group = Some((Some(30), there));
    let tags: Tags = [("Name", "n"), ("team", "a")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    stack(&fake, Some(30), tags.clone()).deploy().await.unwrap();
    assert_eq!(fake.get().writes, [r#"tag {"team": "a"}"#, r#"untag ["old"]"#]);
    stack(&fake, Some(7), tags).deploy().await.unwrap();
    assert_eq!(fake.get().writes[2..], ["retain 7"]);
}

#[tokio::test(start_paused = true)]
async fn unmanaged_log_group_is_left_alone() {
    let fake = Fake::<Logs>::new();
    fake.get().group = Some((None, name_tag()));
    let failure = stack(&fake, Some(30), name_tag()).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("log group staging-app already exists"), "{failure}");
    assert!(fake.get().writes.is_empty());
    stack(&fake, None, name_tag()).destroy().await.unwrap();
    assert!(fake.get().group.is_some());
}

#[tokio::test(start_paused = true)]
async fn log_group_protection_refuses_a_destroy() {
    let fake = Fake::<Logs>::new();
    fake.get().group = Some((None, owned_tags("fargate/logs")));
    fake.get().protected = true;
    let failure = stack(&fake, None, name_tag()).destroy().await.unwrap_err();
    assert!(failure.message.contains("deletion protection is on"), "{failure}");
    fake.get().protected = false;
    stack(&fake, None, name_tag()).destroy().await.unwrap();
    assert!(fake.get().group.is_none());
}

#[test]
fn log_group_retention_unknown_to_aws_is_refused() {
    let spec = |days| LogGroupSpec { name: "a".to_owned(), retention_days: Some(days), tags: Tags::new() };
    assert_eq!(LogGroups::validate(&spec(30)), Ok(()));
    assert!(LogGroups::validate(&spec(31)).unwrap_err().contains("the nearest valid value is 30"));
}

#[tokio::test(start_paused = true)]
async fn account_retention_policy_is_no_change() {
    let fake = Fake::<Logs>::new();
    fake.get().group = Some((Some(30), owned_tags("fargate/logs")));
    fake.get().policy = Some(90);
    for days in [Some(30), None] {
        assert!(stack(&fake, days, name_tag()).plan().await.unwrap().is_empty());
    }
    fake.get().policy = None;
    assert!(!stack(&fake, Some(90), name_tag()).plan().await.unwrap().is_empty());
}
