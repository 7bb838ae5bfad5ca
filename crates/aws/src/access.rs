//! What a typo breaks, found out before the first call, which would be tried again for a while.

use crate::Access;
use aws_config::SdkConfig;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use pb_engine::{Class, Failure};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an endpoint may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the profile that was asked for (or `AWS_PROFILE`, where no keys in the environment come before it) is there, and something listens at the endpoint if another than AWS is named.
///
/// # Errors
/// [`Class::Credentials`] for a profile that is not there, or files of profiles that cannot be read;
/// [`Class::Unreachable`] for an endpoint that cannot be connected to.
pub async fn check_access(access: &Access, config: &SdkConfig) -> Result<(), Failure> {
    let env = Env::real();
    let named = || env.get("AWS_PROFILE").ok().filter(|_| env.get("AWS_ACCESS_KEY_ID").is_err());
    if let Some(name) = access.profile.clone().or_else(named) {
        check_profile(&name, &env).await?;
    }
    match config.endpoint_url() {
        Some(url) => check_endpoint(url).await,
        None => Ok(()),
    }
}

async fn check_profile(name: &str, env: &Env) -> Result<(), Failure> {
    let failure = |message: String| Failure::new(Class::Credentials, "reading the profiles of ~/.aws", message);
    let profiles = aws_config::profile::load(&Fs::real(), env, &EnvConfigFiles::default(), None).await;
    let profiles = profiles.map_err(|error| failure(error.to_string()).hint("mend the file that it names"))?;
    if profiles.get_profile(name).is_some() {
        return Ok(());
    }
    let mut names: Vec<&str> = profiles.profiles().collect();
    names.sort_unstable();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let hint = "name one of them with --profile, or make it with `aws configure --profile` or `aws configure sso`";
    Err(failure(format!("there is no profile `{name}` (known: {names})")).hint(hint))
}

async fn check_endpoint(url: &str) -> Result<(), Failure> {
    let failure = |message: String| {
        let hint =
            "start the endpoint, or name another one (--endpoint-url, AWS_ENDPOINT_URL, endpoint_url of the profile)";
        Failure::new(Class::Unreachable, "connecting to the endpoint", message).hint(hint)
    };
    let uri: http::Uri = url.parse().map_err(|error| failure(format!("`{url}` is not a URL: {error}")))?;
    let host = uri.host().ok_or_else(|| failure(format!("`{url}` names no host")))?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let address = (host.trim_matches(['[', ']']), port);
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure(format!("nothing answers at {url}: {error}"))),
        Err(_) => Err(failure(format!("nothing answers at {url} within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}
