//! The resolver of public DNS.

use crate::exit::Error;
use aws_config::SdkConfig;
use pb_dns::Resolver;
use std::env::VarError;
use std::net::SocketAddr;

/// Variable with the address of the DNS server to ask, such as `127.0.0.1:53`.
const SERVER: &str = "PB_DEPLOY_DNS";

/// Checks the variable with the address of the DNS server.
///
/// # Errors
/// A value that is no address.
pub fn check() -> Result<(), Error> {
    let value = std::env::var(SERVER);
    server(value.clone()).map(drop).map_err(|()| {
        let shown = match value {
            Err(VarError::NotUnicode(text)) => text.to_string_lossy().into_owned(),
            value => value.unwrap_or_default(),
        };
        let hint = format!(
            "set an IP address with a port, such as 127.0.0.1:53, or unset {SERVER} to ask the system's name servers"
        );
        Error::usage(format!("{SERVER} is not the address of a DNS server: {shown:?}"), hint)
    })
}

/// Returns the resolver of public DNS: that of the system, or the server that [`SERVER`] names. An endpoint other than
/// AWS has zones that public DNS does not know, so it has no resolver unless the variable names one.
pub fn resolver(aws: &SdkConfig) -> Option<Resolver> {
    match server(std::env::var(SERVER)) {
        Ok(Some(address)) => Some(Resolver::of(address)),
        Ok(None) | Err(()) => aws.endpoint_url().is_none().then(Resolver::system),
    }
}

fn server(value: Result<String, VarError>) -> Result<Option<SocketAddr>, ()> {
    match value {
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(()),
        Ok(text) => text.parse().map(Some).map_err(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::server;
    use std::env::VarError;

    #[test]
    fn server_is_an_ip_address_with_a_port() {
        let parsed = |text: &str| server(Ok(text.to_owned()));
        assert_eq!(parsed("127.0.0.1:5353"), Ok(Some("127.0.0.1:5353".parse().unwrap())));
        assert_eq!(parsed("[::1]:53"), Ok(Some("[::1]:53".parse().unwrap())));
        for invalid in ["", "127.0.0.1", "dns.example.org:53", "127.0.0.1:99999", " 127.0.0.1:53"] {
            assert_eq!(parsed(invalid), Err(()), "{invalid}");
        }
        assert_eq!(server(Err(VarError::NotPresent)), Ok(None));
        assert_eq!(server(Err(VarError::NotUnicode("x".into()))), Err(()));
    }
}
