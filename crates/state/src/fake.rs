//! Fake HTTP endpoint for the operations of S3 and DynamoDB that a snapshot and a lease need, on tokio's clock. The
//! tests use the real AWS clients and inspect the requests that these clients send.

mod expressions;
mod listing;

use crate::location::StateLocation;
use crate::protocol::Timing;
use crate::{LeaseTable, Store};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use expressions::Expressions;
use pb_engine::{Ownership, Snapshot};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::sleep;

/// Fake of one bucket and one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeAws(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Versions of the object, the oldest first; `None` for a deletion.
    versions: Vec<Option<Vec<u8>>>,
    item: Option<Map<String, Value>>,
    calls: Vec<Call>,
    faults: Vec<InjectedFault>,
    delays: BTreeMap<&'static str, Duration>,
    concurrent_writes: usize,
    max_concurrent_writes: usize,
    omit_old_item: bool,
    /// Set for a store that ignores the conditions of writes.
    ignores_conditions: bool,
    /// Objects at other keys.
    beside: BTreeMap<String, Vec<u8>>,
}

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) uri: String,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Fault of one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The request is not executed, and the response has this status and error code.
    Refused(u16, &'static str),
    /// The request is executed, and the connection breaks before the response.
    AnswerLost,
    /// The connection breaks before the request is executed.
    ConnectionBroken,
    /// The request is executed after this delay.
    Delayed(Duration),
    /// Another run writes these bytes before the request is executed.
    AfterOtherWrite(Vec<u8>),
}

#[derive(Clone, Debug)]
struct InjectedFault {
    operation: &'static str,
    /// Text that the request must contain.
    containing: &'static str,
    fault: Fault,
}

impl FakeAws {
    pub(crate) fn location() -> StateLocation {
        StateLocation {
            bucket: "states".into(),
            key: "api/staging/state.json".into(),
            table: "locks".into(),
            kms_key: None,
            owner: Ownership { stack: "api".into(), workspace: "staging".into() },
        }
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(&self.config(), &Self::location())
    }

    pub(crate) fn leases(&self) -> LeaseTable {
        LeaseTable::new(&self.config(), &Self::location(), Timing::default())
    }

    /// Returns the configuration of clients that send their requests to this fake. The SDK repeats a failed request
    /// once.
    pub(crate) fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        SdkConfig::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(Region::new("us-east-2"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .build()
    }

    /// Injects `fault` into the next request of `operation`. Faults from several calls apply to successive requests, in
    /// the order of the calls.
    pub(crate) fn fault(&self, operation: &'static str, fault: Fault) {
        self.fault_containing(operation, "", fault);
    }

    /// Injects `fault` into the next request of `operation` that contains the text `containing`.
    pub(crate) fn fault_containing(&self, operation: &'static str, containing: &'static str, fault: Fault) {
        self.inner().faults.push(InjectedFault { operation, containing, fault });
    }

    /// Delays each request of `operation`.
    pub(crate) fn delay(&self, operation: &'static str, delay: Duration) {
        self.inner().delays.insert(operation, delay);
    }

    /// Omits the item from responses to updates whose condition is not met.
    pub(crate) fn omit_old_item(&self) {
        self.inner().omit_old_item = true;
    }

    /// Executes writes regardless of their conditions, like a store that does not support conditions.
    pub(crate) fn ignore_conditions(&self) {
        self.inner().ignores_conditions = true;
    }

    /// Returns the keys of objects other than the snapshot.
    pub(crate) fn beside(&self) -> Vec<String> {
        self.inner().beside.keys().cloned().collect()
    }

    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        self.inner().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    /// Returns the writes of snapshots, without the probes of the store.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.calls("PutObject").into_iter().filter(|call| call.body != crate::probe::BODY.as_bytes()).collect()
    }

    /// Returns the largest number of writes to the object that were in flight at the same time.
    pub(crate) fn max_concurrent_writes(&self) -> usize {
        self.inner().max_concurrent_writes
    }

    pub(crate) fn item(&self) -> Option<Map<String, Value>> {
        self.inner().item.clone()
    }

    pub(crate) fn set_item(&self, item: Value) {
        self.inner().item = item.as_object().cloned();
    }

    /// Returns the bytes of the stored object.
    pub(crate) fn object(&self) -> Option<Vec<u8>> {
        self.inner().versions.last().cloned().flatten()
    }

    /// Writes `bytes` to the object as another run would, or deletes the object if `bytes` is `None`.
    pub(crate) fn put(&self, bytes: Option<Vec<u8>>) {
        self.inner().versions.push(bytes);
    }

    pub(crate) fn put_snapshot(&self, snapshot: &Snapshot) {
        self.put(Some(crate::encode(snapshot, &Self::location().owner).unwrap()));
    }

    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.object().map(|bytes| crate::decode(&bytes, &Self::location().owner).unwrap())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    async fn respond(self, call: Call) -> Result<HttpResponse, ConnectorError> {
        let operation = call.operation;
        let (fault, delay) = {
            let mut inner = self.inner();
            inner.calls.push(call.clone());
            if operation == "PutObject" {
                inner.concurrent_writes += 1;
                inner.max_concurrent_writes = inner.max_concurrent_writes.max(inner.concurrent_writes);
            }
            (inner.take_fault(&call), inner.delays.get(operation).copied())
        };
        let _in_flight = InFlight(&self, operation);
        if let Some(delay) = delay {
            sleep(delay).await;
        }
        match fault {
            Some(Fault::Refused(status, code)) => return Ok(call.refused(status, code)),
            Some(Fault::ConnectionBroken) => return Err(broken()),
            Some(Fault::Delayed(late)) => sleep(late).await,
            Some(Fault::AfterOtherWrite(ref bytes)) => self.put(Some(bytes.clone())),
            _ => {}
        }
        let answer = self.inner().serve(&call);
        if matches!(fault, Some(Fault::AnswerLost)) { Err(broken()) } else { Ok(answer) }
    }
}

/// Guard for a request in flight, which counts the request as ended when it is dropped, even if the client has
/// abandoned the request.
struct InFlight<'a>(&'a FakeAws, &'static str);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.1 == "PutObject" {
            self.0.inner().concurrent_writes -= 1;
        }
    }
}

fn broken() -> ConnectorError {
    ConnectorError::io("connection reset by peer".into())
}

impl HttpConnector for FakeAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers: BTreeMap<String, String> =
            request.headers().iter().map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let target = headers.get("x-amz-target").map(String::as_str).unwrap_or_default();
        let operation = match (request.method(), target) {
            (_, "DynamoDB_20120810.UpdateItem") => "UpdateItem",
            (_, "DynamoDB_20120810.GetItem") => "GetItem",
            ("PUT", _) => "PutObject",
            ("DELETE", _) => "DeleteObject",
            ("GET", _) if request.uri().contains("versions") => "ListObjectVersions",
            ("GET", _) => "GetObject",
            other => panic!("unexpected request: {other:?}"),
        };
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let call = Call { operation, headers, uri: request.uri().to_owned(), body };
        HttpConnectorFuture::new(self.clone().respond(call))
    }
}

impl Call {
    /// Returns the key of the requested object.
    fn key(&self) -> String {
        let path = self.uri.split("://").nth(1).and_then(|rest| rest.split_once('/')).unwrap().1;
        let path = path.split('?').next().unwrap();
        path.strip_prefix("states/").unwrap_or(path).to_owned()
    }

    fn refused(&self, status: u16, code: &str) -> HttpResponse {
        if self.headers.contains_key("x-amz-target") {
            let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "refused: key"});
            return response(status, body.to_string(), None);
        }
        let mut answer =
            response(status, format!("<Error><Code>{code}</Code><Message>refused</Message></Error>"), None);
        if matches!(code, "PermanentRedirect" | "AuthorizationHeaderMalformed") {
            answer.headers_mut().insert("x-amz-bucket-region", "eu-west-1");
        }
        answer
    }
}

fn response(status: u16, body: impl Into<SdkBody>, etag: Option<String>) -> HttpResponse {
    let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
    if let Some(etag) = etag {
        response.headers_mut().insert("etag", etag);
    }
    response
}

impl Inner {
    fn take_fault(&mut self, call: &Call) -> Option<Fault> {
        let text = String::from_utf8_lossy(&call.body);
        let hit = self
            .faults
            .iter()
            .position(|fault| fault.operation == call.operation && text.contains(fault.containing))?;
        Some(self.faults.remove(hit).fault)
    }

    fn serve(&mut self, call: &Call) -> HttpResponse {
        match call.operation {
            "PutObject" => self.put_object(call),
            "DeleteObject" => self.delete_object(call),
            "GetObject" => self.get_object(call),
            "ListObjectVersions" => self.list(call),
            "GetItem" => {
                assert_eq!(call.json()["ConsistentRead"], true, "the lease must be read with strong consistency");
                let answer = self.item.clone().map_or(json!({}), |item| json!({"Item": item}));
                response(200, answer.to_string(), None)
            }
            _ => self.update_item(call),
        }
    }

    /// Returns the entity tag of the latest version, unless that version is a deletion.
    fn etag(&self) -> Option<String> {
        self.versions.last()?.as_ref().map(|_| format!("\"etag-{}\"", self.versions.len()))
    }

    fn put_object(&mut self, call: &Call) -> HttpResponse {
        let matches = call.headers.get("if-match");
        let key = call.key();
        if key != FakeAws::location().key {
            assert!(matches.is_some(), "unexpected write at {key}");
            if !self.ignores_conditions {
                return call.refused(404, "NoSuchKey");
            }
            self.beside.insert(key, call.body.clone());
            return response(200, "", Some("\"beside\"".into()));
        }
        if self.ignores_conditions {
            self.versions.push(Some(call.body.clone()));
            return response(200, "", self.etag());
        }
        match (matches, call.headers.get("if-none-match").map(String::as_str), self.etag()) {
            (None, Some("*"), None) => {}
            (Some(expected), None, Some(etag)) if *expected == etag => {}
            (Some(_), None, None) => return call.refused(404, "NoSuchKey"),
            (Some(_), None, _) | (None, Some("*"), _) => return call.refused(412, "PreconditionFailed"),
            _ => panic!("write without a condition: {call:?}"),
        }
        self.versions.push(Some(call.body.clone()));
        response(200, "", self.etag())
    }

    fn delete_object(&mut self, call: &Call) -> HttpResponse {
        match call.key() {
            key if key == FakeAws::location().key => self.versions.push(None),
            key => drop(self.beside.remove(&key)),
        }
        response(204, "", None)
    }

    fn get_object(&self, call: &Call) -> HttpResponse {
        let version = call.uri.split("versionId=").nth(1).map(|rest| rest.split('&').next().unwrap());
        let Some(version) = version else {
            return match self.versions.last().cloned().flatten() {
                Some(bytes) => response(200, bytes, self.etag()),
                None => call.refused(404, "NoSuchKey"),
            };
        };
        let number = version.strip_prefix('v').and_then(|digits| digits.parse::<usize>().ok());
        match number.and_then(|number| self.versions.get(number).cloned().flatten()) {
            Some(bytes) => response(200, bytes, Some("\"old\"".into())),
            None if number.is_some() => call.refused(404, "NoSuchVersion"),
            None => call.refused(400, "InvalidArgument"),
        }
    }

    fn update_item(&mut self, call: &Call) -> HttpResponse {
        let request = call.json();
        assert_eq!(request["TableName"], "locks");
        assert_eq!(request["Key"], json!({"LockID": {"S": "pb-deploy:states/api/staging/state.json"}}));
        let expressions = Expressions::new(&request);
        let old = self.item.clone();
        if !expressions.is_met(old.as_ref().unwrap_or(&Map::new())) {
            let mut body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"});
            assert_eq!(request["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
            if let Some(old) = old.filter(|_| !self.omit_old_item) {
                body["Item"] = Value::Object(old);
            }
            return response(400, body.to_string(), None);
        }
        let mut item = old.unwrap_or_else(|| request["Key"].as_object().unwrap().clone());
        expressions.change(&mut item);
        self.item = Some(item.clone());
        response(200, json!({"Attributes": item}).to_string(), None)
    }
}
