//! Helpers for the tests of the resource kinds.

use aws_sdk_elasticloadbalancingv2::types::Tag;
use pb_engine::{ADDRESS_TAG, Graph, Ownership, STACK_TAG, Standalone, WORKSPACE_TAG};
use std::collections::BTreeMap;

/// Returns a standalone run of `graph` for the workspace `staging`.
pub(crate) fn standalone(graph: Graph) -> Standalone {
    Standalone::new(Ownership { stack: "s".to_owned(), workspace: "staging".to_owned() }, graph)
}

/// Returns the ownership tags of the resource at `address`, and its tag `Name`.
pub(crate) fn ownership_tags(address: &str, name: &str) -> Vec<Tag> {
    let tags = [("Name", name), (STACK_TAG, "s"), (WORKSPACE_TAG, "staging"), (ADDRESS_TAG, address)];
    tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).to_vec()
}

/// Returns the tags of a spec: only `Name`.
pub(crate) fn name_tag(name: &str) -> BTreeMap<String, String> {
    [("Name".to_owned(), name.to_owned())].into()
}

/// Returns the metadata of an error with this code.
pub(crate) fn error_meta(code: &str) -> aws_sdk_elasticloadbalancingv2::error::ErrorMetadata {
    aws_sdk_elasticloadbalancingv2::error::ErrorMetadata::builder().code(code).message("no").build()
}

/// Returns the body of an error response.
pub(crate) fn error_body(code: &str, message: &str) -> Option<String> {
    Some(format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    ))
}

/// Mocks a call that reads tags, with the same tags for every requested ARN.
pub(crate) fn tags(tags: Vec<Tag>) -> aws_smithy_mocks::Rule {
    use aws_sdk_elasticloadbalancingv2::operation::describe_tags::DescribeTagsOutput;
    use aws_sdk_elasticloadbalancingv2::types::TagDescription;
    aws_smithy_mocks::mock!(crate::LoadBalancerClient::describe_tags).then_compute_output(move |call| {
        let described = call
            .resource_arns()
            .iter()
            .map(|arn| TagDescription::builder().resource_arn(arn).set_tags(Some(tags.clone())).build());
        DescribeTagsOutput::builder().set_tag_descriptions(Some(described.collect())).build()
    })
}
