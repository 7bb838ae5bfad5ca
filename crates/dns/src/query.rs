//! One question to the name servers.

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::time::timeout;

use crate::Resolver;

impl Resolver {
    /// Returns the records of a name and type, with the aliases that lead to them; none if the name or the type does not
    /// exist. An error is the reason why there is no answer.
    pub(crate) async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let absolute = absolute(name)?;
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        let (servers, question) = (servers.join(", "), format!("the {kind} records of {}", relative(name)));
        match timeout(self.limit, client.lookup(absolute, kind)).await {
            Ok(Ok(found)) => Ok(found.answers().to_vec()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords {
                response_code: ResponseCode::NoError | ResponseCode::NXDomain,
                ..
            })))) => Ok(Vec::new()),
            Ok(Err(NetError::Timeout)) | Err(_) => {
                let seconds = self.limit.as_secs_f64();
                Err(format!("{servers} did not answer the query for {question} within {seconds} s"))
            }
            Ok(Err(NetError::Dns(DnsError::ResponseCode(code)))) => {
                let code = format!("{code:?}").to_uppercase();
                Err(format!("{servers} answered the query for {question} with {code}"))
            }
            Ok(Err(error)) => Err(format!("cannot query {servers} for {question}: {error}")),
        }
    }
}

/// Returns a name that no search domain of the system is added to.
fn absolute(name: &str) -> Result<Name, String> {
    let text = relative(name);
    let mut parsed = Name::from_ascii(&text).map_err(|error| format!("{name} is no domain name: {error}"))?;
    if text.is_empty() {
        return Err("the domain name is empty".to_owned());
    }
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// Returns a name in the form in which names are compared and shown: lower case, without the trailing dot. DNS ignores the
/// case of names. (RFC 4343)
pub(crate) fn relative(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Returns a name of an answer in the form of [`relative`].
pub(crate) fn shown(name: &Name) -> String {
    relative(&name.to_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_absolute_and_lower_case() {
        assert_eq!(absolute("WWW.Example.org").unwrap().to_ascii(), "www.example.org.");
        assert_eq!(absolute("www.example.org.").unwrap().to_ascii(), "www.example.org.");
    }

    #[test]
    fn invalid_name_is_an_error() {
        let long = "a".repeat(64);
        for name in ["", ".", "a..b", long.as_str()] {
            assert!(absolute(name).is_err(), "{name}");
        }
    }
}
