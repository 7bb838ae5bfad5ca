//! Load balancers and listeners, which are read once per read pass for several resource kinds.

use crate::record::target_name;
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Listener, LoadBalancer, ProtocolEnum};
use pb_aws::ForOperation;
use pb_engine::{Class, Failure, ReadScope, Resource, fetch_each, list_with_details};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All load balancers of the region with their tags. The default quota is 50 load balancers, so reading all tags takes
/// at most three calls, and managed load balancers are found whatever their names are.
pub(crate) struct LoadBalancers(pub Vec<(LoadBalancer, Tags)>);

impl LoadBalancers {
    /// Returns the load balancers of this read pass, which are read once for all resource kinds.
    pub(crate) async fn cached<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::read(scope, client)).await
    }

    async fn read<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Self, Failure> {
        let all = async {
            let all = client.describe_load_balancers().into_paginator().items().send();
            all.collect::<Result<Vec<_>, _>>().await.for_operation("elasticloadbalancing:DescribeLoadBalancers")
        };
        let tagged = list_with_details(all, recorded_arns(scope), arn, |arns| tags::read(scope, client, arns)).await?;
        Ok(Self(tagged.into_iter().filter_map(|(lb, tags)| Some((lb, tags?))).collect()))
    }

    /// Returns the load balancers that have the ownership tags of this workspace.
    pub(crate) fn managed<R: Resource>(&self, scope: &ReadScope<R>) -> impl Iterator<Item = &LoadBalancer> {
        self.0.iter().filter(|(_, tags)| scope.address_from_tags(tags).is_some()).map(|(lb, _)| lb)
    }

    /// Returns the tags of the load balancer with this DNS name; no tags if there is none.
    pub(crate) fn tags_of(&self, name: &str) -> Tags {
        self.0.iter().find(|(lb, _)| dns_name(lb) == name).map(|(_, tags)| tags.clone()).unwrap_or_default()
    }

    /// Returns the DNS names of the recorded load balancers that have no ownership tags and are not to be imported.
    pub(crate) fn untagged<R: Resource>(&self, scope: &ReadScope<R>) -> BTreeSet<String> {
        let recorded = scope.recorded_of::<crate::LoadBalancer>();
        let is_recorded = |lb: &LoadBalancer| recorded.iter().any(|attrs| arn(lb).as_ref() == Some(&attrs.arn));
        let is_claimed = |lb: &LoadBalancer| {
            [lb.load_balancer_arn(), lb.load_balancer_name()].into_iter().flatten().any(|name| scope.is_import(name))
        };
        let untagged = |tags: &Tags| scope.address_from_tags(tags).is_none() && !scope.owner().is_other(tags);
        let all = self.0.iter().filter(|(lb, tags)| untagged(tags) && is_recorded(lb) && !is_claimed(lb));
        all.map(|(lb, _)| dns_name(lb)).collect()
    }
}

/// Listeners of the managed load balancers.
pub(crate) struct Listeners(pub Vec<Listener>);

impl Listeners {
    /// Returns the listeners of this read pass, which are read once for all resource kinds.
    pub(crate) async fn cached<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::read(scope, client)).await
    }

    /// Returns whether the listener with this ARN is an HTTPS listener; `None` if it is not among these listeners.
    pub(crate) fn is_https(&self, arn: &str) -> Option<bool> {
        let listener = self.0.iter().find(|listener| listener.listener_arn() == Some(arn))?;
        Some(listener.protocol() == Some(&ProtocolEnum::Https))
    }

    async fn read<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Self, Failure> {
        let managed = async {
            let load_balancers = LoadBalancers::cached(scope, client).await?;
            Ok(load_balancers.managed(scope).filter_map(arn).collect())
        };
        let ask = |arns| fetch_each(arns, |arn| async move { listeners(client, &arn).await.map(Some) });
        let listeners = list_with_details(managed, recorded_arns(scope), |arn: &String| Some(arn.clone()), ask).await?;
        Ok(Self(listeners.into_iter().filter_map(|(_, listeners)| listeners).flatten().collect()))
    }
}

/// Returns the ARNs of the recorded load balancers.
fn recorded_arns<R: Resource>(scope: &ReadScope<R>) -> impl Iterator<Item = String> {
    scope.recorded_of::<crate::LoadBalancer>().into_iter().map(|attrs| attrs.arn)
}

/// Returns the ARN of a load balancer.
pub(crate) fn arn(lb: &LoadBalancer) -> Option<String> {
    lb.load_balancer_arn().map(str::to_owned)
}

/// Returns the listeners of a load balancer; none if the load balancer does not exist.
pub(crate) async fn listeners(client: &Client, load_balancer_arn: &str) -> Result<Vec<Listener>, Failure> {
    let all = client.describe_listeners().load_balancer_arn(load_balancer_arn).into_paginator().items().send();
    match all.collect::<Result<_, _>>().await.for_operation("elasticloadbalancing:DescribeListeners") {
        Err(failure) if failure.class == Class::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// Returns the DNS name of a load balancer in its normalized form.
pub(crate) fn dns_name(lb: &LoadBalancer) -> String {
    target_name(lb.dns_name().unwrap_or_default())
}
