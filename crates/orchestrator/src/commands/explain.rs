//! `explain`: prints the page about an error code. Makes no AWS calls.

#[cfg(test)]
mod tests;

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{BOLD, paint};
use pb_engine::ErrorCode;
use serde::Serialize;

/// Embeds the pages about the codes.
macro_rules! pages {
    ($($code:literal)+) => {
        &[$(($code, include_str!(concat!("../../../../docs/errors/", $code, ".md")))),+]
    };
}

/// The page about each code, in ascending order. Another code also needs a row in `docs/errors/README.md`.
const PAGES: &[(&str, &str)] = pages! {
    "PB0101" "PB0102" "PB0103" "PB0104" "PB0105" "PB0106" "PB0107" "PB0108" "PB0109"
    "PB0201" "PB0202" "PB0203" "PB0204" "PB0205" "PB0206" "PB0207" "PB0208" "PB0209" "PB0210" "PB0211"
    "PB0301" "PB0302" "PB0303" "PB0304" "PB0305" "PB0306" "PB0307" "PB0308" "PB0309"
    "PB0401" "PB0402" "PB0403" "PB0404" "PB0405" "PB0406" "PB0407" "PB0408" "PB0409" "PB0410" "PB0411"
    "PB0501" "PB0502" "PB0503" "PB0504" "PB0505" "PB0506" "PB0507" "PB0508"
    "PB0901"
};

/// The groups of codes: the characters with which their codes begin, and their subjects.
const GROUPS: &[(&str, &str)] = &[
    ("PB01", "The command line and the configuration"),
    ("PB02", "Access to AWS, and responses of AWS"),
    ("PB03", "The state and its lock"),
    ("PB04", "The plan"),
    ("PB05", "The run"),
    ("PB09", "Defects"),
];

/// The JSON document about a code.
#[derive(Debug, Serialize)]
struct Explanation {
    code: ErrorCode,
    title: &'static str,
    /// Text of the page, in Markdown; left out in a list of codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

/// Prints the page about a code, or all codes with their titles.
///
/// # Errors
/// `Usage` for an unknown code, with similar codes in the hint.
pub fn explain(global: &Global, code: Option<&str>) -> Result<Exit, Error> {
    match code {
        Some(text) => {
            let (code, page) = find(text)?;
            if global.json {
                console::document(&Explanation { code, title: code.title(), page: Some(page) })?;
            } else {
                console::print_text(page);
            }
        }
        None if global.json => {
            let codes = ErrorCode::ALL.iter();
            let all: Vec<_> = codes.map(|code| Explanation { code: *code, title: code.title(), page: None }).collect();
            console::document(&all)?;
        }
        None => console::print_text(list()),
    }
    Ok(Exit::Done)
}

/// Returns the code that `text` names in any case, with its page.
fn find(text: &str) -> Result<(ErrorCode, &'static str), Error> {
    let code = ErrorCode::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(text));
    let page = code.and_then(|code| PAGES.iter().find(|(known, _)| *known == code.as_str()));
    match (code, page) {
        (Some(code), Some((_, page))) => Ok((*code, page)),
        _ => Err(Error::usage(format!("unknown error code {text:?}"), hint(&text.to_ascii_uppercase()))),
    }
}

/// Returns the codes that an unknown code may stand for: those of its group, otherwise the most similar code, otherwise
/// all groups.
fn hint(text: &str) -> String {
    let codes = || ErrorCode::ALL.iter().map(|code| code.as_str());
    if let Some((group, _)) = GROUPS.iter().find(|(group, _)| text.starts_with(group)) {
        let codes: Vec<&str> = codes().filter(|code| code.starts_with(group)).collect();
        return format!("codes of this group: {}", codes.join(", "));
    }
    match codes().map(|code| (strsim::damerau_levenshtein(text, code), code)).min() {
        Some((1, code)) => format!("did you mean {code}?"),
        _ => {
            let groups: Vec<String> = GROUPS.iter().map(|(group, subject)| format!("{group}.. ({subject})")).collect();
            format!("`pb-deploy explain` lists all codes; their groups are {}", groups.join(", "))
        }
    }
}

/// Returns all codes with their titles, by group.
fn list() -> String {
    let group = |(group, subject): &(&str, &str)| {
        let codes = ErrorCode::ALL.iter().filter(|code| code.as_str().starts_with(group));
        let lines: String = codes.map(|code| format!("  {code}  {}\n", code.title())).collect();
        format!("{}\n{lines}", paint(BOLD, subject))
    };
    GROUPS.iter().map(group).collect::<Vec<_>>().join("\n")
}
