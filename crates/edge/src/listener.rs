//! `elbv2.listener`: a port on which the load balancer accepts connections, with its default target group.

use crate::LoadBalancerClient as Client;
use crate::load_balancers::{Listeners, listeners};
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, Listener as AwsListener, ProtocolEnum};
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{
    Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, is_unknown, list_with_details, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Resource kind for listeners.
pub struct Listener {
    client: Client,
}

impl Listener {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Returns the listeners of the managed load balancers, and of the load balancers of listeners that are desired,
    /// recorded or to be imported.
    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<AwsListener>, Failure> {
        let managed = Listeners::cached(scope, &self.client).await?;
        let seen: BTreeSet<&str> = managed.0.iter().filter_map(|listener| listener.load_balancer_arn()).collect();
        let desired = scope.desired.iter().map(|(_, spec)| spec.load_balancer_arn.as_str());
        let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.load_balancer_arn.as_str());
        let imports: Vec<String> = scope.imports().filter_map(|(_, arn)| load_balancer_arn(arn)).collect();
        let others = desired.chain(recorded).chain(imports.iter().map(String::as_str));
        let others: BTreeSet<&str> = others.filter(|arn| !is_unknown(arn) && !seen.contains(arn)).collect();
        let others = try_join_all(others.into_iter().map(|arn| listeners(&self.client, arn))).await?;
        Ok(managed.0.iter().cloned().chain(others.into_iter().flatten()).collect())
    }
}

/// Spec of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerSpec {
    /// ARN of the load balancer.
    pub load_balancer_arn: String,
    /// Port of the listener.
    pub port: i32,
    /// Protocol: `HTTP`.
    pub protocol: String,
    /// ARN of the target group that receives the requests that match no rule.
    pub target_group_arn: String,
    /// Tags, without the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerAttrs {
    /// ARN of the listener.
    pub arn: String,
    /// ARN of the load balancer.
    pub load_balancer_arn: String,
}

/// A listener does not prevent the deletion of its load balancer: AWS deletes both together.
impl Resource for Listener {
    const KIND: &'static str = "elbv2.listener";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["elbv2.target_group"];
    const TAG_INDEXED: bool = true;
    type Spec = ListenerSpec;
    type Attrs = ListenerAttrs;

    fn validate(spec: &ListenerSpec) -> Result<(), String> {
        pb_rules::network::port(spec.port.into()).map_err(|violation| violation.to_string())
    }

    fn planned_attrs(spec: &ListenerSpec) -> ListenerAttrs {
        ListenerAttrs { arn: unknown(), load_balancer_arn: spec.load_balancer_arn.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "load_balancer_arn"
    }

    /// Listeners of different load balancers can have the same port, but a target group can belong to only one load
    /// balancer (TargetGroupAssociationLimit).
    fn can_coexist(old: &ListenerSpec, new: &ListenerSpec) -> bool {
        old.load_balancer_arn != new.load_balancer_arn && old.target_group_arn != new.target_group_arn
    }

    fn id(attrs: &ListenerAttrs) -> Option<String> {
        (!is_unknown(&attrs.arn)).then(|| attrs.arn.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let likely = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let arn = |listener: &AwsListener| listener.listener_arn().map(str::to_owned);
        let tags = |arns| tags::read(scope, &self.client, arns);
        let all = list_with_details(self.candidates(scope), likely, arn, tags).await?;
        let untagged = all.iter().filter_map(|(port, tags)| scope.untagged(tags.as_ref()?, &attrs_of(port)));
        Ok(all.iter().filter_map(|(port, tags)| classify(scope, port, tags.as_ref()?)).chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &ListenerSpec) -> Result<ListenerAttrs, Failure> {
        let call = self
            .client
            .create_listener()
            .load_balancer_arn(&spec.load_balancer_arn)
            .port(spec.port)
            .protocol(ProtocolEnum::from(spec.protocol.as_str()))
            .default_actions(forward_action(&spec.target_group_arn))
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let output =
            call.send().await.for_operation("elasticloadbalancing:CreateListener").map_err(retryable_while_in_use)?;
        Ok(output.listeners().first().map_or_else(|| Self::planned_attrs(spec), attrs_of))
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &ListenerAttrs,
        spec: &ListenerSpec,
        changes: &[Change],
    ) -> Result<ListenerAttrs, Failure> {
        tags::update(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let changed = |field: &str| changes.iter().any(|change| change.field() == field);
        if changes.iter().any(|change| change.field() != "tags") {
            let call = self
                .client
                .modify_listener()
                .listener_arn(&attrs.arn)
                .set_port(changed("port").then_some(spec.port))
                .set_protocol(changed("protocol").then(|| ProtocolEnum::from(spec.protocol.as_str())))
                .set_default_actions(changed("target_group_arn").then(|| vec![forward_action(&spec.target_group_arn)]));
            call.send().await.for_operation("elasticloadbalancing:ModifyListener").map_err(retryable_while_in_use)?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &ListenerAttrs) -> Result<(), Failure> {
        let call = self.client.delete_listener().listener_arn(&attrs.arn).send();
        call.await.for_operation("elasticloadbalancing:DeleteListener").map(drop)
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}

/// Derives the ARN of the load balancer from the ARN of a listener, `...:listener/app/NAME/ID/LISTENER`.
fn load_balancer_arn(listener_arn: &str) -> Option<String> {
    let (balancer, _) = listener_arn.rsplit_once('/')?;
    balancer.contains(":listener/").then(|| balancer.replacen(":listener/", ":loadbalancer/", 1))
}

/// Classifies a listener: managed if it has the ownership tags, otherwise unmanaged if it uses a desired port.
fn classify(scope: &ReadScope<Listener>, listener: &AwsListener, tags: &Tags) -> Option<Found<Listener>> {
    let (attrs, spec) = (attrs_of(listener), spec_of(listener, tags));
    if let Some(address) = scope.managed_address(tags, &[&attrs.arn]) {
        return Some(Found::Managed { address, spec, attrs, ready: true });
    }
    let same_port = |wanted: &ListenerSpec| {
        let same_balancer =
            is_unknown(&wanted.load_balancer_arn) || wanted.load_balancer_arn == attrs.load_balancer_arn;
        wanted.port == spec.port && same_balancer
    };
    let what = format!("the listener on port {} of the load balancer", spec.port);
    scope.find_desired(same_port).map(|address| scope.unmanaged(address, what, tags, &attrs.arn))
}

fn forward_action(target_group_arn: &str) -> Action {
    let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group_arn);
    action.build()
}

/// Makes a conflict retryable: after the listener of one load balancer is deleted, some time passes before another load
/// balancer can use the target group.
fn retryable_while_in_use(failure: Failure) -> Failure {
    failure.when(&["TargetGroupAssociationLimit"], Class::NotReady)
}

fn spec_of(listener: &AwsListener, tags: &Tags) -> ListenerSpec {
    ListenerSpec {
        load_balancer_arn: listener.load_balancer_arn().unwrap_or_default().to_owned(),
        port: listener.port().unwrap_or_default(),
        protocol: listener.protocol().map_or_else(String::new, |protocol| protocol.as_str().to_owned()),
        target_group_arn: forward_target(listener.default_actions()),
        tags: Ownership::user_tags(tags),
    }
}

/// Returns the target of actions as text: the ARN of a target group, several ARNs separated by commas, or, for an
/// action that does not forward, its type (`fixed-response`).
pub(crate) fn forward_target(actions: &[Action]) -> String {
    let arns = actions.iter().map(|action| match (action.target_group_arn(), action.forward_config()) {
        (Some(arn), _) => arn.to_owned(),
        (None, Some(forward)) => {
            let arns: Vec<&str> = forward.target_groups().iter().filter_map(|group| group.target_group_arn()).collect();
            arns.join(",")
        }
        (None, None) => action.r#type().map_or_else(String::new, |kind| kind.as_str().to_owned()),
    });
    arns.collect::<Vec<_>>().join(",")
}

fn attrs_of(listener: &AwsListener) -> ListenerAttrs {
    ListenerAttrs {
        arn: listener.listener_arn().unwrap_or_default().to_owned(),
        load_balancer_arn: listener.load_balancer_arn().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Listener, ListenerSpec, forward_target};
    use crate::LoadBalancerClient as Client;
    use crate::testing::{error_meta, name_tag, ownership_tags, standalone};
    use aws_sdk_elasticloadbalancingv2::operation::create_listener::{CreateListenerError, CreateListenerOutput};
    use aws_sdk_elasticloadbalancingv2::operation::delete_listener::DeleteListenerError;
    use aws_sdk_elasticloadbalancingv2::operation::describe_listeners::DescribeListenersOutput;
    use aws_sdk_elasticloadbalancingv2::operation::describe_load_balancers::DescribeLoadBalancersOutput;
    use aws_sdk_elasticloadbalancingv2::operation::describe_tags::DescribeTagsOutput;
    use aws_sdk_elasticloadbalancingv2::operation::modify_listener::ModifyListenerOutput;
    use aws_sdk_elasticloadbalancingv2::types::{
        Action, ActionTypeEnum, ForwardActionConfig, Listener as AwsListener, LoadBalancer, ProtocolEnum, Tag,
        TagDescription, TargetGroupTuple,
    };
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::{Graph, Resource, Standalone, UNKNOWN};

    fn spec() -> ListenerSpec {
        ListenerSpec {
            load_balancer_arn: "arn:lb".to_owned(),
            port: 80,
            protocol: "HTTP".to_owned(),
            target_group_arn: "arn:tg".to_owned(),
            tags: name_tag("staging-public-80"),
        }
    }

    fn with(spec: ListenerSpec, rules: &[&Rule]) -> Standalone {
        let client = pb_aws::mock_client!(aws_sdk_elasticloadbalancingv2, rules.iter().copied());
        let mut graph = Graph::new();
        let kind = graph.kind(Listener::new(client));
        graph.add("edge/listener", &kind, (), move |()| spec.clone()).unwrap();
        standalone(graph)
    }

    /// Returns a forward action in the form of AWS's responses, which have additional fields.
    fn forward(arn: &str) -> Action {
        let tuple = TargetGroupTuple::builder().target_group_arn(arn).weight(1).build();
        let config = ForwardActionConfig::builder().target_groups(tuple).build();
        Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(arn).forward_config(config).build()
    }

    fn listener() -> AwsListener {
        AwsListener::builder()
            .listener_arn("arn:listener")
            .load_balancer_arn("arn:lb")
            .port(80)
            .protocol(ProtocolEnum::Http)
            .default_actions(forward("arn:tg"))
            .build()
    }

    /// Mocks an account with a managed load balancer and `listeners`, which have the tags `listener_tags`.
    fn account(listeners: Vec<AwsListener>, listener_tags: Vec<Tag>) -> [Rule; 3] {
        let balancers = mock!(Client::describe_load_balancers).then_output(|| {
            let lb = LoadBalancer::builder().load_balancer_arn("arn:lb").load_balancer_name("staging-public").build();
            DescribeLoadBalancersOutput::builder().load_balancers(lb).build()
        });
        let listeners = mock!(Client::describe_listeners)
            .match_requests(|call| call.load_balancer_arn() == Some("arn:lb"))
            .then_output(move || DescribeListenersOutput::builder().set_listeners(Some(listeners.clone())).build());
        let tags = mock!(Client::describe_tags).then_compute_output(move |call| {
            let described = call.resource_arns().iter().map(|arn| {
                let tags = if arn == "arn:lb" {
                    ownership_tags("edge/balancer", "staging-public")
                } else {
                    listener_tags.clone()
                };
                TagDescription::builder().resource_arn(arn).set_tags(Some(tags)).build()
            });
            DescribeTagsOutput::builder().set_tag_descriptions(Some(described.collect())).build()
        });
        [balancers, listeners, tags]
    }

    fn listener_tags() -> Vec<Tag> {
        ownership_tags("edge/listener", "staging-public-80")
    }

    #[tokio::test(start_paused = true)]
    async fn create_sets_tags_and_retries_a_target_group_in_use() {
        let create = mock!(Client::create_listener)
            .match_requests(|call| {
                listener_tags().iter().all(|tag| call.tags().contains(tag))
                    && call.port() == Some(80)
                    && call.default_actions()[0].target_group_arn() == Some("arn:tg")
            })
            .sequence()
            .error(|| CreateListenerError::generic(error_meta("TargetGroupAssociationLimit")))
            .output(|| CreateListenerOutput::builder().listeners(listener()).build())
            .build();
        let [balancers, listeners, tags] = account(Vec::new(), Vec::new());
        let snapshot = with(spec(), &[&balancers, &listeners, &tags, &create]).deploy().await.unwrap();
        assert_eq!(snapshot.resources.values().next().unwrap().attrs["arn"], "arn:listener");
        assert_eq!(create.num_calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn deployed_listener_is_a_no_op_and_its_target_updates_in_place() {
        let [balancers, listeners, tags] = account(vec![listener()], listener_tags());
        let plan = with(spec(), &[&balancers, &listeners, &tags]).plan().await.unwrap();
        assert!(plan.is_empty(), "{plan:?}");

        let modify = mock!(Client::modify_listener)
            .match_requests(|call| {
                call.port().is_none() && call.default_actions()[0].target_group_arn() == Some("arn:other")
            })
            .then_output(|| ModifyListenerOutput::builder().build());
        let wanted = ListenerSpec { target_group_arn: "arn:other".to_owned(), ..spec() };
        with(wanted, &[&balancers, &listeners, &tags, &modify]).deploy().await.unwrap();
        assert_eq!(modify.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn unmanaged_listener_on_the_port_refuses_the_plan() {
        let [balancers, listeners, tags] = account(vec![listener()], Vec::new());
        for arn in ["arn:lb", UNKNOWN] {
            let wanted = ListenerSpec { load_balancer_arn: arn.to_owned(), ..spec() };
            let failure = with(wanted, &[&balancers, &listeners, &tags]).plan().await.unwrap_err();
            assert!(failure.message.contains("the listener on port 80"), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn listener_deleted_with_its_load_balancer_counts_as_deleted() {
        let [balancers, listeners, tags] = account(vec![listener()], listener_tags());
        let delete =
            mock!(Client::delete_listener).then_error(|| DeleteListenerError::generic(error_meta("ListenerNotFound")));
        with(spec(), &[&balancers, &listeners, &tags, &delete]).destroy().await.unwrap();
        assert_eq!(delete.num_calls(), 1);
    }

    #[test]
    fn forward_target_names_groups_or_the_action() {
        assert_eq!(forward_target(&[forward("arn:tg")]), "arn:tg");
        assert_eq!(
            forward_target(&[Action::builder().r#type(ActionTypeEnum::FixedResponse).build()]),
            "fixed-response"
        );
        let tuple = |arn: &str| TargetGroupTuple::builder().target_group_arn(arn).weight(1).build();
        let config = ForwardActionConfig::builder().target_groups(tuple("a")).target_groups(tuple("b")).build();
        let both = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build();
        assert_eq!(forward_target(&[both]), "a,b");
    }

    #[test]
    fn listeners_coexist_only_with_different_target_groups() {
        let other = ListenerSpec { load_balancer_arn: "arn:lb2".to_owned(), ..spec() };
        assert!(!Listener::can_coexist(&spec(), &other));
        assert!(Listener::can_coexist(&spec(), &ListenerSpec { target_group_arn: "arn:tg2".to_owned(), ..other }));
        assert!(!Listener::can_coexist(&spec(), &ListenerSpec { target_group_arn: "arn:tg2".to_owned(), ..spec() }));
    }
}
