//! Stages of a Dockerfile, and the command of an image according to it.

use std::path::Path;

/// Returns the command of the first stage with one of `names`, as `docker build --target` would build it, or of the
/// last stage if there is no such stage. Returns `None` if there is no Dockerfile, or no command in it.
pub fn command(folder: &Path, names: &[&str]) -> Option<Vec<String>> {
    command_of(&read(folder)?, names)
}

/// Returns the names of the stages in lower case, without those that have none; `None` if there is no Dockerfile.
pub fn stages(folder: &Path) -> Option<Vec<String>> {
    let stages = parse(&read(folder)?);
    Some(stages.into_iter().map(|stage| stage.name).filter(|name| !name.is_empty()).collect())
}

/// Returns the names of the stage from which the image of a service is built: the tag and, if no other service uses the
/// tag, the service itself.
pub fn stage_names<'a>(tag: &'a str, services: &[&'a str]) -> Vec<&'a str> {
    let own = services.first().filter(|_| services.len() == 1);
    std::iter::once(tag).chain(own.copied()).collect()
}

fn read(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join("Dockerfile")).ok()
}

#[derive(Default)]
struct Stage {
    name: String,
    from: String,
    entrypoint: Vec<String>,
    command: Option<Vec<String>>,
}

fn parse(text: &str) -> Vec<Stage> {
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
    stages
}

fn command_of(text: &str, names: &[&str]) -> Option<Vec<String>> {
    let stages = parse(text);
    let named = |name: &&str| stages.iter().position(|stage| stage.name.eq_ignore_ascii_case(name));
    let mut at = names.iter().find_map(named).or(stages.len().checked_sub(1));
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
    use super::{command_of, stage_names};

    const FILE: &str = "FROM python:3.11 AS base\nRUN x\nCMD [\"base\"]\n\nFROM --platform=linux/amd64 base AS flask\n\
                        CMD [\"gunicorn\", \\\n  \"web:app\"]\nFROM base as celery\nENV A=b\nFROM alpine\n\
                        ENTRYPOINT [\"run\"]\ncmd serve --all\n";

    #[test]
    fn command_comes_from_tagged_or_last_stage() {
        assert_eq!(command_of(FILE, &["flask"]).unwrap(), ["gunicorn", "web:app"]);
        assert_eq!(command_of(FILE, &["celery"]).unwrap(), ["base"]);
        assert_eq!(command_of(FILE, &["v1.2"]).unwrap(), ["run", "/bin/sh", "-c", "serve --all"]);
        assert_eq!(command_of("FROM scratch\n", &["flask"]), None);
        assert_eq!(command_of("", &["flask"]), None);
    }

    #[test]
    fn stage_of_a_service_is_used_unless_its_tag_is_shared() {
        assert_eq!(stage_names("v1", &["celery"]), ["v1", "celery"]);
        assert_eq!(command_of(FILE, &stage_names("v1", &["celery"])).unwrap(), ["base"]);
        assert_eq!(stage_names("v1", &["celery", "flask"]), ["v1"]);
    }
}
