//! Connections that could not be made: the cause, and its remedy.

use crate::proxy::{Proxy, port};
use aws_smithy_runtime_api::client::result::ConnectorError;
use http::Uri;
use rustls::CertificateError;
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

/// Pause before a host name is looked up again, after a connection to it has failed.
const LOOKUP_PAUSE: Duration = Duration::from_millis(500);
/// Time for this second lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that could not be made, so that the request was not sent.
#[derive(Debug)]
pub(crate) struct ConnectionFault {
    kind: Kind,
    route: Route,
    error: ConnectorError,
}

/// The cause of a failed connection.
#[derive(Debug, PartialEq)]
enum Kind {
    /// The name of the host, or of the proxy, has no address.
    Unresolved,
    /// The certificate of the host is not accepted.
    Certificate(Certificate),
    /// The TLS handshake failed for another reason.
    Handshake,
    /// The proxy refused to connect to the host.
    RefusedByProxy,
    /// There is no connection to the host, or to the proxy.
    Unconnected,
}

#[derive(Debug, PartialEq)]
enum Certificate {
    /// No trusted authority has issued it.
    Untrusted,
    /// It is not valid at the time of this machine's clock.
    OutOfDate,
    /// It belongs to another host.
    OtherHost,
}

/// The way to a host.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    /// The setting that selects the trusted certificates, if they are not those of the system.
    ca_setting: Option<String>,
}

impl Route {
    pub(crate) fn new(url: &Uri, proxy: Option<&Proxy>, ca_setting: Option<&str>) -> Self {
        let host = url.host().unwrap_or_default().to_owned();
        Self { host, port: port(url), proxy: proxy.cloned(), ca_setting: ca_setting.map(str::to_owned) }
    }

    /// Returns the proxy on the way, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Returns the host and port to which the connection is made: those of the proxy, if there is one.
    pub(crate) fn next(&self) -> (&str, u16) {
        let (host, port) = self.proxy.as_ref().map_or((&*self.host, self.port), |proxy| (proxy.host(), proxy.port()));
        (host.trim_matches(['[', ']']), port)
    }
}

impl ConnectionFault {
    /// Returns the fault, or the error itself if it is not about the making of a connection.
    pub(crate) async fn new(error: ConnectorError, route: &Route) -> Result<Self, ConnectorError> {
        if !links(&error).filter_map(|link| link.downcast_ref()).any(hyper_util::client::legacy::Error::is_connect) {
            return Err(error);
        }
        let kind = match (tls_kind(&error), io_kind(&error)) {
            (Some(kind), _) => kind,
            (None, Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)) => Kind::Unconnected,
            // The error of a lookup has no type of its own.
            _ if !resolves(route.next()).await => Kind::Unresolved,
            (None, None) if route.proxy.is_some() && !error.is_timeout() => Kind::RefusedByProxy,
            _ => Kind::Unconnected,
        };
        Ok(Self { kind, route: route.clone(), error })
    }

    /// Returns whether a further attempt can succeed: not if the host name has no address or the certificate is not
    /// accepted.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::RefusedByProxy | Kind::Unconnected)
    }

    /// Returns whether the certificate of the host is not accepted.
    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self.kind, Kind::Certificate(_))
    }

    /// Returns the fault that is a cause of `error`.
    pub(crate) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        links(error).find_map(|link| link.downcast_ref())
    }

    /// Returns the remedy.
    pub(crate) fn hint(&self) -> String {
        let Route { host, proxy, ca_setting, .. } = &self.route;
        match (&self.kind, proxy) {
            (Kind::Certificate(Certificate::Untrusted), _) => match ca_setting {
                Some(setting) => format!("add the authority that issued this certificate to the file of {setting}"),
                None => "if your network or endpoint uses its own certificate authority, set AWS_CA_BUNDLE (or \
                         `ca_bundle` in the profile) to a PEM file with its certificate"
                    .to_owned(),
            },
            (Kind::Certificate(Certificate::OutOfDate), _) => {
                "correct the clock of this machine, or renew the certificate of the endpoint or proxy".to_owned()
            }
            (Kind::Certificate(Certificate::OtherHost), _) => {
                "use the host name of the certificate in the URL of the endpoint".to_owned()
            }
            (Kind::Handshake, _) => {
                "check that the endpoint uses TLS (https:// or http://), and that no firewall interferes".to_owned()
            }
            (Kind::RefusedByProxy, Some(proxy)) => format!(
                "check the user and password in {0}, and that the proxy allows {host}; to reach it directly, add it to \
                 NO_PROXY",
                proxy.variable
            ),
            (_, Some(proxy)) => format!("check {} and the network", proxy.variable),
            (_, None) => "check the network, the region (--region, `region` in pb_deploy.toml) and the endpoint \
                          (--endpoint-url, AWS_ENDPOINT_URL); behind a proxy, set HTTPS_PROXY"
                .to_owned(),
        }
    }
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.route.host;
        match (&self.kind, &self.route.proxy) {
            (Kind::Unresolved, None) => return write!(f, "the host name {host} has no address"),
            (Kind::Unresolved, Some(proxy)) => {
                return write!(f, "the host name {} of the proxy ({}) has no address", proxy.host(), proxy.variable);
            }
            (Kind::Certificate(_), _) => write!(f, "the certificate of {host} is not accepted")?,
            (Kind::RefusedByProxy, Some(proxy)) => {
                write!(f, "the proxy {proxy} ({}) does not connect to {host}", proxy.variable)?;
            }
            (_, None) => write!(f, "cannot connect to {host}")?,
            (_, Some(proxy)) => write!(f, "cannot connect to {host} through the proxy {proxy} ({})", proxy.variable)?,
        }
        let cause = links(&self.error).last().map(ToString::to_string).unwrap_or_default();
        write!(f, ": {cause}")
    }
}

impl Error for ConnectionFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Returns an error and its causes. The cause of an I/O error is the error that it contains: its `source` would skip
/// that error.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| match link.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => link.source(),
    })
}

fn tls_kind(error: &ConnectorError) -> Option<Kind> {
    let tls = links(error).find_map(|link| link.downcast_ref::<rustls::Error>())?;
    let rustls::Error::InvalidCertificate(reason) = tls else { return Some(Kind::Handshake) };
    Some(Kind::Certificate(match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Certificate::OutOfDate,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Certificate::OtherHost,
        _ => Certificate::Untrusted,
    }))
}

fn io_kind(error: &ConnectorError) -> Option<ErrorKind> {
    links(error).find_map(|link| link.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

/// Looks up a host name once more, and returns whether it has an address.
async fn resolves(host: (&str, u16)) -> bool {
    if host.0.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    sleep(LOOKUP_PAUSE).await;
    timeout(LOOKUP_TIMEOUT, lookup_host(host))
        .await
        .is_ok_and(|found| found.is_ok_and(|mut found| found.next().is_some()))
}
