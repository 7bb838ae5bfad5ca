//! HTTP client shared by all SDK clients. The TLS setup, mainly the system's certificates, is loaded once, with the
//! first request over TLS; the SDK would load it for each client.

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

/// Connect and read timeouts. Requests with the same timeouts share connections.
type Timeouts = (Option<Duration>, Option<Duration>);

/// An HTTP client that sets up TLS on first use.
#[derive(Debug)]
struct LazyTlsClient {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
    connectors: Mutex<HashMap<Timeouts, SharedHttpConnector>>,
}

/// Creates the HTTP client that all SDK clients share.
pub(crate) fn shared_client() -> SharedHttpClient {
    SharedHttpClient::new(LazyTlsClient {
        plain: Builder::new().build_http(),
        tls: Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
        connectors: Mutex::default(),
    })
}

impl HttpClient for LazyTlsClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = connectors.entry(timeouts).or_insert_with(|| {
            SharedHttpConnector::new(LazyTlsConnector {
                plain: self.plain.http_connector(settings, components),
                tls: self.tls.clone(),
                settings: Arc::new((settings.clone(), components.clone())),
                tls_connector: OnceLock::new(),
            })
        });
        connector.clone()
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.tls.connector_metadata()
    }
}

/// Connector for all requests with the same timeouts.
#[derive(Debug)]
struct LazyTlsConnector {
    plain: SharedHttpConnector,
    tls: SharedHttpClient,
    settings: Arc<(HttpConnectorSettings, RuntimeComponents)>,
    tls_connector: OnceLock<SharedHttpConnector>,
}

impl HttpConnector for LazyTlsConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().starts_with("http://") {
            return self.plain.call(request);
        }
        let (settings, components) = &*self.settings;
        self.tls_connector.get_or_init(|| self.tls.http_connector(settings, components)).call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::shared_client;
    use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
    use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
    use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorSettings};
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
    use aws_smithy_types::body::SdkBody;
    use std::time::Duration;
    use tokio::net::TcpListener;

    /// Returns the first byte that the client sends for a request with the URL scheme `scheme`.
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
        let call = shared_client().http_connector(&settings, &components).call(request);
        let received = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            stream.peek(&mut byte).await.unwrap();
            byte[0]
        };
        tokio::select! {
            byte = received => byte,
            answer = call => panic!("{answer:?}"),
        }
    }

    #[tokio::test]
    async fn request_scheme_selects_plain_or_tls() {
        const HANDSHAKE: u8 = 22;
        assert_eq!(first_byte("http").await, b'G');
        assert_eq!(first_byte("https").await, HANDSHAKE);
    }
}
