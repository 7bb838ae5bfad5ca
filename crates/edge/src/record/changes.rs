//! Changes of records: the calls that both kinds of records share.

use super::plain_name;
use crate::DnsClient;
use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{Change as DnsChange, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecordSet};
use pb_aws::ForOperation;
use pb_engine::{Backoff, Class, Context, Failure, Progress, is_unknown};
use std::time::Duration;

/// Backoff for waiting until a change has reached all name servers, which takes 10 to 60 seconds. The intervals are
/// long because Route 53 accepts only five requests per second from an account.
const INSYNC: Backoff = Backoff::minutes(Duration::from_secs(10 * 60));

/// Changes one record, and returns the id of the change so that its completion can be awaited.
pub(crate) async fn write_record(
    dns: &DnsClient,
    zone_id: &str,
    action: ChangeAction,
    set: ResourceRecordSet,
) -> Result<String, Failure> {
    let (name, kind) = (plain_name(&set.name), set.r#type.clone());
    let change = DnsChange::builder().action(action).resource_record_set(set).build();
    let batch = ChangeBatch::builder()
        .changes(change.map_err(|error| incomplete(&error))?)
        .build()
        .map_err(|error| incomplete(&error))?;
    let call = dns.change_resource_record_sets().hosted_zone_id(zone_id).change_batch(batch);
    let answer = call.send().await.for_operation("route53:ChangeResourceRecordSets");
    let output = answer.map_err(|failure| refused(failure, zone_id, &name, kind.as_str()))?;
    let id = output.change_info.map(|info| info.id).unwrap_or_default();
    Ok(id.trim_start_matches("/change/").to_owned())
}

/// Waits until a change of the record `name` has reached all name servers. An empty id stands for a change that is
/// complete.
pub(crate) async fn wait_insync(dns: &DnsClient, cx: &Context, name: &str, change_id: &str) -> Result<(), Failure> {
    if change_id.is_empty() || is_unknown(change_id) {
        return Ok(());
    }
    cx.wait("route53:GetChange", INSYNC, || async {
        let status = match dns.get_change().id(change_id).send().await.for_operation("route53:GetChange") {
            Ok(output) => output.change_info.map(|info| info.status),
            // AWS keeps changes only for some time, so a change that is not found is assumed to be complete.
            Err(failure) if failure.class == Class::NotFound => None,
            Err(failure) => return Err(failure),
        };
        Ok(match status {
            None | Some(ChangeStatus::Insync) => Progress::Ready(()),
            Some(_) => Progress::Pending(format!("waiting for DNS record {name} to reach all Route 53 servers")),
        })
    })
    .await
}

pub(super) fn incomplete(error: &BuildError) -> Failure {
    Failure::new(Class::Bug, "write a record", error.to_string())
}

/// Classifies the refusal of a change batch by its message, because only the message states the reason. If the record
/// changed after it was read, the failure is retryable, so that the record is read again.
///
/// A protected record cannot be created, changed or deleted. Protections cannot be read in advance, because the SDK does
/// not know them yet; AWS documents that the message names the protected record, but not how. (Route 53 API:
/// ChangeResourceRecordSets, protected resource record sets)
fn refused(failure: Failure, zone_id: &str, name: &str, kind: &str) -> Failure {
    let message = failure.message.to_lowercase().replace(name, "");
    let says = |text: &str| failure.is("InvalidChangeBatch") && message.contains(text);
    if says("protect") {
        let hint = format!(
            "a record protection forbids every change of this record; if it may be changed, delete the protection with \
             `aws route53 delete-resource-record-set-protections --hosted-zone-id {zone_id} --protections \
             RecordName={name},RecordType={kind}`, then run the same command again"
        );
        failure.hint(hint)
    } else if says("already exists") || says("other rrsets exist") {
        failure.class(Class::Exists)
    } else if says("not found") {
        failure.class(Class::NotFound)
    } else if says("do not match the current values") {
        failure.class(Class::NotReady)
    } else {
        failure
    }
}
