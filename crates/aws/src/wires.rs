//! One HTTP client for all SDK clients. What TLS needs, the certificates of the system above all, is loaded with the first
//! request that is sent over TLS, and once: the SDK would load it with each client that is made.

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Times for connecting and reading: requests that have the same share their connections.
type Times = (Option<Duration>, Option<Duration>);

/// The client.
#[derive(Debug)]
struct Wires {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
    known: Mutex<HashMap<Times, SharedHttpConnector>>,
}

/// One client for all.
pub(crate) fn client() -> SharedHttpClient {
    SharedHttpClient::new(Wires {
        plain: Builder::new().build_http(),
        tls: Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
        known: Mutex::default(),
    })
}

impl HttpClient for Wires {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let times = (settings.connect_timeout(), settings.read_timeout());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let wire = known.entry(times).or_insert_with(|| {
            SharedHttpConnector::new(Wire {
                plain: self.plain.http_connector(settings, components),
                tls: self.tls.clone(),
                with: Arc::new((settings.clone(), components.clone())),
                over_tls: OnceLock::new(),
            })
        });
        wire.clone()
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.tls.connector_metadata()
    }
}

/// The connections of requests with the same times.
#[derive(Debug)]
struct Wire {
    plain: SharedHttpConnector,
    tls: SharedHttpClient,
    with: Arc<(HttpConnectorSettings, RuntimeComponents)>,
    over_tls: OnceLock<SharedHttpConnector>,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().starts_with("http://") {
            return self.plain.call(request);
        }
        let (settings, components) = &*self.with;
        self.over_tls.get_or_init(|| self.tls.http_connector(settings, components)).call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::client;
    use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
    use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
    use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorSettings};
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
    use aws_smithy_types::body::SdkBody;
    use std::time::Duration;
    use tokio::net::TcpListener;

    /// The first byte that a request to `scheme` sends.
    async fn first_byte(scheme: &str) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let components = RuntimeComponentsBuilder::for_tests()
            .with_sleep_impl(Some(SharedAsyncSleep::new(TokioSleep::new())))
            .with_time_source(Some(SharedTimeSource::new(SystemTimeSource::new())))
            .build()
            .unwrap();
        let settings = HttpConnectorSettings::builder().connect_timeout(Duration::from_secs(5)).build();
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(url).unwrap();
        let call = client().http_connector(&settings, &components).call(request);
        let heard = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            stream.peek(&mut byte).await.unwrap();
            byte[0]
        };
        tokio::select! {
            byte = heard => byte,
            answer = call => panic!("{answer:?}"),
        }
    }

    #[tokio::test]
    async fn the_scheme_of_a_request_says_whether_it_goes_over_tls() {
        const HANDSHAKE: u8 = 22;
        assert_eq!(first_byte("http").await, b'G');
        assert_eq!(first_byte("https").await, HANDSHAKE);
    }
}
