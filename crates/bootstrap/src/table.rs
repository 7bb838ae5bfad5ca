//! `dynamodb.table`: the lock table, which Terraform can use too.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    Tag,
};
use pb_aws::ForOperation;
use pb_engine::{Backoff, Change, Class, Context, Failure, Found, Progress, ReadScope, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Key schema of a lock table, as Terraform requires: the hash key `LockID`, which is a string, and no sort key.
pub(crate) const KEY: &str = "LockID S";

const DESCRIBE: &str = "dynamodb:DescribeTable";

/// Resource kind for lock tables (`dynamodb.table`).
pub struct Table {
    client: Client,
}

/// Spec of a lock table. The billing mode of an existing table does not change; a new table is billed per request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSpec {
    /// Name of the table.
    pub name: String,
    /// Keys with their types: `LockID S`.
    pub key: String,
}

/// Attributes of a lock table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableAttrs {
    /// Name of the table.
    pub name: String,
}

impl Table {
    /// Creates the resource kind, which calls AWS through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn find(&self, name: &str) -> Result<Option<TableDescription>, Failure> {
        match self.client.describe_table().table_name(name).send().await.for_operation(DESCRIBE) {
            Err(failure) if failure.is("ResourceNotFoundException") => Ok(None),
            answer => Ok(answer?.table),
        }
    }
}

fn key_of(table: &TableDescription) -> String {
    let keys = table.key_schema().iter().map(|element| {
        let name = element.attribute_name();
        let kind = table.attribute_definitions().iter().find(|attribute| attribute.attribute_name() == name);
        format!("{name} {}", kind.map_or("?", |kind| kind.attribute_type().as_str()))
    });
    keys.collect::<Vec<_>>().join(", ")
}

fn bug(error: BuildError) -> Failure {
    Failure::new(Class::Bug, "create a lock table", error.to_string())
}

impl Resource for Table {
    const KIND: &'static str = "dynamodb.table";
    type Spec = TableSpec;
    type Attrs = TableAttrs;

    fn planned_attrs(spec: &TableSpec) -> TableAttrs {
        TableAttrs { name: spec.name.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "name" | "key")
    }

    fn deletion_blocker(spec: &TableSpec, _attrs: &TableAttrs) -> Option<String> {
        Some(format!(
            "the table has the key `{}` and its contents cannot be converted; set another `state.lock_table`",
            spec.key
        ))
    }

    fn id(attrs: &TableAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, spec) in &scope.desired {
            if let Some(table) = self.find(&spec.name).await? {
                found.push(Found::Managed {
                    address: address.clone(),
                    spec: TableSpec { name: spec.name.clone(), key: key_of(&table) },
                    attrs: TableAttrs { name: spec.name.clone() },
                    ready: table.table_status() == Some(&TableStatus::Active),
                });
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &TableSpec) -> Result<TableAttrs, Failure> {
        let (key, _) = KEY.split_once(' ').unwrap_or((KEY, "S"));
        let attribute = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
        let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().map_err(bug)?;
        let tags = cx.tags(&BTreeMap::new()).into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let call = self
            .client
            .create_table()
            .table_name(&spec.name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute.build().map_err(bug)?)
            .key_schema(schema)
            .set_tags(Some(tags.collect::<Result<_, _>>().map_err(bug)?));
        let answer = call.send().await.for_operation("dynamodb:CreateTable");
        answer
            .map_err(|failure| throttled_if_limit_exceeded(failure.when(&["ResourceInUseException"], Class::Exists)))?;
        Ok(Self::planned_attrs(spec))
    }

    /// Returns the attributes unchanged, because no field of a table is updated in place.
    async fn update(
        &self,
        _cx: &Context,
        attrs: &TableAttrs,
        _spec: &TableSpec,
        _changes: &[Change],
    ) -> Result<TableAttrs, Failure> {
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: TableAttrs) -> Result<TableAttrs, Failure> {
        let name = &attrs.name;
        cx.wait(DESCRIBE, Backoff::seconds(Duration::from_secs(300)), || async move {
            let status = self.find(name).await?.and_then(|table| table.table_status);
            Ok(match status {
                Some(TableStatus::Active) => Progress::Ready(()),
                Some(status) => Progress::Pending(format!("waiting for table {name} ({})", status.as_str())),
                None => Progress::Pending(format!("waiting for table {name} to become visible")),
            })
        })
        .await?;
        Ok(attrs)
    }

    async fn delete(&self, _cx: &Context, attrs: &TableAttrs) -> Result<(), Failure> {
        let call = self.client.delete_table().table_name(&attrs.name);
        call.send().await.for_operation("dynamodb:DeleteTable").map(drop).map_err(throttled_if_limit_exceeded)
    }
}

/// Treats `LimitExceededException` as throttling: too many tables are being created or deleted at the same time, which
/// is temporary. (DynamoDB API: CreateTable, DeleteTable)
fn throttled_if_limit_exceeded(failure: Failure) -> Failure {
    failure.when(&["LimitExceededException"], Class::Throttled)
}
