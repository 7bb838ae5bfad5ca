//! Checks of the access settings before the first AWS call, so that a typo is reported at once. Without these checks,
//! the SDK would retry the failing call for a while.

use crate::Access;
use aws_config::SdkConfig;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use pb_engine::{Class, Failure};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time within which an endpoint must accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks that the selected profile exists, and that a configured endpoint other than AWS accepts connections. The
/// selected profile is the one in `access`. Without one, it is `AWS_PROFILE`, unless the environment contains access
/// keys, which take precedence over `AWS_PROFILE`.
///
/// # Errors
/// [`Class::Credentials`] if the profile does not exist or the profile files cannot be read; [`Class::Unreachable`] if
/// the endpoint cannot be reached.
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
    let failure = |message: String| Failure::new(Class::Credentials, "read the AWS profiles", message);
    let profiles = aws_config::profile::load(&Fs::real(), env, &EnvConfigFiles::default(), None).await;
    let profiles = profiles.map_err(|error| failure(error.to_string()).hint("fix the file named above"))?;
    if profiles.get_profile(name).is_some() {
        return Ok(());
    }
    let mut names: Vec<&str> = profiles.profiles().collect();
    names.sort_unstable();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let hint =
        "use another profile with --profile, or create this one with `aws configure --profile` or `aws configure sso`";
    Err(failure(format!("no profile named `{name}` (available: {names})")).hint(hint))
}

async fn check_endpoint(url: &str) -> Result<(), Failure> {
    let failure = |message: String| {
        let hint =
            "start the endpoint, or set another one (--endpoint-url, AWS_ENDPOINT_URL, endpoint_url in the profile)";
        Failure::new(Class::Unreachable, "check the endpoint", message).hint(hint)
    };
    let uri: http::Uri = url.parse().map_err(|error| failure(format!("invalid URL `{url}`: {error}")))?;
    let host = uri.host().ok_or_else(|| failure(format!("the URL `{url}` has no host")))?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let address = (host.trim_matches(['[', ']']), port);
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure(format!("cannot connect to {url}: {error}"))),
        Err(_) => Err(failure(format!("cannot connect to {url} within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}
