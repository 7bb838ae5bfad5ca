//! Command line of this process, as the user would type it.

/// Returns the command line of this process, with `more` appended.
pub fn rerun_command(more: &str) -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    line(arguments, more)
}

/// Returns `pb-deploy` with these arguments and with the global options of this process that select what a command
/// works on, so that the command works on the same.
pub fn command(arguments: &[&str]) -> String {
    let given = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let words = arguments.iter().map(|argument| (*argument).to_owned());
    line(words, &selection(given, &["--config", "--profile", "--region", "--endpoint-url"]).join(" "))
}

/// Returns a command of the AWS CLI with the region, and with the global options of this process that the CLI has, too.
pub fn aws_command(command: &str, region: &str) -> String {
    let given = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let options = selection(given, &["--profile", "--endpoint-url"]);
    let region = ["--region".to_owned(), region.to_owned()];
    std::iter::once(command.to_owned()).chain(region).chain(options).collect::<Vec<_>>().join(" ")
}

/// Returns the options with these names in `arguments`, with their values, quoted.
fn selection(arguments: impl Iterator<Item = String>, names: &[&str]) -> Vec<String> {
    let (mut found, mut takes_value) = (Vec::new(), false);
    for argument in arguments.take_while(|argument| argument != "--") {
        let (name, value) =
            argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
        let is_known = names.contains(&name);
        if takes_value || is_known {
            found.push(quoted(&argument));
        }
        takes_value = !takes_value && is_known && value.is_none();
    }
    found
}

fn line(arguments: impl Iterator<Item = String>, more: &str) -> String {
    let mut words = vec!["pb-deploy".to_owned()];
    words.extend(arguments.map(|argument| quoted(&argument)));
    words.extend((!more.is_empty()).then(|| more.to_owned()));
    words.join(" ")
}

/// Quotes `word` for a POSIX shell if necessary.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{line, selection};

    #[test]
    fn command_line_with_special_characters_is_quoted() {
        let words = ["deploy", "staging", "--config", "my file's.toml", "--image", "flask=a:1", ""];
        let again = line(words.into_iter().map(str::to_owned), "--accept-changed-plan");
        let expected =
            r"pb-deploy deploy staging --config 'my file'\''s.toml' --image flask=a:1 '' --accept-changed-plan";
        assert_eq!(again, expected);
    }

    #[test]
    fn command_keeps_the_options_that_select_its_subject() {
        let given = ["destroy", "w", "--config", "my file.toml", "-y", "--region=eu-west-1", "--", "--profile", "p"];
        let found = selection(given.map(str::to_owned).into_iter(), &["--config", "--profile", "--region"]);
        assert_eq!(found, ["--config", "'my file.toml'", "--region=eu-west-1"]);
    }
}
