//! Secrets of containers: how they are referred to, and what is no place for one.

use crate::account::account_id;
use crate::text::only;
use crate::{Verdict, Violation};

/// What stands for a value of AWS that looks like a secret, wherever values are kept or shown.
pub const HIDDEN: &str = "(hidden: it looks like a secret)";

/// What to do with a secret that stands where it can be read.
const REMEDY: &str =
    "put it into Secrets Manager or the Parameter Store, and write the ARN of that under `secrets` of the service";

/// References as they are written.
const EXAMPLES: &str = "write one such as arn:aws:secretsmanager:us-east-2:123456789012:secret:app/db-AbCdEf or \
                        arn:aws:ssm:us-east-2:123456789012:parameter/app/db";

/// Ends of names whose variables hold secrets: in any case, with `_`, `-` or `.` between words.
const NAMES: [&str; 15] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "CREDENTIALS",
    "SECRET_KEY",
    "SECRET_KEY_BASE",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "API_KEY",
    "APIKEY",
    "ENCRYPTION_KEY",
    "SIGNING_KEY",
    "AUTH_KEY",
    "TOKEN",
];

/// What the keys and tokens of well-known services begin with, and how many characters follow at least.
const TOKENS: [(&str, usize); 13] = [
    // IAM user guide: IAM identifiers, unique ID prefixes.
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("sk_live_", 20),
    ("rk_live_", 20),
    ("SG.", 40),
];

/// A reference, taken apart.
struct Reference<'a> {
    region: &'a str,
    account: &'a str,
    kept: Kept<'a>,
}

/// Where a secret is kept.
enum Kept<'a> {
    /// In Secrets Manager, under a name with a random end; more may follow it.
    SecretsManager { name: &'a str, more: usize },
    /// In the Parameter Store.
    ParameterStore,
}

/// The ARN of a secret in Secrets Manager, or of a parameter in the Parameter Store, which ECS puts into a variable.
///
/// A secret's ARN ends in a hyphen and six characters; `:JSON_KEY:VERSION_STAGE:VERSION_ID` may follow, each of them empty or
/// not. (ECS developer guide: Pass Secrets Manager secrets through Amazon ECS environment variables; Secrets Manager user
/// guide: What's in a secret)
pub fn reference(arn: &str) -> Verdict {
    // Whoever writes the secret itself here by mistake must not find it in an error.
    let Some(Reference { region, account, kept }) = taken_apart(arn) else {
        return Err(Violation::new(
            "this is neither the ARN of a secret in Secrets Manager nor that of a parameter in the Parameter Store",
        )
        .remedy(EXAMPLES));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/:+=@".contains(c);
    only("the ARN of a secret", arn, allowed, "letters, digits and _.-/:+=@")?;
    account_id(account)?;
    if region.is_empty() {
        return Err(Violation::new(format!("`{arn}` has no region")).remedy(EXAMPLES));
    }
    match kept {
        Kept::SecretsManager { more, .. } if more != 0 && more != 3 => {
            let what_to_do = "write `:JSON_KEY:VERSION_STAGE:VERSION_ID` after the ARN, with all three colons; each of them \
                              may be empty";
            let message = format!("`{arn}` names a key or a version in another way than ECS reads it");
            Err(Violation::new(message).remedy(what_to_do))
        }
        Kept::SecretsManager { name, .. } if !has_random_end(name) => {
            let message = format!("`{arn}` is not complete: the ARN of a secret ends with a hyphen and six characters");
            let what_to_do = "copy the whole ARN: aws secretsmanager describe-secret --secret-id NAME";
            Err(Violation::new(message).remedy(what_to_do))
        }
        Kept::SecretsManager { .. } | Kept::ParameterStore => Ok(()),
    }
}

fn taken_apart(arn: &str) -> Option<Reference<'_>> {
    let parts: Vec<&str> = arn.split(':').collect();
    let &["arn", partition, service, region, account, resource, ref rest @ ..] = parts.as_slice() else { return None };
    let kept = match (service, resource, rest) {
        ("secretsmanager", "secret", [name, more @ ..]) if !name.is_empty() => {
            Kept::SecretsManager { name, more: more.len() }
        }
        ("ssm", parameter, []) if parameter.strip_prefix("parameter/").is_some_and(|name| !name.is_empty()) => {
            Kept::ParameterStore
        }
        _ => return None,
    };
    partition.starts_with("aws").then_some(Reference { region, account, kept })
}

fn has_random_end(name: &str) -> bool {
    let end = |(_, end): (&str, &str)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric());
    name.rsplit_once('-').is_some_and(end)
}

/// What the execution role must be allowed for a reference: the action, and the ARN that it is done to. None for what is no
/// reference. (ECS developer guide: Task execution IAM role, Secrets Manager or Systems Manager permissions)
#[must_use]
pub fn permission(reference: &str) -> Option<(&'static str, String)> {
    match taken_apart(reference)?.kept {
        Kept::ParameterStore => Some(("ssm:GetParameters", reference.to_owned())),
        Kept::SecretsManager { .. } => {
            let secret: Vec<&str> = reference.split(':').take(7).collect();
            Some(("secretsmanager:GetSecretValue", secret.join(":")))
        }
    }
}

/// A variable whose value may be read by whoever may read the configuration, the state or the task definition. Its name
/// and its value are looked at; the value is not in the text of the violation.
pub fn plain_variable(name: &str, value: &str) -> Verdict {
    match sort_of_name(name).filter(|_| !is_no_secret(value)).or_else(|| sort_of_value(value)) {
        Some(sort) => Err(Violation::new(format!(
            "`{name}` {sort}, and whoever may read the configuration, the state or the task \
                                                  definition could read it"
        ))
        .remedy(REMEDY)),
        None => Ok(()),
    }
}

/// A word of a command: see [`plain_variable`].
pub fn plain_word(word: &str) -> Verdict {
    match sort_of_value(word) {
        Some(sort) => Err(Violation::new(format!(
            "a word of the command {sort}, and whoever may read the configuration, the state or the \
                                                  task definition could read it"
        ))
        .remedy(REMEDY)),
        None => Ok(()),
    }
}

/// The value of a variable, or what stands for it where it looks like a secret.
#[must_use]
pub fn shown_variable<'a>(name: &str, value: &'a str) -> &'a str {
    if plain_variable(name, value).is_ok() { value } else { HIDDEN }
}

/// A word of a command, or what stands for it where it looks like a secret.
#[must_use]
pub fn shown_word(word: &str) -> &str {
    if plain_word(word).is_ok() { word } else { HIDDEN }
}

fn sort_of_name(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    NAMES.iter().any(|end| name.ends_with(end)).then_some("has the name of a secret")
}

/// Nothing, a flag, or a reference that the application or the shell follows itself.
fn is_no_secret(value: &str) -> bool {
    ["", "true", "false"].contains(&value) || value.starts_with("arn:") || value.starts_with("${")
}

fn sort_of_value(value: &str) -> Option<&'static str> {
    if value.contains(HIDDEN) {
        return Some("has a value that is hidden, since it looks like a secret");
    }
    if value.contains("PRIVATE KEY-----") {
        return Some("holds a private key");
    }
    if has_password(value) {
        return Some("holds an address with a password");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_token = |word: &str| {
        TOKENS.iter().any(|(head, more)| word.strip_prefix(head).is_some_and(|rest| rest.len() >= *more))
            || is_jwt(word)
    };
    value.split(|c| !is_word(c)).any(is_token).then_some("holds a key or a token")
}

/// `scheme://user:password@host`, unless the password is a variable that somebody fills in.
fn has_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, mark)| {
        let rest = &value[at + mark.len()..];
        let end = rest.find(|c: char| "/?#\"'".contains(c) || c.is_whitespace()).unwrap_or(rest.len());
        let password =
            rest[..end].rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
        password.is_some_and(|password| !password.is_empty() && !password.starts_with(['$', '{', '%', '<']))
    })
}

/// Three parts in Base64, of which the first two are JSON. (RFC 7519)
fn is_jwt(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    matches!(parts.as_slice(), [head, body, _] if head.starts_with("eyJ") && body.starts_with("eyJ"))
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
    fn what_the_execution_role_needs() {
        let needs = |arn: &str| permission(arn).unwrap();
        assert_eq!(needs(&format!("{SECRET}:password::")), ("secretsmanager:GetSecretValue", SECRET.to_owned()));
        assert_eq!(needs(SECRET), ("secretsmanager:GetSecretValue", SECRET.to_owned()));
        assert_eq!(needs(PARAMETER), ("ssm:GetParameters", PARAMETER.to_owned()));
        assert_eq!(permission("hunter2"), None);
    }

    #[test]
    fn what_looks_like_a_secret() {
        let token = format!("gh{}_{}", 'p', "a1".repeat(18));
        let key = format!("AK{}{}", "IA", "ABCDEFGH12345678");
        let jwt = format!("Bearer {0}.{0}.x", "eyJhbGciOiJIUzI1NiJ9");
        for (name, value) in [
            ("DB_PASSWORD", "hunter2"),
            ("db-password", "1234"),
            ("dbPassword", "x"),
            ("FLASK_SECRET_KEY", "dev"),
            ("STRIPE_API_KEY", "x"),
            ("SLACK_TOKEN", "x"),
            ("DATABASE_URL", "postgres://app:hunter2@db.example.org/app"),
            ("URLS", "http://a.example.org/ redis://:hunter2@cache:6379/0"),
            ("CLONE", token.as_str()),
            ("ID", key.as_str()),
            ("HEADER", jwt.as_str()),
            ("PEM", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
            ("ANYTHING", HIDDEN),
        ] {
            let violation = plain_variable(name, value).unwrap_err().to_string();
            assert!(violation.contains(name) && (value == "x" || !violation.contains(value)), "{violation}");
            assert_eq!(shown_variable(name, value), HIDDEN);
        }
        assert!(plain_word("--broker=amqp://app:hunter2@mq.example.org").is_err());
        assert_eq!(shown_word(&format!("--token={token}")), HIDDEN);
    }

    #[test]
    fn what_does_not() {
        for (name, value) in [
            ("LEVEL", "info"),
            ("PASSWORD_MIN_LENGTH", "12"),
            ("DB_PASSWORD_FILE", "/run/secrets/db"),
            ("DB_SECRET", "arn:aws:secretsmanager:us-east-2:123456789012:secret:db-AbCdEf"),
            ("USE_TOKEN", "true"),
            ("API_TOKEN", ""),
            ("API_TOKEN", "${TOKEN_OF_THE_HOST}"),
            ("TOKENS", "4096"),
            ("KEYBOARD", "qwerty"),
            ("SENTRY_DSN", "https://0123456789abcdef@o1.ingest.example.org/1"),
            ("DATABASE_URL", "postgres://app:${DB_PASSWORD}@db.example.org/app"),
            ("DATABASE_URL", "postgres://app@db.example.org:5432/app?a=b:c@d"),
            ("CELERY_BROKER_URL", "redis://cache.example.org:6400/0"),
            ("REGION", "ASIA"),
            ("HOST", "a.b.c"),
        ] {
            assert_eq!(plain_variable(name, value), Ok(()), "{name} {value}");
            assert_eq!(shown_variable(name, value), value);
        }
        for word in ["celery", "-A", "app", "--loglevel=info", "redis://cache:6379", "my.module.name"] {
            assert_eq!(plain_word(word), Ok(()), "{word}");
        }
    }
}
