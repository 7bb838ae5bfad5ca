//! How much is asked of one service at a time. Each service counts the requests of an account, whoever makes them; one that had
//! enough answers with throttling, and everybody waits longer than if nobody had hurried.

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

/// Requests to one service that are under way at a time.
const AT_A_TIME: usize = 16;

/// The service that takes the fewest requests: five a second for a whole account (Route 53 developer guide: Quotas). One is left
/// for others.
const FEW: &str = "route53";
const FEW_A_SECOND: usize = 4;

const SECOND: Duration = Duration::from_secs(1);

/// An HTTP client that hands on to another what the limits allow.
#[derive(Debug)]
pub(crate) struct Limited {
    http: SharedHttpClient,
    services: Arc<Services>,
}

impl Limited {
    pub(crate) fn new(http: SharedHttpClient) -> Self {
        Self { http, services: Arc::default() }
    }
}

impl HttpClient for Limited {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.http.http_connector(settings, components);
        SharedHttpConnector::new(Limit { connector, services: Arc::clone(&self.services) })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.http.connector_metadata()
    }
}

#[derive(Debug)]
struct Limit {
    connector: SharedHttpConnector,
    services: Arc<Services>,
}

impl HttpConnector for Limit {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(service) = service(&request).map(|name| self.services.get(name)) else {
            return self.connector.call(request);
        };
        let connector = self.connector.clone();
        HttpConnectorFuture::new(async move {
            // It is never closed.
            let _place = service.places.acquire().await;
            if let Some(turn) = service.turn() {
                sleep_until(turn).await;
            }
            connector.call(request).await
        })
    }
}

/// The service that a request is signed for: `ec2` of `Credential=AKID/20261126/us-east-2/ec2/aws4_request`. What is not signed
/// goes to none that counts.
fn service(request: &HttpRequest) -> Option<&str> {
    let (_, scope) = request.headers().get("authorization")?.split_once("Credential=")?;
    scope.split('/').nth(3)
}

#[derive(Debug, Default)]
struct Services(Mutex<HashMap<String, Arc<Service>>>);

impl Services {
    fn get(&self, name: &str) -> Arc<Service> {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let a_second = (name == FEW).then_some(FEW_A_SECOND);
        Arc::clone(services.entry(name.to_owned()).or_insert_with(|| Arc::new(Service::new(a_second))))
    }
}

#[derive(Debug)]
struct Service {
    places: Semaphore,
    /// When the last requests were let go, where there is a limit by the second.
    last: Option<Mutex<VecDeque<Instant>>>,
}

impl Service {
    fn new(a_second: Option<usize>) -> Self {
        Self {
            places: Semaphore::new(AT_A_TIME),
            last: a_second.map(|count| Mutex::new(VecDeque::with_capacity(count))),
        }
    }

    /// When the next request may go, where that is limited: a second after the one that is as many back as there may be.
    fn turn(&self) -> Option<Instant> {
        let mut last = self.last.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(turn(&mut last, Instant::now()))
    }
}

/// When the next request may go, given when the last ones did; notes it.
fn turn(last: &mut VecDeque<Instant>, now: Instant) -> Instant {
    let earliest = if last.len() < FEW_A_SECOND { None } else { last.pop_front().map(|first| first + SECOND) };
    let turn = earliest.map_or(now, |earliest| earliest.max(now));
    last.push_back(turn);
    turn
}

#[cfg(test)]
mod tests {
    use super::{AT_A_TIME, FEW_A_SECOND, Limit, SECOND, Services};
    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    /// Answers after a while, and notes when requests came and how many were there at a time.
    #[derive(Debug, Clone, Default)]
    struct Slow(Arc<Mutex<Seen>>);

    #[derive(Debug, Default)]
    struct Seen {
        now: usize,
        most: usize,
        came: Vec<Instant>,
    }

    impl HttpConnector for Slow {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let seen = Arc::clone(&self.0);
            {
                let mut seen = seen.lock().unwrap();
                seen.now += 1;
                seen.most = seen.most.max(seen.now);
                seen.came.push(Instant::now());
            }
            HttpConnectorFuture::new(async move {
                sleep(Duration::from_millis(40)).await;
                seen.lock().unwrap().now -= 1;
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

    /// Makes `count` requests at once.
    async fn storm(service: Option<&str>, count: usize) -> Slow {
        let slow = Slow::default();
        let limit = Arc::new(Limit {
            connector: SharedHttpConnector::new(slow.clone()),
            services: Arc::new(Services::default()),
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
    async fn a_service_is_asked_so_much_at_a_time_and_no_more() {
        assert_eq!(storm(Some("ec2"), 50).await.0.lock().unwrap().most, AT_A_TIME);
        assert_eq!(storm(Some("ec2"), 3).await.0.lock().unwrap().most, 3);
        assert_eq!(storm(None, 50).await.0.lock().unwrap().most, 50, "what is not signed is none of theirs");
    }

    #[tokio::test(start_paused = true)]
    async fn route_53_is_asked_four_times_in_any_second() {
        let slow = storm(Some("route53"), 12).await;
        let came = &slow.0.lock().unwrap().came;
        for (first, fifth) in came.iter().zip(came.iter().skip(FEW_A_SECOND)) {
            assert!(*fifth - *first >= SECOND, "{:?}", *fifth - *first);
        }
        assert_eq!(came[FEW_A_SECOND - 1], came[0], "the first ones need not wait");
    }
}
