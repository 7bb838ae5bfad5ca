//! IAM: statements of policies, permissions boundaries, and the size of inline policies.

use crate::account::{account_id, role_name};
use crate::text::{length, only};
use crate::{Verdict, Violation};

/// Characters that all inline policies of a role may have together, without white space. (IAM user guide: IAM and AWS STS
/// quotas)
pub const INLINE_POLICIES_MAX: usize = 10_240;

/// Condition operators, without the prefixes `ForAllValues:` and `ForAnyValue:` and the suffix `IfExists`. (IAM user guide:
/// IAM JSON policy elements: Condition operators)
const OPERATORS: [&str; 27] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
];

/// Checks the `Sid` of a statement. (IAM user guide: IAM JSON policy elements: Sid)
pub fn sid(sid: &str) -> Verdict {
    length("a statement id", sid, 1, 100)?;
    only("a statement id", sid, |c| c.is_ascii_alphanumeric(), "letters and digits")
}

/// Checks an action: `s3:GetObject`, with or without `*` and `?`, or `*`. (IAM user guide: IAM JSON policy elements:
/// Action)
pub fn action(action: &str) -> Verdict {
    let is_service = |service: &str| {
        !service.is_empty() && service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "*?".contains(c));
    match action.split_once(':') {
        None if action == "*" => Ok(()),
        Some((service, name)) if is_service(service) && is_name(name) => Ok(()),
        _ => {
            let violation = Violation::new(format!("`{action}` is not an action of IAM"));
            Err(violation.with_remedy("write an action as SERVICE:NAME, such as `s3:GetObject` or `s3:Get*`"))
        }
    }
}

/// Checks the resource of a statement: an ARN with or without `*` and `?`, or `*`. IAM refuses any other resource in an
/// inline policy. (IAM user guide: IAM JSON policy elements: Resource)
pub fn resource(arn: &str) -> Verdict {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_arn = match parts.as_slice() {
        ["arn", partition, service, _, account, resource] => {
            let is_account = account.is_empty() || account.contains(['*', '?', '$']) || account_id(account).is_ok();
            (partition.starts_with("aws") || *partition == "*")
                && !service.is_empty()
                && (is_account || *account == "aws")
                && !resource.is_empty()
        }
        _ => false,
    };
    if (is_arn || arn == "*") && !arn.contains(char::is_whitespace) {
        return Ok(());
    }
    let violation = Violation::new(format!("`{arn}` is neither an ARN nor `*`"));
    Err(violation.with_remedy("write an ARN, such as `arn:aws:s3:::my-bucket/*`"))
}

/// Checks the operator of a condition.
pub fn condition_operator(operator: &str) -> Verdict {
    let sets = ["ForAllValues:", "ForAnyValue:"];
    let plain = sets.iter().find_map(|set| operator.strip_prefix(set)).unwrap_or(operator);
    let plain = plain.strip_suffix("IfExists").unwrap_or(plain);
    if OPERATORS.contains(&plain) {
        return Ok(());
    }
    let near = OPERATORS.iter().map(|known| (strsim::damerau_levenshtein(plain, known), *known)).min();
    let violation = Violation::new(format!("`{operator}` is not a condition operator of IAM"));
    Err(match near {
        Some((edits, known)) if edits <= 3 => violation.with_remedy(format!("did you mean `{known}`?")),
        _ => violation.with_remedy("use an operator such as `StringEquals`, `ArnLike` or `Bool`"),
    })
}

/// Checks the key of a condition, such as `aws:SourceAccount` or `s3:prefix`.
pub fn condition_key(key: &str) -> Verdict {
    let is_key = key.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    if is_key && !key.contains(char::is_whitespace) {
        return Ok(());
    }
    let violation = Violation::new(format!("`{key}` is not a condition key"));
    Err(violation.with_remedy("write a condition key as SERVICE:NAME, such as `aws:SourceAccount`"))
}

/// Checks the ARN of the policy that is the permissions boundary of a role: a managed policy of the account or of AWS.
/// (IAM API: CreateRole, `PermissionsBoundary`; IAM user guide: Permissions boundaries for IAM entities)
pub fn permissions_boundary(arn: &str) -> Verdict {
    let is_policy = match arn.splitn(6, ':').collect::<Vec<_>>().as_slice() {
        ["arn", partition, "iam", "", account, policy] => {
            let name = policy.strip_prefix("policy/").and_then(|path| path.rsplit('/').next());
            partition.starts_with("aws")
                && (*account == "aws" || account_id(account).is_ok())
                && name.is_some_and(|name| name.len() <= 128 && (name.len() > 64 || role_name(name).is_ok()))
        }
        _ => false,
    };
    if is_policy {
        return Ok(());
    }
    let violation = Violation::new(format!("`{arn}` is not the ARN of a managed policy"));
    Err(violation.with_remedy("write the ARN of a policy, such as `arn:aws:iam::123456789012:policy/my-boundary`"))
}

/// Checks the size of a policy document, in characters without white space.
pub fn inline_policy_size(characters: usize) -> Verdict {
    if characters <= INLINE_POLICIES_MAX {
        return Ok(());
    }
    let violation = Violation::new(format!(
        "the statements have {characters} characters; the inline policies of a role have at most {INLINE_POLICIES_MAX}"
    ));
    Err(violation.with_remedy("remove some statements, or set `task` to an existing role with managed policies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions() {
        for good in ["*", "sqs:SendMessage", "s3:Get*", "execute-api:Invoke", "ec2:?escribe*"] {
            assert_eq!(action(good), Ok(()), "{good}");
        }
        for bad in ["", "GetObject", "s3:", ":GetObject", "s3 GetObject", "s3:Get Object", "S3:GetObject", "s3:a:b"] {
            assert!(action(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resources() {
        for good in [
            "*",
            "arn:aws:s3:::my-bucket/*",
            "arn:aws-cn:sqs:cn-north-1:123456789012:jobs",
            "arn:*:s3:::a",
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "arn:aws:s3:::home/${aws:PrincipalTag/team}/*",
        ] {
            assert_eq!(resource(good), Ok(()), "{good}");
        }
        for bad in ["", "my-bucket", "arn:aws:s3", "arn:aws:s3:::", "arn:s3:::my-bucket/*", "arn:aws:sqs:r:12:q", "a *"]
        {
            assert!(resource(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions() {
        for good in ["StringEquals", "ForAnyValue:StringLike", "ArnLikeIfExists", "ForAllValues:StringEqualsIfExists"] {
            assert_eq!(condition_operator(good), Ok(()), "{good}");
        }
        let near = condition_operator("StringEqual").unwrap_err();
        assert_eq!(near.remedy(), Some("did you mean `StringEquals`?"));
        assert!(condition_operator("Equals-something-else").is_err());
        assert_eq!(condition_key("aws:SourceAccount"), Ok(()));
        assert!(condition_key("SourceAccount").is_err() && condition_key(":x").is_err());
    }

    #[test]
    fn permissions_boundaries() {
        for good in ["arn:aws:iam::123456789012:policy/a", "arn:aws:iam::aws:policy/job/PowerUserAccess"] {
            assert_eq!(permissions_boundary(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "my-boundary",
            "arn:aws:iam::123456789012:role/a",
            "arn:aws:iam::12:policy/a",
            "arn:aws:iam::123456789012:policy/",
        ] {
            assert!(permissions_boundary(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn inline_policies_have_at_most_10240_characters() {
        assert_eq!(inline_policy_size(10_240), Ok(()));
        assert!(inline_policy_size(10_241).is_err());
    }
}
