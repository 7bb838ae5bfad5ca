//! The configuration that all clients share.

use crate::rate_limit::RateLimitedClient;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use std::time::Duration;

/// How to reach AWS, where it differs from what the environment and `~/.aws` say.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The profile of `~/.aws`; otherwise `AWS_PROFILE`.
    pub profile: Option<String>,
    /// The region.
    pub region: String,
    /// The endpoint of all services; otherwise `AWS_ENDPOINT_URL`, otherwise AWS itself.
    pub endpoint_url: Option<String>,
}

/// How often a call that may be repeated is tried: throttling, 5xx, timeouts.
const MAX_ATTEMPTS: u32 = 6;

/// Makes the configuration that all clients share: one HTTP client with one connection pool, one credentials cache.
///
/// Credentials are looked for in the SDK's order: environment, profile (SSO and `credential_process` too), web identity,
/// container, instance; a profile that is named here comes before all of these. Nothing is asked for before the first call. The instance metadata service, which outside EC2 does
/// not answer, is tried once and for half a second.
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

/// How often a call is tried that may be repeated, with pauses that grow and have jitter.
#[must_use]
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS)
}

/// How long an answer is waited for.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(120))
        .build()
}

/// For a create that AWS would do a second time: the SDK must not repeat it when its answer was lost. The engine looks for
/// what was made, and then decides.
#[must_use]
pub fn no_retry() -> RetryConfig {
    RetryConfig::disabled()
}
