//! Client-side limits for the requests to each service. A service counts all requests of an account, regardless of the
//! caller, and throttles the excess. Retrying throttled requests takes longer than sending fewer requests in the first
//! place.

use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// Maximum number of concurrent requests to one service.
const MAX_CONCURRENT: usize = 16;

/// The service with the lowest limit: five requests a second for a whole account (Route 53 developer guide: Quotas).
/// One of the five is left for other callers.
const ROUTE53: &str = "route53";
const ROUTE53_PER_SECOND: usize = 4;

const SECOND: Duration = Duration::from_secs(1);

/// An HTTP client that forwards requests to another HTTP client within the limits.
#[derive(Debug)]
pub(crate) struct RateLimitedClient {
    http: SharedHttpClient,
    services: Arc<ServiceLimits>,
}

impl RateLimitedClient {
    pub(crate) fn new(http: SharedHttpClient) -> Self {
        Self { http, services: Arc::default() }
    }
}

impl HttpClient for RateLimitedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.http.http_connector(settings, components);
        SharedHttpConnector::new(RateLimitedConnector { connector, services: Arc::clone(&self.services) })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.http.connector_metadata()
    }
}

#[derive(Debug)]
struct RateLimitedConnector {
    connector: SharedHttpConnector,
    services: Arc<ServiceLimits>,
}

impl HttpConnector for RateLimitedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(service) = service_of(&request).map(|name| self.services.get(name)) else {
            return self.connector.call(request);
        };
        let connector = self.connector.clone();
        HttpConnectorFuture::new(async move {
            // `acquire` cannot fail, because the semaphore is never closed.
            let _permit = service.permits.acquire().await;
            if let Some(start) = service.next_start() {
                sleep_until(start).await;
            }
            connector.call(request).await
        })
    }
}

/// Returns the service that a request is signed for: `ec2` in `Credential=AKID/20261126/us-east-2/ec2/aws4_request`. An
/// unsigned request has no service and is not limited.
fn service_of(request: &HttpRequest) -> Option<&str> {
    let (_, scope) = request.headers().get("authorization")?.split_once("Credential=")?;
    scope.split('/').nth(3)
}

#[derive(Debug, Default)]
struct ServiceLimits(Mutex<HashMap<String, Arc<ServiceLimit>>>);

impl ServiceLimits {
    fn get(&self, name: &str) -> Arc<ServiceLimit> {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = (name == ROUTE53).then_some(ROUTE53_PER_SECOND);
        Arc::clone(services.entry(name.to_owned()).or_insert_with(|| Arc::new(ServiceLimit::new(per_second))))
    }
}

#[derive(Debug)]
struct ServiceLimit {
    permits: Semaphore,
    /// Start times of the most recent requests, if the rate is limited.
    recent: Option<Mutex<VecDeque<Instant>>>,
}

impl ServiceLimit {
    fn new(per_second: Option<usize>) -> Self {
        Self {
            permits: Semaphore::new(MAX_CONCURRENT),
            recent: per_second.map(|count| Mutex::new(VecDeque::with_capacity(count))),
        }
    }

    /// Reserves the start time of the next request, if the rate is limited: at least a second after the start of the
    /// request that is `per_second` requests earlier.
    fn next_start(&self) -> Option<Instant> {
        let mut recent = self.recent.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(reserve_start(&mut recent, Instant::now()))
    }
}

/// Returns the earliest start time of the next request, given the most recent start times, and adds it to `recent`.
fn reserve_start(recent: &mut VecDeque<Instant>, now: Instant) -> Instant {
    let earliest =
        if recent.len() < ROUTE53_PER_SECOND { None } else { recent.pop_front().map(|first| first + SECOND) };
    let start = earliest.map_or(now, |earliest| earliest.max(now));
    recent.push_back(start);
    start
}

#[cfg(test)]
mod tests {
    use super::{MAX_CONCURRENT, ROUTE53_PER_SECOND, RateLimitedConnector, SECOND, ServiceLimits};
    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    /// Connector that responds after a delay, and records the start times and the concurrency of the requests.
    #[derive(Debug, Clone, Default)]
    struct SlowConnector(Arc<Mutex<Observed>>);

    #[derive(Debug, Default)]
    struct Observed {
        in_flight: usize,
        max_in_flight: usize,
        started: Vec<Instant>,
    }

    impl HttpConnector for SlowConnector {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let seen = Arc::clone(&self.0);
            {
                let mut seen = seen.lock().unwrap();
                seen.in_flight += 1;
                seen.max_in_flight = seen.max_in_flight.max(seen.in_flight);
                seen.started.push(Instant::now());
            }
            HttpConnectorFuture::new(async move {
                sleep(Duration::from_millis(40)).await;
                seen.lock().unwrap().in_flight -= 1;
                Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::empty()))
            })
        }
    }

    fn request(service: Option<&str>) -> HttpRequest {
        let mut request = HttpRequest::empty();
        if let Some(service) = service {
            let signed =
                format!("AWS4-HMAC-SHA256 Credential=A/20261126/us-east-2/{service}/aws4_request, Signature=x");
            request.headers_mut().insert("authorization", signed);
        }
        request
    }

    /// Sends `count` requests at once.
    async fn burst(service: Option<&str>, count: usize) -> SlowConnector {
        let slow = SlowConnector::default();
        let limit = Arc::new(RateLimitedConnector {
            connector: SharedHttpConnector::new(slow.clone()),
            services: Arc::new(ServiceLimits::default()),
        });
        let mut calls = JoinSet::new();
        for _ in 0..count {
            let (limit, request) = (Arc::clone(&limit), request(service));
            calls.spawn(async move { limit.call(request).await.unwrap() });
        }
        assert_eq!(calls.join_all().await.len(), count);
        slow
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_to_a_service_are_limited() {
        assert_eq!(burst(Some("ec2"), 50).await.0.lock().unwrap().max_in_flight, MAX_CONCURRENT);
        assert_eq!(burst(Some("ec2"), 3).await.0.lock().unwrap().max_in_flight, 3);
        assert_eq!(burst(None, 50).await.0.lock().unwrap().max_in_flight, 50, "unsigned requests are not limited");
    }

    #[tokio::test(start_paused = true)]
    async fn route_53_gets_four_requests_in_any_second() {
        let slow = burst(Some("route53"), 12).await;
        let started = &slow.0.lock().unwrap().started;
        for (first, fifth) in started.iter().zip(started.iter().skip(ROUTE53_PER_SECOND)) {
            assert!(*fifth - *first >= SECOND, "{:?}", *fifth - *first);
        }
        assert_eq!(started[ROUTE53_PER_SECOND - 1], started[0], "the first requests start at once");
    }
}
