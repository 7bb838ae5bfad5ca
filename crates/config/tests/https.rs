//! The table `https`: when it applies, and the names of the certificate.

#![expect(clippy::panic, reason = "a panic is how a test fails")]

use pb_config::{Config, Https, REFERENCE_CONFIG};

const BASE: &str = r#"
region = "us-east-2"
hostname = "example.org"
[state]
bucket = "my-bucket"
lock_table = "my-table"
[roles]
execution = "role"
"#;

fn parse(rest: &str) -> Result<Config, String> {
    Config::parse(&format!("{BASE}{rest}\n[workspace.staging]\n"), "test.toml").map_err(|error| error.to_string())
}

fn https(rest: &str) -> Option<Https> {
    parse(rest).unwrap_or_else(|error| panic!("{error}")).workspace("staging").ok()?.https
}

fn refusal(rest: &str) -> String {
    parse(rest).err().unwrap_or_else(|| panic!("accepted: {rest}"))
}

#[test]
fn table_switches_https_on() {
    assert_eq!(https(""), None);
    assert_eq!(https("[https]\nenabled = false\nhsts = \"1d\""), None);
    let Some(found) = https("[https]") else { panic!("no HTTPS") };
    assert_eq!(found.certificate_names, ["staging.example.org"]);
    assert_eq!((found.redirect, found.hsts, found.certificate_arn), (true, None, None));
    assert_eq!(found.policy, pb_rules::https::DEFAULT_POLICY);
    let config = Config::parse(REFERENCE_CONFIG, "pb_deploy.toml").unwrap_or_else(|error| panic!("{error}"));
    let all_without = config.workspaces().all(|name| config.workspace(name).is_ok_and(|one| one.https.is_none()));
    assert!(all_without, "the table is commented out, so that nothing changes for existing stacks");
}

#[test]
fn certificate_has_the_hosts_of_services_and_the_names() {
    let services = "[services.api]\nkind = \"web\"\nhosts = [\"api\", \"v?.example.net\", \"a.example.net\"]\n";
    let names = "[https]\nnames = [\"www.example.org\", \"staging.example.org\", \"b.example.net\"]\n";
    let Some(found) = https(&format!("{services}{names}")) else { panic!("no HTTPS") };
    // The wildcard of `v?` covers the other hosts of its zone.
    let expected = ["staging.example.org", "api.staging.example.org", "*.example.net", "www.example.org"];
    assert_eq!(found.certificate_names, expected);
    assert_eq!(found.names, ["www.example.org", "b.example.net"]);
}

#[test]
fn setting_that_cannot_work_is_refused() {
    let arn = "arn:aws:acm:eu-west-1:123456789012:certificate/1";
    let service = |more: &str| format!("[services.api]\nkind = \"web\"\n{more}\n[https]\n");
    for (text, why) in [
        (format!("[https]\ncertificate_arn = \"{arn}\""), "the certificate is in eu-west-1"),
        ("[https]\nhsts = \"1y\"".to_owned(), "`1y` is not a number of days"),
        ("[https]\npolicy = \"TLS13\"".to_owned(), "is not the name of a TLS policy"),
        ("[https]\nnames = [\"*.example.org\"]".to_owned(), "names"),
        ("[https]\nzones = { \"www.example.org\" = \"z 1\" }".to_owned(), "hosted zone id"),
        (service("hosts = [\"a.*.example.org\"]"), "no certificate covers all hosts that `a.*.example.org` matches"),
        (service("paths = [\"/a\"]\npriority = 1"), "the redirect from HTTP has the priority 1"),
    ] {
        let refused = refusal(&text);
        assert!(refused.contains(why), "{refused}");
    }
    assert!(parse(&format!("{}redirect = false", service("paths = [\"/a\"]\npriority = 1"))).is_ok());
}
