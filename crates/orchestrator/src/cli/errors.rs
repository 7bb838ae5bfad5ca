//! Errors in the command line: their hints, and their form for programs.

use crate::exit::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options of other tools, and of other commands, with what to use instead.
const ADVICE: [(&[&str], &str); 6] = [
    (&["--workspace", "-w", "--env", "-e"], "name the workspace without an option: `pb-deploy plan staging`"),
    (&["--force", "-f", "--no-confirm", "--assume-yes"], "`--yes` skips the question, where a command asks one"),
    (&["--dry-run", "-n"], "`pb-deploy plan WORKSPACE` shows what a deploy would do, and changes nothing"),
    (&["--tag", "--service"], "`--image SERVICE=TAG` selects an image: `--image flask=v2`"),
    (&["--var", "--var-file"], "values come from pb_deploy.toml; `--config FILE` selects another file"),
    (&["--timeout"], "`--wait-timeout 10m` limits the wait for a rollout, `--lock-timeout 5m` the wait for the lock"),
];

/// Removes suggestions that are not near, and adds advice for options of other tools.
pub fn with_advice(mut error: clap::Error) -> clap::Error {
    match error.kind() {
        ErrorKind::UnknownArgument => advise_on_option(&mut error),
        ErrorKind::InvalidSubcommand => retain_near_commands(&mut error),
        _ => {}
    }
    error
}

fn advise_on_option(error: &mut clap::Error) {
    // This tip is about passing the option as a value, which is never meant.
    error.remove(ContextKind::Suggested);
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return };
    let advice = ADVICE.iter().find(|(options, _)| options.contains(&given.as_str())).map(|(_, advice)| *advice);
    let similar = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(similar)) => is_near(given, similar),
        _ => true,
    };
    if advice.is_some() || !similar {
        error.remove(ContextKind::SuggestedArg);
        // It shows the suggested option, too.
        error.remove(ContextKind::Usage);
    }
    if let Some(advice) = advice {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
    }
}

fn retain_near_commands(error: &mut clap::Error) {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return };
    let Some(ContextValue::Strings(similar)) = error.get(ContextKind::SuggestedSubcommand) else { return };
    let near: Vec<String> = similar.iter().filter(|one| is_near(given, one)).cloned().collect();
    error.remove(ContextKind::SuggestedSubcommand);
    if !near.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

/// Returns whether a word is similar enough to a known one to be a misspelling of it.
fn is_near(given: &str, known: &str) -> bool {
    let (given, known) = (given.trim_start_matches('-'), known.trim_start_matches('-'));
    strsim::damerau_levenshtein(given, known) <= (known.len() / 3).max(1) || known.starts_with(given)
}

/// Returns whether the command line asks for JSON, even if it cannot be parsed.
pub fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Returns an error in the command line as an error of this program. The text of the parser becomes the message, its
/// tips, or else the usage, the hint.
pub fn usage(error: &clap::Error) -> Error {
    if matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) {
        return Error::usage("a command is missing", "`pb-deploy --help` lists the commands");
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let (tips, rest): (Vec<String>, Vec<String>) = paragraphs.partition(|one| one.starts_with("tip: "));
    let hint = match tips.is_empty() {
        false => tips.join(" ").replace("tip: ", ""),
        true => rest.into_iter().next().unwrap_or_default(),
    };
    Error::usage(message, hint)
}

#[cfg(test)]
mod tests {
    use super::{usage, with_advice};
    use crate::cli::Cli;
    use clap::Parser;

    fn error(line: &str) -> (String, String) {
        let words = line.split_whitespace();
        let error = usage(&with_advice(Cli::try_parse_from(words).unwrap_err()));
        (error.to_string(), error.hint().unwrap().to_owned())
    }

    #[test]
    fn options_of_other_tools_get_advice() {
        for (line, advice) in [
            ("pb-deploy plan --workspace staging", "name the workspace without an option: `pb-deploy plan staging`"),
            ("pb-deploy plan -w staging", "name the workspace without an option: `pb-deploy plan staging`"),
            ("pb-deploy deploy staging --force", "`--yes` skips the question, where a command asks one"),
            ("pb-deploy deploy staging --dry-run", "`pb-deploy plan WORKSPACE` shows what a deploy would do, and"),
        ] {
            let (message, hint) = error(line);
            assert!(message.starts_with("unexpected argument '-") && message.ends_with("' found"), "{message}");
            assert!(hint.starts_with(advice), "{line}: {hint}");
        }
    }

    #[test]
    fn only_similar_options_are_suggested() {
        let (_, hint) = error("pb-deploy plan staging --destory");
        assert_eq!(hint, "a similar argument exists: '--destroy'");
        let (_, hint) = error("pb-deploy plan staging --now");
        assert!(!hint.contains("as a value"), "{hint}");
    }

    #[test]
    fn every_command_line_error_has_a_hint() {
        let lines =
            ["", "delpoy staging", "plan", "scale staging celery", "deploy staging --lock-timeout soon", "local"];
        for line in lines {
            let (message, hint) = error(&format!("pb-deploy {line}"));
            assert!(
                !message.is_empty() && !message.contains("error: ") && !hint.is_empty(),
                "{line}: {message}: {hint}"
            );
        }
        let (message, hint) = error("pb-deploy delpoy staging");
        assert_eq!(message, "unrecognized subcommand 'delpoy'");
        assert!(hint.contains("'deploy'") && !hint.contains("destroy"), "{hint}");
        assert!(!error("pb-deploy bogus").1.contains("logs"));
    }
}
