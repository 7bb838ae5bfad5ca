//! The name servers of the system.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The file with the system's name servers. (man page resolv.conf(5))
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The number of name servers that the C library uses: `MAXNS` in resolv.conf(5).
const MAX_SERVERS: usize = 3;

/// The port of DNS. (RFC 1035, section 4.2)
const PORT: u16 = 53;

/// Returns the addresses of the name servers in a file, or why there are none.
pub(crate) fn name_servers(path: &Path) -> Result<Vec<SocketAddr>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found = parsed(&text);
    if found.is_empty() { Err(format!("{} names no name server", path.display())) } else { Ok(found) }
}

fn parsed(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next().filter(|word| *word == "nameserver").and(words.next())?.parse().ok()?;
        Some(SocketAddr::new(address, PORT))
    };
    text.lines().filter_map(address).take(MAX_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_are_read_and_others_ignored() {
        let text = "# nameserver 192.0.2.9\nsearch example.org\n nameserver\t192.0.2.1 # comment\nnameserver 2001:db8::1\n\
                    options ndots:5\nnameserver\nnameserver fe80::1%eth0\nnameservers 192.0.2.8\n";
        let expected: Vec<SocketAddr> = vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(parsed(text), expected);
    }

    #[test]
    fn fourth_server_is_ignored() {
        let text: String = (1..=4).map(|last| format!("nameserver 192.0.2.{last}\n")).collect();
        assert_eq!(parsed(&text).len(), MAX_SERVERS);
    }
}
