#![doc = include_str!("../README.md")]

mod caa;
mod delegation;
mod query;
mod system;
mod validation;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

pub use caa::Caa;
pub use delegation::Delegation;
pub use validation::Validation;

/// The time in which a question must be answered, including repeated datagrams, TCP after a truncated answer, and aliases.
pub const LIMIT: Duration = Duration::from_secs(5);

/// A stub resolver: asks recursive name servers over UDP, and over TCP if an answer is truncated.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The client, or why there is none.
    client: Result<TokioResolver, String>,
    servers: Vec<SocketAddr>,
    limit: Duration,
}

impl Resolver {
    /// Returns a resolver that asks the name servers of `/etc/resolv.conf`. Without any, all results are `Unknown`.
    #[must_use]
    pub fn system() -> Self {
        Self::from_resolv_conf(Path::new(system::RESOLV_CONF))
    }

    /// Returns a resolver that asks the name servers of a file like `/etc/resolv.conf`. Without any, all results are
    /// `Unknown`.
    #[must_use]
    pub fn from_resolv_conf(path: &Path) -> Self {
        match system::name_servers(path) {
            Ok(servers) => Self::asking(&servers, LIMIT),
            Err(reason) => Self { client: Err(reason), servers: Vec::new(), limit: LIMIT },
        }
    }

    /// Returns a resolver that asks one name server.
    #[must_use]
    pub fn of(server: SocketAddr) -> Self {
        Self::asking(&[server], LIMIT)
    }

    /// Returns a resolver that waits for answers at most for this time instead of [`LIMIT`].
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        match self.client {
            Ok(_) => Self::asking(&self.servers, limit),
            Err(_) => self,
        }
    }

    fn asking(servers: &[SocketAddr], limit: Duration) -> Self {
        let config = ResolverConfig::from_name_servers(servers.iter().map(|server| name_server(*server)).collect());
        let mut options = ResolverOpts::default();
        options.timeout = limit;
        // Datagrams are repeated anyway; this would repeat the whole question after `timeout`.
        options.attempts = 0;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        Self {
            client: builder.build().map_err(|error| format!("the DNS client cannot be used: {error}")),
            servers: servers.to_vec(),
            limit,
        }
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.to_vec())
}
