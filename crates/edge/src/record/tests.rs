use super::{Record, RecordSpec};
use crate::testing::{ownership_tags, standalone, tags};
use crate::{DnsClient, LoadBalancerClient};
use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancers::DescribeLoadBalancersOutput;
use aws_sdk_elasticloadbalancingv2::types::LoadBalancer;
use aws_sdk_route53::error::ErrorMetadata;
use aws_sdk_route53::operation::change_resource_record_sets::{
    ChangeResourceRecordSetsError, ChangeResourceRecordSetsOutput,
};
use aws_sdk_route53::operation::get_change::GetChangeOutput;
use aws_sdk_route53::operation::list_resource_record_sets::ListResourceRecordSetsOutput;
use aws_sdk_route53::primitives::DateTime;
use aws_sdk_route53::types::{
    AliasTarget, ChangeAction, ChangeInfo, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType,
};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{Action, Class, Graph, Order, Resource, Standalone};
use std::sync::{Arc, Mutex};

const LB: &str = "staging-public-1.us-east-2.elb.amazonaws.com";
const LB_ZONE: &str = "Z3AADJGX6KTTL2";

fn spec() -> RecordSpec {
    RecordSpec {
        zone_id: "Z1".to_owned(),
        name: "staging.ospcapi.org".to_owned(),
        record_type: "A".to_owned(),
        alias: LB.to_owned(),
        alias_zone_id: LB_ZONE.to_owned(),
        evaluate_target_health: true,
    }
}

/// Returns an alias record in the form of Route 53's responses.
fn alias(name: &str, target: &str) -> ResourceRecordSet {
    let target = AliasTarget::builder().dns_name(target).hosted_zone_id(LB_ZONE).evaluate_target_health(true);
    ResourceRecordSet::builder().name(name).r#type(RrType::A).alias_target(target.build().unwrap()).build().unwrap()
}

fn plain(name: &str, kind: RrType, value: &str) -> ResourceRecordSet {
    let value = ResourceRecord::builder().value(value).build().unwrap();
    ResourceRecordSet::builder().name(name).r#type(kind).ttl(60).resource_records(value).build().unwrap()
}

/// Mock hosted zone that stores records as Route 53 does, and returns each change as pending.
#[derive(Clone, Default)]
struct Zone {
    records: Arc<Mutex<Vec<ResourceRecordSet>>>,
    actions: Arc<Mutex<Vec<ChangeAction>>>,
}

impl Zone {
    fn with(records: Vec<ResourceRecordSet>) -> Self {
        Self { records: Arc::new(Mutex::new(records)), ..Self::default() }
    }

    fn names(&self) -> Vec<String> {
        self.records.lock().unwrap().iter().map(|set| format!("{} {}", set.name, set.r#type.as_str())).collect()
    }

    fn actions(&self) -> Vec<ChangeAction> {
        self.actions.lock().unwrap().clone()
    }

    /// Mocks the list call, which returns all records in the order in which they were added.
    fn list(&self) -> Rule {
        let records = Arc::clone(&self.records);
        mock!(DnsClient::list_resource_record_sets)
            .match_requests(|call| call.start_record_name().is_some())
            .then_output(move || {
                let records = records.lock().unwrap().clone();
                let answer = ListResourceRecordSetsOutput::builder().is_truncated(false).max_items(10);
                answer.set_resource_record_sets(Some(records)).build().unwrap()
            })
    }

    fn change(&self) -> Rule {
        let zone = self.clone();
        mock!(DnsClient::change_resource_record_sets).then_compute_response(move |call| {
            let change = &call.change_batch().unwrap().changes()[0];
            let (action, set) = (change.action(), change.resource_record_set().unwrap().clone());
            zone.actions.lock().unwrap().push(action.clone());
            let name = format!("{}.", set.name.trim_end_matches('.'));
            let mut records = zone.records.lock().unwrap();
            let at = records.iter().position(|known| known.name == name && known.r#type == set.r#type);
            let refused = |why: &str| {
                let meta = ErrorMetadata::builder().code("InvalidChangeBatch").message(format!("[Tried, but {why}]"));
                MockResponse::Error(ChangeResourceRecordSetsError::generic(meta.build()))
            };
            match (action, at) {
                (ChangeAction::Create, Some(_)) => return refused("it already exists"),
                (ChangeAction::Delete, None) => return refused("it was not found"),
                (ChangeAction::Delete, Some(at)) if records[at] != set => {
                    return refused("the values provided do not match the current values");
                }
                (_, at) => {
                    at.map(|at| records.remove(at));
                }
            }
            if *action != ChangeAction::Delete {
                let kept = alias(&name, &format!("{}.", set.alias_target.unwrap().dns_name));
                records.push(kept);
            }
            let info = ChangeInfo::builder().id("/change/C1").status(ChangeStatus::Pending);
            let info = info.submitted_at(DateTime::from_secs(0)).build().unwrap();
            MockResponse::Output(ChangeResourceRecordSetsOutput::builder().change_info(info).build())
        })
    }
}

/// Mocks the status of a change: PENDING at the first read, then INSYNC.
fn changes() -> Rule {
    let answer = |status: ChangeStatus| {
        let info = ChangeInfo::builder().id("/change/C1").status(status).submitted_at(DateTime::from_secs(0));
        GetChangeOutput::builder().change_info(info.build().unwrap()).build()
    };
    mock!(DnsClient::get_change)
        .match_requests(|call| call.id() == Some("C1"))
        .sequence()
        .output(move || answer(ChangeStatus::Pending))
        .output(move || answer(ChangeStatus::Insync))
        .times(9)
        .build()
}

/// Mocks an account with this zone and, if `balancer`, the managed load balancer.
fn account(zone: &Zone, balancer: bool, wanted: Vec<RecordSpec>) -> (Standalone, Rule) {
    let changes = changes();
    let dns = pb_aws::mock_client!(aws_sdk_route53, [&zone.list(), &zone.change(), &changes]);
    let lbs = mock!(LoadBalancerClient::describe_load_balancers).then_output(move || {
        let lb = LoadBalancer::builder()
            .load_balancer_arn("arn:lb")
            .dns_name("Staging-public-1.us-east-2.elb.amazonaws.com");
        let answer = DescribeLoadBalancersOutput::builder();
        if balancer { answer.load_balancers(lb.build()).build() } else { answer.build() }
    });
    let tags = tags(ownership_tags("edge/balancer", "staging-public"));
    let balancers = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [&lbs, &tags]);
    let mut graph = Graph::new();
    let kind = graph.kind(Record::new(dns, balancers));
    for (number, spec) in wanted.into_iter().enumerate() {
        graph.add(&format!("edge/record{number}"), &kind, (), move |()| spec.clone()).unwrap();
    }
    (standalone(graph), changes)
}

/// Returns a spec as a read pass has it: the target is never known there, whereas a plan knows it if the load balancer
/// exists.
fn unknown_target() -> RecordSpec {
    RecordSpec { alias: pb_engine::unknown(), ..spec() }
}

#[tokio::test(start_paused = true)]
async fn record_create_waits_until_the_change_is_in_sync() {
    let zone = Zone::with(vec![plain("zzz.ospcapi.org.", RrType::A, "192.0.2.1")]);
    let (standalone, changes) = account(&zone, true, vec![spec()]);
    standalone.deploy().await.unwrap();
    assert_eq!(zone.actions(), [ChangeAction::Create]);
    assert_eq!(changes.num_calls(), 2);
    assert_eq!(zone.names(), ["zzz.ospcapi.org. A", "staging.ospcapi.org. A"]);
    assert!(standalone.plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn record_to_a_managed_load_balancer_is_managed_without_state() {
    for target in [format!("{LB}."), format!("dualstack.{LB}.")] {
        let zone = Zone::with(vec![alias("staging.ospcapi.org.", &target)]);
        let plan = account(&zone, true, vec![spec()]).0.plan().await.unwrap();
        assert!(plan.is_empty(), "{plan:?}");
        let (standalone, _) = account(&zone, true, vec![unknown_target()]);
        standalone.destroy().await.unwrap();
        assert!(zone.names().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn unmanaged_record_of_the_name_refuses_the_plan() {
    let name = "staging.ospcapi.org.";
    let mut weighted = alias(name, &format!("{LB}."));
    weighted.set_identifier = Some("blue".to_owned());
    for set in [
        plain(name, RrType::A, "192.0.2.1"),
        plain(name, RrType::Cname, "elsewhere.example."),
        alias(name, "somebody-elses-1.us-east-2.elb.amazonaws.com."),
        weighted,
    ] {
        let zone = Zone::with(vec![set]);
        let failure = account(&zone, true, vec![unknown_target()]).0.plan().await.unwrap_err();
        assert!(failure.message.contains("record staging.ospcapi.org in the hosted zone Z1"), "{failure}");
        assert!(zone.actions().is_empty());
    }
    let zone = Zone::with(vec![plain(name, RrType::Mx, "10 mail.example."), plain(name, RrType::Txt, "\"x\"")]);
    account(&zone, true, vec![spec()]).0.deploy().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn record_of_another_type_refuses_only_changes() {
    let name = "staging.ospcapi.org.";
    for (kind, value) in [(RrType::Aaaa, "2001:db8::1"), (RrType::from("HTTPS"), "1 .")] {
        let other = plain(name, kind.clone(), value);
        let zone = Zone::with(vec![other.clone()]);
        let failure = account(&zone, true, vec![spec()]).0.plan().await.unwrap_err();
        let expected = format!("the {} record staging.ospcapi.org in the hosted zone Z1 ({value})", kind.as_str());
        assert!(failure.message.contains(&expected), "{failure}");
        // An existing record is not refused, so that other resources can still be changed.
        let zone = Zone::with(vec![alias(name, &format!("{LB}.")), other.clone()]);
        assert!(account(&zone, true, vec![spec()]).0.plan().await.unwrap().is_empty());
        let changed = RecordSpec { evaluate_target_health: false, ..spec() };
        assert!(account(&zone, true, vec![changed]).0.plan().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn protected_record_failure_names_the_protection() {
    let meta = ErrorMetadata::builder().code("InvalidChangeBatch");
    let meta = meta.message("[RRSet staging.ospcapi.org., type A is Protected: already exists, not found]").build();
    let refused = mock!(DnsClient::change_resource_record_sets)
        .then_error(move || ChangeResourceRecordSetsError::generic(meta.clone()));
    let list = Zone::default().list();
    let dns = pb_aws::mock_client!(aws_sdk_route53, [&list, &refused]);
    let lbs = mock!(LoadBalancerClient::describe_load_balancers)
        .then_output(|| DescribeLoadBalancersOutput::builder().build());
    let mut graph = Graph::new();
    let kind = graph.kind(Record::new(dns, pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [&lbs])));
    graph.add("edge/record", &kind, (), |()| spec()).unwrap();
    let failure = standalone(graph).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused, "{failure}");
    let hint = failure.hint.unwrap();
    let command = "delete-resource-record-set-protections --hosted-zone-id Z1 --protections \
                   RecordName=staging.ospcapi.org,RecordType=A`";
    assert!(hint.contains(command), "{hint}");
    assert_eq!(refused.num_calls(), 1, "the call is not repeated");
}

/// Mocks a zone with pages of records: the pages that a list call from each name returns.
fn pages(pages: Vec<(&'static str, Vec<ResourceRecordSet>, Option<&'static str>)>) -> Vec<Rule> {
    let rule = |(from, sets, next): (&'static str, Vec<ResourceRecordSet>, Option<&'static str>)| {
        mock!(DnsClient::list_resource_record_sets)
            .match_requests(move |call| call.start_record_name() == Some(from))
            .then_output(move || {
                let answer = ListResourceRecordSetsOutput::builder().is_truncated(next.is_some()).max_items(10);
                let answer = answer.set_next_record_name(next.map(str::to_owned));
                answer.set_resource_record_sets(Some(sets.clone())).build().unwrap()
            })
    };
    pages.into_iter().map(rule).collect()
}

#[tokio::test(start_paused = true)]
async fn records_of_a_branch_are_read_with_one_call() {
    let ns = plain("b.example.org.", RrType::Ns, "ns-1.example.net.");
    let own = plain("a.b.example.org.", RrType::A, "192.0.2.1");
    let names = ["b.example.org".to_owned(), "a.b.example.org".to_owned()];
    let read = async |rules: &[Rule]| {
        let dns = pb_aws::mock_client!(aws_sdk_route53, rules);
        let kind = Record::new(dns, pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [] as [&Rule; 0]));
        let sets = kind.records("Z1", &names).await.unwrap();
        sets.iter().map(|set| format!("{} {}", set.name, set.r#type.as_str())).collect::<Vec<_>>()
    };
    let expected = ["b.example.org. NS", "a.b.example.org. A"];
    let whole = pages(vec![("b.example.org", vec![ns.clone(), own.clone()], Some("c.example.org."))]);
    assert_eq!(read(&whole).await, expected);
    // A branch that does not fit on one page takes one call for each name.
    let long = pages(vec![
        (
            "b.example.org",
            vec![ns.clone(), plain("0.b.example.org.", RrType::A, "192.0.2.2")],
            Some("1.b.example.org."),
        ),
        ("a.b.example.org", vec![own], None),
    ]);
    assert_eq!(read(&long).await, expected);
}

#[tokio::test(start_paused = true)]
async fn record_that_appears_after_the_plan_is_not_overwritten() {
    let zone = Zone::default();
    let (standalone, _) = account(&zone, true, vec![spec()]);
    let plan = standalone.plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Create);
    // The read pass does not find the record, but the create call conflicts with it.
    let hidden = mock!(DnsClient::list_resource_record_sets)
        .sequence()
        .output(|| {
            ListResourceRecordSetsOutput::builder()
                .set_resource_record_sets(Some(Vec::new()))
                .is_truncated(false)
                .max_items(10)
                .build()
                .unwrap()
        })
        .build();
    let other = Zone::with(vec![plain("staging.ospcapi.org.", RrType::A, "192.0.2.1")]);
    let dns = pb_aws::mock_client!(aws_sdk_route53, [&hidden, &other.list(), &other.change()]);
    let lbs = mock!(LoadBalancerClient::describe_load_balancers)
        .then_output(|| DescribeLoadBalancersOutput::builder().build());
    let balancers = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [&lbs]);
    let mut graph = Graph::new();
    let kind = graph.kind(Record::new(dns, balancers));
    graph.add("edge/record", &kind, (), |()| spec()).unwrap();
    let failure = crate::testing::standalone(graph).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Unmanaged, "{failure}");
    assert_eq!(other.actions(), [ChangeAction::Create]);
}

#[tokio::test(start_paused = true)]
async fn recorded_record_that_points_elsewhere_is_updated() {
    let zone = Zone::default();
    let (standalone, _) = account(&zone, true, vec![spec()]);
    standalone.deploy().await.unwrap();
    *zone.records.lock().unwrap() = vec![plain("staging.ospcapi.org.", RrType::A, "192.0.2.9")];
    let plan = standalone.plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Update, "{plan:?}");
    assert!(plan.steps[0].changes.iter().any(|change| change.before == Some("192.0.2.9".into())));
    standalone.deploy().await.unwrap();
    assert_eq!(zone.actions(), [ChangeAction::Create, ChangeAction::Upsert]);
    standalone.destroy().await.unwrap();
    assert!(zone.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn record_delete_repeats_the_live_values() {
    let zone = Zone::default();
    let (standalone, _) = account(&zone, true, vec![spec()]);
    standalone.deploy().await.unwrap();
    *zone.records.lock().unwrap() = vec![plain("staging.ospcapi.org.", RrType::A, "192.0.2.9")];
    standalone.destroy().await.unwrap();
    assert!(zone.names().is_empty());
}

#[test]
fn record_coexists_with_one_of_another_name() {
    let renamed = RecordSpec { name: "test.ospcapi.org".to_owned(), ..spec() };
    assert!(
        Record::requires_replacement("name")
            && Record::requires_replacement("zone_id")
            && !Record::requires_replacement("alias")
    );
    assert!(Record::can_coexist(&spec(), &renamed));
    assert!(!Record::can_coexist(&spec(), &RecordSpec { alias: "x".to_owned(), ..spec() }));
    assert!(Record::validate(&RecordSpec { name: "Staging.ospcapi.org".to_owned(), ..spec() }).is_err());
    assert!(Record::validate(&RecordSpec { record_type: "CNAME".to_owned(), ..spec() }).is_err());
    assert_eq!(Record::validate(&spec()), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn changed_hostname_replaces_the_record() {
    let zone = Zone::default();
    let wanted = Arc::new(Mutex::new(spec()));
    let dns = pb_aws::mock_client!(aws_sdk_route53, [&zone.list(), &zone.change(), &changes()]);
    let lbs = mock!(LoadBalancerClient::describe_load_balancers)
        .then_output(|| DescribeLoadBalancersOutput::builder().build());
    let balancers = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, [&lbs]);
    let mut graph = Graph::new();
    let kind = graph.kind(Record::new(dns, balancers));
    let now = Arc::clone(&wanted);
    graph.add("edge/record", &kind, (), move |()| now.lock().unwrap().clone()).unwrap();
    let standalone = standalone(graph);
    standalone.deploy().await.unwrap();
    wanted.lock().unwrap().name = "test.ospcapi.org".to_owned();
    let plan = standalone.plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Replace { order: Order::CreateBeforeDestroy }, "{plan:?}");
    standalone.deploy().await.unwrap();
    assert_eq!(zone.names(), ["test.ospcapi.org. A"]);
    assert_eq!(zone.actions(), [ChangeAction::Create, ChangeAction::Create, ChangeAction::Delete]);
}
