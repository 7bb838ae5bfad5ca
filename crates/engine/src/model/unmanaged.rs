//! Unmanaged resources with names that the configuration needs, and obstacles outside of the stack.

use crate::model::address::Address;
use crate::model::cause::Refusal;
use crate::model::plan_error::PlanError;
use serde::{Deserialize, Serialize};

/// An unmanaged resource that has the name of a configured resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmanaged {
    /// A description for users, such as `log group staging-pb_workers`.
    pub what: String,
    /// The way to resolve the conflict.
    pub remedy: Remedy,
}

/// The way to resolve a conflict with an unmanaged resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// Import the resource with this id.
    Adopt(String),
    /// Choose another name, because the resource belongs to another stack or workspace.
    OtherOwner {
        /// The stack in the ownership tags.
        stack: String,
        /// The workspace in the ownership tags.
        workspace: String,
    },
    /// Anything else, in words.
    Other(String),
}

/// A condition outside of the stack that AWS accepts, but that keeps a resource from its purpose, such as a DNS
/// delegation that hides a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// The condition and its remedy.
    pub why: String,
    /// Set if the resource has no effect at all. Such an obstacle refuses every plan; any other obstacle only refuses
    /// plans that change the resource.
    pub total: bool,
}

impl Unmanaged {
    /// Returns the conflict as a message. The command that imports the resource is not part of it.
    pub(crate) fn message(&self) -> String {
        let what = &self.what;
        match &self.remedy {
            Remedy::Adopt(_) => format!("{what} already exists and is not managed by this workspace"),
            Remedy::OtherOwner { stack, workspace } => format!(
                "{what} already exists and belongs to workspace {workspace} of stack {stack}; choose another name for \
                 the stack or the workspace"
            ),
            Remedy::Other(advice) => format!("{what} already exists and is not managed by this workspace; {advice}"),
        }
    }

    /// Returns the id with which the resource can be imported.
    pub(crate) fn import_id(&self) -> Option<&str> {
        match &self.remedy {
            Remedy::Adopt(id) => Some(id),
            Remedy::OtherOwner { .. } | Remedy::Other(_) => None,
        }
    }

    /// Returns the reason why a plan cannot create the resource at `address`.
    pub(crate) fn plan_error(&self, address: &Address) -> PlanError {
        let error = PlanError::new(address.clone(), self.message()).reason(Refusal::Unmanaged);
        PlanError { import_id: self.import_id().map(str::to_owned), ..error }
    }
}

/// Returns the advice to import resources, given their addresses and ids, with the command that does so. Empty without
/// resources.
#[must_use]
pub fn adopt_hint(workspace: &str, resources: &[(&Address, &str)]) -> Option<String> {
    let pairs: Vec<String> =
        resources.iter().map(|(address, id)| shell_word(&format!("{}={id}", address.as_str()))).collect();
    let (it, belongs, delete) =
        if pairs.len() == 1 { ("it", "it belongs", "delete it") } else { ("them", "they belong", "delete them") };
    (!pairs.is_empty()).then(|| {
        format!(
            "if {belongs} to this workspace, import {it} with `pb-deploy adopt {workspace} {}`; otherwise {delete}, or \
             choose another name for the stack or the workspace",
            pairs.join(" ")
        )
    })
}

/// Returns `text` as one word of a shell command.
fn shell_word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@+,".contains(letter);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::{adopt_hint, shell_word};
    use crate::model::address::Address;

    #[test]
    fn adopt_hint_contains_one_command_for_all_resources() {
        let (logs, record) = (Address::new("fargate/logs").unwrap(), Address::new("edge/record").unwrap());
        let hint = adopt_hint("staging", &[(&logs, "staging-pb_workers"), (&record, "a.org A")]).unwrap();
        let command = "`pb-deploy adopt staging fargate/logs=staging-pb_workers 'edge/record=a.org A'`";
        assert!(hint.contains(command) && hint.starts_with("if they belong"), "{hint}");
        assert!(adopt_hint("staging", &[(&logs, "x")]).unwrap().starts_with("if it belongs"));
        assert_eq!(adopt_hint("staging", &[]), None);
    }

    #[test]
    fn shell_word_is_quoted_only_if_necessary() {
        assert_eq!(shell_word("arn:aws:x/y-1_2"), "arn:aws:x/y-1_2");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
