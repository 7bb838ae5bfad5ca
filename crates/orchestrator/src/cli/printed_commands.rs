//! Every `pb-deploy` command in the messages of all crates can be parsed. Commands of other programs are run by
//! `tests/integration/test_printed_commands.py`.

use super::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::path::{Path, PathBuf};

/// Values for a placeholder: one of them has to be valid in its place.
const VALUES: [&str; 5] = ["staging", "deploy", "PB0301", "net/vpc", "flask:3"];

/// Returns the Rust files of all crates, without those that contain only tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "target", "examples"].contains(&name) {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs")
            && !["tests.rs", "printed_commands.rs"].contains(&name)
        {
            found.push(path);
        }
    }
}

/// Returns a source without comments and unit tests, each string literal in one line.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let (mut code, mut is_continued) = (String::new(), false);
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let line = if is_continued { line.trim_start() } else { line };
        is_continued = line.ends_with('\\');
        code.push_str(line.trim_end_matches('\\'));
        if !is_continued {
            code.push('\n');
        }
    }
    code
}

/// Returns the commands in a source: the text after a backtick, a quotation mark or a colon, and the arguments of
/// `invocation::command`.
fn commands(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("pb-deploy ") {
        let (before, rest) = code.split_at(at);
        let command = rest.split(['`', '"', '\n', ';']).next().unwrap().split("\\n").next().unwrap();
        let follows = |mark: &str| before.ends_with(mark);
        if follows("`") || ((follows("\"") || follows(": ")) && begins_with_a_command(command)) {
            found.push(command.to_owned());
        }
    }
    for (at, start) in code.match_indices("invocation::command(&[") {
        let list = code[at + start.len()..].split("])").next().unwrap();
        let word = |word: &str| word.trim().split('"').nth(1).unwrap_or("{}").to_owned();
        let words: Vec<String> = list.split(',').filter(|one| !one.trim().is_empty()).map(word).collect();
        found.push(format!("pb-deploy {}", words.join(" ")));
    }
    found
}

/// Returns whether a text is a command, and not a sentence whose subject is the tool.
fn begins_with_a_command(text: &str) -> bool {
    let word = text.split_whitespace().nth(1).unwrap_or_default();
    word.starts_with('{') || Cli::command().find_subcommand(word).is_some()
}

/// Returns the command with every combination of values for its placeholders.
fn filled(command: &str) -> Vec<String> {
    let Some((before, rest)) = command.split_once('{') else { return vec![command.to_owned()] };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    VALUES.iter().flat_map(|value| filled(&format!("{before}{value}{after}"))).collect()
}

/// Returns whether a text only names a command, such as `pb-deploy state list`.
fn is_name(words: &[&str]) -> bool {
    let mut command = Cli::command();
    words.iter().skip(1).all(|word| match command.find_subcommand(word).cloned() {
        Some(sub) => {
            command = sub;
            true
        }
        None => false,
    })
}

fn check(command: &str) -> Result<(), String> {
    let mut last = String::new();
    for filled in filled(command) {
        let words: Vec<&str> = filled.split_whitespace().take_while(|word| !["#", ">"].contains(word)).collect();
        match Cli::try_parse_from(&words) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => return Ok(()),
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument && is_name(&words) => return Ok(()),
            Err(error) if is_name(&words) && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                return Ok(());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

#[test]
fn commands_in_messages_are_valid() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut files);
    let (mut count, mut invalid) = (0, Vec::new());
    for file in files {
        for command in commands(&code(&std::fs::read_to_string(&file).unwrap())) {
            count += 1;
            if let Err(why) = check(&command) {
                invalid.push(format!("{}: {command}: {why}", file.display()));
            }
        }
    }
    assert!(invalid.is_empty(), "{}", invalid.join("\n"));
    assert!(count > 60, "{count} commands were found");
}

#[test]
fn invalid_commands_are_found() {
    let text = "let a = \"run `pb-deploy statsu {workspace}`, or \\\n    pb-deploy plan --no\";\n// `pb-deploy x`\n\
                let b = invocation::command(&[\"destroy\", name, \"--delete\"]);\nlet c = \"pb-deploy has no such\";\n\
                #[cfg(test)]\nmod tests {\n`pb-deploy y`";
    let found = commands(&code(text));
    assert_eq!(found, ["pb-deploy statsu {workspace}", "pb-deploy destroy {} --delete"]);
    assert!(found.iter().all(|command| check(command).is_err()));
    assert_eq!(check("pb-deploy unlock {workspace} {}"), Ok(()));
    assert_eq!(check("pb-deploy state list"), Ok(()));
}
