//! Paginated listing of the versions of the object.

use super::{Call, FakeAws, Inner, response};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

impl Inner {
    /// Lists two versions per page, including a version of another object whose key starts with the key of the
    /// snapshot.
    pub(super) fn list(&self, call: &Call) -> HttpResponse {
        let key = FakeAws::location().key;
        let mut entries = vec![(format!("{key}.bak"), "x".to_owned(), true)];
        for (number, body) in self.versions.iter().enumerate().rev() {
            if body.is_some() {
                entries.push((key.clone(), format!("v{number}"), number + 1 == self.versions.len()));
            }
        }
        let marker = call.uri.split("version-id-marker=").nth(1).map(|rest| rest.split('&').next().unwrap());
        let from = marker.map_or(0, |marker| 1 + entries.iter().position(|(_, id, _)| id == marker).unwrap());
        let page = &entries[from..entries.len().min(from + 2)];
        let versions: String = page
            .iter()
            .map(|(key, id, latest)| {
                format!(
                    "<Version><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
                     <LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>9</Size></Version>"
                )
            })
            .collect();
        let next = match page.last() {
            Some((key, id, _)) if from + 2 < entries.len() => format!(
                "<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
                 <NextVersionIdMarker>{id}</NextVersionIdMarker>"
            ),
            _ => "<IsTruncated>false</IsTruncated>".to_owned(),
        };
        response(200, format!("<ListVersionsResult>{next}{versions}</ListVersionsResult>"), None)
    }
}
