//! The lease as an item in DynamoDB, and its conditional updates.

use super::protocol::{LeaseObservation, Timing};
use crate::location::StateLocation;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Cause, Class, Failure, Refusal};
use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

/// Attributes of the item other than its key. All but `fence` exist only while the lease is held.
const ATTRIBUTES: [&str; 6] = ["fence", "holder", "who", "operation", "since", "beat"];
/// Update expression that releases the lease and keeps the fencing token.
const REMOVE: &str = "REMOVE #holder, #who, #operation, #since, #beat";

type Item = HashMap<String, AttributeValue>;

/// The lease of one workspace in its DynamoDB table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    client: Client,
    workspace: String,
    table: String,
    lock_id: String,
    timing: Timing,
    simulated: bool,
}

/// The run that holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// Id of this acquisition of the lease; `unlock` requires it.
    pub id: String,
    /// Person, machine and process.
    pub who: String,
    /// Operation of the run, such as `deploy`.
    pub operation: String,
    /// Time of the acquisition by the holder's clock, in RFC 3339. It is only shown to people.
    pub since: String,
    /// Fencing token of the lease.
    pub fence: u64,
    /// Number of heartbeats since the acquisition.
    #[serde(rename = "beat")]
    pub heartbeats: u64,
}

impl Holder {
    pub(super) fn observation(&self) -> LeaseObservation {
        LeaseObservation { holder: self.id.clone(), fence: self.fence, heartbeats: self.heartbeats }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} since {}, id {})", self.who, self.operation, self.since, self.id)
    }
}

/// Condition on the fencing token in the table under which the lease is taken, and the change of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fencing {
    /// The token increases by one, and must then exceed the given token of the snapshot. A table with a lower token
    /// does not belong to the snapshot; it rejects the request and stays unchanged.
    Above(u64),
    /// The token does not change. This is for a restore, which writes under a token that it chooses, and then raises
    /// the token in the table to that token.
    Keep,
}

/// Outcome of a conditional update.
pub(super) enum UpdateOutcome {
    /// The update was applied; this is the resulting fencing token.
    Applied(u64),
    /// The condition was not met; this is the current holder, if any.
    Rejected(Option<Holder>),
}

impl LeaseTable {
    /// Creates a client for the lease of the workspace at `location`, without a call to AWS.
    #[must_use]
    pub fn new(config: &SdkConfig, location: &StateLocation, timing: Timing) -> Self {
        // A heartbeat that takes longer than the heartbeat interval is useless; it is better to send another heartbeat.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timing.heartbeat)
            .operation_attempt_timeout(timing.heartbeat)
            .operation_timeout(timing.lease / 2)
            .build();
        let config = aws_sdk_dynamodb::config::Builder::from(config).timeout_config(timeouts).build();
        Self {
            client: Client::from_conf(config),
            workspace: location.owner.workspace.clone(),
            table: location.table.clone(),
            lock_id: location.lock_id(),
            timing,
            simulated: false,
        }
    }

    /// Returns the table with leases that measure time only with tokio's clock, which a simulation can pause. The
    /// system clock does not follow a simulation: by that clock, a simulated minute takes milliseconds, or, on a busy
    /// machine, longer than a lease.
    #[doc(hidden)]
    #[must_use]
    pub fn simulated(self) -> Self {
        Self { simulated: true, ..self }
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// Returns the name of the workspace.
    pub(super) fn workspace(&self) -> &str {
        &self.workspace
    }

    /// Returns the timing of the lease.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Returns the current holder of the lease, if any. A dead holder is returned until another run takes the lease
    /// over.
    ///
    /// # Errors
    /// Fails if the table cannot be read or is not a lock table.
    pub async fn peek(&self) -> Result<Option<Holder>, Failure> {
        self.item().await?.as_ref().map_or(Ok(None), holder)
    }

    /// Returns the fencing token in the table, or zero if the lease was never taken.
    pub(crate) async fn fence(&self) -> Result<u64, Failure> {
        let item = self.item().await?;
        item.filter(|item| item.contains_key("fence")).map_or(Ok(0), |item| number_attribute(&item, "fence"))
    }

    async fn item(&self) -> Result<Option<Item>, Failure> {
        let answer = self.client.get_item().table_name(&self.table).key("LockID", text(&self.lock_id));
        let answer = answer.consistent_read(true).send().await.for_operation("dynamodb:GetItem");
        answer.map(|answer| answer.item).map_err(|failure| self.explain(failure))
    }

    /// Releases the lease of holder `id` on behalf of a person who knows that the holder is dead or must stop. The
    /// holder detects this with its next heartbeat and writes nothing more.
    ///
    /// # Errors
    /// `NotFound` if nobody holds the lease, `Refused` if another run holds it, and any error of the table.
    pub async fn unlock(&self, id: &str) -> Result<(), Failure> {
        match self.release(id).await? {
            UpdateOutcome::Applied(_) => Ok(()),
            UpdateOutcome::Rejected(None) => {
                Err(Failure::new(Class::NotFound, "unlock", "nobody holds the lock").reason(Refusal::OtherHolder))
            }
            UpdateOutcome::Rejected(Some(holder)) => {
                let message = format!("{id} does not hold the lock; it is held by {holder}");
                let hint = format!("to break this lock: `pb-deploy unlock {} {}`", self.workspace, holder.id);
                Err(Failure::refused(Refusal::OtherHolder, "unlock", message).hint(hint))
            }
        }
    }

    /// Takes the lease as holder `id` if it is free, or, if `expired` is given, takes the lease over if the item still
    /// matches that observation. The outcome is a rejection that names this run as the holder if an earlier attempt was
    /// executed and its response was lost, because the SDK then repeats the request.
    ///
    /// # Errors
    /// `Refused` if the fencing token does not satisfy `fencing`, and any error of the table.
    pub(super) async fn take(
        &self,
        id: &str,
        who: &str,
        operation: &str,
        expired: Option<&LeaseObservation>,
        fencing: Fencing,
    ) -> Result<UpdateOutcome, Failure> {
        let (snapshot_fence, increment) = match fencing {
            Fencing::Above(fence) => (fence, 1),
            Fencing::Keep => (0, 0),
        };
        let mut values = vec![
            (":zero", number(0)),
            (":increment", number(increment)),
            (":me", text(id)),
            (":who", text(who)),
            (":operation", text(operation)),
            (":since", text(&timestamp())),
        ];
        let mut condition = "attribute_not_exists(#holder)";
        if let Some(observation) = expired {
            if observation.fence < snapshot_fence {
                return Err(self.table_behind_snapshot(snapshot_fence, observation.fence));
            }
            condition = "#holder = :expired AND #fence = :fence AND #beat = :beat";
            values.extend([
                (":expired", text(&observation.holder)),
                (":fence", number(observation.fence)),
                (":beat", number(observation.heartbeats)),
            ]);
        } else if snapshot_fence > 0 {
            condition = "attribute_not_exists(#holder) AND #fence >= :snapshot";
            values.push((":snapshot", number(snapshot_fence)));
        }
        let change = "SET #fence = if_not_exists(#fence, :zero) + :increment, #holder = :me, #who = :who, \
                      #operation = :operation, #since = :since, #beat = :zero";
        let changed = self.update(change, condition, values).await?;
        if snapshot_fence > 0 && matches!(changed, UpdateOutcome::Rejected(None)) {
            // Nobody holds the lease: either the token was too low, or the lease was released in the meantime.
            let fence = self.fence().await?;
            if fence < snapshot_fence {
                return Err(self.table_behind_snapshot(snapshot_fence, fence));
            }
        }
        Ok(changed)
    }

    fn table_behind_snapshot(&self, written: u64, fence: u64) -> Failure {
        let table = &self.table;
        let message = format!(
            "lock table {table} does not belong to this state: its lock number is {fence}, but the snapshot was \
             written under lock number {written}; nothing was changed"
        );
        Failure::refused(Refusal::OtherLockTable, "open the state", message).hint(format!(
            "the table was re-created, its item {} was deleted, or `state.lock_table` names another table than before: \
             correct `state.lock_table`, or, if {table} is the right table, restore the newest version of the state: \
             `pb-deploy state versions {workspace}`, then `pb-deploy state restore {workspace} VERSION`",
            self.lock_id,
            workspace = self.workspace
        ))
    }

    /// Sends a heartbeat of holder `id`, whose lease was granted with the fencing token `fence`. If the token in the
    /// table differs, it belongs to another acquisition, and the heartbeat is rejected: the lease had ended, and a
    /// delayed earlier request of the same run has taken it again.
    pub(super) async fn heartbeat(&self, id: &str, fence: u64) -> Result<UpdateOutcome, Failure> {
        let values = vec![(":me", text(id)), (":fence", number(fence)), (":one", number(1))];
        self.update("SET #beat = #beat + :one", "#holder = :me AND #fence = :fence", values).await
    }

    /// Releases the lease of holder `id` and keeps the fencing token.
    pub(super) async fn release(&self, id: &str) -> Result<UpdateOutcome, Failure> {
        self.update(REMOVE, "#holder = :me", vec![(":me", text(id))]).await
    }

    /// Raises the fencing token of holder `id` to `fence` if it is lower.
    pub(super) async fn raise(&self, id: &str, fence: u64) -> Result<UpdateOutcome, Failure> {
        let values = vec![(":me", text(id)), (":fence", number(fence))];
        self.update("SET #fence = :fence", "#holder = :me AND #fence < :fence", values).await
    }

    async fn update(
        &self,
        change: &str,
        condition: &str,
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<UpdateOutcome, Failure> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("LockID", text(&self.lock_id))
            .update_expression(change)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        // DynamoDB has hundreds of reserved words, so the expressions use placeholders as attribute names. It refuses a
        // placeholder that is defined but not used.
        for attribute in ATTRIBUTES {
            let name = format!("#{attribute}");
            if change.contains(&name) || condition.contains(&name) {
                request = request.expression_attribute_names(name, attribute);
            }
        }
        for (name, value) in values {
            request = request.expression_attribute_values(name, value);
        }
        let answer = request.send().await;
        if let Err(error) = &answer
            && let Some(UpdateItemError::ConditionalCheckFailedException(refused)) = error.as_service_error()
        {
            return Ok(UpdateOutcome::Rejected(match refused.item() {
                Some(item) => holder(item)?,
                // Some DynamoDB-compatible endpoints do not return the item.
                None => self.peek().await?,
            }));
        }
        let answer = answer.for_operation("dynamodb:UpdateItem").map_err(|failure| self.explain(failure))?;
        answer.attributes.as_ref().map_or(Ok(0), |item| number_attribute(item, "fence")).map(UpdateOutcome::Applied)
    }

    /// Adds the name of the lock table and a hint to `failure`.
    fn explain(&self, failure: Failure) -> Failure {
        let table = &self.table;
        let bootstrap = format!("pb-deploy bootstrap {}", self.workspace);
        match failure.code.as_deref() {
            Some("ResourceNotFoundException") => {
                let message = format!("lock table {table} not found in this region");
                Failure { message, ..failure }
                    .cause(Cause::Prerequisite)
                    .hint(format!("run `{bootstrap}`, which creates the table, or correct `state.lock_table`"))
            }
            Some("ValidationException") if failure.message.contains("key") => {
                let message = format!("the only key of table {table} must be LockID, a string: {}", failure.message);
                let hint = format!(
                    "set `state.lock_table` to the name of another table, which `{bootstrap}` creates if it does not exist"
                );
                Failure { message, ..failure }.cause(Cause::Prerequisite).hint(hint)
            }
            Some("AccessDeniedException") => failure
                .hint(format!("your AWS identity needs dynamodb:GetItem and dynamodb:UpdateItem on table {table}")),
            _ => failure,
        }
    }
}

/// Returns the holder that `item` names, if any.
fn holder(item: &Item) -> Result<Option<Holder>, Failure> {
    let Some(id) = string_attribute(item, "holder") else { return Ok(None) };
    let unknown = || "unknown".to_owned();
    Ok(Some(Holder {
        id,
        who: string_attribute(item, "who").unwrap_or_else(unknown),
        operation: string_attribute(item, "operation").unwrap_or_else(unknown),
        since: string_attribute(item, "since").unwrap_or_else(unknown),
        fence: number_attribute(item, "fence")?,
        heartbeats: number_attribute(item, "beat")?,
    }))
}

fn string_attribute(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

fn number_attribute(item: &Item, name: &str) -> Result<u64, Failure> {
    let found = item.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok());
    found.ok_or_else(|| {
        let message = format!("the item has no numeric attribute `{name}`: it was modified outside of pb-deploy");
        Failure::refused(Refusal::StateUnreadable, "read the lock", message).hint("delete the item from the lock table")
    })
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Returns the current time to the second, in RFC 3339.
#[must_use]
pub fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}
