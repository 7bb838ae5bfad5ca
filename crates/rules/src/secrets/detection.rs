//! Detection of secrets by the name of a variable or by the value.

use crate::{Verdict, Violation};
use std::ops::Range;

/// Placeholder that replaces a value from AWS that looks like a secret, wherever the value is stored or displayed.
pub const REDACTED: &str = "(hidden: it looks like a secret)";

/// Remedy for a secret in plain text.
const REMEDY: &str = "store it in Secrets Manager or Parameter Store, and put its ARN under `secrets` of the service";

/// Reason why a secret in plain text is refused.
const READERS: &str = "anyone who can read the configuration, the state or the task definition could read it";

/// Endings of the names of variables that contain secrets. Upper and lower case are equivalent, and so are `_`, `-` and
/// `.` between words.
const SECRET_NAME_ENDINGS: [&str; 21] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "CREDENTIALS",
    "SECRET_KEY",
    "SECRET_KEY_BASE",
    "SECRET_KEY_FALLBACKS",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "ACCOUNT_KEY",
    "API_KEY",
    "APIKEY",
    "AUTH_KEY",
    "ENCRYPTION_KEY",
    "FERNET_KEY",
    "JWT_KEY",
    "MASTER_KEY",
    "SHARED_KEY",
    "SIGNING_KEY",
];

/// Endings of such names that have to be a word of their own, because they are too short to be matched within a word.
const SECRET_LAST_WORDS: [&str; 2] = ["PASS", "PWD"];

/// Variables in which a shell keeps its current and its previous directory.
const DIRECTORY_VARIABLES: [&str; 2] = ["PWD", "OLDPWD"];

/// Values that are never secrets, whatever the name of the variable; compared case-insensitively.
const HARMLESS_VALUES: [&str; 11] = ["", "true", "false", "yes", "no", "on", "off", "0", "1", "none", "null"];

/// Prefixes of the keys and tokens of well-known services, with the minimum number of characters that follow.
const TOKEN_PREFIXES: [(&str, usize); 19] = [
    // IAM user guide: IAM identifiers, unique ID prefixes.
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 35),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("hf_", 30),
    ("npm_", 30),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("sk-", 32),
    ("sk_live_", 20),
    ("sk_test_", 20),
    ("rk_live_", 20),
    ("whsec_", 20),
    ("SG.", 40),
];

/// Checks, by its name and its value, that a variable in plain text does not contain a secret: anyone who can read the
/// configuration, the state or the task definition can read the value. The message does not contain the value.
pub fn plain_variable(name: &str, value: &str) -> Verdict {
    let named = is_secret_name(name) && !is_harmless(value) && !value.contains(REDACTED);
    match named.then_some("has the name of a secret").or_else(|| secret_kind(value)) {
        Some(kind) => Err(Violation::new(format!("`{name}` {kind}, and {READERS}")).with_remedy(REMEDY)),
        None => Ok(()),
    }
}

/// Checks that an argument of a command does not contain a secret, as [`plain_variable`] does for a variable. An
/// assignment in the argument (`--password=x`, `A_TOKEN=x`) is checked like a variable.
pub fn plain_word(word: &str) -> Verdict {
    match secret_kind(word) {
        Some(kind) => {
            Err(Violation::new(format!("an argument of the command {kind}, and {READERS}")).with_remedy(REMEDY))
        }
        None => Ok(()),
    }
}

/// Redacts a text for display: every word that looks like a secret, or the whole text if the secret is longer than a
/// word.
#[must_use]
pub fn redact_text(text: &str) -> String {
    if secret_kind(text).is_none() {
        return text.to_owned();
    }
    let shown = |word| if secret_kind(word).is_none() { word } else { REDACTED };
    let words: Vec<&str> = text.split(' ').map(shown).collect();
    if words.contains(&REDACTED) { words.join(" ") } else { REDACTED.to_owned() }
}

/// Returns whether a line that cannot be parsed may contain a secret.
#[must_use]
pub fn may_contain_secret(line: &str) -> bool {
    let mut names = line.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c));
    names.any(|name| is_secret_name(name) || name.eq_ignore_ascii_case("secrets")) || secret_kind(line).is_some()
}

/// Returns whether a variable with this name presumably contains a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let last = name.rsplit('_').next().unwrap_or_default();
    let short = SECRET_LAST_WORDS.contains(&last) && !DIRECTORY_VARIABLES.contains(&name.as_str());
    short || SECRET_NAME_ENDINGS.iter().any(|end| name.ends_with(end))
}

/// Returns whether a value is empty, a flag such as `true`, a file path, or a reference that the application or the
/// shell resolves.
fn is_harmless(value: &str) -> bool {
    let is_path = value.starts_with('/') && !value.contains(char::is_whitespace);
    HARMLESS_VALUES.iter().any(|flag| value.eq_ignore_ascii_case(flag))
        || is_path
        || value.starts_with("arn:")
        || is_placeholder(value)
}

/// Returns whether a value is a placeholder that is filled in later: `$NAME`, `${NAME}`, `$(command)`, `%(name)s`,
/// `{name}` or `<name>`.
fn is_placeholder(value: &str) -> bool {
    let variable = value.strip_prefix('$').and_then(|rest| rest.chars().next());
    variable.is_some_and(|c| c.is_ascii_uppercase() || "{(".contains(c))
        || value.starts_with("%(")
        || (value.starts_with('{') && value.contains('}'))
        || (value.starts_with('<') && value.contains('>'))
}

/// Returns the kind of secret that a value contains, as the predicate of a sentence; `None` if it contains none.
fn secret_kind(value: &str) -> Option<&'static str> {
    if value.contains(REDACTED) {
        return Some("has a hidden value, which looks like a secret");
    }
    if value.contains("PRIVATE KEY-----") {
        return Some("contains a private key");
    }
    if has_password(value) {
        return Some("contains a URL with a password");
    }
    if assigns_secret(value) {
        return Some("assigns a value to the name of a secret");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_token = |word: &str| {
        TOKEN_PREFIXES.iter().any(|(head, more)| word.strip_prefix(head).is_some_and(|rest| rest.len() >= *more))
            || is_jwt(word)
    };
    value.split(|c| !is_word(c)).any(is_token).then_some("contains a key or token")
}

/// Masks the passwords of the URLs in a text with `**`, as Celery does; their hosts stay readable.
#[must_use]
pub fn mask_passwords(text: &str) -> String {
    let mut masked = text.to_owned();
    // From the last to the first, so that earlier positions stay valid.
    for (at, mark) in text.rmatch_indices("://") {
        if let Some(password) = password_at(text, at + mark.len()) {
            masked.replace_range(password, "**");
        }
    }
    masked
}

/// Returns whether a value contains `scheme://user:password@host`, unless the password is a placeholder or a mask.
fn has_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, mark)| password_at(value, at + mark.len()).is_some())
}

/// Returns the range of the password in the URL whose user begins at `start`. It ends at the last `@` of the word, because
/// the password may contain another one.
fn password_at(value: &str, start: usize) -> Option<Range<usize>> {
    let rest = &value[start..];
    let end = rest.find(|c: char| "\"'".contains(c) || c.is_whitespace()).unwrap_or(rest.len());
    let (user, rest) = rest[..end].split_once(':')?;
    let (password, _) = rest.split_once('@')?;
    // If the URL has no user, this is the port of its host, and the rest of the URL may contain an `@`.
    let is_port = password.split(['/', '?', '#']).next().is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let is_port = is_port && password.contains(['/', '?', '#']);
    let is_user = !user.contains(['/', '?', '#', '@']);
    let is_mask = password.bytes().all(|b| b == b'*');
    let start = start + user.len() + 1;
    let end = start + rest.rfind('@')?;
    (is_user && !is_port && !is_mask && !is_placeholder(password)).then_some(start..end)
}

/// Returns whether a value contains an assignment such as `--password=x`, `A_TOKEN=x;` or `?api_key=x`.
fn assigns_secret(value: &str) -> bool {
    let mut parts = value.split(|c: char| c.is_whitespace() || ";,&?|\"'".contains(c));
    parts.any(|part| {
        part.split_once('=')
            .is_some_and(|(name, value)| is_secret_name(name.trim_start_matches('-')) && !is_harmless(value))
    })
}

/// Returns whether a word is a JSON Web Token: it has three parts in Base64, of which the first two are JSON. (RFC
/// 7519)
fn is_jwt(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    matches!(parts.as_slice(), [head, body, _] if head.starts_with("eyJ") && body.starts_with("eyJ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a token with this prefix that no scanner mistakes for a real one.
    fn token(head: &str) -> String {
        format!("{head}{}", "a1".repeat(20))
    }

    #[test]
    fn secrets_are_detected_by_name_and_value() {
        let tokens = TOKEN_PREFIXES.map(|(head, _)| token(head));
        let jwt = format!("Bearer {0}.{0}.x", "eyJhbGciOiJIUzI1NiJ9");
        let by_name = [
            ("DB_PASSWORD", "hunter2"),
            ("db-password", "1234"),
            ("dbPassword", "hunter2"),
            ("SMTP_PASS", "hunter2"),
            ("MYSQL_PWD", "hunter2"),
            ("FLASK_SECRET_KEY", "dev"),
            ("FERNET_KEY", "hunter2"),
            ("STRIPE_API_KEY", "hunter2"),
            ("SLACK_TOKEN", "hunter2"),
            ("APP_CREDENTIALS", "{\"a\": 1}\nhunter2".trim_start_matches('{')),
        ];
        let by_value = [
            "postgres://app:hunter2@db.example.org/app",
            "postgres://app:hun/ter2@db.example.org/app",
            "postgres://app:$ecret@db.example.org/app",
            "http://a.example.org/ redis://:%23hunter2@cache:6379/0",
            "redis://:1234@cache:6379/0",
            "redis://cache:6379/0?password=hunter2",
            "host=db user=app password=hunter2",
            "-----BEGIN RSA PRIVATE KEY-----\nMII",
            jwt.as_str(),
            REDACTED,
        ];
        let by_value = by_value.into_iter().chain(tokens.iter().map(String::as_str)).map(|value| ("VALUE", value));
        for (name, value) in by_name.into_iter().chain(by_value) {
            let violation = plain_variable(name, value).unwrap_err();
            assert!(violation.to_string().contains(name) && violation.remedy().is_some());
            assert!(!violation.to_string().contains(value), "{violation}");
        }
        for word in [
            "--broker=amqp://app:hunter2@mq.example.org",
            "DB_PASSWORD=hunter2",
            "--api-key=hunter2",
            "export A_TOKEN=hunter2; exec serve",
        ] {
            assert!(plain_word(word).is_err(), "{word}");
        }
    }

    #[test]
    fn harmless_values_are_accepted() {
        for (name, value) in [
            ("LEVEL", "info"),
            ("PASSWORD_MIN_LENGTH", "12"),
            ("DB_PASSWORD_FILE", "/run/secrets/db"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/app/gcp.json"),
            ("CORS_SUPPORTS_CREDENTIALS", "True"),
            ("URL_RESET_PASSWORD", "/reset"),
            ("DB_SECRET", "arn:aws:secretsmanager:us-east-2:123456789012:secret:db-AbCdEf"),
            ("API_TOKEN", ""),
            ("API_TOKEN", "${TOKEN_OF_THE_HOST}"),
            ("TOKENS", "4096"),
            ("KEYBOARD", "qwerty"),
            ("BYPASS", "some"),
            ("PWD", "app"),
            ("SENTRY_DSN", "https://0123456789abcdef@o1.ingest.example.org/1"),
            ("DATABASE_URL", "postgres://app:${DB_PASSWORD}@db.example.org/app"),
            ("DATABASE_URL", "postgres://app:$DB_PASSWORD@db.example.org/app"),
            ("DATABASE_URL", "postgres://app@db.example.org:5432/app?a=b:c@d"),
            ("URL", "http://example.org:8080/a@b"),
            ("URL", "http://example.org/a:b@c"),
            ("CELERY_BROKER_URL", "redis://cache.example.org:6400/0"),
            ("OPTIONS", "token=${TOKEN} password=<password>"),
            ("CELERY_BROKER_URL", "redis://:**@cache.example.org:6400/0"),
            ("REGION", "ASIA"),
            ("HOST", "a.b.c"),
        ] {
            assert_eq!(plain_variable(name, value), Ok(()), "{name} {value}");
        }
        for word in ["celery", "-A", "app", "--loglevel=info", "redis://cache:6379", "my.module.name", "--token=$TOKEN"]
        {
            assert_eq!(plain_word(word), Ok(()), "{word}");
        }
    }

    #[test]
    fn secret_words_of_a_text_are_redacted() {
        let text = "cannot reach postgres://app:hunter2@db/app: timeout";
        assert_eq!(redact_text(text), format!("cannot reach {REDACTED} timeout"));
        assert_eq!(redact_text("nothing  of that"), "nothing  of that");
        assert_eq!(redact_text("key: -----BEGIN RSA PRIVATE KEY-----\\nMII"), REDACTED);
    }

    #[test]
    fn passwords_of_urls_are_masked_and_hosts_stay() {
        for (text, masked) in [
            ("connect to redis://:hunter2@q:6400/0: refused", "connect to redis://:**@q:6400/0: refused"),
            ("amqp://a:p@ss@mq 'rediss://u:x/y@q'", "amqp://a:**@mq 'rediss://u:**@q'"),
            ("redis://:**@q:6400/0, http://example.org:80/a@b", "redis://:**@q:6400/0, http://example.org:80/a@b"),
        ] {
            assert_eq!(mask_passwords(text), masked);
        }
    }

    #[test]
    fn unparsable_line_is_judged_by_its_names() {
        for line in [
            "DB_PASSWORD: \"hunter2\"",
            "a = { b = 1, \"DB_PASSWORD\": \"hunter2\" }",
            "secrets = [x",
            "x = redis://:a@b",
        ] {
            assert!(may_contain_secret(line), "{line}");
        }
        assert!(!may_contain_secret("environment = { LEVEL = \"info\", "));
    }
}
