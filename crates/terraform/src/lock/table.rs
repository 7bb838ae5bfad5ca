//! The lock in a DynamoDB table with the hash key `LockID`: the item `<bucket>/<key>`, which contains the holder as
//! JSON in `Info`.

use super::TRIES;
use super::digest::DigestItem;
use super::holder::{check_abandoned, contended, unreleased_hint};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use pb_aws::ForOperation;
use pb_engine::Failure;

#[derive(Debug)]
pub(super) struct LockItem {
    client: Client,
    table: String,
    lock_id: String,
    info: String,
}

impl LockItem {
    /// Returns the lock item `lock_id`, which has the form `<bucket>/<key>`, with the content `info`, without writing
    /// it.
    pub fn new(client: Client, table: &str, lock_id: String, info: String) -> Self {
        Self { client, table: table.to_owned(), lock_id, info }
    }

    fn description(&self) -> String {
        format!("Terraform's lock {} in the table {}", self.lock_id, self.table)
    }

    /// Writes the item if it does not exist or an interrupted run has left it.
    pub async fn acquire(&self, operation: &str) -> Result<(), Failure> {
        let mut dead: Option<String> = None;
        for _ in 0..TRIES {
            match self.put(dead.as_deref()).await {
                Err(failure) if failure.is("ConditionalCheckFailedException") => {}
                answer => return answer,
            }
            dead = match self.read(&self.lock_id, "Info").await? {
                // An earlier request wrote the item, but its response was lost.
                Some(info) if info == self.info => return Ok(()),
                Some(info) => {
                    check_abandoned(&info, &self.description(), operation)?;
                    Some(info)
                }
                None => None,
            };
        }
        Err(contended(&self.description()))
    }

    async fn put(&self, over: Option<&str>) -> Result<(), Failure> {
        let call = self.client.put_item().table_name(&self.table);
        let call = call.item("LockID", text(&self.lock_id)).item("Info", text(&self.info));
        let call = match over {
            None => call.condition_expression("attribute_not_exists(LockID)"),
            Some(dead) => call
                .condition_expression("#info = :dead")
                .expression_attribute_names("#info", "Info")
                .expression_attribute_values(":dead", text(dead)),
        };
        call.send().await.for_operation("dynamodb:PutItem").map(drop)
    }

    async fn read(&self, lock_id: &str, attribute: &str) -> Result<Option<String>, Failure> {
        let call = self.client.get_item().table_name(&self.table).key("LockID", text(lock_id)).consistent_read(true);
        let item = call.send().await.for_operation("dynamodb:GetItem")?.item.unwrap_or_default();
        Ok(item.get(attribute).and_then(|value| value.as_s().ok()).cloned())
    }

    /// Returns the item with the digest of the state that Terraform wrote last.
    pub fn digest_item(&self) -> DigestItem {
        let region = self.client.config().region().cloned();
        DigestItem { table: self.table.clone(), lock_id: format!("{}-md5", self.lock_id), region }
    }

    /// Returns the digest of the state that Terraform wrote last, if it stored one.
    pub async fn digest(&self) -> Result<Option<String>, Failure> {
        self.read(&self.digest_item().lock_id, "Digest").await
    }

    /// Deletes the item if its content is unchanged.
    pub async fn release(&self) -> Result<(), Failure> {
        let call = self.client.delete_item().table_name(&self.table).key("LockID", text(&self.lock_id));
        let call = call.condition_expression("#info = :ours").expression_attribute_names("#info", "Info");
        match call
            .expression_attribute_values(":ours", text(&self.info))
            .send()
            .await
            .for_operation("dynamodb:DeleteItem")
        {
            Err(failure) if failure.is("ConditionalCheckFailedException") => Ok(()),
            answer => answer.map(drop).map_err(|failure| failure.hint(unreleased_hint(&self.info))),
        }
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
