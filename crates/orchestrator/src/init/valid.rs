//! A valid configuration: values from Terraform that would make it invalid are left out, and their places are named.

use super::{Origin, REQUIRED, Setting, configuration};
use crate::exit::Error;
use pb_config::{Config, Problem};
use pb_engine::ErrorCode;
use serde::Serialize;

/// Value from Terraform that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    #[serde(flatten)]
    pub origin: Origin,
    pub reason: String,
}

/// Returns the text of a configuration with these settings. Removes settings from Terraform with which the
/// configuration would be invalid, and adds them to `left_out`.
///
/// # Errors
/// An invalid value of a required key, or one that does not come from Terraform.
pub fn valid_configuration(
    settings: &mut Vec<Setting>,
    left_out: &mut Vec<LeftOut>,
    file: &str,
) -> Result<String, Error> {
    loop {
        let text = configuration(settings);
        let Err(error) = Config::parse(&text, file) else { return Ok(text) };
        let before = settings.len();
        for problem in error.problems() {
            let Some(index) = settings.iter().position(|setting| causes(setting, problem)) else { continue };
            let setting = settings.remove(index);
            let Some(origin) = setting.origin.clone() else { return Err(error.into()) };
            if REQUIRED.iter().any(|(section, key, _)| *section == setting.section && *key == setting.key) {
                return Err(invalid_required(&origin, problem));
            }
            left_out.push(LeftOut { origin, reason: problem.message.clone() });
        }
        if settings.len() == before {
            return Err(error.into());
        }
    }
}

/// Returns whether the problem is in the value of the setting.
fn causes(setting: &Setting, problem: &Problem) -> bool {
    let path = setting.path();
    problem.field.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn invalid_required(origin: &Origin, problem: &Problem) -> Error {
    let message = format!("{}:{}: {}: {}", origin.file, origin.line, origin.name, problem.message);
    let hint = format!("correct the value, or remove it and set `{}` in the configuration later", problem.field);
    Error::other(ErrorCode::ConfigurationInvalid, message, hint)
}
