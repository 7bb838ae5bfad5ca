//! `elbv2.listener_rule`: a rule that sends some requests to a target group other than the listener's default, or
//! redirects them.

mod interim;
mod redirect;
#[cfg(test)]
mod tests;

pub use self::redirect::Redirect;

use crate::LoadBalancerClient as Client;
use crate::load_balancers::Listeners;
use crate::names;
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, HostHeaderConditionConfig, PathPatternConditionConfig, Rule, RuleCondition,
    RulePriorityPair,
};
use pb_aws::ForOperation;
use pb_engine::{
    Address, Backoff, Change, Class, Context, Failure, Found, Interim, Operation, Ownership, Progress, ReadScope,
    Resource, fetch_each, is_unknown, list_with_details, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const HOST: &str = "host-header";
const PATH: &str = "path-pattern";

/// Backoff for conflicts between the priorities of rules, which occur while rules swap their priorities.
const SWAP_BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(200),
    max_interval: Duration::from_secs(2),
    timeout: Duration::from_secs(60),
};

/// Time that clients get to follow a redirect that has just been deleted, before the listener to which it sent them is
/// deleted.
const REDIRECT_GRACE: Duration = Duration::from_secs(5);

/// Resource kind for listener rules.
pub struct ListenerRule {
    client: Client,
}

impl ListenerRule {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// Spec of a listener rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerRuleSpec {
    /// ARN of the listener.
    pub listener_arn: String,
    /// Priority: rules with a lower number are evaluated first. Each rule of a listener has a different priority.
    pub priority: i32,
    /// Host patterns; an empty set matches every host.
    pub hosts: BTreeSet<String>,
    /// Path patterns; an empty set matches every path.
    pub paths: BTreeSet<String>,
    /// Fields of conditions on neither host nor path, which were added outside of pb-deploy; always empty in a desired
    /// spec.
    pub other_conditions: BTreeSet<String>,
    /// ARN of the target group that receives the requests; empty if the rule redirects them.
    pub target_group_arn: String,
    /// Redirect of the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Tags, without the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a listener rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerRuleAttrs {
    /// ARN of the rule.
    pub arn: String,
    /// ARN of the listener.
    pub listener_arn: String,
    /// `true` if the rule redirects requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redirects: bool,
}

impl Resource for ListenerRule {
    const KIND: &'static str = "elbv2.listener_rule";
    /// As long as a rule exists, it sends requests to its service, or clients to another listener, whose port must be
    /// open.
    const RELIES_ON: &'static [&'static str] = &["ecs.service", "elbv2.listener", "ec2.security_group_rule"];
    const DELETED_AFTER_PEERS: bool = true;
    const TAG_INDEXED: bool = true;
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["elbv2.target_group"];
    type Spec = ListenerRuleSpec;
    type Attrs = ListenerRuleAttrs;

    fn validate(spec: &ListenerRuleSpec) -> Result<(), String> {
        use pb_rules::load_balancer as rules;
        let all = || {
            rules::priority(spec.priority.into())?;
            spec.hosts.iter().try_for_each(|host| rules::host_pattern(host))?;
            spec.paths.iter().try_for_each(|path| rules::path_pattern(path))?;
            rules::conditions(spec.hosts.iter().chain(&spec.paths).map(String::as_str))
        };
        all().map_err(|violation| violation.to_string())
    }

    fn planned_attrs(spec: &ListenerRuleSpec) -> ListenerRuleAttrs {
        new_attrs(unknown(), spec)
    }

    fn requires_replacement(field: &str) -> bool {
        field == "listener_arn"
    }

    /// Two rules of a listener cannot have the same priority, and a target group can belong to only one load balancer.
    fn can_coexist(old: &ListenerRuleSpec, new: &ListenerRuleSpec) -> bool {
        match old.listener_arn == new.listener_arn {
            true => old.priority != new.priority,
            false => old.target_group_arn != new.target_group_arn || old.redirect.is_some() && new.redirect.is_some(),
        }
    }

    fn interim_spec(old: Option<&ListenerRuleSpec>, new: &ListenerRuleSpec) -> Option<Interim<ListenerRuleSpec>> {
        interim::interim_spec(old, new)
    }

    fn id(attrs: &ListenerRuleAttrs) -> Option<String> {
        (!is_unknown(&attrs.arn)).then(|| attrs.arn.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let nothing_desired = scope.desired.is_empty() && scope.recorded.is_empty();
        if nothing_desired && scope.index_is_complete(|arn| arn.contains(":listener-rule/")) {
            return Ok(Vec::new());
        }
        let likely = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let tags = |arns| tags::read(scope, &self.client, arns);
        let all = list_with_details(self.candidates(scope), likely, |(_, rule)| Some(arn(rule)), tags).await?;
        let listeners = Listeners::cached(scope, &self.client).await?;
        let found = all.iter().filter_map(|((listener, rule), tags)| {
            classify(scope, (listener, listeners.is_https(listener)), rule, tags.as_ref()?)
        });
        let untagged =
            all.iter().filter_map(|((listener, rule), tags)| scope.untagged(tags.as_ref()?, &attrs_of(listener, rule)));
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &ListenerRuleSpec) -> Result<ListenerRuleAttrs, Failure> {
        let call = self
            .client
            .create_rule()
            .listener_arn(&spec.listener_arn)
            .priority(spec.priority)
            .set_conditions(Some(conditions(spec)))
            .actions(action(spec))
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let created = match call.send().await.for_operation("elasticloadbalancing:CreateRule") {
            Ok(output) => output.rules().first().map(arn),
            Err(failure) if failure.is("PriorityInUse") => match self.find_created(cx, spec).await? {
                None => return Err(retryable_while_in_use(failure)),
                created => created,
            },
            Err(failure) => return Err(retryable_while_in_use(failure)),
        };
        Ok(new_attrs(created.unwrap_or_else(unknown), spec))
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &ListenerRuleAttrs,
        spec: &ListenerRuleSpec,
        changes: &[Change],
    ) -> Result<ListenerRuleAttrs, Failure> {
        tags::update(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let changed = |fields: &[&str]| changes.iter().any(|change| fields.contains(&change.field()));
        if changed(&["hosts", "paths", "other_conditions", "target_group_arn", "redirect"]) {
            let call = self
                .client
                .modify_rule()
                .rule_arn(&attrs.arn)
                .set_conditions(Some(conditions(spec)))
                .actions(action(spec));
            call.send().await.for_operation("elasticloadbalancing:ModifyRule").map_err(retryable_while_in_use)?;
        }
        if changed(&["priority"]) {
            cx.wait("elasticloadbalancing:SetRulePriorities", SWAP_BACKOFF, || self.set_priority(attrs, spec.priority))
                .await?;
        }
        Ok(ListenerRuleAttrs { redirects: spec.redirect.is_some(), ..attrs.clone() })
    }

    /// Deletes the rule. If it redirects requests and the stack keeps serving, waits until clients have followed its last
    /// redirects, because the listener to which it sends them may be deleted next.
    async fn delete(&self, cx: &Context, attrs: &ListenerRuleAttrs) -> Result<(), Failure> {
        let call = self.client.delete_rule().rule_arn(&attrs.arn).send();
        call.await.for_operation("elasticloadbalancing:DeleteRule")?;
        if attrs.redirects && cx.operation() != Operation::Destroy {
            cx.pause(REDIRECT_GRACE, "waiting for clients that follow a redirect").await;
        }
        Ok(())
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}

impl ListenerRule {
    /// Returns the rules of the managed and the recorded listeners, and of the listeners that rules belong to that are
    /// desired, recorded or to be imported, each with the ARN of its listener.
    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<(String, Rule)>, Failure> {
        let listeners = async {
            let listeners = Listeners::cached(scope, &self.client).await?;
            let managed_arns = listeners.0.iter().filter_map(|listener| listener.listener_arn());
            let desired = scope.desired.iter().map(|(_, spec)| spec.listener_arn.as_str());
            let imports: Vec<String> = scope.imports().filter_map(|(_, arn)| listener_of(arn)).collect();
            let known = managed_arns
                .chain(desired)
                .chain(imports.iter().map(String::as_str))
                .filter(|arn| !is_unknown(arn))
                .map(str::to_owned);
            Ok(known.chain(recorded_listener_arns(scope)).collect::<BTreeSet<_>>().into_iter().collect())
        };
        let ask = |arns| fetch_each(arns, |arn| async move { self.rules(&arn).await.map(Some) });
        let rules: Vec<(String, Option<Vec<Rule>>)> =
            list_with_details(listeners, recorded_listener_arns(scope), |arn: &String| Some(arn.clone()), ask).await?;
        let with = |(listener, rules): (String, Option<Vec<Rule>>)| {
            rules.into_iter().flatten().map(move |rule| (listener.clone(), rule))
        };
        Ok(rules.into_iter().flat_map(with).collect())
    }

    /// Returns the rules of a listener except the default rule; none if the listener does not exist.
    pub(crate) async fn rules(&self, listener_arn: &str) -> Result<Vec<Rule>, Failure> {
        let all = self.client.describe_rules().listener_arn(listener_arn).into_paginator().items().send();
        match all.collect::<Result<Vec<Rule>, _>>().await.for_operation("elasticloadbalancing:DescribeRules") {
            Err(failure) if failure.class == Class::NotFound => Ok(Vec::new()),
            answer => Ok(answer?.into_iter().filter(|rule| rule.is_default() != Some(true)).collect()),
        }
    }

    /// Returns the ARN of the rule with the desired priority if it has the ownership tags, which means that an earlier
    /// create succeeded although its response was lost.
    async fn find_created(&self, cx: &Context, spec: &ListenerRuleSpec) -> Result<Option<String>, Failure> {
        let rules = self.rules(&spec.listener_arn).await?;
        let Some(existing) = rules.iter().find(|rule| priority_of(rule) == spec.priority).map(arn) else {
            return Ok(None);
        };
        let tags = tags::describe(&self.client, std::slice::from_ref(&existing)).await?;
        let is_own = tags
            .get(&existing)
            .is_some_and(|tags| cx.tags(&Tags::new()).iter().all(|(key, value)| tags.get(key) == Some(value)));
        Ok(is_own.then_some(existing))
    }

    /// Sets the priority of a rule. If another rule has this priority, the same call gives it the old priority of this
    /// rule, so that no rule is ever missing; the step of the other rule then sets its final priority.
    async fn set_priority(&self, attrs: &ListenerRuleAttrs, wanted: i32) -> Result<Progress<()>, Failure> {
        let rules = self.rules(&attrs.listener_arn).await?;
        let own = rules.iter().find(|rule| rule.rule_arn() == Some(&attrs.arn));
        let there = rules.iter().find(|rule| priority_of(rule) == wanted);
        let pair = |arn: &str, priority: i32| RulePriorityPair::builder().rule_arn(arn).priority(priority).build();
        let mut pairs = vec![pair(&attrs.arn, wanted)];
        match (own, there) {
            (Some(own), _) if priority_of(own) == wanted => return Ok(Progress::Ready(())),
            (Some(own), Some(other)) => pairs.push(pair(&arn(other), priority_of(own))),
            _ => {}
        }
        let call = self.client.set_rule_priorities().set_rule_priorities(Some(pairs)).send();
        match call.await.for_operation("elasticloadbalancing:SetRulePriorities") {
            Err(failure) if failure.is("PriorityInUse") => {
                Ok(Progress::Pending("waiting for another rule to change its priority".to_owned()))
            }
            answer => answer.map(|_| Progress::Ready(())),
        }
    }
}

/// Classifies a rule: managed if it has the ownership tags, otherwise unmanaged if it uses a desired priority. The HTTP
/// and the HTTPS listener have rules with the same priorities, so it also matters which one it belongs to, if that is
/// known.
fn classify(
    scope: &ReadScope<ListenerRule>,
    (listener, is_https): (&str, Option<bool>),
    rule: &Rule,
    tags: &Tags,
) -> Option<Found<ListenerRule>> {
    let spec = spec_of(listener, rule, tags);
    let attrs = attrs_of(listener, rule);
    if let Some(address) = scope.managed_address(tags, &[&attrs.arn]) {
        return Some(Found::Managed { address, spec, attrs, ready: true });
    }
    let is_there = |(address, wanted): &&(Address, ListenerRuleSpec)| match is_https {
        Some(is_https) if is_unknown(&wanted.listener_arn) => names::is_rule_of_https(address.as_str()) == is_https,
        _ => is_unknown(&wanted.listener_arn) || wanted.listener_arn == listener,
    };
    let mut there = scope.desired.iter().filter(is_there);
    let (address, _) = there.find(|(_, wanted)| wanted.priority == spec.priority)?;
    let what = format!("the listener rule with priority {}", spec.priority);
    Some(scope.unmanaged(address, what, tags, &attrs.arn))
}

fn conditions(spec: &ListenerRuleSpec) -> Vec<RuleCondition> {
    let values = |patterns: &BTreeSet<String>| Some(patterns.iter().cloned().collect::<Vec<_>>());
    let mut conditions = Vec::new();
    if !spec.hosts.is_empty() {
        let config = HostHeaderConditionConfig::builder().set_values(values(&spec.hosts)).build();
        conditions.push(RuleCondition::builder().field(HOST).host_header_config(config).build());
    }
    if !spec.paths.is_empty() {
        let config = PathPatternConditionConfig::builder().set_values(values(&spec.paths)).build();
        conditions.push(RuleCondition::builder().field(PATH).path_pattern_config(config).build());
    }
    conditions
}

fn action(spec: &ListenerRuleSpec) -> Action {
    match &spec.redirect {
        Some(redirect) => redirect.action(),
        None => Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&spec.target_group_arn).build(),
    }
}

/// Makes a conflict retryable: a priority remains in use until its rule is completely deleted, and a target group until
/// it no longer belongs to another load balancer.
fn retryable_while_in_use(failure: Failure) -> Failure {
    failure.when(&["PriorityInUse", "TargetGroupAssociationLimit"], Class::NotReady)
}

/// Returns the ARNs of the recorded listeners and of the listeners that recorded rules belong to.
fn recorded_listener_arns(scope: &ReadScope<ListenerRule>) -> impl Iterator<Item = String> {
    let listeners = scope.recorded_of::<crate::Listener>().into_iter().map(|attrs| attrs.arn);
    let of_rules = scope.recorded.iter().map(|(_, attrs)| attrs.listener_arn.clone());
    listeners.chain(of_rules).filter(|arn| !is_unknown(arn))
}

/// Derives the ARN of the listener from the ARN of a rule, `...:listener-rule/app/NAME/ID/LISTENER/RULE`.
fn listener_of(rule_arn: &str) -> Option<String> {
    let (listener, _) = rule_arn.rsplit_once('/')?;
    listener.contains(":listener-rule/").then(|| listener.replacen(":listener-rule/", ":listener/", 1))
}

fn attrs_of(listener: &str, rule: &Rule) -> ListenerRuleAttrs {
    let redirects = rule.actions().iter().any(|action| Redirect::of_action(action).is_some());
    ListenerRuleAttrs { arn: arn(rule), listener_arn: listener.to_owned(), redirects }
}

fn new_attrs(arn: String, spec: &ListenerRuleSpec) -> ListenerRuleAttrs {
    ListenerRuleAttrs { arn, listener_arn: spec.listener_arn.clone(), redirects: spec.redirect.is_some() }
}

fn arn(rule: &Rule) -> String {
    rule.rule_arn().unwrap_or_default().to_owned()
}

/// Returns the priority of a rule; 0 for the default rule.
fn priority_of(rule: &Rule) -> i32 {
    rule.priority().and_then(|priority| priority.parse().ok()).unwrap_or_default()
}

fn spec_of(listener: &str, rule: &Rule, tags: &Tags) -> ListenerRuleSpec {
    let redirect = rule.actions().iter().find_map(Redirect::of_action);
    let target = if redirect.is_some() { String::new() } else { crate::listener::forward_target(rule.actions()) };
    let mut spec = ListenerRuleSpec {
        listener_arn: listener.to_owned(),
        priority: priority_of(rule),
        hosts: BTreeSet::new(),
        paths: BTreeSet::new(),
        other_conditions: BTreeSet::new(),
        target_group_arn: target,
        redirect,
        tags: Ownership::user_tags(tags),
    };
    for condition in rule.conditions() {
        let values = condition.values().iter().cloned();
        match condition.field().unwrap_or_default() {
            HOST => spec.hosts.extend(match condition.host_header_config() {
                Some(config) => config.values().to_vec(),
                None => values.collect(),
            }),
            PATH => spec.paths.extend(match condition.path_pattern_config() {
                Some(config) => config.values().to_vec(),
                None => values.collect(),
            }),
            other => drop(spec.other_conditions.insert(other.to_owned())),
        }
    }
    spec
}
