//! Certificate Manager: certificates with DNS validation.

use super::dns::VALIDATION;
use super::elb::{LISTENER, NO_LISTENER, members};
use super::{ACCOUNT, Account, Answer, REGION, Resource, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

pub const CERTIFICATE: &str = "acm.certificate";

/// Further certificates of listeners.
pub const LISTENER_CERTIFICATE: &str = "elbv2.listener_certificate";

const NO_CERTIFICATE: &str = "ResourceNotFoundException";

/// Time until AWS has chosen the validation records of a new certificate.
const CHOOSING: Duration = Duration::from_secs(3);

/// Returns the name and the value of the validation record of a name.
pub fn validation_record(name: &str) -> (String, String) {
    let base = name.trim_start_matches("*.");
    (format!("_sim.{base}."), format!("_{}.acm-validations.aws.", base.replace('.', "-")))
}

impl Account {
    pub fn certificates(&mut self, call: &Call) -> Answer {
        let arn = call.text("CertificateArn").to_owned();
        match call.operation.as_str() {
            "RequestCertificate" => Ok(self.request_certificate(call)),
            "DescribeCertificate" => self.describe_certificate(&arn),
            // No certificate exists in any other region.
            "ListCertificates" if !call.input["region"].is_null() => Ok(json!({"CertificateSummaryList": []})),
            "ListCertificates" => {
                let ids: Vec<String> = self.of_kind(CERTIFICATE).map(|(id, _)| id.clone()).collect();
                let all: Result<Vec<Value>, _> = ids.iter().map(|id| self.summary(id)).collect();
                Ok(json!({"CertificateSummaryList": all?}))
            }
            "ListTagsForCertificate" => {
                let tags = tag_list(&self.get(CERTIFICATE, &arn, NO_CERTIFICATE)?.tags, "Key", "Value");
                Ok(json!({"Tags": tags}))
            }
            "AddTagsToCertificate" => {
                let tags = tags_of(&call.input["Tags"], "Key", "Value");
                self.get(CERTIFICATE, &arn, NO_CERTIFICATE)?.tags.extend(tags);
                Ok(json!({}))
            }
            "RemoveTagsFromCertificate" => {
                let removed = tags_of(&call.input["Tags"], "Key", "Value");
                self.get(CERTIFICATE, &arn, NO_CERTIFICATE)?.tags.retain(|key, _| !removed.contains_key(key));
                Ok(json!({}))
            }
            "DeleteCertificate" => self.delete_certificate(&arn),
            other => panic!("unsupported call to Certificate Manager: {other}"),
        }
    }

    /// Requests a certificate. A repeated token returns the certificate that was requested with it.
    fn request_certificate(&mut self, call: &Call) -> Value {
        let token = call.text("IdempotencyToken");
        assert!(!token.is_empty(), "a request that is repeated must not make a second certificate");
        if let Some((id, _)) = self.of_kind(CERTIFICATE).find(|(_, one)| one.token == token) {
            return json!({"CertificateArn": id});
        }
        let id = format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{:08x}", self.serial());
        let mut names = vec![call.text("DomainName").to_owned()];
        names.extend(call.texts("SubjectAlternativeNames"));
        let tags = tags_of(&call.input["Tags"], "Key", "Value");
        self.put(CERTIFICATE, &id, json!({"names": names, "issued": false}), tags);
        if let Some(made) = self.resources.get_mut(&id) {
            token.clone_into(&mut made.token);
        }
        json!({"CertificateArn": id})
    }

    fn describe_certificate(&mut self, arn: &str) -> Answer {
        let now = self.now();
        self.issue(arn)?;
        let certificate = self.get(CERTIFICATE, arn, NO_CERTIFICATE)?;
        let chosen = now >= certificate.created + CHOOSING;
        let issued = certificate.body["issued"] == true;
        let names = certificate.body["names"].clone();
        let option = |name: &Value| {
            let (record, value) = validation_record(name.as_str().unwrap_or_default());
            let mut option = json!({
                "DomainName": name, "ValidationMethod": "DNS",
                "ValidationStatus": if issued { "SUCCESS" } else { "PENDING_VALIDATION" },
            });
            if chosen {
                option["ResourceRecord"] = json!({"Name": record, "Type": "CNAME", "Value": value});
            }
            option
        };
        let options: Vec<Value> = names.as_array().into_iter().flatten().map(option).collect();
        Ok(json!({"Certificate": {
            "CertificateArn": arn, "DomainName": names[0], "SubjectAlternativeNames": names,
            "Status": if issued { "ISSUED" } else { "PENDING_VALIDATION" },
            "DomainValidationOptions": options,
        }}))
    }

    fn summary(&mut self, arn: &str) -> Answer {
        let described = self.describe_certificate(arn)?["Certificate"].clone();
        let names = &described["SubjectAlternativeNames"];
        Ok(json!({
            "CertificateArn": arn, "DomainName": described["DomainName"], "Status": described["Status"],
            "SubjectAlternativeNameSummaries": names,
        }))
    }

    /// Marks a certificate as issued if all of its validation records have existed for long enough.
    fn issue(&mut self, arn: &str) -> Result<(), super::Refusal> {
        let (now, time) = (self.now(), self.times.certificate);
        let names = self.get(CERTIFICATE, arn, NO_CERTIFICATE)?.body["names"].clone();
        let is_validated = |name: &Value| {
            let (record, _) = validation_record(name.as_str().unwrap_or_default());
            let id = format!("{} CNAME", record.trim_end_matches('.'));
            let record = self.resources.get(&id).filter(|record| record.kind == VALIDATION);
            record.is_some_and(|record| now >= record.created + time)
        };
        if names.as_array().into_iter().flatten().all(is_validated) {
            self.get(CERTIFICATE, arn, NO_CERTIFICATE)?.body["issued"] = json!(true);
        }
        Ok(())
    }

    fn delete_certificate(&mut self, arn: &str) -> Answer {
        let (now, hold) = (self.now(), self.times.certificate_hold);
        let further = |one: &Resource| one.body["CertificateArn"] == arn;
        let is_used = self.of_kind(LISTENER).any(|(_, listener)| uses(listener, arn))
            || self.of_kind(LISTENER_CERTIFICATE).any(|(_, one)| further(one));
        let certificate = self.get(CERTIFICATE, arn, NO_CERTIFICATE)?;
        if is_used || now < certificate.changed_at + hold && certificate.body["was_used"] == true {
            return refused("ResourceInUseException", format!("Certificate {arn} is in use."));
        }
        self.resources.remove(arn);
        Ok(json!({}))
    }

    /// Starts the time for which the load balancer holds the certificates of a listener that is changed or deleted.
    pub fn release_certificates(&mut self, listener: &str) {
        let now = self.now();
        let Some(listener) = self.resources.get(listener).cloned() else { return };
        let held = self.resources.iter_mut().filter(|(id, one)| one.kind == CERTIFICATE && uses(&listener, id));
        for (_, certificate) in held {
            certificate.changed_at = now;
            certificate.body["was_used"] = json!(true);
        }
    }

    /// Describes, adds or removes a further certificate of a listener.
    pub fn listener_certificates(&mut self, call: &Call) -> Answer {
        let listener = call.text("ListenerArn");
        self.get(LISTENER, listener, NO_LISTENER)?;
        if call.operation == "DescribeListenerCertificates" {
            let own = self.of_kind(LISTENER_CERTIFICATE).filter(|(_, one)| one.body["ListenerArn"] == listener);
            return Ok(json!({"Certificates": members(own.map(|(_, one)| one.body.clone()))}));
        }
        let certificate = call.input["Certificates"][0]["CertificateArn"].as_str().unwrap_or_default().to_owned();
        let id = format!("{certificate} of {listener}");
        if call.operation == "RemoveListenerCertificates" {
            self.resources.remove(&id);
            return Ok(json!({}));
        }
        if !self.is_issued(&certificate) {
            return refused("UnsupportedCertificate", format!("{certificate} is not issued"));
        }
        let body = json!({"ListenerArn": listener, "CertificateArn": certificate, "IsDefault": false});
        self.put(LISTENER_CERTIFICATE, &id, body, super::Tags::new());
        Ok(json!({}))
    }

    /// Returns whether a certificate exists and is issued.
    pub fn is_issued(&mut self, arn: &str) -> bool {
        self.issue(arn).is_ok() && self.resources.get(arn).is_some_and(|one| one.body["issued"] == true)
    }
}

fn uses(listener: &Resource, arn: &str) -> bool {
    listener.body["Certificates"]["member"][0]["CertificateArn"] == arn
}
