//! HTTP client shared by all SDK clients: its connectors, proxies and trusted certificates. The TLS setup, mainly the
//! system's certificates, is loaded once, with the first request over TLS; the SDK would load it for each client.

use crate::connection_fault::{ConnectionFault, Route};
use crate::proxy::{Proxies, Proxy};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Uri;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Failed connections to a host that has not answered yet, after which no further attempt is made.
const FIRST_ATTEMPTS: u32 = 2;

/// Connect and read timeouts. Requests with the same timeouts share connections.
type Timeouts = (Option<Duration>, Option<Duration>);

/// The way to all hosts: proxies, trusted certificates, and the hosts that have been reached.
#[derive(Debug, Default)]
pub(crate) struct Network {
    proxies: Proxies,
    tls: TlsContext,
    /// The setting that selects the trusted certificates, if they are not those of the system.
    ca_setting: Option<String>,
    /// Hosts that have answered, and the failed connections to all others.
    hosts: Mutex<HashMap<String, Contact>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Contact {
    answered: bool,
    failures: u32,
}

impl Network {
    /// Creates the way to all hosts. `tls` contains the trusted certificates and the setting that selects them;
    /// without it, those of the system are trusted.
    pub(crate) fn new(proxies: Proxies, tls: Option<(TlsContext, String)>) -> Self {
        let (tls, ca_setting) = tls.unzip();
        Self { proxies, tls: tls.unwrap_or_default(), ca_setting, hosts: Mutex::default() }
    }

    /// Returns the way to the host of a URL.
    pub(crate) fn route(&self, url: &Uri) -> Route {
        Route::new(url, self.proxies.for_url(url), self.ca_setting.as_deref())
    }

    fn update(&self, host: &str, change: impl FnOnce(&mut Contact)) -> Contact {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Contact::default());
        }
        hosts
            .get_mut(host)
            .map(|contact| {
                change(contact);
                *contact
            })
            .unwrap_or_default()
    }

    /// Explains why a connection could not be made, and decides whether the SDK makes a further attempt. It does if the
    /// host has answered before. A host that has never answered is probably misconfigured: it gets one more attempt,
    /// and none if a name server or a certificate is the cause.
    async fn explain(&self, error: ConnectorError, url: &Uri) -> ConnectorError {
        let fault = match ConnectionFault::new(error, &self.route(url)).await {
            Ok(fault) => fault,
            Err(other) => return other,
        };
        let contact = self.update(url.host().unwrap_or_default(), |contact| contact.failures += 1);
        let first = !contact.answered && (contact.failures >= FIRST_ATTEMPTS || !fault.may_pass());
        match fault.is_certificate() || first {
            true => ConnectorError::user(fault.into()),
            false => ConnectorError::io(fault.into()),
        }
    }
}

/// An HTTP client that creates its connectors on first use.
#[derive(Debug)]
struct LazyClient {
    network: Arc<Network>,
    connectors: Mutex<HashMap<Timeouts, SharedHttpConnector>>,
}

/// Creates the HTTP client that all SDK clients share.
pub(crate) fn shared_client(network: Arc<Network>) -> SharedHttpClient {
    SharedHttpClient::new(LazyClient { network, connectors: Mutex::default() })
}

impl HttpClient for LazyClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = connectors.entry(timeouts).or_insert_with(|| {
            SharedHttpConnector::new(LazyConnector(Arc::new(Connectors {
                network: Arc::clone(&self.network),
                settings: settings.clone(),
                components: components.clone(),
                plain: OnceLock::new(),
                tls: OnceLock::new(),
                plain_proxied: OnceLock::new(),
                tls_proxied: OnceLock::new(),
            })))
        });
        connector.clone()
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some(Cow::Borrowed("1.x"))))
    }
}

/// Connectors for all requests with the same timeouts.
#[derive(Debug)]
struct Connectors {
    network: Arc<Network>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
    plain: OnceLock<Connector>,
    tls: OnceLock<Connector>,
    plain_proxied: OnceLock<Connector>,
    tls_proxied: OnceLock<Connector>,
}

impl Connectors {
    /// Returns the connector for requests to a URL.
    fn get(&self, url: &Uri) -> Result<&Connector, ConnectorError> {
        let plain = url.scheme_str() == Some("http");
        let Some(proxy) = self.network.proxies.for_url(url) else {
            let connector = if plain { &self.plain } else { &self.tls };
            return Ok(connector.get_or_init(|| self.create(!plain, None)));
        };
        let connector = if plain { &self.plain_proxied } else { &self.tls_proxied };
        if let Some(connector) = connector.get() {
            return Ok(connector);
        }
        let config = config(proxy, plain)?;
        Ok(connector.get_or_init(|| self.create(!plain || proxy.uses_tls(), Some(config))))
    }

    fn create(&self, tls: bool, proxy: Option<ProxyConfig>) -> Connector {
        let mut builder = Connector::builder().connector_settings(self.settings.clone());
        builder.set_sleep_impl(self.components.sleep_impl());
        builder.set_proxy_config(proxy);
        match tls {
            true => {
                let builder = builder.tls_provider(Provider::Rustls(CryptoMode::Ring));
                builder.tls_context(self.network.tls.clone()).build()
            }
            false => builder.build_http(),
        }
    }
}

/// Returns the SDK's configuration of a proxy. It contains no exceptions: requests to these hosts use other connectors.
fn config(proxy: &Proxy, plain: bool) -> Result<ProxyConfig, ConnectorError> {
    let url = proxy.url().clone();
    let config = if plain { ProxyConfig::http(url) } else { ProxyConfig::https(url) };
    config.map_err(|error| ConnectorError::user(error.into()))
}

/// Connector that selects the connector for each request.
#[derive(Debug)]
struct LazyConnector(Arc<Connectors>);

impl HttpConnector for LazyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let url: Uri = match request.uri().parse() {
            Ok(url) => url,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(error)))),
        };
        let response = match self.0.get(&url) {
            Ok(connector) => connector.call(request),
            Err(error) => return HttpConnectorFuture::ready(Err(error)),
        };
        let network = Arc::clone(&self.0.network);
        HttpConnectorFuture::new(async move {
            match response.await {
                Ok(response) => {
                    network.update(url.host().unwrap_or_default(), |contact| contact.answered = true);
                    Ok(response)
                }
                Err(error) => Err(network.explain(error, &url).await),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, shared_client};
    use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
    use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
    use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorSettings};
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
    use aws_smithy_types::body::SdkBody;
    use std::sync::Arc;
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
        let call = shared_client(Arc::new(Network::default())).http_connector(&settings, &components).call(request);
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
