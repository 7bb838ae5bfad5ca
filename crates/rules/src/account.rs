//! Accounts, and the prerequisites of a deploy: role, bucket, table.

use crate::region::region;
use crate::text::{length, no_part, no_prefix, no_suffix, only};
use crate::{Verdict, Violation};

/// Checks the id of an account: twelve digits. (AWS Account Management: AWS account identifiers)
pub fn account_id(id: &str) -> Verdict {
    if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(Violation::new(format!("`{id}` is not an account id; an account id has twelve digits")))
}

/// Checks the name of a role, without path or ARN. (IAM API: CreateRole)
pub fn role_name(name: &str) -> Verdict {
    let what = "a role name";
    if let Some((_, tail)) = name.rsplit_once('/') {
        return Err(Violation::new(format!("`{name}` is a path or an ARN; expected {what}")).with_suggestion(tail));
    }
    length(what, name, 1, 64)?;
    only(what, name, |c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c), "letters, digits and +=,.@_-")
}

/// Checks the name of a bucket. (S3 user guide: General purpose bucket naming rules)
pub fn bucket(name: &str) -> Verdict {
    let what = "a bucket name";
    length(what, name, 3, 63)?;
    only(
        what,
        name,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.',
        "lower-case letters, digits, hyphens and dots",
    )?;
    for end in ["-", "."] {
        no_prefix(what, name, end)?;
        no_suffix(what, name, end)?;
    }
    no_part(what, name, "..")?;
    for prefix in ["xn--", "sthree-", "amzn-s3-demo-"] {
        no_prefix(what, name, prefix)?;
    }
    for suffix in ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"] {
        no_suffix(what, name, suffix)?;
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(Violation::new(format!("`{name}` looks like an IP address, which is not allowed for {what}")));
    }
    Ok(())
}

/// Checks a prefix of object keys: it is empty, or consists of folder names without a slash at either end. (S3 user
/// guide: Naming Amazon S3 objects, safe characters)
pub fn key_prefix(prefix: &str) -> Verdict {
    let what = "a key prefix";
    length(what, prefix, 0, 512)?;
    only(what, prefix, |c| c.is_ascii_alphanumeric() || "!-_.*'()/:".contains(c), "letters, digits and !-_.*'()/:")?;
    no_part(what, prefix, "//")?;
    no_prefix(what, prefix, "/")?;
    no_suffix(what, prefix, "/")
}

/// Checks the name of a KMS key: its id, its alias, or the ARN of either. (S3 API: PutObject,
/// `x-amz-server-side-encryption-aws-kms-key-id`; KMS API: DescribeKey, `KeyId`)
pub fn kms_key(name: &str) -> Verdict {
    let id = |text: &str| {
        let key = text.strip_prefix("mrk-").unwrap_or(text);
        (key.len() == 32 || key.len() == 36) && key.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    };
    let alias = |text: &str| {
        text.strip_prefix("alias/").is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c))
        })
    };
    let resource = match name.split(':').collect::<Vec<_>>().as_slice() {
        [resource] => *resource,
        ["arn", partition, "kms", region_name, account, resource]
            if partition.starts_with("aws") && region(region_name).is_ok() && account_id(account).is_ok() =>
        {
            resource.strip_prefix("key/").unwrap_or(resource)
        }
        _ => "",
    };
    if name.len() <= 2048 && (id(resource) || alias(resource)) {
        return Ok(());
    }
    Err(Violation::new(format!(
        "`{name}` is not a KMS key; expected a key id, `alias/NAME`, or the ARN of a key or an alias"
    )))
}

/// Checks the name of a DynamoDB table. (DynamoDB API: CreateTable)
pub fn table(name: &str) -> Verdict {
    let what = "a table name";
    length(what, name, 3, 255)?;
    only(what, name, |c| c.is_ascii_alphanumeric() || "_.-".contains(c), "letters, digits and _.-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids() {
        assert_eq!(account_id("012345678901"), Ok(()));
        for bad in ["", "12345678901", "0123456789012", "01234567890a"] {
            assert!(account_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roles() {
        assert_eq!(role_name("ecsTaskExecutionRole"), Ok(()));
        assert!(role_name("").is_err());
        assert!(role_name("a b").is_err());
        assert!(role_name(&"x".repeat(65)).is_err());
        let arn = role_name("arn:aws:iam::123456789012:role/team/worker").unwrap_err();
        assert_eq!(arn.suggestion(), Some("worker"));
    }

    #[test]
    fn buckets() {
        for good in ["ospc-terraform-state-storage-s3", "a.b", "123"] {
            assert_eq!(bucket(good), Ok(()), "{good}");
        }
        for bad in ["ab", "Abc", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "xn--abc", "abc-s3alias"] {
            assert!(bucket(bad).is_err(), "{bad}");
        }
        assert!(bucket(&"x".repeat(64)).is_err());
    }

    #[test]
    fn key_prefixes() {
        for good in ["", "teams/web", "a"] {
            assert_eq!(key_prefix(good), Ok(()), "{good}");
        }
        for bad in ["/a", "a/", "a//b", "a b"] {
            assert!(key_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kms_keys() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let arn = |resource: &str| format!("arn:aws:kms:us-east-2:123456789012:{resource}");
        for good in [id, "mrk-1234abcd12ab34cd56ef1234567890ab", "alias/team/state", "alias/aws/s3"] {
            assert_eq!(kms_key(good), Ok(()), "{good}");
        }
        for good in [arn(&format!("key/{id}")), arn("alias/state")] {
            assert_eq!(kms_key(&good), Ok(()), "{good}");
        }
        for bad in ["", "state", "alias/", "alias/a b", "arn:aws:s3:::states", "arn:aws:kms:us-east-2:12:alias/a"] {
            assert!(kms_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables() {
        assert_eq!(table("ospc-terraform-state-lock-table"), Ok(()));
        for bad in ["ab", "a/b", "a b c", &"x".repeat(256)] {
            assert!(table(bad).is_err(), "{bad}");
        }
    }
}
