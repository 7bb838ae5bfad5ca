//! SDK configuration shared by all clients.

use crate::Environment;
use crate::access;
use crate::credentials::{self, ExplainedCredentials, IneffectiveKey, login_credentials};
use crate::endpoints::Endpoints;
use crate::http_client::{Network, shared_client};
use crate::profiles::Profiles;
use crate::proxy::Proxies;
use crate::rate_limit::RateLimitedClient;
use crate::trust::CaBundle;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use pb_engine::Failure;
use std::sync::Arc;
use std::time::Duration;

/// Settings for access to AWS that override the environment and `~/.aws`.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Profile in `~/.aws`; defaults to `AWS_PROFILE`.
    pub profile: Option<String>,
    /// Region of the calls.
    pub region: String,
    /// Endpoint of all services; defaults to the configured endpoints, then to AWS itself.
    pub endpoint_url: Option<String>,
    /// Environment variables, with proxies, endpoints and certificates.
    pub environment: Environment,
}

/// Time within which a provider must supply credentials. Programs of `credential_process` can wait for a touch of a
/// security key, and the SDK's default of 5 s is too short for that.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(25);

/// Maximum number of attempts of a call. The SDK retries a call after throttling, a 5xx response or a timeout.
const MAX_ATTEMPTS: u32 = 6;

/// Creates the configuration shared by all clients, without a call to AWS.
///
/// # Errors
/// The errors of [`Connection::read`].
pub async fn connect(access: &Access) -> Result<SdkConfig, Failure> {
    Ok(Connection::read(access).await?.config().await)
}

/// The way to AWS: the selected profile, the endpoints, the proxies and the trusted certificates.
#[derive(Debug)]
pub struct Connection {
    access: Access,
    profiles: Profiles,
    endpoints: Endpoints,
    network: Arc<Network>,
}

impl Connection {
    /// Reads the settings in the environment and in `~/.aws`.
    ///
    /// # Errors
    /// A named profile that does not exist; an invalid URL of an endpoint or of a proxy; an invalid `AWS_CA_BUNDLE`.
    pub async fn read(access: &Access) -> Result<Self, Failure> {
        let profiles = Profiles::load(access).await?;
        let endpoints = Endpoints::new(access, &profiles)?;
        let proxies = Proxies::new(&access.environment)?;
        let tls = match ca_bundle(access, &profiles) {
            Some(bundle) => Some((bundle.read().await?, bundle.setting)),
            None => None,
        };
        let network = Arc::new(Network::new(proxies, tls));
        Ok(Self { access: access.clone(), profiles, endpoints, network })
    }

    /// Checks that each configured endpoint other than AWS, or the proxy on the way to it, accepts connections.
    ///
    /// # Errors
    /// `Unreachable` if an endpoint cannot be reached.
    pub async fn check_endpoints(&self) -> Result<(), Failure> {
        access::check_endpoints(&self.endpoints, &self.network).await
    }

    /// Returns the keys of the profiles in use that have no effect, with their remedy.
    #[must_use]
    pub fn ineffective_keys(&self) -> Vec<IneffectiveKey> {
        let of_environment = self.uses_access_keys();
        if of_environment { Vec::new() } else { credentials::ineffective_keys(&self.profiles) }
    }

    /// Returns whether the access keys in the environment are used, and not a profile.
    fn uses_access_keys(&self) -> bool {
        self.access.profile.is_none() && self.access.environment.has_access_keys()
    }

    /// Creates the configuration shared by all clients: one HTTP client with one connection pool, and one credentials
    /// cache.
    ///
    /// Credentials are resolved in the SDK's order: environment, profile (including SSO and `credential_process`), web
    /// identity, container, instance. A profile given in [`Access`] takes precedence over all of these. The first call
    /// resolves the credentials. The instance metadata service, which does not respond outside EC2, is tried once, for
    /// half a second.
    pub async fn config(self) -> SdkConfig {
        let http = SharedHttpClient::new(RateLimitedClient::new(shared_client(Arc::clone(&self.network))));
        let region = Region::new(self.access.region.clone());
        let provider = ProviderConfig::default().with_region(Some(region.clone())).with_http_client(http.clone());
        let credentials = self.credentials(provider, region.clone()).await;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(region)
            .retry_config(retries())
            .timeout_config(timeouts())
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).build())
            .credentials_provider(credentials);
        if let Some(profile) = &self.access.profile {
            loader = loader.profile_name(profile);
        }
        let general = self.endpoints.general_url();
        if let (true, Some(url)) = (self.endpoints.is_explicit(), &general) {
            loader = loader.endpoint_url(url);
        }
        let mut config = loader.load().await.into_builder();
        config.set_endpoint_url(general);
        config.service_config(self.endpoints).build()
    }

    async fn credentials(&self, provider: ProviderConfig, region: Region) -> ExplainedCredentials {
        let (profile, profiles) = (self.access.profile.as_ref(), self.profiles.clone());
        if let Some(login) = login_credentials(&self.profiles).filter(|_| !self.uses_access_keys()) {
            return ExplainedCredentials::new(login, profiles);
        }
        if let Some(profile) = profile {
            let credentials = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
            return ExplainedCredentials::new(credentials.build(), profiles);
        }
        let instance_metadata = aws_config::imds::Client::builder()
            .configure(&provider)
            .max_attempts(1)
            .connect_timeout(Duration::from_millis(500))
            .read_timeout(Duration::from_millis(500))
            .build();
        let chain =
            DefaultCredentialsChain::builder().configure(provider).region(region).imds_client(instance_metadata);
        ExplainedCredentials::new(chain.build().await, profiles)
    }
}

fn ca_bundle(access: &Access, profiles: &Profiles) -> Option<CaBundle> {
    const VARIABLE: &str = "AWS_CA_BUNDLE";
    let bundle = |path: &str, setting: String| CaBundle { path: path.to_owned(), setting };
    let of_environment = access.environment.get(VARIABLE).map(|path| bundle(path, VARIABLE.to_owned()));
    of_environment.or_else(|| {
        let path = profiles.get("ca_bundle")?;
        Some(bundle(path, format!("`ca_bundle` of profile {}", profiles.name())))
    })
}

/// Returns the retry settings for calls that may be repeated: exponential backoff with jitter.
#[must_use]
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS)
}

/// Returns the timeouts for connecting, for one attempt and for a whole operation.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(120))
        .build()
}

/// Returns the retry settings for create calls without a client token. AWS would execute a repeated call again, so the
/// SDK must not repeat the call after a lost response. The engine checks whether the resource exists, and then decides
/// whether to call again.
#[must_use]
pub fn no_retry() -> RetryConfig {
    RetryConfig::disabled()
}
