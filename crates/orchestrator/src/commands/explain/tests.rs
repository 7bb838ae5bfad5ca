use super::{GROUPS, PAGES, find, hint, list};
use crate::cli::Cli;
use crate::exit::Error;
use clap::Parser;
use clap::error::ErrorKind;
use pb_engine::ErrorCode;
use std::path::{Path, PathBuf};

/// Sections of a page, in this order. The second and the last are optional.
const SECTIONS: [&str; 4] = ["Meaning", "Common causes", "What to do", "Example"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn codes() -> Vec<&'static str> {
    ErrorCode::ALL.iter().map(|code| code.as_str()).collect()
}

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    assert_eq!(PAGES.iter().map(|(code, _)| *code).collect::<Vec<_>>(), codes(), "the embedded pages");
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name != "README.md").collect();
    files.sort();
    assert_eq!(files, codes().iter().map(|code| format!("{code}.md")).collect::<Vec<_>>(), "the files in docs/errors");
}

#[test]
fn pages_have_the_title_and_the_sections() {
    for (code, (_, page)) in ErrorCode::ALL.iter().zip(PAGES) {
        assert_eq!(page.lines().next().unwrap(), format!("# {code}: {}", code.title()));
        let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let known: Vec<&str> = SECTIONS.into_iter().filter(|section| sections.contains(section)).collect();
        assert_eq!(sections, known, "the sections of {code}");
        assert!(sections.contains(&SECTIONS[0]) && sections.contains(&SECTIONS[2]), "{code}: {sections:?}");
    }
}

#[test]
fn index_lists_all_codes_in_order() {
    let index = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| [PB")).collect();
    let expected = ErrorCode::ALL.iter().map(|code| format!("| [{code}]({code}.md) | {} |", code.title()));
    assert_eq!(rows, expected.collect::<Vec<_>>());
    let headings: Vec<&str> = index.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected = GROUPS.iter().map(|(group, subject)| format!("{group}: {subject}"));
    assert_eq!(headings, expected.collect::<Vec<_>>());
}

/// Returns the prose of a page without fenced blocks, and the commands in its fenced blocks. Blocks that begin with
/// `text` contain messages instead of commands.
fn prose_and_commands(page: &str) -> (String, Vec<&str>) {
    let (mut prose, mut commands, mut fence) = (String::new(), Vec::new(), None);
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, Some("")) => commands.push(line),
            (None, Some(_)) => {}
            (None, None) => prose = prose + line + " ",
        }
    }
    (prose, commands)
}

#[test]
fn commands_on_pages_are_valid() {
    let mut count = 0;
    for (code, page) in PAGES {
        let (prose, commands) = prose_and_commands(page);
        let inline = prose.split('`').skip(1).step_by(2);
        for command in inline.chain(commands).filter(|text| text.starts_with("pb-deploy ")) {
            let words = command.split_whitespace().take_while(|word| !["#", ">"].contains(word));
            if let Err(error) = Cli::try_parse_from(words) {
                let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                assert!(shown, "{code}: {command}: {error}");
            }
            count += 1;
        }
    }
    assert!(count > PAGES.len(), "{count} commands were found");
}

#[test]
fn links_and_codes_on_pages_exist() {
    for (code, page) in PAGES {
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter_map(|target| target.split('#').next()) {
            assert!(folder().join(target).is_file(), "{code}: {target}");
        }
        for (at, _) in page.match_indices("PB0") {
            let named = &page[at..at + code.len()];
            assert!(codes().contains(&named), "{code}: {named}");
        }
    }
}

#[test]
fn each_code_is_listed_in_its_group() {
    let text = anstream::adapter::strip_str(&list()).to_string();
    let shown: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next()).collect();
    assert_eq!(shown, codes());
}

#[test]
fn code_is_found_in_any_case() {
    for text in ["PB0501", "pb0501"] {
        let (code, page) = find(text).unwrap();
        assert!(code == ErrorCode::Rollout && page.starts_with("# PB0501: "), "{text}");
    }
}

#[test]
fn unknown_code_is_a_usage_error_with_similar_codes() {
    assert!(matches!(find("PB0999"), Err(Error::Usage { message, .. }) if message == "unknown error code \"PB0999\""));
    assert_eq!(hint("PB0999"), "codes of this group: PB0901");
    assert_eq!(hint("PB501"), "did you mean PB0501?");
    assert!(hint("E0501").contains("PB05.. (The run)"), "{}", hint("E0501"));
}
