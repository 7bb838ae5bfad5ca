//! Selection of resources and fields by the text that users write.

use crate::cli::Selection;
use crate::exit::Error;
use pb_config::Workspace;
use pb_engine::{Address, ErrorCode, Graph, PlanScope, Snapshot};
use std::collections::BTreeSet;

/// Returns the scope of a plan: the resources that were selected on the command line, by address or by concern (`net`).
///
/// # Errors
/// `Usage` if an address is neither configured nor recorded.
pub fn plan_scope(graph: &Graph, snapshot: &Snapshot, selection: &Selection) -> Result<PlanScope, Error> {
    let known: BTreeSet<&Address> = graph.addresses().chain(snapshot.resources.keys()).collect();
    let named = |texts: &[String]| {
        let mut chosen = BTreeSet::new();
        for text in texts {
            let found: Vec<Address> =
                known.iter().filter(|address| is_in(address, text)).map(|address| (*address).clone()).collect();
            if found.is_empty() {
                return Err(unknown_resource(text, known.iter().copied()));
            }
            chosen.extend(found);
        }
        Ok(chosen)
    };
    let (mut targets, replace) = (named(&selection.targets)?, named(&selection.replace)?);
    if !targets.is_empty() {
        targets.extend(replace.iter().cloned());
    }
    Ok(PlanScope { targets, replace })
}

fn is_in(address: &Address, text: &str) -> bool {
    address.as_str().strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the known address that `text` names.
///
/// # Errors
/// `Usage` if `text` names no known address.
pub fn known_address<'a>(text: &str, known: impl Iterator<Item = &'a Address> + Clone) -> Result<Address, Error> {
    known.clone().find(|address| address.as_str() == text).cloned().ok_or_else(|| unknown_resource(text, known))
}

fn unknown_resource<'a>(text: &str, known: impl Iterator<Item = &'a Address>) -> Error {
    let near = nearest(text, known.map(Address::as_str));
    let hint = near.map_or_else(
        || "list the addresses with `pb-deploy state list WORKSPACE` or `pb-deploy plan WORKSPACE`".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    Error::unknown_name(format!("resource {text:?} not found"), hint)
}

/// Returns the most similar known word, if `text` is likely to be a misspelling of it. In addresses of the same concern,
/// only the rest is compared: `fargate/nope` is not similar to `fargate/logs`.
fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let concern = |word: &str| word.find('/').map_or(0, |slash| slash + 1);
    let edits = |word: &'a str| {
        let start = concern(word);
        let shared = if word.get(..start) == text.get(..start) { start } else { 0 };
        let (text, rest) = (text.get(shared..)?, word.get(shared..)?);
        let edits = strsim::damerau_levenshtein(text, rest);
        (edits <= (rest.len() / 3).max(1)).then_some((edits, word))
    };
    known.filter_map(edits).min().map(|(_, word)| word)
}

/// Makes the graph ignore the fields in `ignore_changes`. Unless the graph is `whole`, resources that entries name may
/// be missing from it.
///
/// # Errors
/// `Other` if an entry names an unknown resource or field.
pub fn apply_ignore_changes(graph: &mut Graph, workspace: &Workspace, whole: bool) -> Result<(), Error> {
    let specs = graph.specs()?;
    for text in &workspace.ignore_changes {
        let (address, path) = text.split_once('.').unwrap_or((text, ""));
        let wrong = |message: String, near: Option<&str>, all: Vec<&str>| {
            let hint =
                near.map_or_else(|| format!("available: {}", all.join(", ")), |near| format!("did you mean {near}?"));
            Error::other(
                ErrorCode::ConfigurationInvalid,
                format!("invalid entry {text:?} in `ignore_changes`: {message}"),
                hint,
            )
        };
        let Some((address, spec)) = specs.iter().find(|(known, _)| known.as_str() == address) else {
            if !whole {
                continue;
            }
            let all: Vec<&str> = specs.iter().map(|(address, _)| address.as_str()).collect();
            return Err(wrong(format!("resource {address} not found"), nearest(address, all.iter().copied()), all));
        };
        let fields: Vec<&str> = spec.as_object().into_iter().flat_map(|spec| spec.keys().map(String::as_str)).collect();
        let field = path.split(['.', '[']).next().unwrap_or_default();
        if !fields.contains(&field) {
            let near = nearest(field, fields.iter().copied());
            return Err(wrong(format!("{address} has no field {field:?}"), near, fields));
        }
        graph.ignore(address, path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_a_misspelled_address_gets_a_suggestion() {
        let known = ["fargate/logs", "fargate/flask", "fargate/celery_task", "net/vpc", "net/igw"];
        let near = |text| nearest(text, known.into_iter());
        assert_eq!((near("fargate/log"), near("fargte/flask")), (Some("fargate/logs"), Some("fargate/flask")));
        assert_eq!((near("net/vcp"), near("fargate/celery_tsak")), (Some("net/vpc"), Some("fargate/celery_task")));
        assert_eq!((near("fargate/nope"), near("net/xyz"), near("x"), near("")), (None, None, None, None));
    }
}
