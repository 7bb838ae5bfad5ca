//! The lock in a DynamoDB table with the hash key `LockID`: the item `<bucket>/<key>`, which contains the holder as
//! JSON in `Info`. The item `<bucket>/<key>-md5` contains the MD5 digest of the state that Terraform wrote last.

use super::TRIES;
use super::holder::{check_abandoned, contended, unreleased_hint};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use md5::{Digest, Md5};
use pb_aws::ForOperation;
use pb_engine::{Failure, Refusal};

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

    /// Checks that `bytes` have the digest that Terraform stored, if it stored one.
    pub async fn check(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(noted) = self.read(&format!("{}-md5", self.lock_id), "Digest").await? else {
            return Ok(());
        };
        let digest: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if digest == noted {
            return Ok(());
        }
        let message = format!("the state has the MD5 digest {digest}, but Terraform stored the digest {noted}");
        Err(Failure::refused(Refusal::TerraformState, "check the Terraform state", message)
            .hint("nothing was changed; run `terraform plan`, which explains how to fix this"))
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
