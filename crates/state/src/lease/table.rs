//! The item in DynamoDB, and the conditional changes of it.

use super::protocol::{LeaseObservation, Timing};
use crate::location::StateLocation;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};
use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

/// The attributes of the item besides its key. All but `fence` are there only while somebody holds the lease.
const ATTRIBUTES: [&str; 6] = ["fence", "holder", "who", "operation", "since", "beat"];
/// What ends a holding. The fence stays.
const REMOVE: &str = "REMOVE #holder, #who, #operation, #since, #beat";

type Item = HashMap<String, AttributeValue>;

/// The lease of one workspace, in the table where it is kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    client: Client,
    table: String,
    lock_id: String,
    timing: Timing,
    simulated: bool,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// The id of this holding; `unlock` asks for it.
    pub id: String,
    /// The person and the machine.
    pub who: String,
    /// What is done under it: `deploy`.
    pub operation: String,
    /// When it was taken, by the holder's clock, in RFC 3339. For people only.
    pub since: String,
    /// The fencing token.
    pub fence: u64,
    /// How often the holder has beaten.
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
        write!(f, "{} ({} since {}, id {}, fence {})", self.who, self.operation, self.since, self.id, self.fence)
    }
}

/// The condition on the fence in the table for taking the lease, and the change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fencing {
    /// It rises by one, and only to one above this fence, under which the snapshot was written. A table that has not come so
    /// far is not the one that the snapshot was written under; it refuses, and is left as it is.
    Above(u64),
    /// It stays, whatever it is: for a restore, which writes under a fence that it chooses, and raises the table to it when
    /// that is done.
    Keep,
}

/// What a conditional change came to.
pub(super) enum UpdateOutcome {
    /// It was done; the fence is this.
    Applied(u64),
    /// The condition was not met; this is who holds the lease.
    Rejected(Option<Holder>),
}

impl LeaseTable {
    /// The lease of the workspace at `place`. No call is made.
    #[must_use]
    pub fn new(config: &SdkConfig, location: &StateLocation, timing: Timing) -> Self {
        // A beat that takes longer than the time until the next one is of no use; better to send another.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timing.heartbeat)
            .operation_attempt_timeout(timing.heartbeat)
            .operation_timeout(timing.lease / 2)
            .build();
        let config = aws_sdk_dynamodb::config::Builder::from(config).timeout_config(timeouts).build();
        Self {
            client: Client::from_conf(config),
            table: location.table.clone(),
            lock_id: location.lock_id(),
            timing,
            simulated: false,
        }
    }

    /// The same on tokio's clock alone, which a simulation can stop. In the system's time a simulated minute takes
    /// milliseconds, or, on a machine with much to do, more than a lease.
    #[doc(hidden)]
    #[must_use]
    pub fn simulated(self) -> Self {
        Self { simulated: true, ..self }
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// How the lease is kept.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Who holds the lease now, if anybody does. A holder that died is still told until somebody takes over.
    ///
    /// # Errors
    /// When the table cannot be read, or is no table of leases.
    pub async fn peek(&self) -> Result<Option<Holder>, Failure> {
        self.item().await?.as_ref().map_or(Ok(None), holder)
    }

    /// The fence as it is in the table; zero when the lease was never taken.
    pub(crate) async fn fence(&self) -> Result<u64, Failure> {
        let item = self.item().await?;
        item.filter(|item| item.contains_key("fence")).map_or(Ok(0), |item| number_attribute(&item, "fence"))
    }

    async fn item(&self) -> Result<Option<Item>, Failure> {
        let answer = self.client.get_item().table_name(&self.table).key("LockID", text(&self.lock_id));
        let answer = answer.consistent_read(true).send().await.for_operation("dynamodb:GetItem");
        answer.map(|answer| answer.item).map_err(|failure| self.explain(failure))
    }

    /// Takes the lease from holder `id`, for people who know that it is dead or has to stop. The holder notices at its next
    /// heartbeat and writes nothing more.
    ///
    /// # Errors
    /// `NotFound` when nobody holds the lease, `Refused` when another does, and whatever the table answers.
    pub async fn unlock(&self, id: &str) -> Result<(), Failure> {
        match self.release(id).await? {
            UpdateOutcome::Applied(_) => Ok(()),
            UpdateOutcome::Rejected(None) => Err(Failure::new(Class::NotFound, "unlock", "nobody holds the lease")),
            UpdateOutcome::Rejected(Some(holder)) => {
                let message = format!("{id} does not hold the lease; it is held by {holder}");
                Err(Failure::new(Class::Refused, "unlock", message).hint("give the id that is shown"))
            }
        }
    }

    /// Takes the lease as holder `id`: when it is free, or over from one that still has the mark `over`. It is refused with our
    /// own id when an earlier request was done whose answer was lost: the SDK repeats such a request.
    ///
    /// # Errors
    /// `Refused` when the fence is not as `fencing` asks for, and whatever the table answers.
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
            // Nobody holds it: so it is for the fence, or it was released meanwhile.
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
            "the snapshot was written under fence {written}, and the lock table {table} has come to {fence} only; nothing was \
             changed"
        );
        Failure::new(Class::Refused, "open the state", message).hint(format!(
            "the lock table was created again, its item {} was deleted, or another table is configured than the one used \
             before: correct `state.lock_table`; if {table} is the right one, write the newest version of the state again with \
             `pb-deploy state versions` and `pb-deploy state restore`",
            self.lock_id
        ))
    }

    /// Says that holder `id` lives, which was granted the lease with `fence`. With another fence it is another holding: our
    /// lease had ended, and one of our earlier requests to take it arrived late.
    pub(super) async fn heartbeat(&self, id: &str, fence: u64) -> Result<UpdateOutcome, Failure> {
        let values = vec![(":me", text(id)), (":fence", number(fence)), (":one", number(1))];
        self.update("SET #beat = #beat + :one", "#holder = :me AND #fence = :fence", values).await
    }

    /// Ends the holding `id`; the fence stays.
    pub(super) async fn release(&self, id: &str) -> Result<UpdateOutcome, Failure> {
        self.update(REMOVE, "#holder = :me", vec![(":me", text(id))]).await
    }

    /// Raises the fence of holder `id` to `fence`, when it is lower.
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
        // DynamoDB has hundreds of reserved words, and refuses a name that is given and not used.
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
                // Some that speak DynamoDB's protocol do not give the item back.
                None => self.peek().await?,
            }));
        }
        let answer = answer.for_operation("dynamodb:UpdateItem").map_err(|failure| self.explain(failure))?;
        answer.attributes.as_ref().map_or(Ok(0), |item| number_attribute(item, "fence")).map(UpdateOutcome::Applied)
    }

    /// The failure in words of the lock table, with what to do.
    fn explain(&self, failure: Failure) -> Failure {
        let table = &self.table;
        let how = format!(
            "`aws dynamodb create-table --table-name {table} --billing-mode PAY_PER_REQUEST --attribute-definitions \
             AttributeName=LockID,AttributeType=S --key-schema AttributeName=LockID,KeyType=HASH`"
        );
        match failure.code.as_deref() {
            Some("ResourceNotFoundException") => {
                let message = format!("there is no lock table {table} in this region");
                Failure { message, ..failure }.hint(format!("correct `state.lock_table`, or make it: {how}"))
            }
            Some("ValidationException") if failure.message.contains("key") => {
                let message = format!("{table} has not the hash key LockID, a string, alone: {}", failure.message);
                let hint = format!("correct `state.lock_table`, or make another table: {how}");
                Failure { message, ..failure }.hint(hint)
            }
            Some("AccessDeniedException") => failure
                .hint(format!("the credentials in use need dynamodb:GetItem and dynamodb:UpdateItem on table {table}")),
            _ => failure,
        }
    }
}

/// Who holds the lease, by its item.
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
        let message = format!("the item has no number `{name}`: it was changed by another hand");
        Failure::new(Class::Refused, "read the lease", message).hint("delete the item from the lock table")
    })
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Now, to the second, in RFC 3339.
#[must_use]
pub fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}
