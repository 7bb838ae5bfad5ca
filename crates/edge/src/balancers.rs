//! The load balancers of the region, which three kinds need in one sweep.

use crate::record::target_name;
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Listener, LoadBalancer};
use futures_util::future::try_join_all;
use pb_aws::Answer;
use pb_engine::{Class, Failure, Resource, Scope};
use std::sync::Arc;

/// All load balancers of the region with their tags. A region has 50 unless more were asked for, so their tags cost three
/// calls, and ours are found whatever their names are.
pub(crate) struct Balancers(pub Vec<(LoadBalancer, Tags)>);

impl Balancers {
    /// The balancers of this sweep: asked for once, whichever kind comes first.
    pub(crate) async fn of<R: Resource>(scope: &Scope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::ask(client)).await
    }

    async fn ask(client: &Client) -> Result<Self, Failure> {
        let all = client.describe_load_balancers().into_paginator().items().send();
        let all: Vec<LoadBalancer> =
            all.collect::<Result<_, _>>().await.answer("elasticloadbalancing:DescribeLoadBalancers")?;
        let arns: Vec<String> = all.iter().filter_map(|lb| lb.load_balancer_arn().map(str::to_owned)).collect();
        let mut tags = tags::read(client, &arns).await?;
        let tagged = all.into_iter().filter_map(|lb| {
            let tags = tags.remove(lb.load_balancer_arn()?)?;
            Some((lb, tags))
        });
        Ok(Self(tagged.collect()))
    }

    /// Those with the tags of this workspace.
    pub(crate) fn ours<R: Resource>(&self, scope: &Scope<R>) -> impl Iterator<Item = &LoadBalancer> {
        self.0.iter().filter(|(_, tags)| scope.owned(tags).is_some()).map(|(lb, _)| lb)
    }
}

/// The listeners of the load balancers of this workspace, which two kinds need in one sweep.
pub(crate) struct Ports(pub Vec<Listener>);

impl Ports {
    /// The listeners of this sweep: asked for once, whichever kind comes first.
    pub(crate) async fn of<R: Resource>(scope: &Scope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::ask(scope, client)).await
    }

    async fn ask<R: Resource>(scope: &Scope<R>, client: &Client) -> Result<Self, Failure> {
        let balancers = Balancers::of(scope, client).await?;
        let arns = balancers.ours(scope).filter_map(|lb| lb.load_balancer_arn());
        let listeners = try_join_all(arns.map(|arn| listeners(client, arn))).await?;
        Ok(Self(listeners.into_iter().flatten().collect()))
    }
}

/// The listeners of a load balancer; none when it has gone.
pub(crate) async fn listeners(client: &Client, load_balancer_arn: &str) -> Result<Vec<Listener>, Failure> {
    let all = client.describe_listeners().load_balancer_arn(load_balancer_arn).into_paginator().items().send();
    match all.collect::<Result<_, _>>().await.answer("elasticloadbalancing:DescribeListeners") {
        Err(failure) if failure.class == Class::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// The DNS name of a load balancer as all of this crate writes it.
pub(crate) fn dns_name(lb: &LoadBalancer) -> String {
    target_name(lb.dns_name().unwrap_or_default())
}
