//! Secrets of containers: how they are referred to, and what is no place for one.

mod detection;

pub use detection::{REDACTED, is_secret_name, may_contain_secret, plain_variable, plain_word, redact_text};

use crate::account::account_id;
use crate::text::only;
use crate::{Verdict, Violation};

/// References as they are written.
const EXAMPLES: &str = "write one such as arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf or \
                        arn:aws:ssm:us-east-2:123456789012:parameter/app/db";

/// A reference, taken apart.
struct Reference<'a> {
    region: &'a str,
    account: &'a str,
    store: Store<'a>,
}

/// Where a secret is kept.
enum Store<'a> {
    /// In Secrets Manager, under a name with a random end; a key, a stage and an id may follow it.
    SecretsManager { name: &'a str, more: Vec<&'a str> },
    /// In the Parameter Store, under a name.
    ParameterStore { name: &'a str },
}

/// The ARN of a secret in Secrets Manager, or of a parameter in the Parameter Store, which ECS puts into a variable.
///
/// A secret's ARN ends in a hyphen and six characters; `:JSON_KEY:VERSION_STAGE:VERSION_ID` may follow, each of them empty or
/// not, and of the latter two one alone. (ECS developer guide: Pass Secrets Manager secrets through Amazon ECS environment
/// variables; Secrets Manager API: CreateSecret; Systems Manager API: PutParameter)
pub fn reference(arn: &str) -> Verdict {
    // Whoever writes the secret itself here by mistake must not find it in an error.
    let Some(Reference { region, account, store }) = parse_reference(arn) else {
        return Err(Violation::new(
            "this is neither the ARN of a secret in Secrets Manager nor that of a parameter in the Parameter Store",
        )
        .with_remedy(EXAMPLES));
    };
    account_id(account)?;
    if region.is_empty() {
        return Err(Violation::new(format!("`{arn}` has no region")).with_remedy(EXAMPLES));
    }
    match store {
        Store::SecretsManager { name, more } => secret(arn, name, &more),
        Store::ParameterStore { name } => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
            only("the name of a parameter", name, allowed, "letters, digits and _.-/")
        }
    }
}

fn secret(arn: &str, name: &str, more: &[&str]) -> Verdict {
    // `!` stands in the names of secrets that AWS services make, such as those of RDS.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/+=@!".contains(c);
    only("the name of a secret", name, allowed, "letters, digits and _.-/+=@!")?;
    match more {
        [] | [_, "", _] | [_, _, ""] if has_random_suffix(name) => Ok(()),
        [] | [_, "", _] | [_, _, ""] => {
            let message = format!("`{arn}` is not complete: the ARN of a secret ends with a hyphen and six characters");
            let what_to_do = "copy the whole ARN: aws secretsmanager describe-secret --secret-id NAME";
            Err(Violation::new(message).with_remedy(what_to_do))
        }
        _ => {
            let what_to_do = "write `:JSON_KEY:VERSION_STAGE:VERSION_ID` after the ARN, with all three colons; each of them \
                              may be empty, and a stage and an id exclude each other";
            let message = format!("`{arn}` names a key or a version in another way than ECS reads it");
            Err(Violation::new(message).with_remedy(what_to_do))
        }
    }
}

fn parse_reference(arn: &str) -> Option<Reference<'_>> {
    let parts: Vec<&str> = arn.split(':').collect();
    let &["arn", partition, service, region, account, resource, ref rest @ ..] = parts.as_slice() else { return None };
    let store = match (service, resource, rest) {
        ("secretsmanager", "secret", [name, more @ ..]) if !name.is_empty() => {
            Store::SecretsManager { name, more: more.to_vec() }
        }
        ("ssm", parameter, []) => {
            Store::ParameterStore { name: parameter.strip_prefix("parameter/").filter(|name| !name.is_empty())? }
        }
        _ => return None,
    };
    partition.starts_with("aws").then_some(Reference { region, account, store })
}

fn has_random_suffix(name: &str) -> bool {
    let end = |(_, end): (&str, &str)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric());
    name.rsplit_once('-').is_some_and(end)
}

/// What the execution role must be allowed for a reference: the action, and the ARN that it is done to. None for what is no
/// reference. (ECS developer guide: Task execution IAM role, Secrets Manager or Systems Manager permissions)
#[must_use]
pub fn permission(reference: &str) -> Option<(&'static str, String)> {
    match parse_reference(reference)?.store {
        Store::ParameterStore { .. } => Some(("ssm:GetParameters", reference.to_owned())),
        Store::SecretsManager { .. } => {
            let secret: Vec<&str> = reference.split(':').take(7).collect();
            Some(("secretsmanager:GetSecretValue", secret.join(":")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf";
    const PARAMETER: &str = "arn:aws:ssm:us-east-2:123456789012:parameter/app/db";

    #[test]
    fn references() {
        for good in [
            SECRET.to_owned(),
            format!("{SECRET}:password::"),
            format!("{SECRET}:::3f1c"),
            format!("{SECRET}:a key:AWSPREVIOUS:"),
            SECRET.replace("app/db", "rds!db-3af6352b-e7f0-4fdc-9c52-4910b0dd815c"),
            PARAMETER.to_owned(),
            PARAMETER.replace(":aws:", ":aws-us-gov:"),
        ] {
            assert_eq!(reference(&good), Ok(()), "{good}");
        }
        for (bad, word) in [
            ("hunter2", "neither"),
            ("app/db", "neither"),
            ("arn:aws:s3:::bucket", "neither"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter/", "neither"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter/a:b", "neither"),
            ("arn:aws:secretsmanager:us-east-2:123456789012:secret:", "neither"),
            ("arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db", "not complete"),
            ("arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf:password", "another way"),
            (
                "arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf:password:AWSPREVIOUS:3f1c",
                "another way",
            ),
            ("arn:aws:secretsmanager:us-east-2:123456789012:secret:app db-AbCdEf", "character"),
            ("arn:aws:ssm::123456789012:parameter/a", "region"),
            ("arn:aws:ssm:us-east-2:1234:parameter/a", "twelve digits"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter/a b", "character"),
        ] {
            let violation = reference(bad).unwrap_err();
            assert!(violation.to_string().contains(word), "{bad}: {violation}");
        }
        assert!(!reference("hunter2").unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn execution_role_permission_follows_from_the_reference() {
        let needs = |arn: &str| permission(arn).unwrap();
        assert_eq!(needs(&format!("{SECRET}:password::")), ("secretsmanager:GetSecretValue", SECRET.to_owned()));
        assert_eq!(needs(SECRET), ("secretsmanager:GetSecretValue", SECRET.to_owned()));
        assert_eq!(needs(PARAMETER), ("ssm:GetParameters", PARAMETER.to_owned()));
        assert_eq!(permission("hunter2"), None);
    }
}
