//! `dynamodb.table`: where locks are kept, those of Terraform too.

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

/// The hash key of a lock table, a string, and no other key: as Terraform has it.
pub(crate) const KEY: &str = "LockID S";

const DESCRIBE: &str = "dynamodb:DescribeTable";

/// The kind of lock tables.
pub struct Table {
    client: Client,
}

/// What is wanted of a lock table. How an existing one is paid for is left as it is; a new one is paid for by request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSpec {
    /// The name.
    pub name: String,
    /// Its keys, each with its type: `LockID S`.
    pub key: String,
}

/// What names a lock table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableAttrs {
    /// The name.
    pub name: String,
}

impl Table {
    /// Tables behind `client`.
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
    Failure::new(Class::Bug, "make a lock table", error.to_string())
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
        Some(format!("the table has the key `{}`, and what is in it stays: name another `state.lock_table`", spec.key))
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

    /// Nothing about a table is changed in place.
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
                Some(status) => Progress::Pending(format!("table {name} is {}, until it is ACTIVE", status.as_str())),
                None => Progress::Pending(format!("table {name} is not visible yet")),
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

/// A limit of tables that are being created or deleted at the same time passes by itself. (DynamoDB API: CreateTable,
/// DeleteTable)
fn throttled_if_limit_exceeded(failure: Failure) -> Failure {
    failure.when(&["LimitExceededException"], Class::Throttled)
}
