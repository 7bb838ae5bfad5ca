//! `elbv2.listener`: a port on which the load balancer accepts connections, with its default target group.

mod attributes;
#[cfg(test)]
mod tests;

use self::attributes::{read_hsts, write_hsts};
use crate::LoadBalancerClient as Client;
use crate::load_balancers::{Listeners, listeners};
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate, Listener as AwsListener, ProtocolEnum,
};
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{
    Awaited, Change, Class, Context, Failure, Found, Interim, Ownership, ReadScope, Resource, fetch_each, is_unknown,
    list_with_details, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Protocol of listeners with TLS.
pub(crate) const HTTPS: &str = "HTTPS";

/// Target of actions that redirect all requests.
const REDIRECT: &str = "redirect";

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
    /// Protocol: `HTTP` or `HTTPS`.
    pub protocol: String,
    /// ARN of the target group that receives the requests that match no rule.
    pub target_group_arn: String,
    /// ARN of the default certificate of an HTTPS listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<String>,
    /// TLS policy of an HTTPS listener. It is always set: without one, AWS chooses a policy of 2016. (Elastic Load
    /// Balancing API: CreateListener, `SslPolicy`)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_policy: Option<String>,
    /// Value of the header `Strict-Transport-Security` that an HTTPS listener adds to responses. If absent, it is not
    /// managed: a new listener adds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<String>,
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
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["elbv2.target_group", "acm.certificate"];
    const TAG_INDEXED: bool = true;
    const OPTIONAL_FIELDS: &'static [&'static str] = &["hsts"];
    type Spec = ListenerSpec;
    type Attrs = ListenerAttrs;

    fn validate(spec: &ListenerSpec) -> Result<(), String> {
        if let Some(arn) = spec.certificate_arn.as_deref().filter(|arn| !is_unknown(arn)) {
            pb_rules::https::certificate_arn(arn).map_err(|violation| violation.to_string())?;
        }
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

    /// A listener that redirects all requests goes on with that until its rules do: without them, the target group would
    /// get the requests of other services. A target group that does not exist yet must belong to the load balancer
    /// before its service is created, so the listener then refers to it at once.
    fn interim_spec(old: Option<&ListenerSpec>, new: &ListenerSpec) -> Option<Interim<ListenerSpec>> {
        let old = old.filter(|old| old.target_group_arn == REDIRECT && !is_unknown(&new.target_group_arn))?;
        let spec = ListenerSpec { target_group_arn: old.target_group_arn.clone(), ..new.clone() };
        Some(Interim { spec, until: Awaited::DependentsOfKind(crate::ListenerRule::KIND) })
    }

    fn id(attrs: &ListenerAttrs) -> Option<String> {
        (!is_unknown(&attrs.arn)).then(|| attrs.arn.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let likely = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let tags = |arns| tags::read(scope, &self.client, arns);
        let all = list_with_details(self.candidates(scope), likely, arn, tags).await?;
        let untagged = all.iter().filter_map(|(port, tags)| scope.untagged(tags.as_ref()?, &attrs_of(port)));
        let with_tls = all.iter().map(|(listener, _)| listener).filter(|listener| is_https(listener)).filter_map(arn);
        let hsts = fetch_each(with_tls.collect(), |arn| async move { read_hsts(&self.client, &arn).await });
        let hsts: HashMap<String, String> = hsts.await?;
        let found = all.iter().filter_map(|(listener, tags)| {
            let hsts = arn(listener).and_then(|arn| hsts.get(&arn)).filter(|value| !value.is_empty());
            classify(scope, listener, hsts.cloned(), tags.as_ref()?)
        });
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &ListenerSpec) -> Result<ListenerAttrs, Failure> {
        let call = self
            .client
            .create_listener()
            .load_balancer_arn(&spec.load_balancer_arn)
            .port(spec.port)
            .protocol(ProtocolEnum::from(spec.protocol.as_str()))
            .default_actions(forward_action(&spec.target_group_arn))
            .set_certificates(certificates(spec))
            .set_ssl_policy(spec.ssl_policy.clone())
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let output =
            call.send().await.for_operation("elasticloadbalancing:CreateListener").map_err(retryable_while_in_use)?;
        Ok(output.listeners().first().map_or_else(|| Self::planned_attrs(spec), attrs_of))
    }

    async fn configure(&self, _cx: &Context, attrs: &ListenerAttrs, spec: &ListenerSpec) -> Result<(), Failure> {
        match &spec.hsts {
            Some(value) => write_hsts(&self.client, &attrs.arn, value).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &ListenerAttrs,
        spec: &ListenerSpec,
        changes: &[Change],
    ) -> Result<ListenerAttrs, Failure> {
        tags::update(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let changed = |field: &str| changes.iter().any(|change| change.field() == field);
        if changes.iter().any(|change| !["tags", "hsts"].contains(&change.field())) {
            let tls = changed("protocol") || changed("certificate_arn") || changed("ssl_policy");
            let call = self
                .client
                .modify_listener()
                .listener_arn(&attrs.arn)
                .set_port(changed("port").then_some(spec.port))
                .set_protocol(changed("protocol").then(|| ProtocolEnum::from(spec.protocol.as_str())))
                .set_certificates(certificates(spec).filter(|_| tls))
                .set_ssl_policy(spec.ssl_policy.clone().filter(|_| tls))
                .set_default_actions(changed("target_group_arn").then(|| vec![forward_action(&spec.target_group_arn)]));
            call.send().await.for_operation("elasticloadbalancing:ModifyListener").map_err(retryable_while_in_use)?;
        }
        if changed("hsts") {
            self.configure(cx, attrs, spec).await?;
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
fn classify(
    scope: &ReadScope<Listener>,
    listener: &AwsListener,
    hsts: Option<String>,
    tags: &Tags,
) -> Option<Found<Listener>> {
    let (attrs, spec) = (attrs_of(listener), ListenerSpec { hsts, ..spec_of(listener, tags) });
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

/// Returns the default certificate in the form of a request.
fn certificates(spec: &ListenerSpec) -> Option<Vec<Certificate>> {
    spec.certificate_arn.as_ref().map(|arn| vec![Certificate::builder().certificate_arn(arn).build()])
}

fn is_https(listener: &AwsListener) -> bool {
    listener.protocol() == Some(&ProtocolEnum::Https)
}

fn arn(listener: &AwsListener) -> Option<String> {
    listener.listener_arn().map(str::to_owned)
}

fn spec_of(listener: &AwsListener, tags: &Tags) -> ListenerSpec {
    // A listener that was changed from HTTPS to HTTP may still show a policy.
    let with_tls = Some(listener).filter(|listener| is_https(listener));
    ListenerSpec {
        load_balancer_arn: listener.load_balancer_arn().unwrap_or_default().to_owned(),
        port: listener.port().unwrap_or_default(),
        protocol: listener.protocol().map_or_else(String::new, |protocol| protocol.as_str().to_owned()),
        target_group_arn: forward_target(listener.default_actions()),
        certificate_arn: with_tls
            .and_then(|listener| listener.certificates().first()?.certificate_arn())
            .map(str::to_owned),
        ssl_policy: with_tls.and_then(AwsListener::ssl_policy).map(str::to_owned),
        hsts: None,
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
