//! The resolver of public DNS.

use aws_config::SdkConfig;
use pb_dns::Resolver;

/// Variable with the address of the DNS server to ask, such as `127.0.0.1:53`.
pub const SERVER: &str = "PB_DEPLOY_DNS";

/// Returns the resolver of public DNS: that of the system, or the server that [`SERVER`] names. An endpoint other than
/// AWS has zones that public DNS does not know, so it has no resolver unless the variable names one.
pub fn resolver(aws: &SdkConfig) -> Option<Resolver> {
    let named = std::env::var(SERVER).ok().and_then(|text| text.parse().ok());
    match named {
        Some(address) => Some(Resolver::of(address)),
        None => aws.endpoint_url().is_none().then(Resolver::system),
    }
}
