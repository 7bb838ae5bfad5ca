//! Network interfaces: what keeps subnets, groups and gateways from being deleted.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::NetworkInterface;
use pb_aws::ForOperation;
use pb_engine::{Backoff, Class, Context, Failure, Progress};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ec2::filter;

/// Interfaces linger for up to five minutes after their owner is gone; then a delete is tried in spite of what is shown.
const LINGER_TIMEOUT: Backoff = Backoff::minutes(Duration::from_secs(5 * 60));

/// Which part of a pause an answer may be old. Everything in a VPC waits for the same interfaces: they are asked for once,
/// and not once for each subnet, group and gateway.
const CACHE_DIVISOR: u32 = 2;

/// How many interfaces a message names.
const MAX_NAMED: usize = 3;

/// The network interfaces of VPCs, asked for once for all who wait for those of a VPC.
#[derive(Clone)]
pub(crate) struct InterfaceCache {
    client: Client,
    cache: Arc<Mutex<HashMap<String, CachedRead>>>,
}

/// When it was answered, and what.
type CachedRead = (Instant, Arc<Vec<NetworkInterface>>);

impl InterfaceCache {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, cache: Arc::default() }
    }

    /// The interfaces of a VPC as they are now for those who have waited for `waited`.
    async fn in_vpc(&self, vpc_id: &str, waited: Duration) -> Result<Arc<Vec<NetworkInterface>>, Failure> {
        let max_age = LINGER_TIMEOUT.pause_after(waited) / CACHE_DIVISOR;
        // Held while asking, so that all who come meanwhile get this answer.
        let mut cache = self.cache.lock().await;
        if let Some((since, interfaces)) = cache.get(vpc_id)
            && since.elapsed() < max_age
        {
            return Ok(Arc::clone(interfaces));
        }
        let call = self.client.describe_network_interfaces().filters(filter("vpc-id", [vpc_id]));
        let interfaces =
            call.into_paginator().items().send().try_collect().await.for_operation("ec2:DescribeNetworkInterfaces")?;
        let interfaces = Arc::new(interfaces);
        cache.insert(vpc_id.to_owned(), (Instant::now(), Arc::clone(&interfaces)));
        Ok(interfaces)
    }

    /// The interfaces of the VPC for which `uses` holds, each with its owner; `None` when there is none.
    pub(crate) async fn users(&self, vpc_id: &str, uses: impl Fn(&NetworkInterface) -> bool + Send) -> Option<String> {
        // This only explains a refusal; without an answer the refusal stands as AWS put it.
        let interfaces = self.in_vpc(vpc_id, Duration::ZERO).await.ok()?;
        describe_users(&interfaces, uses)
    }

    /// Deletes what AWS does not let go while an interface for which `uses` holds is there. It is tried once; then that
    /// interface is waited for by looking, and not by deletes that are refused.
    pub(crate) async fn delete_when_unused<F>(
        &self,
        cx: &Context,
        vpc_id: &str,
        uses: impl Fn(&NetworkInterface) -> bool + Send + Sync,
        delete: impl Fn() -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let refused = match delete().await {
            Err(refused) if refused.class == Class::InUse => refused,
            answer => return answer,
        };
        if self.users(vpc_id, &uses).await.is_none() {
            return Err(refused);
        }
        let began = Instant::now();
        let gone = cx.wait("ec2:DescribeNetworkInterfaces", LINGER_TIMEOUT, || async {
            let interfaces = self.in_vpc(vpc_id, began.elapsed()).await?;
            Ok(match describe_users(&interfaces, &uses) {
                Some(users) => Progress::Pending(used_by(refused.clone(), &users).to_string()),
                None => Progress::Ready(()),
            })
        });
        match gone.await {
            Err(failure) if failure.class == Class::Interrupted => return Err(failure),
            // Without an answer nobody knows whether it is gone: the next delete tells.
            _ => {}
        }
        match delete().await {
            Err(refused) => Err(self.explain(refused, vpc_id, uses).await),
            answer => answer,
        }
    }

    /// A refused delete, with the interfaces that are the reason in its message.
    pub(crate) async fn explain(
        &self,
        refused: Failure,
        vpc_id: &str,
        uses: impl Fn(&NetworkInterface) -> bool + Send,
    ) -> Failure {
        if refused.class != Class::InUse {
            return refused;
        }
        match self.users(vpc_id, uses).await {
            Some(users) => used_by(refused, &users),
            None => refused,
        }
    }
}

/// The interfaces for which `uses` holds, each with its owner.
fn describe_users(interfaces: &[NetworkInterface], uses: impl Fn(&NetworkInterface) -> bool) -> Option<String> {
    let mut names: Vec<String> = interfaces.iter().filter(|interface| uses(interface)).map(display_name).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    let names = names.join(", ");
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(names),
        (false, more) => Some(format!("{names} and {more} more")),
    }
}

/// The failure, with who uses it in its message.
pub(crate) fn used_by(mut refused: Failure, users: &str) -> Failure {
    refused.message = format!("{}; still used by {users}", refused.message.trim_end_matches('.'));
    refused
}

/// An interface and whose it is: `eni-1 (ELB app/staging-public/50dc6c495c0c9188)`.
pub(crate) fn display_name(interface: &NetworkInterface) -> String {
    let id = interface.network_interface_id().unwrap_or("an interface");
    let described = [interface.description(), interface.requester_id(), interface.owner_id()];
    match described.into_iter().flatten().find(|text| !text.is_empty()) {
        Some(owner) => format!("{id} ({owner})"),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfacesOutput;
    use aws_smithy_mocks::mock;
    use futures_util::future::join_all;
    use pb_aws::mock_client;

    #[tokio::test(start_paused = true)]
    async fn concurrent_interface_reads_share_one_call() {
        let ask = mock!(Client::describe_network_interfaces).then_output(|| {
            let interface =
                |number: i32| NetworkInterface::builder().network_interface_id(format!("eni-{number}")).build();
            DescribeNetworkInterfacesOutput::builder()
                .set_network_interfaces(Some((1..=5).map(interface).collect()))
                .build()
        });
        let interfaces = InterfaceCache::new(mock_client!(aws_sdk_ec2, [&ask]));
        let answers = join_all((0..8).map(|_| interfaces.users("vpc-1", |_| true))).await;
        assert!(answers.iter().all(|users| users.as_deref() == Some("eni-1, eni-2, eni-3 and 2 more")), "{answers:?}");
        assert_eq!(ask.num_calls(), 1);
        tokio::time::advance(LINGER_TIMEOUT.initial / CACHE_DIVISOR).await;
        assert_eq!(interfaces.users("vpc-1", |_| false).await, None);
        assert_eq!(ask.num_calls(), 2);
    }
}
