//! References to the secrets of containers, and detection of secrets in plain text.

mod detection;

pub use detection::{
    REDACTED, is_secret_name, mask_passwords, may_contain_secret, plain_variable, plain_word, redact_text,
};

use crate::account::account_id;
use crate::region::{is_partition, partition, region};
use crate::text::{length, only};
use crate::{Verdict, Violation};

/// Remedy for an invalid reference: examples of valid references.
const EXAMPLES: &str = "use an ARN such as arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf or \
                        arn:aws:ssm:us-east-2:123456789012:parameter/app/db";

/// Maximum number of levels of a parameter name.
const LEVELS_MAX: usize = 15;

/// Parsed reference to a secret.
struct Reference<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    store: Store<'a>,
}

/// Store that contains the secret.
enum Store<'a> {
    /// Secrets Manager: a name with a random suffix, optionally followed by a JSON key and by a version stage or a
    /// version id.
    SecretsManager { name: &'a str, more: Vec<&'a str> },
    /// Parameter Store: a name.
    ParameterStore { name: &'a str },
}

/// Checks the ARN of a Secrets Manager secret or of a Parameter Store parameter, from which ECS sets a variable.
///
/// The ARN of a secret ends with a hyphen and six characters. It may be followed by
/// `:JSON_KEY:VERSION_STAGE:VERSION_ID`. Each of the three may be empty, and a stage and an id exclude each other. The
/// ARN of a parameter with the name `/app/db` ends with `parameter/app/db`. (ECS developer guide: Pass Secrets Manager
/// secrets through Amazon ECS environment variables; Secrets Manager API: CreateSecret; Systems Manager API:
/// PutParameter; Service Authorization Reference: resource types)
pub fn reference(arn: &str) -> Verdict {
    // The error must not show the value, which may be a secret that was written here by mistake.
    let Some(Reference { partition: own, region: place, account, store }) = parse_reference(arn) else {
        return Err(Violation::new(
            "the value is neither the ARN of a Secrets Manager secret nor that of a Parameter Store parameter",
        )
        .with_remedy(EXAMPLES));
    };
    account_id(account)?;
    if place.is_empty() {
        return Err(Violation::new(format!("`{arn}` has no region")).with_remedy(EXAMPLES));
    }
    region(place).map_err(|violation| match violation.suggestion() {
        Some(nearest) => Violation::new(violation.to_string()).with_suggestion(arn.replacen(place, nearest, 1)),
        None => violation,
    })?;
    if let Some(actual) = partition(place).filter(|actual| *actual != own) {
        let message = format!("`{arn}` has the partition `{own}`, but region {place} belongs to `{actual}`");
        return Err(Violation::new(message).with_suggestion(arn.replacen(own, actual, 1)));
    }
    match store {
        Store::SecretsManager { name, more } => secret(arn, name, &more),
        Store::ParameterStore { name } => parameter(arn, name),
    }
}

/// Checks the name of a parameter, without its leading slash. (Systems Manager API: PutParameter, `Name`)
fn parameter(arn: &str, name: &str) -> Verdict {
    let what = "a parameter name";
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    only(what, name, allowed, "letters, digits and _.-/")?;
    length("the ARN of a parameter", arn, 1, 1011)?;
    let levels: Vec<&str> = name.split('/').collect();
    if levels.contains(&"") {
        let joined: Vec<&str> = levels.into_iter().filter(|level| !level.is_empty()).collect();
        let message = format!("`{arn}` has a slash too many: no level of {what} is empty");
        let fixed = arn.replacen(name, &joined.join("/"), 1);
        return Err(match joined.is_empty() {
            true => Violation::new(message).with_remedy(EXAMPLES),
            false => Violation::new(message).with_suggestion(fixed),
        });
    }
    if levels.len() > LEVELS_MAX {
        let message = format!("`{arn}` has {} levels; {what} can have at most {LEVELS_MAX}", levels.len());
        return Err(Violation::new(message));
    }
    Ok(())
}

/// Checks the name and the version of a secret.
fn secret(arn: &str, name: &str, more: &[&str]) -> Verdict {
    // AWS services such as RDS create secrets with `!` in the name.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/+=@!".contains(c);
    only("a secret name", name, allowed, "letters, digits and _.-/+=@!")?;
    // The name has up to 512 characters, and the suffix seven.
    length("a secret name", name, 1, 519)?;
    match more {
        [] | [_, "", _] | [_, _, ""] if has_random_suffix(name) => Ok(()),
        [] | [_, "", _] | [_, _, ""] => {
            let message = format!("`{arn}` is incomplete: the ARN of a secret ends with a hyphen and six characters");
            let region = arn.split(':').nth(3).unwrap_or_default();
            let remedy =
                format!("copy the whole ARN: aws secretsmanager describe-secret --secret-id NAME --region {region}");
            Err(Violation::new(message).with_remedy(remedy))
        }
        _ => {
            let remedy = "append `:JSON_KEY:VERSION_STAGE:VERSION_ID` to the ARN, with all three colons; each of the \
                          three may be empty, and a stage and an id exclude each other";
            let message = format!("`{arn}` names a key or a version in a form that ECS does not accept");
            Err(Violation::new(message).with_remedy(remedy))
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
    is_partition(partition).then_some(Reference { partition, region, account, store })
}

fn has_random_suffix(name: &str) -> bool {
    let end = |(_, end): (&str, &str)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric());
    name.rsplit_once('-').is_some_and(end)
}

/// Returns the permission that the execution role needs to read the referenced secret: the action and the ARN of the
/// resource. Returns `None` if the text is not a reference. (ECS developer guide: Task execution IAM role, Secrets
/// Manager or Systems Manager permissions)
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
            PARAMETER.replace(":aws:", ":aws-us-gov:").replace("us-east-2", "us-gov-west-1"),
            PARAMETER.replace("app/db", "aws/reference/secretsmanager/app"),
            PARAMETER.replace("app/db", &vec!["a"; 15].join("/")),
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
            ("arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db", "incomplete"),
            (
                "arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf:password",
                "a form that ECS does not accept",
            ),
            (
                "arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf:password:AWSPREVIOUS:3f1c",
                "a form that ECS does not accept",
            ),
            ("arn:aws:secretsmanager:us-east-2:123456789012:secret:app db-AbCdEf", "contains ' '"),
            ("arn:aws:ssm::123456789012:parameter/a", "region"),
            ("arn:aws:ssm:us-east-2:1234:parameter/a", "twelve digits"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter/a b", "contains ' '"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter//app/key", "a slash too many"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter/app//key", "a slash too many"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter/app/", "a slash too many"),
            ("arn:aws:ssm:us-east-2:123456789012:parameter//", "a slash too many"),
            (&PARAMETER.replace("app/db", &vec!["a"; 16].join("/")), "16 levels"),
            (&PARAMETER.replace("app/db", &"a".repeat(980)), "1011"),
            (&SECRET.replace("app/db", &"a".repeat(513)), "519"),
            ("arn:aws:ssm:us-est-2:123456789012:parameter/a", "`us-est-2` is not a region"),
            ("arn:aws:ssm:us-gov-west-1:123456789012:parameter/a", "belongs to `aws-us-gov`"),
            ("arn:aws-china:ssm:us-east-2:123456789012:parameter/a", "neither"),
            ("ARN:aws:ssm:us-east-2:123456789012:parameter/a", "neither"),
        ] {
            let violation = reference(bad).unwrap_err();
            assert!(violation.to_string().contains(word), "{bad}: {violation}");
        }
        for (bad, suggestion) in [
            (PARAMETER.replace("/app", "//app"), PARAMETER.to_owned()),
            (PARAMETER.replace("east-2", "est-2"), PARAMETER.to_owned()),
            (SECRET.replace(":aws:", ":aws-cn:"), SECRET.to_owned()),
        ] {
            assert_eq!(reference(&bad).unwrap_err().suggestion(), Some(&*suggestion), "{bad}");
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
