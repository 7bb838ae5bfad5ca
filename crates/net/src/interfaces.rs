//! Network interfaces, which prevent AWS from deleting subnets, groups and gateways.

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

/// Limit of the wait for interfaces that linger after their owner is gone. After it, the delete is tried even if
/// interfaces are still visible.
const LINGER_TIMEOUT: Backoff = Backoff::minutes(Duration::from_secs(5 * 60));

/// Divisor of the polling interval that gives the maximum age of a shared response. All resources in a VPC wait for the
/// same interfaces, so these are read once rather than for each subnet, group and gateway.
const CACHE_DIVISOR: u32 = 2;

/// Maximum number of interfaces named in a message.
const MAX_NAMED: usize = 3;

/// Cache of the network interfaces of VPCs. All steps that wait for the interfaces of one VPC share its reads.
#[derive(Clone)]
pub(crate) struct InterfaceCache {
    client: Client,
    cache: Arc<Mutex<HashMap<String, CachedRead>>>,
}

/// Time of a response, and the interfaces in it.
type CachedRead = (Instant, Arc<Vec<NetworkInterface>>);

impl InterfaceCache {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, cache: Arc::default() }
    }

    /// Returns the interfaces of a VPC. A cached response is used if it is recent enough for a caller that has already
    /// waited for `waited`.
    async fn in_vpc(&self, vpc_id: &str, waited: Duration) -> Result<Arc<Vec<NetworkInterface>>, Failure> {
        let max_age = LINGER_TIMEOUT.pause_after(waited) / CACHE_DIVISOR;
        // The mutex is held during the call, so that concurrent callers get the same response.
        let mut cache = self.cache.lock().await;
        if let Some((since, interfaces)) = cache.get(vpc_id)
            && since.elapsed() < max_age
        {
            return Ok(Arc::clone(interfaces));
        }
        // An account can hide the interfaces of AWS services. (EC2 API: ModifyManagedResourceVisibility)
        let call = self.client.describe_network_interfaces().include_managed_resources(true);
        let call = call.filters(filter("vpc-id", [vpc_id]));
        let interfaces =
            call.into_paginator().items().send().try_collect().await.for_operation("ec2:DescribeNetworkInterfaces")?;
        let interfaces = Arc::new(interfaces);
        cache.insert(vpc_id.to_owned(), (Instant::now(), Arc::clone(&interfaces)));
        Ok(interfaces)
    }

    /// Returns a list of the interfaces of the VPC for which `uses` is true, each with its owner; `None` if there are
    /// none or if they cannot be read.
    pub(crate) async fn users(&self, vpc_id: &str, uses: impl Fn(&NetworkInterface) -> bool + Send) -> Option<String> {
        // The list only explains a refusal. If the read fails, AWS's own message has to suffice.
        let interfaces = self.in_vpc(vpc_id, Duration::ZERO).await.ok()?;
        describe_users(&interfaces, uses)
    }

    /// Deletes a resource once there are no more interfaces for which `uses` is true. After AWS has refused the first
    /// delete, the interfaces are polled instead of the delete being repeated.
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
            // After a timeout or a failed read, the result of the next delete shows whether the interfaces are gone.
            _ => {}
        }
        match delete().await {
            Err(refused) => Err(self.explain(refused, vpc_id, uses).await),
            answer => answer,
        }
    }

    /// Returns the failure of a refused delete, with the interfaces that block it in its message.
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

/// Returns a list of the interfaces for which `uses` is true, each with its owner; `None` if there are none.
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

/// Adds the users of the resource to the message of a failure.
pub(crate) fn used_by(mut refused: Failure, users: &str) -> Failure {
    refused.message = format!("{}; still used by {users}", refused.message.trim_end_matches('.'));
    refused
}

/// Returns the id and the owner of an interface, such as `eni-1 (ELB app/staging-public/50dc6c495c0c9188)`.
pub(crate) fn display_name(interface: &NetworkInterface) -> String {
    let id = interface.network_interface_id().unwrap_or("interface without an id");
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
