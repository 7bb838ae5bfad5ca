//! The checks against a DNS server on loopback.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod server;

use std::path::Path;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use pb_dns::{Caa, Delegation, Resolver, Validation};
use server::{Reply, Server, a, cname, issue, ns};

const AMAZON: [&str; 2] = ["ns-1.awsdns-01.com.", "NS-2.awsdns-02.net."];

fn zone_servers() -> Vec<String> {
    AMAZON.map(str::to_owned).to_vec()
}

fn forbidden(at: &str, issuers: &[&str]) -> Caa {
    Caa::Forbidden { at: at.to_owned(), issuers: issuers.iter().map(|&issuer| issuer.to_owned()).collect() }
}

/// Returns the reason of all three checks of `example.org`, which must be `Unknown`.
async fn reasons(resolver: &Resolver) -> Vec<String> {
    let delegation = match resolver.delegation("example.org", &zone_servers()).await {
        Delegation::Unknown { reason } => reason,
        other => panic!("{other:?}"),
    };
    let caa = match resolver.caa("example.org").await {
        Caa::Unknown { reason } => reason,
        other => panic!("{other:?}"),
    };
    let validation = match resolver.cname("example.org", "target.example").await {
        Validation::Unknown { reason } => reason,
        other => panic!("{other:?}"),
    };
    vec![delegation, caa, validation]
}

fn all_types(server: &Server, reply: &Reply) {
    for kind in [RecordType::NS, RecordType::CAA, RecordType::CNAME] {
        server.reply("example.org", kind, reply.clone());
    }
}

#[tokio::test]
async fn common_server_counts_as_delegated() {
    let server = Server::start();
    let records = vec![ns("NS-2.AwsDns-02.NET"), ns("ns1.example.net")];
    server.reply("example.org", RecordType::NS, Reply::Records(records));
    let found = Resolver::of(server.address).delegation("Example.ORG.", &zone_servers()).await;
    assert_eq!(found, Delegation::Delegated);
}

#[tokio::test]
async fn other_servers_are_elsewhere() {
    let server = Server::start();
    server.reply("example.org", RecordType::NS, Reply::Records(vec![ns("ns2.example.net"), ns("ns1.example.net")]));
    server.reply("ns1.example.net", RecordType::A, Reply::Records(vec![a(1)]));
    server.reply("ns-1.awsdns-01.com", RecordType::A, Reply::Records(vec![a(2)]));
    let found = Resolver::of(server.address).delegation("example.org", &zone_servers()).await;
    let servers = vec!["ns1.example.net".to_owned(), "ns2.example.net".to_owned()];
    assert_eq!(found, Delegation::Elsewhere { servers });
}

#[tokio::test]
async fn servers_with_a_common_address_are_the_same() {
    let server = Server::start();
    server.reply("example.org", RecordType::NS, Reply::Records(vec![ns("ns1.example.org")]));
    server.reply("ns1.example.org", RecordType::A, Reply::Records(vec![a(7)]));
    server.reply("ns-2.awsdns-02.net", RecordType::A, Reply::Records(vec![a(7)]));
    let found = Resolver::of(server.address).delegation("example.org", &zone_servers()).await;
    assert_eq!(found, Delegation::Delegated);
}

#[tokio::test]
async fn servers_without_known_address_are_unknown() {
    let server = Server::start();
    server.reply("example.org", RecordType::NS, Reply::Records(vec![ns("ns1.example.net")]));
    server.reply("ns1.example.net", RecordType::A, Reply::Code(ResponseCode::ServFail));
    let found = Resolver::of(server.address).delegation("example.org", &zone_servers()).await;
    assert!(matches!(found, Delegation::Unknown { .. }), "{found:?}");
}

#[tokio::test]
async fn private_zone_is_not_the_answer_of_public_dns() {
    let server = Server::start();
    let records = vec![ns("ns-0.awsdns-00.com"), ns("ns-1536.awsdns-00.co.uk")];
    server.reply("example.org", RecordType::NS, Reply::Records(records));
    match Resolver::of(server.address).delegation("example.org", &zone_servers()).await {
        Delegation::Unknown { reason } => assert!(reason.contains("private hosted zone"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn zone_without_servers_is_missing() {
    let server = Server::start();
    let resolver = Resolver::of(server.address);
    assert_eq!(resolver.delegation("example.org", &zone_servers()).await, Delegation::Missing, "NODATA");
    server.reply("example.org", RecordType::NS, Reply::Code(ResponseCode::NXDomain));
    assert_eq!(resolver.delegation("example.org", &zone_servers()).await, Delegation::Missing, "NXDOMAIN");
    server.reply("example.org", RecordType::NS, Reply::Alias("other.example".to_owned()));
    server.reply("other.example", RecordType::NS, Reply::Records(vec![ns("ns-1.awsdns-01.com")]));
    assert_eq!(resolver.delegation("example.org", &zone_servers()).await, Delegation::Missing, "an alias");
}

#[tokio::test]
async fn caa_is_asked_from_the_name_to_the_tld() {
    let server = Server::start();
    server.reply("www.example.org", RecordType::CAA, Reply::Code(ResponseCode::NXDomain));
    assert_eq!(Resolver::of(server.address).caa("WWW.example.org.").await, Caa::Allowed);
    let expected = ["udp CAA www.example.org.", "udp CAA example.org.", "udp CAA org."];
    assert_eq!(server.questions(), expected);
}

#[tokio::test]
async fn caa_of_parent_and_tld_counts() {
    let server = Server::start();
    let resolver = Resolver::of(server.address);
    server.reply("org", RecordType::CAA, Reply::Records(vec![issue("ca.example")]));
    assert_eq!(resolver.caa("www.example.org").await, forbidden("org", &["ca.example"]));
    server.reply("example.org", RecordType::CAA, Reply::Records(vec![issue("amazon.com"), issue("ca.example")]));
    assert_eq!(resolver.caa("www.example.org").await, Caa::Allowed, "the parent comes before the TLD");
    server.reply("www.example.org", RecordType::CAA, Reply::Records(vec![issue(";")]));
    assert_eq!(resolver.caa("www.example.org").await, forbidden("www.example.org", &[]));
}

#[tokio::test]
async fn caa_of_wildcard_begins_at_its_base() {
    let server = Server::start();
    server.reply("example.org", RecordType::CAA, Reply::Records(vec![issue("ca.example")]));
    let found = Resolver::of(server.address).caa("*.example.org").await;
    assert_eq!(found, forbidden("example.org", &["ca.example"]));
    assert_eq!(server.questions(), ["udp CAA example.org."]);
}

#[tokio::test]
async fn caa_of_alias_is_that_of_its_target() {
    let server = Server::start();
    let resolver = Resolver::of(server.address);
    server.reply("www.example.org", RecordType::CAA, Reply::Alias("edge.example.net".to_owned()));
    server.reply("example.org", RecordType::CAA, Reply::Records(vec![issue("amazonaws.com")]));
    server.reply("example.net", RecordType::CAA, Reply::Records(vec![issue("ca.example")]));
    assert_eq!(resolver.caa("www.example.org").await, Caa::Allowed, "the parent of the target is irrelevant");
    server.reply("edge.example.net", RecordType::CAA, Reply::Records(vec![issue("ca.example")]));
    assert_eq!(resolver.caa("www.example.org").await, forbidden("www.example.org", &["ca.example"]));
    server.reply("edge.example.net", RecordType::CAA, Reply::Code(ResponseCode::NXDomain));
    assert_eq!(resolver.caa("www.example.org").await, Caa::Allowed, "a target that does not exist");
}

#[tokio::test]
async fn caa_ends_at_the_first_error() {
    let server = Server::start();
    server.reply("example.org", RecordType::CAA, Reply::Code(ResponseCode::ServFail));
    server.reply("org", RecordType::CAA, Reply::Records(vec![issue("ca.example")]));
    let found = Resolver::of(server.address).caa("www.example.org").await;
    assert!(matches!(found, Caa::Unknown { .. }), "{found:?}");
}

#[tokio::test]
async fn truncated_answer_is_repeated_over_tcp() {
    let server = Server::start();
    let many = (0..100).map(|number| issue(&format!("ca{number}.example"))).chain([issue("amazontrust.com")]).collect();
    server.reply("example.org", RecordType::CAA, Reply::Truncated(many));
    assert_eq!(Resolver::of(server.address).caa("example.org").await, Caa::Allowed);
    assert_eq!(server.questions(), ["udp CAA example.org.", "tcp CAA example.org."]);
}

#[tokio::test]
async fn validation_record_is_compared_without_case() {
    let server = Server::start();
    let resolver = Resolver::of(server.address);
    let check = || resolver.cname("_A1.Example.ORG.", "_b2.acm-validations.AWS.");
    assert_eq!(check().await, Validation::Missing, "NODATA");
    server.reply("_a1.example.org", RecordType::CNAME, Reply::Code(ResponseCode::NXDomain));
    assert_eq!(check().await, Validation::Missing, "NXDOMAIN");
    server.reply("_a1.example.org", RecordType::CNAME, Reply::Records(vec![cname("old.acm-validations.aws")]));
    assert_eq!(check().await, Validation::Other { value: "old.acm-validations.aws".to_owned() });
    server.reply("_a1.example.org", RecordType::CNAME, Reply::Records(vec![cname("_B2.acm-validations.aws")]));
    assert_eq!(check().await, Validation::Visible, "a repeated check sees the change");
}

#[tokio::test]
async fn error_of_the_server_is_unknown() {
    let codes = [
        (ResponseCode::ServFail, "SERVFAIL"),
        (ResponseCode::Refused, "REFUSED"),
        (ResponseCode::NotImp, "NOTIMP"),
        (ResponseCode::FormErr, "FORMERR"),
    ];
    for (code, word) in codes {
        let server = Server::start();
        all_types(&server, &Reply::Code(code));
        for reason in reasons(&Resolver::of(server.address)).await {
            assert!(reason.starts_with(&format!("{} answered the query for the ", server.address)), "{reason}");
            assert!(reason.ends_with(&format!(" records of example.org with {word}")), "{reason}");
        }
    }
}

#[tokio::test]
async fn silence_is_unknown_after_the_limit() {
    let server = Server::start();
    all_types(&server, &Reply::Silence);
    for reason in reasons(&Resolver::of(server.address).with_limit(Duration::from_millis(200))).await {
        assert!(reason.contains("within 0.2 s"), "{reason}");
    }
}

#[tokio::test]
async fn closed_port_is_unknown() {
    let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for reason in reasons(&Resolver::of(address).with_limit(Duration::from_millis(200))).await {
        assert!(reason.contains(&address.to_string()), "{reason}");
    }
}

#[tokio::test]
async fn system_without_name_server_is_unknown() {
    let missing = Path::new("/nonexistent/resolv.conf");
    for reason in reasons(&Resolver::from_resolv_conf(missing)).await {
        assert!(reason.starts_with("cannot read /nonexistent/resolv.conf"), "{reason}");
    }
    for reason in reasons(&Resolver::from_resolv_conf(Path::new("/dev/null")).with_limit(Duration::from_secs(1))).await
    {
        assert_eq!(reason, "/dev/null names no name server");
    }
}

#[tokio::test]
async fn invalid_name_is_unknown() {
    let server = Server::start();
    let found = Resolver::of(server.address).caa("a..example.org").await;
    assert!(matches!(found, Caa::Unknown { .. }), "{found:?}");
    assert!(server.questions().is_empty());
}
