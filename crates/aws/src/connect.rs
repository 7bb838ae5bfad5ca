//! SDK configuration shared by all clients.

use crate::rate_limit::RateLimitedClient;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use std::time::Duration;

/// Settings for access to AWS that override the environment and `~/.aws`.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Profile in `~/.aws`; defaults to `AWS_PROFILE`.
    pub profile: Option<String>,
    /// Region of the calls.
    pub region: String,
    /// Endpoint of all services; defaults to `AWS_ENDPOINT_URL`, then to AWS itself.
    pub endpoint_url: Option<String>,
}

/// Maximum number of attempts of a call. The SDK retries a call after throttling, a 5xx response or a timeout.
const MAX_ATTEMPTS: u32 = 6;

/// Creates the configuration shared by all clients: one HTTP client with one connection pool, and one credentials
/// cache.
///
/// Credentials are resolved in the SDK's order: environment, profile (including SSO and `credential_process`), web
/// identity, container, instance. A profile given in `access` takes precedence over all of these. The first call
/// resolves the credentials. The instance metadata service, which does not respond outside EC2, is tried once, for half
/// a second.
pub async fn connect(access: &Access) -> SdkConfig {
    let http = SharedHttpClient::new(RateLimitedClient::new(crate::http_client::shared_client()));
    let region = Region::new(access.region.clone());
    let provider = ProviderConfig::default().with_region(Some(region.clone())).with_http_client(http.clone());
    let instance_metadata = aws_config::imds::Client::builder()
        .configure(&provider)
        .max_attempts(1)
        .connect_timeout(Duration::from_millis(500))
        .read_timeout(Duration::from_millis(500))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(region.clone())
        .retry_config(retries())
        .timeout_config(timeouts());
    if let Some(endpoint) = &access.endpoint_url {
        loader = loader.endpoint_url(endpoint);
    }
    let Some(profile) = &access.profile else {
        let chain =
            DefaultCredentialsChain::builder().configure(provider).region(region).imds_client(instance_metadata);
        return loader.credentials_provider(chain.build().await).load().await;
    };
    let profile_credentials =
        ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile).build();
    loader.profile_name(profile).credentials_provider(profile_credentials).load().await
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
