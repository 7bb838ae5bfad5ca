//! Helpers shared by the tests of all resource kinds.

use pb_engine::{Graph, Ownership, Standalone};

/// Returns the body of an ElastiCache error response with this code.
pub(crate) fn error_body(code: &str) -> Option<String> {
    Some(format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    ))
}

/// Returns `graph` as a standalone stack of the workspace `staging`.
pub(crate) fn standalone(graph: Graph) -> Standalone {
    Standalone::new(Ownership { stack: "s".to_owned(), workspace: "staging".to_owned() }, graph)
}

/// Returns the ownership tags of the resource at `address`, and `Name`.
pub(crate) fn owned_tags(address: &str, name: &str) -> Vec<aws_sdk_elasticache::types::Tag> {
    let tags = [
        ("Name", name),
        (pb_engine::STACK_TAG, "s"),
        (pb_engine::WORKSPACE_TAG, "staging"),
        (pb_engine::ADDRESS_TAG, address),
    ];
    tags.map(|(key, value)| aws_sdk_elasticache::types::Tag::builder().key(key).value(value).build()).to_vec()
}

/// Returns the tags of a spec, which consist of `Name`.
pub(crate) fn name_tag(name: &str) -> std::collections::BTreeMap<String, String> {
    [("Name".to_owned(), name.to_owned())].into()
}

/// Returns the metadata of an error with this code.
pub(crate) fn error_metadata(code: &str) -> aws_sdk_elasticache::error::ErrorMetadata {
    aws_sdk_elasticache::error::ErrorMetadata::builder().code(code).message("no").build()
}
