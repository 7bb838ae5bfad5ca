//! Credentials, with an explanation if there are none.

use crate::connection_fault::ConnectionFault;
use crate::profiles::Profiles;
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::profile::Profile;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Providing;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::error::Error;
use std::fmt;
use std::time::SystemTime;

/// Credentials that could not be used, with the remedy.
#[derive(Debug)]
pub(crate) struct CredentialsFault {
    message: String,
    hint: String,
    /// The error of the SDK, if there is one.
    error: Option<CredentialsError>,
}

impl CredentialsFault {
    /// Returns the fault that is a cause of `error`.
    pub(crate) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |link| (*link).source()).find_map(|link| link.downcast_ref())
    }

    /// Returns the remedy.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for CredentialsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CredentialsFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_ref().map(|error| error as &(dyn Error + 'static))
    }
}

/// A provider of credentials that explains its errors, and that refuses expired credentials. The SDK would use them,
/// and each call would fail.
#[derive(Debug)]
pub(crate) struct ExplainedCredentials {
    inner: SharedCredentialsProvider,
    profiles: Profiles,
}

impl ExplainedCredentials {
    pub(crate) fn new(inner: impl ProvideCredentials + 'static, profiles: Profiles) -> Self {
        Self { inner: SharedCredentialsProvider::new(inner), profiles }
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        match self.inner.provide_credentials().await {
            Ok(credentials) => match credentials.expiry().filter(|expiry| *expiry <= SystemTime::now()) {
                Some(expiry) => Err(CredentialsError::provider_error(self.expired(expiry))),
                None => Ok(credentials),
            },
            Err(error) if ConnectionFault::find(&error).is_some() => Err(error),
            Err(error) => Err(self.explained(error)),
        }
    }

    fn expired(&self, expiry: SystemTime) -> CredentialsFault {
        let name = self.profiles.name();
        let expiry = DateTime::from(expiry).fmt(Format::DateTime).unwrap_or_default();
        let hint = self.remedy().unwrap_or_else(|| "sign in again, then run the same command again".to_owned());
        CredentialsFault {
            message: format!("the credentials of profile {name} expired at {expiry}"),
            hint,
            error: None,
        }
    }

    fn explained(&self, error: CredentialsError) -> CredentialsError {
        let Some(hint) = self.remedy() else { return error };
        let cause = std::iter::successors(Some(&error as &(dyn Error + 'static)), |&link| link.source()).last();
        let cause = cause.map(ToString::to_string).unwrap_or_default();
        let message = format!("profile {}: {}", self.profiles.name(), cause.trim_end());
        CredentialsError::provider_error(CredentialsFault { message, hint, error: Some(error) })
    }

    /// Returns the way to new credentials of the selected profile, if its kind has one.
    fn remedy(&self) -> Option<String> {
        let chain = self.profiles.chain();
        let with = |keys: &[&str]| chain.iter().find(|profile| keys.iter().any(|key| profile.get(key).is_some()));
        if let Some(profile) = with(&["login_session"]) {
            let login = format!("aws login{}", option(profile));
            return Some(format!("sign in with `{login}`; this needs the AWS CLI, version 2.32 or later, on the PATH"));
        }
        if let Some(profile) = with(&["sso_session", "sso_start_url"]) {
            return Some(format!("sign in with `aws sso login{}`", option(profile)));
        }
        if let (Some(_), Some(selected)) = (with(&["mfa_serial"]), chain.first()) {
            return Some(format!(
                "the profile needs an MFA code, for which pb-deploy cannot ask; {}",
                export(selected)
            ));
        }
        with(&["credential_process"]).map(|profile| {
            format!(
                "run the command of `credential_process` in profile {} by itself, and sign in with its program if \
                 necessary",
                profile.name()
            )
        })
    }
}

/// Returns the option of the AWS CLI that selects a profile.
fn option(profile: &Profile) -> String {
    match profile.name() {
        "default" => String::new(),
        name => format!(" --profile {}", quoted(name)),
    }
}

/// Returns the command that lets the AWS CLI supply the credentials of a profile.
fn export(profile: &Profile) -> String {
    let option = option(profile);
    format!(
        "let the AWS CLI, version 2, get the credentials: eval \"$(aws configure export-credentials{option} --format env)\", then \
         run pb-deploy without --profile and AWS_PROFILE"
    )
}

/// A key of a profile that has an effect in the AWS CLI, and none in the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IneffectiveKey {
    /// Name of the profile.
    pub profile: String,
    /// Name of the key.
    pub key: &'static str,
    /// The consequence, as part of a sentence.
    pub effect: &'static str,
    /// The way to the same result.
    pub hint: String,
}

/// Returns the keys of the profiles in use that have no effect.
pub(crate) fn ineffective_keys(profiles: &Profiles) -> Vec<IneffectiveKey> {
    const KEYS: [(&str, &str); 2] = [
        ("mfa_serial", "the role is assumed without an MFA code"),
        ("duration_seconds", "a session lasts one hour, and is renewed"),
    ];
    let chain = profiles.chain();
    let Some(selected) = chain.first().filter(|_| login_credentials(profiles).is_none()) else { return Vec::new() };
    let present = |profile: &&Profile, key: &str| profile.get(key).is_some();
    let all = KEYS.iter().flat_map(|(key, effect)| {
        chain.iter().filter(|profile| present(profile, key)).map(|profile| IneffectiveKey {
            profile: profile.name().to_owned(),
            key,
            effect,
            hint: export(selected),
        })
    });
    all.collect()
}

impl ProvideCredentials for ExplainedCredentials {
    fn provide_credentials<'a>(&'a self) -> Providing<'a>
    where
        Self: 'a,
    {
        Providing::new(self.provide())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.inner.fallback_on_interrupt()
    }
}

/// Returns a provider for a profile whose credentials come from `aws login`, if it is one. The AWS CLI, which is needed
/// to sign in, also supplies the credentials.
pub(crate) fn login_credentials(profiles: &Profiles) -> Option<CredentialProcessProvider> {
    profiles.chain().iter().any(|profile| profile.get("login_session").is_some()).then(|| {
        let name = quoted(profiles.name());
        CredentialProcessProvider::new(format!("aws configure export-credentials --profile {name} --format process"))
    })
}

/// Returns a word for the shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn profile_name_is_one_word_of_the_shell() {
        assert_eq!(quoted("team-a.prod"), "team-a.prod");
        assert_eq!(quoted("team a"), "'team a'");
        assert_eq!(quoted("it's; rm"), r"'it'\''s; rm'");
    }
}
