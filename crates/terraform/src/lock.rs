//! Terraform's own lock, as its S3 backend takes it: an item `<bucket>/<key>` in a DynamoDB table with the hash key `LockID`,
//! whose `Info` says in JSON who holds it. Beside it, `<bucket>/<key>-md5` holds the MD5 of the state that was written last.
//! (Terraform, S3 backend: State locking)

use crate::source::{Source, client};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use md5::{Digest, Md5};
use pb_aws::Answer;
use pb_engine::{Class, Failure};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// What was tried, in each failure.
const TAKE: &str = "take Terraform's lock";

/// Terraform's lock on one state. It has no end of its own: [`release`](Lock::release) it.
#[derive(Debug)]
pub struct Lock {
    client: Client,
    table: String,
    lock_id: String,
    info: String,
}

/// Who holds a lock, as Terraform writes and shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Info {
    #[serde(rename = "ID")]
    id: String,
    operation: String,
    info: String,
    who: String,
    version: String,
    created: String,
    path: String,
}

impl Lock {
    /// Takes the lock of `source`; none for a file, which has none in a table. `operation` is what Terraform shows to those who
    /// wait. A lock with this very operation is one that a run of ours left which died: only one is at work at a time, by our
    /// own lease, so it is taken over.
    ///
    /// # Errors
    /// `Locked` when Terraform holds it, by the table or by a lock file beside the state; and whatever AWS answers.
    pub async fn take(
        config: &SdkConfig,
        table: &str,
        source: &Source,
        who: &str,
        operation: &str,
    ) -> Result<Option<Self>, Failure> {
        let Source::S3 { bucket, key } = source else { return Ok(None) };
        no_lock_file(&client(config), bucket, key).await?;
        let lock_id = format!("{bucket}/{key}");
        let info = Info {
            id: uuid::Uuid::new_v4().to_string(),
            operation: operation.to_owned(),
            who: who.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created: now(),
            path: lock_id.clone(),
            ..Info::default()
        };
        let text = serde_json::to_string(&info).map_err(|error| Failure::new(Class::Bug, TAKE, error.to_string()))?;
        let lock = Self { client: Client::new(config), table: table.to_owned(), lock_id, info: text };
        lock.put(operation).await?;
        Ok(Some(lock))
    }

    async fn put(&self, operation: &str) -> Result<(), Failure> {
        let mut over: Option<String> = None;
        for _ in 0..3 {
            let call = self.client.put_item().table_name(&self.table);
            let call = call.item("LockID", text(&self.lock_id)).item("Info", text(&self.info));
            let call = match &over {
                None => call.condition_expression("attribute_not_exists(LockID)"),
                Some(dead) => call
                    .condition_expression("#info = :dead")
                    .expression_attribute_names("#info", "Info")
                    .expression_attribute_values(":dead", text(dead)),
            };
            match call.send().await.answer("dynamodb:PutItem") {
                Err(failure) if failure.is("ConditionalCheckFailedException") => {}
                answer => return answer.map(drop),
            }
            over = match self.holder().await? {
                // An earlier request was done whose answer was lost.
                Some(info) if info == self.info => return Ok(()),
                Some(info) => Some(self.dead(info, operation)?),
                None => None,
            };
        }
        Err(Failure::new(Class::Locked, TAKE, "it is taken and released again and again")
            .hint("wait until Terraform is no longer at work, and run the same command again"))
    }

    async fn holder(&self) -> Result<Option<String>, Failure> {
        read(&self.client, &self.table, &self.lock_id, "Info").await
    }

    /// `info`, when it was written by a run of ours.
    fn dead(&self, info: String, operation: &str) -> Result<String, Failure> {
        let holder: Info = serde_json::from_str(&info).unwrap_or_default();
        if holder.operation == operation {
            return Ok(info);
        }
        let Info { id, operation, who, created, .. } = holder;
        let message = format!("Terraform holds it for {}: {who} ({operation}, since {created}), id {id}", self.lock_id);
        let hint = format!(
            "wait until Terraform has ended; the lock of one that died goes with `terraform force-unlock {id}`"
        );
        Err(Failure::new(Class::Locked, TAKE, message).hint(hint))
    }

    /// Whether `bytes` are the state that Terraform wrote last, as far as it has noted that.
    ///
    /// # Errors
    /// `Refused` when it wrote another.
    pub async fn check(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(noted) = read(&self.client, &self.table, &format!("{}-md5", self.lock_id), "Digest").await? else {
            return Ok(());
        };
        let digest: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if digest == noted {
            return Ok(());
        }
        let message = format!("the state has the MD5 {digest}, and Terraform noted {noted} when it wrote it last");
        Err(Failure::new(Class::Refused, "check the Terraform state", message)
            .hint("`terraform plan` says how to mend this; nothing was changed"))
    }

    /// Gives the lock back, unless another has taken it meanwhile.
    ///
    /// # Errors
    /// Whatever the table answers; the lock then stays, and `terraform force-unlock` takes it away.
    pub async fn release(self) -> Result<(), Failure> {
        let call = self.client.delete_item().table_name(&self.table).key("LockID", text(&self.lock_id));
        let call = call.condition_expression("#info = :ours").expression_attribute_names("#info", "Info");
        match call.expression_attribute_values(":ours", text(&self.info)).send().await.answer("dynamodb:DeleteItem") {
            Err(failure) if failure.is("ConditionalCheckFailedException") => Ok(()),
            answer => answer.map(drop).map_err(|failure| {
                let id = serde_json::from_str::<Info>(&self.info).unwrap_or_default().id;
                failure.hint(format!("Terraform's lock is left over: terraform force-unlock {id}"))
            }),
        }
    }
}

async fn read(client: &Client, table: &str, lock_id: &str, attribute: &str) -> Result<Option<String>, Failure> {
    let call = client.get_item().table_name(table).key("LockID", text(lock_id)).consistent_read(true);
    let item = call.send().await.answer("dynamodb:GetItem")?.item.unwrap_or_default();
    Ok(item.get(attribute).and_then(|value| value.as_s().ok()).cloned())
}

/// Since 1.10 Terraform can lock with an object beside the state instead. (Terraform, S3 backend: `use_lockfile`)
async fn no_lock_file(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<(), Failure> {
    let file = format!("{key}.tflock");
    match client.head_object().bucket(bucket).key(&file).send().await.answer("s3:HeadObject") {
        Err(failure) if failure.class == Class::NotFound => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => {
            let message = format!("Terraform holds its lock file s3://{bucket}/{file}");
            let hint = "wait until Terraform has ended; the lock of one that died goes with `terraform force-unlock`";
            Err(Failure::new(Class::Locked, TAKE, message).hint(hint))
        }
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Now, to the second, in RFC 3339.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.fmt(DateTimeFormat::DateTime).unwrap_or_default()
}
