//! Checks of the configured endpoints before the first AWS call, so that a typo is reported at once.

use crate::endpoints::{Endpoint, Endpoints};
use crate::http_client::Network;
use pb_engine::{Class, Failure};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time within which an endpoint must accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks that each configured endpoint, or the proxy on the way to it, accepts connections. Endpoints of AWS are not
/// checked.
///
/// # Errors
/// [`Class::Unreachable`] if an endpoint cannot be reached.
pub(crate) async fn check_endpoints(endpoints: &Endpoints, network: &Network) -> Result<(), Failure> {
    for endpoint in endpoints.all()? {
        check_endpoint(&endpoint, network).await?;
    }
    Ok(())
}

async fn check_endpoint(endpoint: &Endpoint, network: &Network) -> Result<(), Failure> {
    let url = &endpoint.url;
    let failure = |message: String| {
        let hint =
            "start the endpoint, or set another one (--endpoint-url, AWS_ENDPOINT_URL, endpoint_url in the profile)";
        Failure::new(Class::Unreachable, "check the endpoint", message).hint(hint)
    };
    let uri: http::Uri = url.parse().map_err(|error| failure(format!("invalid URL `{url}`: {error}")))?;
    let route = network.route(&uri);
    let through = route.proxy().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    let failure = |reason: String| {
        let failure = failure(format!("cannot connect to {url}{through}{reason}"));
        match route.proxy() {
            Some(proxy) => {
                failure.hint(format!("check {}, or add the host of the endpoint to NO_PROXY", proxy.variable))
            }
            None => failure,
        }
    };
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(route.next())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure(format!(": {error}"))),
        Err(_) => Err(failure(format!(" within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}
