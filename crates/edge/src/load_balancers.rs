//! The load balancers of the region, which three kinds need in one sweep.

use crate::record::target_name;
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Listener, LoadBalancer};
use pb_aws::ForOperation;
use pb_engine::{Class, Failure, ReadScope, Resource, fetch_each, list_with_details};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All load balancers of the region with their tags. A region has 50 unless more were asked for, so their tags cost three
/// calls, and ours are found whatever their names are.
pub(crate) struct LoadBalancers(pub Vec<(LoadBalancer, Tags)>);

impl LoadBalancers {
    /// The balancers of this sweep: asked for once, whichever kind comes first.
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

    /// Those with the tags of this workspace.
    pub(crate) fn managed<R: Resource>(&self, scope: &ReadScope<R>) -> impl Iterator<Item = &LoadBalancer> {
        self.0.iter().filter(|(_, tags)| scope.address_from_tags(tags).is_some()).map(|(lb, _)| lb)
    }

    /// The DNS names of those that are recorded and carry the tags of nobody, unless they are about to be taken over.
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

/// The listeners of the load balancers of this workspace, which two kinds need in one sweep.
pub(crate) struct Listeners(pub Vec<Listener>);

impl Listeners {
    /// The listeners of this sweep: asked for once, whichever kind comes first.
    pub(crate) async fn cached<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::read(scope, client)).await
    }

    async fn read<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Self, Failure> {
        let ours = async {
            let load_balancers = LoadBalancers::cached(scope, client).await?;
            Ok(load_balancers.managed(scope).filter_map(arn).collect())
        };
        let ask = |arns| fetch_each(arns, |arn| async move { listeners(client, &arn).await.map(Some) });
        let listeners = list_with_details(ours, recorded_arns(scope), |arn: &String| Some(arn.clone()), ask).await?;
        Ok(Self(listeners.into_iter().filter_map(|(_, listeners)| listeners).flatten().collect()))
    }
}

/// The ARNs of the load balancers that are remembered.
fn recorded_arns<R: Resource>(scope: &ReadScope<R>) -> impl Iterator<Item = String> {
    scope.recorded_of::<crate::LoadBalancer>().into_iter().map(|attrs| attrs.arn)
}

/// The ARN of a load balancer.
pub(crate) fn arn(lb: &LoadBalancer) -> Option<String> {
    lb.load_balancer_arn().map(str::to_owned)
}

/// The listeners of a load balancer; none when it has gone.
pub(crate) async fn listeners(client: &Client, load_balancer_arn: &str) -> Result<Vec<Listener>, Failure> {
    let all = client.describe_listeners().load_balancer_arn(load_balancer_arn).into_paginator().items().send();
    match all.collect::<Result<_, _>>().await.for_operation("elasticloadbalancing:DescribeListeners") {
        Err(failure) if failure.class == Class::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// The DNS name of a load balancer as all of this crate writes it.
pub(crate) fn dns_name(lb: &LoadBalancer) -> String {
    target_name(lb.dns_name().unwrap_or_default())
}
