//! Shared polling of services: all waits share their DescribeServices calls.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Service, ServiceField};
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::Failure;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of names in one DescribeServices call. (ECS API: DescribeServices)
pub(crate) const NAMES_PER_CALL: usize = 10;

/// Divisor that gives the maximum age of an acceptable response from the time that a watcher has waited so far. A
/// watcher that has waited for 160 s, for example, accepts a response that is up to 1 s old, even if another watcher
/// requested it.
const FRESH_FRACTION: u32 = 160;

/// Minimum average time between calls. If the watched services need N calls, a response is reused for at least N times
/// this time, so that the poller makes at most ten calls a second, for any number of watchers and services. ECS allows
/// 20 calls a second per account, and the account has other clients, too. (ECS API reference: Request throttling)
const TIME_PER_CALL: Duration = Duration::from_millis(100);

/// Cluster and name of a service.
type Key = (String, String);

/// Last response about each service, with the time of the request.
type Answers = HashMap<Key, (Instant, Option<Service>)>;

/// The watchers of one service.
#[derive(Debug, Clone, Copy)]
struct Watchers {
    count: usize,
    /// Start time of the watcher that started last.
    since: Instant,
}

/// A poller that requests up to ten services in one call, on behalf of all their watchers.
#[derive(Debug, Clone)]
pub(crate) struct Poller {
    client: Client,
    answers: Arc<tokio::sync::Mutex<Answers>>,
    watched: Arc<Mutex<BTreeMap<Key, Watchers>>>,
}

/// A watcher of one service, registered until it is dropped.
pub(crate) struct Watch<'a> {
    poller: &'a Poller,
    key: Key,
    since: Instant,
}

impl Poller {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, answers: Arc::default(), watched: Arc::default() }
    }

    /// Starts watching a service. The watcher accepts no response to a request that was sent before it started.
    pub(crate) fn watch(&self, cluster: &str, name: &str) -> Watch<'_> {
        let (key, since) = ((cluster.to_owned(), name.to_owned()), Instant::now());
        let mut watched = self.watched();
        let watchers = watched.entry(key.clone()).or_insert(Watchers { count: 0, since });
        *watchers = Watchers { count: watchers.count + 1, since };
        drop(watched);
        Watch { poller: self, key, since }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<Key, Watchers>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the stored response about a service is fresh enough for a watcher that started at `since`. `all`
    /// is the number of watched services.
    fn is_fresh(answers: &Answers, key: &Key, since: Instant, all: usize) -> bool {
        let calls = u32::try_from(all.div_ceil(NAMES_PER_CALL)).unwrap_or(u32::MAX);
        let fresh = (since.elapsed() / FRESH_FRACTION).max(TIME_PER_CALL * calls);
        answers.get(key).is_some_and(|(at, _)| *at >= since && at.elapsed() < fresh)
    }

    /// Returns the names of the watched services of a cluster whose stored response is not fresh enough.
    fn stale(&self, cluster: &str, answers: &Answers) -> Vec<String> {
        let watched = self.watched();
        let stale = watched
            .iter()
            .filter(|(key, watchers)| key.0 == cluster && !Self::is_fresh(answers, key, watchers.since, watched.len()));
        stale.map(|((_, name), _)| name.clone()).collect()
    }

    /// Requests services of a cluster and stores the responses.
    async fn refresh(&self, cluster: &str, names: &[String], answers: &mut Answers) -> Result<(), Failure> {
        let at = Instant::now();
        let mut found = HashMap::new();
        for service in describe(&self.client, cluster, names, false).await? {
            found.insert(service.service_name().unwrap_or_default().to_owned(), service);
        }
        for name in names {
            let service = found.remove(name);
            answers.insert((cluster.to_owned(), name.clone()), (at, service));
        }
        Ok(())
    }
}

impl Watch<'_> {
    /// Returns the service, or `None` if it does not exist or is INACTIVE.
    ///
    /// # Errors
    /// Any failure of DescribeServices.
    pub(crate) async fn service(&self) -> Result<Option<Service>, Failure> {
        // The watcher that gets the mutex also requests the services of the other watchers, which wait for the
        // response.
        let mut answers = self.poller.answers.lock().await;
        let all = self.poller.watched().len();
        if !Poller::is_fresh(&answers, &self.key, self.since, all) {
            let names = self.poller.stale(&self.key.0, &answers);
            self.poller.refresh(&self.key.0, &names, &mut answers).await?;
        }
        Ok(answers.get(&self.key).and_then(|(_, service)| service.clone()))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut watched = self.poller.watched();
        match watched.get_mut(&self.key) {
            Some(watchers) if watchers.count > 1 => watchers.count -= 1,
            _ => drop(watched.remove(&self.key)),
        }
    }
}

/// Returns the services with these names that exist; an empty list if the cluster does not exist. A deleted service,
/// which ECS returns as INACTIVE for a while, counts as one that does not exist.
pub(crate) async fn describe(
    client: &Client,
    cluster: &str,
    names: &[String],
    with_tags: bool,
) -> Result<Vec<Service>, Failure> {
    let parts = names.chunks(NAMES_PER_CALL).map(|names| async move {
        let call = client.describe_services().cluster(cluster).set_services(Some(names.to_vec()));
        let call = call.set_include(with_tags.then(|| vec![ServiceField::Tags]));
        match call.send().await.for_operation("ecs:DescribeServices") {
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
    use super::{Client, Instant, Poller, Service, describe};
    use crate::testing::{Fake, refused};
    use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::Backoff;
    use std::time::Duration;

    type Calls = Vec<Vec<String>>;

    fn describe_rule(calls: &Fake<Calls>) -> Rule {
        let calls = calls.clone();
        mock!(Client::describe_services).then_compute_output(move |input| {
            calls.get().push(input.services().to_vec());
            let service = |name: &String| {
                let status = if name == "gone" { "INACTIVE" } else { "ACTIVE" };
                Service::builder().service_name(name).status(status).build()
            };
            DescribeServicesOutput::builder().set_services(Some(input.services().iter().map(service).collect())).build()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn watchers_share_one_call() {
        let calls = Fake::<Calls>::new();
        let poller = Poller::new(pb_aws::mock_client!(aws_sdk_ecs, [&describe_rule(&calls)]));
        let (web, gone) = (poller.watch("c", "web"), poller.watch("c", "gone"));
        let elsewhere = poller.watch("d", "web");
        let (web, gone) = (async { web.service().await.unwrap() }, async { gone.service().await.unwrap() });
        let (web, gone) = tokio::join!(web, gone);
        assert_eq!(web.unwrap().service_name(), Some("web"));
        assert!(gone.is_none(), "an INACTIVE service does not exist");
        assert_eq!(calls.get().len(), 1);
        assert_eq!(calls.get()[0], ["gone", "web"]);
        elsewhere.service().await.unwrap();
        assert_eq!(calls.get()[1], ["web"]);
    }

    #[tokio::test(start_paused = true)]
    async fn answer_expires_and_never_predates_the_watcher() {
        let calls = Fake::<Calls>::new();
        let poller = Poller::new(pb_aws::mock_client!(aws_sdk_ecs, [&describe_rule(&calls)]));
        let first = poller.watch("c", "web");
        first.service().await.unwrap();
        first.service().await.unwrap();
        assert_eq!(calls.get().len(), 1);
        tokio::time::advance(Duration::from_millis(10)).await;
        poller.watch("c", "web").service().await.unwrap();
        assert_eq!(calls.get().len(), 2, "an answer from before the watcher started does not count");
        tokio::time::advance(Duration::from_millis(1100)).await;
        first.service().await.unwrap();
        assert_eq!(calls.get().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn hundred_watchers_make_at_most_ten_calls_a_second() {
        let calls = Fake::<Calls>::new();
        let poller = Poller::new(pb_aws::mock_client!(aws_sdk_ecs, [&describe_rule(&calls)]));
        let limits = Backoff::seconds(Duration::from_secs(3600));
        let names: Vec<String> = (0..100).map(|number| format!("pool{number}")).collect();
        let began = Instant::now();
        let poller = &poller;
        let waits = names.iter().zip(0_u32..).map(|(name, number)| async move {
            let watch = poller.watch("c", name);
            while began.elapsed() < Duration::from_secs(90) {
                watch.service().await.unwrap();
                let pause = limits.pause_after(began.elapsed());
                tokio::time::sleep(pause - pause * (number % 20) / 100).await;
            }
        });
        futures_util::future::join_all(waits).await;
        let calls = calls.get();
        let full = calls.iter().filter(|names| names.len() == 10).count();
        assert!(calls.len() <= 100 + 900, "{} calls by a hundred watchers that wait for 90 s", calls.len());
        assert!(full >= calls.len() - 110, "{full} of {} calls ask for ten services", calls.len());
    }

    #[tokio::test]
    async fn services_are_described_ten_at_a_time() {
        let calls = Fake::<Calls>::new();
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&describe_rule(&calls)]);
        let names: Vec<String> = (0..21).map(|number| format!("s{number}")).collect();
        assert_eq!(describe(&client, "c", &names, true).await.unwrap().len(), 21);
        let sizes: Vec<usize> = calls.get().iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 1]);
        let missing =
            mock!(Client::describe_services).then_http_response(|| refused("ClusterNotFoundException", "none"));
        let client = pb_aws::mock_client!(aws_sdk_ecs, [&missing]);
        assert!(describe(&client, "c", &names, true).await.unwrap().is_empty());
    }
}
