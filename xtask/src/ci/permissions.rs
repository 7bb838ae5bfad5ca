//! IAM actions: each call to AWS must be documented as a permission.
//!
//! Each crate names its calls by service and operation (`ecs:CreateService`) in the code that converts a response to an
//! error. Its README documents the IAM actions for these calls; `docs/permissions.md` documents those of crates without a
//! README. Most actions have the name of the operation; [`OTHER_NAMES`] contains the exceptions.

use std::collections::BTreeSet;
use std::path::Path;

use super::sizes;
use crate::failure::{self, Failure};

/// IAM prefixes of the services.
const SERVICES: [&str; 13] = [
    "dynamodb",
    "ec2",
    "ecr",
    "ecs",
    "elasticache",
    "elasticloadbalancing",
    "iam",
    "logs",
    "route53",
    "s3",
    "servicequotas",
    "sts",
    "tag",
];

/// Operations of S3 that are no IAM actions, each with the action that allows it. (Service Authorization Reference:
/// Amazon S3)
const OTHER_NAMES: [(&str, &str); 9] = [
    ("GetBucketEncryption", "GetEncryptionConfiguration"),
    ("GetPublicAccessBlock", "GetBucketPublicAccessBlock"),
    ("HeadBucket", "ListBucket"),
    ("HeadObject", "GetObject"),
    ("ListBuckets", "ListAllMyBuckets"),
    ("ListObjectVersions", "ListBucketVersions"),
    ("ListObjectsV2", "ListBucket"),
    ("PutBucketEncryption", "PutEncryptionConfiguration"),
    ("PutPublicAccessBlock", "PutBucketPublicAccessBlock"),
];

/// Document with the calls of the crates without a README.
const DOCUMENT: &str = "docs/permissions.md";

/// Returns a problem for each call whose action the document of its crate does not name, and for each name in these
/// documents that is no IAM action.
///
/// # Errors
///
/// Fails if a file or folder cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for name in sizes::subfolders(&root.join("crates"))? {
        let folder = root.join("crates").join(&name);
        let mut files = Vec::new();
        sizes::source_files(&folder.join("src"), &mut files)?;
        let mut calls = BTreeSet::new();
        for file in files {
            calls.extend(calls_in(&failure::read(&file)?));
        }
        let own = folder.join("README.md");
        let document = if own.is_file() { own } else { root.join(DOCUMENT) };
        let named = words(&failure::read(&document)?);
        let shown = document.strip_prefix(root).unwrap_or(&document).display();
        let missing = calls.iter().filter(|call| {
            call.split_once(':').is_some_and(|(service, operation)| !named.contains(action(service, operation)))
        });
        problems.extend(missing.map(|call| format!("{name} calls {call}, which {shown} does not document")));
        let wrong = OTHER_NAMES.iter().filter(|(operation, _)| named.contains(*operation));
        problems.extend(wrong.map(|(operation, action)| {
            format!("{shown} names s3:{operation}, which is no IAM action; write s3:{action}")
        }));
    }
    problems.sort_unstable();
    problems.dedup();
    Ok(problems)
}

/// Returns the IAM action that allows an operation.
fn action<'a>(service: &str, operation: &'a str) -> &'a str {
    let other = OTHER_NAMES.iter().find(|(known, _)| service == "s3" && *known == operation);
    other.map_or(operation, |(_, action)| action)
}

/// Returns the string literals that are calls, such as `"ecs:CreateService"`.
fn calls_in(source: &str) -> BTreeSet<String> {
    let is_call = |text: &&str| {
        let Some((service, action)) = text.split_once(':') else { return false };
        let capital = action.starts_with(|first: char| first.is_ascii_uppercase());
        SERVICES.contains(&service) && capital && action.chars().all(|c| c.is_ascii_alphanumeric())
    };
    source.split('"').filter(is_call).map(str::to_owned).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undocumented_call_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(DOCUMENT, "needs `sts:GetCallerIdentity`");
        write("crates/net/README.md", "`ec2:` `DescribeVpcs`, `CreateVpc`");
        write(
            "crates/net/src/vpc/calls.rs",
            r#"answer("ec2:CreateVpc"); answer("ec2:DeleteVpc"); "ec2:vpc" "x:CreateIt""#,
        );
        write("crates/tool/src/main.rs", r#"answer("sts:GetCallerIdentity"); answer("iam:GetRole")"#);
        write("crates/store/README.md", "`s3:` `GetObject`, `ListBucket`, `HeadBucket`");
        write(
            "crates/store/src/lib.rs",
            r#"answer("s3:HeadObject"); answer("s3:HeadBucket"); answer("s3:PutBucketEncryption")"#,
        );
        let found = check(root.path()).unwrap();
        assert_eq!(
            found,
            [
                "crates/store/README.md names s3:HeadBucket, which is no IAM action; write s3:ListBucket",
                "net calls ec2:DeleteVpc, which crates/net/README.md does not document",
                "store calls s3:PutBucketEncryption, which crates/store/README.md does not document",
                "tool calls iam:GetRole, which docs/permissions.md does not document",
            ]
        );
    }
}
