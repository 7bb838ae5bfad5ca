//! CAA records: the certificate authorities that may issue certificates for a name. (RFC 8659)

use hickory_resolver::proto::rr::rdata::CAA;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::Resolver;
use crate::query::relative;

/// The issuers of which at least one must be allowed for ACM. (ACM user guide, "Certification Authority Authorization
/// (CAA) problems")
pub(crate) const AMAZON: [&str; 4] = ["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"];

/// The registered property tags. (IANA, "Certification Authority Restriction Properties")
///
/// Those that concern other kinds of certificates, or contacts, are included: they do not restrict certificates for
/// hostnames, and to claim that one of them forbids a certificate would be a guess.
const KNOWN_TAGS: [&str; 10] =
    ["issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone", "auth", "path", "policy"];

/// The result of a check of CAA records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caa {
    /// Amazon may issue certificates for the name.
    Allowed,
    /// CAA records allow other certificate authorities only, or none.
    Forbidden {
        /// The name with the records: the name itself or one of its parents.
        at: String,
        /// The issuers that the records allow; empty if they allow none.
        issuers: Vec<String>,
    },
    /// A record with the critical flag has a tag that no certificate authority knows, which forbids all certificates.
    UnknownCriticalTag {
        /// The name with the record: the name itself or one of its parents.
        at: String,
        /// The tag.
        tag: String,
    },
    /// No name server answered.
    Unknown {
        /// The reason.
        reason: String,
    },
}

impl Resolver {
    /// Returns the result of the CAA records for a hostname, which may begin with `*.`.
    ///
    /// The first name that has CAA records decides, beginning with the hostname itself and ending with the top-level
    /// domain (RFC 8659, section 3). An alias counts as having the records of its target; the parents of the target are
    /// irrelevant.
    pub async fn caa(&self, name: &str) -> Caa {
        let name = relative(name);
        let (wildcard, base) = match name.strip_prefix("*.") {
            Some(base) => (true, base),
            None => (false, name.as_str()),
        };
        let mut at = base;
        loop {
            match self.records(at, RecordType::CAA).await {
                Err(reason) => return Caa::Unknown { reason },
                Ok(records) => {
                    let properties: Vec<CAA> = records.into_iter().filter_map(|record| property(record.data)).collect();
                    if !properties.is_empty() {
                        return decision(at, wildcard, &properties);
                    }
                }
            }
            match at.split_once('.') {
                Some((_, parent)) => at = parent,
                None => return Caa::Allowed,
            }
        }
    }
}

fn property(data: RData) -> Option<CAA> {
    match data {
        RData::CAA(property) => Some(property),
        _ => None,
    }
}

/// Returns the result of the records of one name, of which there is at least one.
fn decision(at: &str, wildcard: bool, properties: &[CAA]) -> Caa {
    // Section 4.5. Tags do not depend on the case: section 4.1.
    let unknown = |property: &&CAA| !KNOWN_TAGS.iter().any(|tag| property.tag.eq_ignore_ascii_case(tag));
    if let Some(property) = properties.iter().filter(|property| property.issuer_critical).find(unknown) {
        return Caa::UnknownCriticalTag { at: at.to_owned(), tag: property.tag.clone() };
    }
    let with_tag = |tag: &str| -> Vec<String> {
        properties.iter().filter(|one| one.tag.eq_ignore_ascii_case(tag)).map(|one| issuer(&one.value)).collect()
    };
    // Section 4.3: `issuewild` is ignored for a name without wildcard, and replaces `issue` for a name with one.
    let wild = if wildcard { with_tag("issuewild") } else { Vec::new() };
    let issuers = if wild.is_empty() { with_tag("issue") } else { wild };
    // Section 4.2: records without `issue` do not restrict who may issue.
    if issuers.is_empty() || issuers.iter().any(|issuer| AMAZON.contains(&issuer.as_str())) {
        return Caa::Allowed;
    }
    let mut named: Vec<String> = issuers.into_iter().filter(|issuer| !issuer.is_empty()).collect();
    named.sort();
    named.dedup();
    Caa::Forbidden { at: at.to_owned(), issuers: named }
}

/// Returns the issuer in the value of an `issue` or `issuewild` property: the text before the parameters. It is empty if
/// the property allows nobody. (Section 4.2)
fn issuer(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    relative(text.split(';').next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caa(critical: bool, tag: &str, value: &str) -> CAA {
        let mut property = CAA::new_issue(critical, None, Vec::new());
        property.tag = tag.to_owned();
        property.value = value.as_bytes().to_vec();
        property
    }

    fn decided(wildcard: bool, properties: &[(&str, &str)]) -> Caa {
        let all: Vec<CAA> = properties.iter().map(|(tag, value)| caa(false, tag, value)).collect();
        decision("example.org", wildcard, &all)
    }

    fn forbidden(issuers: &[&str]) -> Caa {
        let issuers = issuers.iter().map(|&issuer| issuer.to_owned()).collect();
        Caa::Forbidden { at: "example.org".to_owned(), issuers }
    }

    #[test]
    fn each_issuer_of_amazon_is_allowed() {
        for issuer in AMAZON {
            assert_eq!(decided(false, &[("issue", "ca.example"), ("issue", issuer)]), Caa::Allowed, "{issuer}");
        }
    }

    #[test]
    fn other_issuers_forbid_and_are_listed_once() {
        let found = decided(false, &[("issue", "ca.example"), ("issue", "a.example"), ("issue", "CA.example; x=y")]);
        assert_eq!(found, forbidden(&["a.example", "ca.example"]));
        assert_eq!(decided(false, &[("issue", "sub.amazon.com")]), forbidden(&["sub.amazon.com"]));
        assert_eq!(decided(false, &[("issue", "notamazon.com")]), forbidden(&["notamazon.com"]));
    }

    #[test]
    fn empty_issuer_forbids_unless_another_record_allows() {
        assert_eq!(decided(false, &[("issue", ";")]), forbidden(&[]));
        assert_eq!(decided(false, &[("issue", "")]), forbidden(&[]));
        assert_eq!(decided(false, &[("issue", " ; policy=ev")]), forbidden(&[]));
        assert_eq!(decided(false, &[("issue", ";"), ("issue", "amazon.com")]), Caa::Allowed);
    }

    #[test]
    fn case_spaces_and_parameters_of_an_issuer_are_ignored() {
        for value in ["AMAZON.com", " amazon.com ", "amazon.com;", "amazon.com ; account=1", "amazon.com."] {
            assert_eq!(decided(false, &[("Issue", value)]), Caa::Allowed, "{value}");
        }
    }

    #[test]
    fn records_without_issue_allow() {
        assert_eq!(decided(false, &[("iodef", "mailto:a@example.org")]), Caa::Allowed);
        assert_eq!(decided(true, &[("issuemail", "ca.example")]), Caa::Allowed);
        assert_eq!(decided(false, &[("future", "x")]), Caa::Allowed);
    }

    #[test]
    fn issuewild_counts_for_wildcards_only() {
        let amazon_for_hosts = [("issue", "amazon.com"), ("issuewild", ";")];
        assert_eq!(decided(false, &amazon_for_hosts), Caa::Allowed);
        assert_eq!(decided(true, &amazon_for_hosts), forbidden(&[]));
        let amazon_for_wildcards = [("issue", "ca.example"), ("issuewild", "amazon.com")];
        assert_eq!(decided(false, &amazon_for_wildcards), forbidden(&["ca.example"]));
        assert_eq!(decided(true, &amazon_for_wildcards), Caa::Allowed);
        assert_eq!(decided(true, &[("issue", "ca.example")]), forbidden(&["ca.example"]));
        assert_eq!(decided(false, &[("issuewild", "ca.example")]), Caa::Allowed);
    }

    #[test]
    fn unknown_critical_tag_forbids() {
        let records = [caa(false, "issue", "amazon.com"), caa(true, "future", "x")];
        let expected = Caa::UnknownCriticalTag { at: "example.org".to_owned(), tag: "future".to_owned() };
        assert_eq!(decision("example.org", false, &records), expected);
    }

    #[test]
    fn known_critical_tags_do_not_forbid() {
        for tag in KNOWN_TAGS {
            let records = [caa(true, &tag.to_uppercase(), "amazon.com")];
            assert_eq!(decision("example.org", false, &records), Caa::Allowed, "{tag}");
        }
    }
}
