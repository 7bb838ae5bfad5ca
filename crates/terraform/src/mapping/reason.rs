//! Reasons why a resource of a state is not imported.

use super::certificates::CertificateReason;
use crate::location::Location;
use pb_engine::Address;
use serde::Serializer;
use std::fmt;

/// Reason why a resource is not imported, or is imported only as part of another resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is a part of another resource, which the text describes.
    Part(&'static str),
    /// pb-deploy has no such resource.
    NoCounterpart,
    /// Terraform has replaced it, and not deleted it yet.
    LeftOver,
    /// It is a cache node outside of a replication group.
    StandaloneNode,
    /// It is a listener that redirects all requests.
    Redirect,
    /// It is a certificate with other properties than the configured ones.
    Certificate(CertificateReason),
    /// It proves a name of a certificate that is not imported.
    ValidationRecord,
    /// It is a further certificate of a listener, and not one that is imported.
    ListenerCertificate,
    /// It is in another account or region than the workspace.
    Elsewhere(Location),
    /// All configured resources of its kind have another resource.
    NoFurther,
    /// It belongs to a service whose image is not pushed yet. Contains the keys of all such services.
    ImagesMissing(Vec<String>),
    /// It could have several addresses, or several resources could have the same address.
    Ambiguous(Vec<Address>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(whole) => f.write_str(whole),
            Self::NoCounterpart => f.write_str("pb-deploy has no such resource"),
            Self::LeftOver => f.write_str("it is left over from a replacement; let Terraform delete it"),
            Self::StandaloneNode => f.write_str(
                "a standalone cache node and the jobs in it are left as they are; the next deploy creates a \
                 replication group and moves the services to it, so let the jobs finish first. Delete the node when \
                 nothing uses it: until then, `destroy` cannot delete its subnet group and security group",
            ),
            Self::Redirect => f.write_str("it redirects all requests; pb-deploy has such a listener only with HTTPS"),
            Self::Certificate(reason) => of_certificate(reason, f),
            Self::ValidationRecord => f.write_str(
                "it proves a name of a certificate that is not imported; AWS renews that certificate only as long as \
                 the record exists",
            ),
            Self::ListenerCertificate => {
                f.write_str("its certificate is not imported, so the listener keeps it and a deploy does not change it")
            }
            Self::Elsewhere(location) => write!(f, "it is in {location}"),
            Self::NoFurther => f.write_str("the configuration has no further resource of this kind"),
            Self::ImagesMissing(services) => {
                let services = services.join(", ");
                write!(f, "images that are not pushed yet: {services}; push them, then run `adopt` again")
            }
            Self::Ambiguous(addresses) => {
                let addresses: Vec<&str> = addresses.iter().map(Address::as_str).collect();
                write!(f, "ambiguous, could be {}; choose with ADDRESS=ID", addresses.join(", "))
            }
        }
    }
}

fn of_certificate(reason: &CertificateReason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let existing = "set `certificate_arn` in the table `https` to its ARN";
    match reason {
        CertificateReason::Configured => {
            f.write_str("the configuration uses it as `https.certificate_arn`, and does not change it")
        }
        CertificateReason::NotRequested => {
            write!(f, "only certificates that AWS issues after DNS validation can be managed; to keep it, {existing}")
        }
        CertificateReason::OtherNames(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let names = names.join(", ");
            write!(
                f,
                "its names ({names}) are not exactly those that the configuration needs; to keep it, {existing}; \
                 otherwise a deploy requests a new certificate"
            )
        }
    }
}

/// Serializes a reason as its text.
pub(super) fn as_text<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}
