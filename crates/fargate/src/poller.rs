//! One DescribeServices for all services that are waited for.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Service, ServiceField};
use futures_util::future::try_join_all;
use pb_aws::Answer;
use pb_engine::Failure;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Names that DescribeServices takes in one call. (ECS API: DescribeServices)
pub(crate) const NAMES_A_CALL: usize = 10;

/// How old an answer may be to be used by another who waits.
const FRESH: Duration = Duration::from_secs(1);

/// Cluster and name.
type Key = (String, String);

/// What was answered about a service, and when it was asked.
type Seen = HashMap<Key, (Instant, Option<Service>)>;

/// Asks for services on behalf of all who wait: one call for up to ten of them, about once a second.
#[derive(Debug, Clone)]
pub(crate) struct Poller {
    client: Client,
    seen: Arc<tokio::sync::Mutex<Seen>>,
    /// Who is waited for, and how often.
    watched: Arc<Mutex<BTreeMap<Key, usize>>>,
}

/// Somebody who waits for a service, until dropped.
pub(crate) struct Watch<'a> {
    poller: &'a Poller,
    key: Key,
    since: Instant,
}

impl Poller {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, seen: Arc::default(), watched: Arc::default() }
    }

    /// Begins to wait for a service. Nothing that was answered before counts.
    pub(crate) fn watch(&self, cluster: &str, name: &str) -> Watch<'_> {
        let key = (cluster.to_owned(), name.to_owned());
        *self.watched().entry(key.clone()).or_default() += 1;
        Watch { poller: self, key, since: Instant::now() }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<Key, usize>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that is asked for, and others of its cluster that are waited for.
    fn names(&self, (cluster, name): &Key) -> Vec<String> {
        let watched = self.watched();
        let others = watched.keys().filter(|(of, other)| of == cluster && other != name);
        std::iter::once(name).chain(others.map(|(_, other)| other)).take(NAMES_A_CALL).cloned().collect()
    }
}

impl Watch<'_> {
    /// The service as it is now, none when it is not there or INACTIVE.
    ///
    /// # Errors
    /// What DescribeServices fails with.
    pub(crate) async fn look(&self) -> Result<Option<Service>, Failure> {
        // Whoever holds the lock asks for all; the others wait for the answer.
        let mut seen = self.poller.seen.lock().await;
        if let Some((at, service)) = seen.get(&self.key)
            && *at >= self.since
            && at.elapsed() < FRESH
        {
            return Ok(service.clone());
        }
        let (cluster, at) = (&self.key.0, Instant::now());
        let names = self.poller.names(&self.key);
        let mut found = HashMap::new();
        for service in describe(&self.poller.client, cluster, &names, false).await? {
            found.insert(service.service_name().unwrap_or_default().to_owned(), service);
        }
        for name in names {
            let service = found.remove(&name);
            seen.insert((cluster.clone(), name), (at, service));
        }
        Ok(seen.get(&self.key).and_then(|(_, service)| service.clone()))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut watched = self.poller.watched();
        match watched.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(watched.remove(&self.key)),
        }
    }
}

/// The services of these names that are there. A cluster that is not there has none, and a deleted service is still
/// described for a while, as INACTIVE.
pub(crate) async fn describe(
    client: &Client,
    cluster: &str,
    names: &[String],
    with_tags: bool,
) -> Result<Vec<Service>, Failure> {
    let parts = names.chunks(NAMES_A_CALL).map(|names| async move {
        let call = client.describe_services().cluster(cluster).set_services(Some(names.to_vec()));
        let call = call.set_include(with_tags.then(|| vec![ServiceField::Tags]));
        match call.send().await.answer("ecs:DescribeServices") {
            Ok(answer) => Ok(answer.services.unwrap_or_default()),
            Err(failure) if failure.is("ClusterNotFoundException") => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    });
    let mut found: Vec<Service> = try_join_all(parts).await?.into_iter().flatten().collect();
    found.retain(|service| service.status() != Some("INACTIVE"));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Client, Poller, Service, describe};
    use crate::testing::{World, refused};
    use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
    use aws_smithy_mocks::{Rule, mock};
    use std::time::Duration;

    type Asked = Vec<Vec<String>>;

    fn answers(asked: &World<Asked>) -> Rule {
        let asked = asked.clone();
        mock!(Client::describe_services).then_compute_output(move |input| {
            asked.get().push(input.services().to_vec());
            let service = |name: &String| {
                let status = if name == "gone" { "INACTIVE" } else { "ACTIVE" };
                Service::builder().service_name(name).status(status).build()
            };
            DescribeServicesOutput::builder().set_services(Some(input.services().iter().map(service).collect())).build()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_one_call() {
        let asked = World::<Asked>::new();
        let poller = Poller::new(pb_aws::mock_client!(aws_sdk_ecs, [&answers(&asked)]));
        let (web, gone) = (poller.watch("c", "web"), poller.watch("c", "gone"));
        let elsewhere = poller.watch("d", "web");
        let (web, gone) = (async { web.look().await.unwrap() }, async { gone.look().await.unwrap() });
        let (web, gone) = tokio::join!(web, gone);
        assert_eq!(web.unwrap().service_name(), Some("web"));
        assert!(gone.is_none(), "an INACTIVE service is not there");
        assert_eq!(asked.get().len(), 1);
        assert_eq!(asked.get()[0], ["web", "gone"]);
        elsewhere.look().await.unwrap();
        assert_eq!(asked.get()[1], ["web"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_gets_old_and_never_comes_from_before() {
        let asked = World::<Asked>::new();
        let poller = Poller::new(pb_aws::mock_client!(aws_sdk_ecs, [&answers(&asked)]));
        let first = poller.watch("c", "web");
        first.look().await.unwrap();
        first.look().await.unwrap();
        assert_eq!(asked.get().len(), 1);
        tokio::time::advance(Duration::from_millis(10)).await;
        poller.watch("c", "web").look().await.unwrap();
        assert_eq!(asked.get().len(), 2, "what was seen before the change that is waited for does not count");
        tokio::time::advance(Duration::from_millis(1100)).await;
        first.look().await.unwrap();
        assert_eq!(asked.get().len(), 3);
    }

    #[tokio::test]
    async fn ten_names_a_call_and_none_in_a_cluster_that_is_not_there() {
        let asked = World::<Asked>::new();
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&answers(&asked)]);
        let names: Vec<String> = (0..21).map(|number| format!("s{number}")).collect();
        assert_eq!(describe(&client, "c", &names, true).await.unwrap().len(), 21);
        let sizes: Vec<usize> = asked.get().iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 1]);
        let missing =
            mock!(Client::describe_services).then_http_response(|| refused("ClusterNotFoundException", "none"));
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&missing]);
        assert!(describe(&client, "c", &names, true).await.unwrap().is_empty());
    }
}
