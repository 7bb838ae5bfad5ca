//! The certificates that are trusted: those of the system, or those of `AWS_CA_BUNDLE` or `ca_bundle`.

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use pb_engine::{Class, Failure};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A file with trusted certificates in PEM form.
#[derive(Debug, Clone)]
pub(crate) struct CaBundle {
    /// Path of the file.
    pub path: String,
    /// The setting that selects the file.
    pub setting: String,
}

impl CaBundle {
    /// Reads the file. As with the AWS CLI, its certificates replace those of the system.
    pub(crate) async fn read(&self) -> Result<TlsContext, Failure> {
        let failure = |message: String| {
            let hint = format!("set {} to a PEM file with the certificates of the authorities to trust", self.setting);
            let message = format!("{} ({}): {message}", self.path, self.setting);
            Failure::new(Class::Unreachable, "read the trusted certificates", message).hint(hint)
        };
        let bytes = tokio::fs::read(&self.path).await.map_err(|error| failure(error.to_string()))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut store = TrustStore::empty();
        let mut usable = 0;
        for certificate in certificates(&text).filter(|certificate| is_usable(certificate)) {
            store.add_pem_certificate(certificate);
            usable += 1;
        }
        if usable == 0 {
            return Err(failure("the file contains no valid certificate in PEM form".to_owned()));
        }
        TlsContext::builder().with_trust_store(store).build().map_err(|error| failure(error.to_string()))
    }
}

/// Returns the certificates in a PEM file, which can contain other text.
fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    pem.split_inclusive(END).filter_map(|section| section.rfind(BEGIN).map(|start| &section[start..]))
}

/// Returns whether the TLS library accepts a certificate as that of an authority. Bundles of systems contain old
/// certificates that it does not accept, and the HTTP client would panic.
fn is_usable(certificate: &str) -> bool {
    CertificateDer::from_pem_slice(certificate.as_bytes())
        .is_ok_and(|certificate| RootCertStore::empty().add(certificate).is_ok())
}

#[cfg(test)]
mod tests {
    use super::{CaBundle, certificates, is_usable};

    #[test]
    fn certificates_are_found_between_other_text() {
        let one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        let pem = format!("# an authority\n{one}\n{key}\n# another\n{one}\nend");
        assert_eq!(certificates(&pem).collect::<Vec<_>>(), [one, one]);
        assert!(!is_usable(one), "these bytes are not a certificate");
    }

    #[tokio::test]
    async fn bundle_without_certificates_is_refused() {
        for (path, part) in [("/nonexistent/ca.pem", "No such file"), (file!(), "no valid certificate")] {
            let path = path.replace("crates/aws/", "");
            let failure = CaBundle { path, setting: "AWS_CA_BUNDLE".to_owned() }.read().await.unwrap_err();
            assert!(failure.to_string().contains(part), "{failure}");
            assert!(failure.hint.unwrap().contains("AWS_CA_BUNDLE"));
        }
    }
}
