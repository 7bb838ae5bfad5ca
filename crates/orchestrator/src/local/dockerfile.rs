//! Command of an image, according to its Dockerfile.

use std::path::Path;

/// Returns the command of the stage named `tag`, as `docker build --target` would build it, or of the last stage if
/// there is no such stage. Returns `None` if there is no Dockerfile, or no command in it.
pub fn command(folder: &Path, tag: &str) -> Option<Vec<String>> {
    of_text(&std::fs::read_to_string(folder.join("Dockerfile")).ok()?, tag)
}

#[derive(Default)]
struct Stage {
    name: String,
    from: String,
    entrypoint: Vec<String>,
    command: Option<Vec<String>>,
}

fn of_text(text: &str, tag: &str) -> Option<Vec<String>> {
    let mut stages: Vec<Stage> = Vec::new();
    // A backslash at the end of a line joins it with the next line.
    for line in text.replace("\\\n", " ").lines() {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (word.to_ascii_uppercase().as_str(), stages.last_mut()) {
            ("FROM", _) => stages.push(stage(rest)),
            ("CMD", Some(stage)) => stage.command = Some(words(rest)),
            ("ENTRYPOINT", Some(stage)) => stage.entrypoint = words(rest),
            _ => {}
        }
    }
    let mut at = stages.iter().position(|stage| stage.name == tag).or(stages.len().checked_sub(1));
    let (mut entrypoint, mut command) = (Vec::new(), None);
    // A stage inherits from its base stage.
    while let Some(stage) = at.and_then(|index| stages.get(index)) {
        command = command.or_else(|| stage.command.clone());
        if entrypoint.is_empty() {
            entrypoint.clone_from(&stage.entrypoint);
        }
        at = stages.iter().take(at.unwrap_or_default()).position(|earlier| earlier.name == stage.from);
    }
    let all: Vec<String> = entrypoint.into_iter().chain(command.unwrap_or_default()).collect();
    (!all.is_empty()).then_some(all)
}

/// Parses the arguments of `FROM`, such as `python:3.11 AS base`, optionally preceded by options.
fn stage(rest: &str) -> Stage {
    let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
    let name = words.windows(2).find(|pair| pair[0].eq_ignore_ascii_case("as")).map(|pair| pair[1].to_lowercase());
    Stage {
        name: name.unwrap_or_default(),
        from: words.first().map(|from| from.to_lowercase()).unwrap_or_default(),
        ..Stage::default()
    }
}

/// Parses a command: a JSON list of words, or a line for the shell.
fn words(rest: &str) -> Vec<String> {
    serde_json::from_str(rest).unwrap_or_else(|_| vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::of_text;

    const FILE: &str = "FROM python:3.11 AS base\nRUN x\nCMD [\"base\"]\n\nFROM --platform=linux/amd64 base AS flask\n\
                        CMD [\"gunicorn\", \\\n  \"web:app\"]\nFROM base as celery\nENV A=b\nFROM alpine\n\
                        ENTRYPOINT [\"run\"]\ncmd serve --all\n";

    #[test]
    fn command_comes_from_tagged_or_last_stage() {
        assert_eq!(of_text(FILE, "flask").unwrap(), ["gunicorn", "web:app"]);
        assert_eq!(of_text(FILE, "celery").unwrap(), ["base"]);
        assert_eq!(of_text(FILE, "v1.2").unwrap(), ["run", "/bin/sh", "-c", "serve --all"]);
        assert_eq!(of_text("FROM scratch\n", "flask"), None);
        assert_eq!(of_text("", "flask"), None);
    }
}
