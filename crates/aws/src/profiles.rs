//! The profile in `~/.aws` that a program uses.

use crate::{Access, Environment};
use aws_config::profile::{Profile, ProfileSet};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_runtime::env_config::property::PropertiesKey;
use aws_types::os_shim_internal::{Env, Fs};
use pb_engine::{Class, Failure};
use std::borrow::Cow;

/// The profiles in `~/.aws`, and the selected one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profiles(ProfileSet);

impl Profiles {
    /// Reads the profiles. The selected one is the one in `access`, then `AWS_PROFILE`, then `default`.
    ///
    /// # Errors
    /// If a profile is named that is needed for the credentials: it does not exist, or the files cannot be read. Access
    /// keys in the environment take precedence over `AWS_PROFILE`.
    pub(crate) async fn load(access: &Access) -> Result<Self, Failure> {
        let named = || access.environment.get("AWS_PROFILE").map(str::to_owned);
        let name = access.profile.clone().or_else(named);
        let required = access.profile.is_some() || !access.environment.has_access_keys();
        let selected = name.clone().map(Cow::Owned);
        let set = aws_config::profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), selected).await;
        match (set, name.filter(|_| required)) {
            (Ok(set), Some(name)) if set.get_profile(&name).is_none() => Err(missing(&name, &set)),
            (Ok(set), _) => Ok(Self(set)),
            (Err(error), Some(_)) => Err(failure(error.to_string()).hint("fix the file named above")),
            // As for the SDK: unreadable files matter only to those who name a profile.
            (Err(_), None) => Ok(Self::default()),
        }
    }

    /// Returns the name of the selected profile.
    pub(crate) fn name(&self) -> &str {
        self.0.selected_profile()
    }

    /// Returns the value of a key of the selected profile that is not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Returns the value of a key for one service, from the `services` section of the selected profile.
    pub(crate) fn service(&self, service: &str, key: &str) -> Option<&str> {
        let property = PropertiesKey::builder()
            .section_key("services")
            .section_name(self.get("services")?)
            .property_name(service)
            .sub_property_name(key)
            .build();
        self.0.other_sections().get(&property.ok()?).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the profiles that supply the credentials: the selected profile, its `source_profile`, and so on.
    pub(crate) fn chain(&self) -> Vec<&Profile> {
        let mut chain: Vec<&Profile> = Vec::new();
        let mut next = Some(self.name());
        while let Some(profile) = next.and_then(|name| self.0.get_profile(name)) {
            if chain.iter().any(|earlier| earlier.name() == profile.name()) {
                break;
            }
            chain.push(profile);
            next = profile.get("source_profile");
        }
        chain
    }
}

/// Returns the setting as a Boolean: the variable if it is set, otherwise the key of the selected profile.
pub(crate) fn is_set(environment: &Environment, variable: &str, profiles: &Profiles, key: &str) -> bool {
    environment.get(variable).or_else(|| profiles.get(key)).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn failure(message: String) -> Failure {
    Failure::new(Class::Credentials, "read the AWS profiles", message)
}

fn missing(name: &str, set: &ProfileSet) -> Failure {
    let mut names: Vec<&str> = set.profiles().collect();
    names.sort_unstable();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let hint =
        "use another profile with --profile, or create this one with `aws configure --profile` or `aws configure sso`";
    failure(format!("no profile named `{name}` (available: {names})")).hint(hint)
}
