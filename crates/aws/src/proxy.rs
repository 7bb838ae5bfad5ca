//! HTTP proxies: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.

use crate::Environment;
use http::Uri;
use ipnet::IpNet;
use pb_engine::{Class, Failure};
use std::fmt;
use std::net::IpAddr;

/// A proxy, which may require the user and password in its URL.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// URL, including user and password.
    url: Uri,
    /// The environment variable that selects the proxy.
    pub variable: &'static str,
}

impl Proxy {
    fn parse(variable: &'static str, value: &str) -> Result<Self, Failure> {
        // The value can contain a password, so the message does not contain it.
        let failure = |message: String| {
            let hint = format!(
                "set {variable} to http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with the special characters of \
                 the password percent-encoded; proxies of other kinds, such as SOCKS, are not supported"
            );
            Failure::new(Class::Unreachable, "read the proxy settings", message).hint(hint)
        };
        let full = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let url: Uri = full.parse().map_err(|error| failure(format!("{variable} is not a URL: {error}")))?;
        let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        match url.scheme_str() {
            // A `#` in a password ends the URL, and the rest of the password looks like a port.
            Some("http" | "https") if url.port_u16().is_none() && url.host() != Some(address) => {
                Err(failure(format!("{variable} has an invalid port")))
            }
            Some("http" | "https") => Ok(Self { url, variable }),
            scheme => Err(failure(format!("{variable} has the scheme `{}`", scheme.unwrap_or_default()))),
        }
    }

    /// Returns the URL, including user and password.
    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    /// Returns the host name.
    pub(crate) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        port(&self.url)
    }

    /// Returns whether the connection to the proxy itself uses TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }
}

/// Writes the URL without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.url.scheme_str().unwrap_or("http"), self.host(), self.port())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={self}", self.variable)
    }
}

/// The proxies for requests with and without TLS, and the hosts that are reached without them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// Reads the settings. As for curl and the AWS CLI, a variable in lower case takes precedence, and an empty
    /// variable means no proxy.
    pub(crate) fn new(environment: &Environment) -> Result<Self, Failure> {
        let read = |[lower, upper]: [&'static str; 2]| {
            let variable = if environment.contains(lower) { lower } else { upper };
            environment.get(variable).map(|value| (variable, value))
        };
        let proxy = |names| read(names).map(|(variable, value)| Proxy::parse(variable, value)).transpose();
        let exceptions = read(["no_proxy", "NO_PROXY"]).map(|(_, value)| exceptions(value)).unwrap_or_default();
        Ok(Self {
            https: proxy(["https_proxy", "HTTPS_PROXY"])?,
            http: proxy(["http_proxy", "HTTP_PROXY"])?,
            exceptions,
        })
    }

    /// Returns the proxy for requests to a URL, if they use one. Hosts of this machine and addresses of the local link,
    /// such as the instance metadata service, are always reached directly.
    pub(crate) fn for_url(&self, url: &Uri) -> Option<&Proxy> {
        let proxy = if url.scheme_str() == Some("http") { &self.http } else { &self.https };
        let host = url.host()?.trim_matches(['[', ']']);
        let direct = is_local(host) || self.exceptions.iter().any(|exception| exception.matches(host, port(url)));
        proxy.as_ref().filter(|_| !direct)
    }
}

/// Returns the port of a URL, or the default port of its scheme.
pub(crate) fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 })
}

fn is_local(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone)]
enum Exception {
    All,
    Network(IpNet),
    /// A host name or address in lower case, with an optional port. A name includes all its subdomains.
    Host(String, Option<u16>),
}

impl Exception {
    fn matches(&self, host: &str, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Network(network) => host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address)),
            Self::Host(name, only) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let subdomain = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                only.is_none_or(|only| only == port) && (host == *name || subdomain)
            }
        }
    }
}

/// Parses `NO_PROXY`: entries separated by commas or spaces. An entry is `*`, a name (`example.com`, `.example.com` or
/// `*.example.com`), an address, or a network (`10.0.0.0/8`). A name or address can have a port.
fn exceptions(value: &str) -> Vec<Exception> {
    value.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty()).map(exception).collect()
}

fn exception(entry: &str) -> Exception {
    if entry == "*" {
        return Exception::All;
    }
    if let Ok(network) = entry.parse() {
        return Exception::Network(network);
    }
    let plain = |host: &str| {
        let host = host.trim_matches(['[', ']']).trim_start_matches("*.").trim_start_matches('.');
        host.trim_end_matches('.').to_ascii_lowercase()
    };
    if entry.parse::<IpAddr>().is_ok() {
        return Exception::Host(plain(entry), None);
    }
    match entry.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => Exception::Host(plain(host), Some(port)),
        _ => Exception::Host(plain(entry), None),
    }
}

#[cfg(test)]
mod tests {
    use super::Proxies;
    use crate::Environment;
    use pb_engine::Failure;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, Failure> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Proxies::new(&variables.collect::<Environment>())
    }

    fn proxy_of(variables: &[(&str, &str)], url: &str) -> Option<String> {
        proxies(variables).unwrap().for_url(&url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn request_scheme_selects_proxy_variable() {
        let both = [("HTTPS_PROXY", "http://tls:3128"), ("HTTP_PROXY", "plain:8080")];
        assert_eq!(proxy_of(&both, "https://sts.amazonaws.com").as_deref(), Some("http://tls:3128"));
        assert_eq!(proxy_of(&both, "http://aws.test").as_deref(), Some("http://plain:8080"));
        assert_eq!(proxy_of(&both[..1], "http://aws.test"), None);
        assert_eq!(proxy_of(&[], "https://sts.amazonaws.com"), None);
    }

    #[test]
    fn lower_case_variable_takes_precedence() {
        let url = "https://sts.amazonaws.com";
        let both = [("HTTPS_PROXY", "http://upper"), ("https_proxy", "http://lower")];
        assert_eq!(proxy_of(&both, url).as_deref(), Some("http://lower:80"));
        assert_eq!(proxy_of(&[("HTTPS_PROXY", "http://upper"), ("https_proxy", "")], url), None);
    }

    #[test]
    fn no_proxy_entries_of_all_forms_match() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("*", &["https://sts.amazonaws.com"], &[]),
            ("amazonaws.com", &["https://ec2.AmazonAWS.com", "https://amazonaws.com"], &["https://notamazonaws.com"]),
            (".amazonaws.com", &["https://ec2.amazonaws.com", "https://amazonaws.com"], &["https://amazonaws.com.cn"]),
            ("*.corp.example", &["https://aws.corp.example"], &["https://corp.example.org"]),
            ("a.example , b.example", &["https://a.example", "https://b.example"], &["https://c.example"]),
            ("a.example b.example", &["https://a.example", "https://b.example"], &["https://c.example"]),
            ("aws.example:8443", &["https://aws.example:8443"], &["https://aws.example"]),
            ("aws.example:443", &["https://aws.example"], &["https://aws.example:8443"]),
            ("10.0.0.0/8", &["https://10.1.2.3"], &["https://11.1.2.3", "https://ten.example"]),
            ("192.0.2.1", &["https://192.0.2.1:8443"], &["https://192.0.2.11"]),
            ("2001:db8::1", &["https://[2001:db8::1]"], &["https://[2001:db8::2]"]),
            ("[2001:db8::1]:8443", &["https://[2001:db8::1]:8443"], &["https://[2001:db8::1]"]),
        ];
        for (value, direct, proxied) in cases {
            let variables = [("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", *value)];
            for url in *direct {
                assert_eq!(proxy_of(&variables, url), None, "{value}: {url}");
            }
            for url in *proxied {
                assert!(proxy_of(&variables, url).is_some(), "{value}: {url}");
            }
            assert_eq!(proxy_of(&[variables[0], ("no_proxy", value)], direct[0]), None, "{value} in lower case");
        }
    }

    #[test]
    fn local_addresses_use_no_proxy() {
        let variables = [("HTTP_PROXY", "http://proxy"), ("HTTPS_PROXY", "http://proxy")];
        for url in [
            "http://localhost:4566",
            "http://s3.localhost:4566",
            "https://127.0.0.1",
            "http://[::1]:80",
            "http://169.254.169.254/latest",
            "http://169.254.170.2/v2",
        ] {
            assert_eq!(proxy_of(&variables, url), None, "{url}");
        }
    }

    #[test]
    fn proxy_password_appears_in_no_text() {
        let proxies_of = |value: &str| proxies(&[("HTTPS_PROXY", value)]);
        let valid = proxies_of("http://ana:hush@proxy:3128").unwrap();
        let proxy = valid.for_url(&"https://sts.amazonaws.com".parse().unwrap()).unwrap();
        assert_eq!(proxy.to_string(), "http://proxy:3128");
        assert!(!format!("{valid:?}").contains("hush"));
        for value in ["socks5://ana:hush@proxy", "http://ana:hu sh@proxy", "http://ana:hush#1@proxy"] {
            let failure = proxies_of(value).unwrap_err();
            let text = format!("{failure} {failure:?}");
            assert!(text.contains("HTTPS_PROXY") && !text.contains("hu"), "{text}");
        }
    }
}
