//! Command line of this process, as the user would type it.

/// Returns the command line of this process, with `more` appended.
pub fn rerun_command(more: &str) -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    line(arguments, more)
}

fn line(arguments: impl Iterator<Item = String>, more: &str) -> String {
    let mut words = vec!["pb-deploy".to_owned()];
    words.extend(arguments.map(|argument| quoted(&argument)));
    words.extend((!more.is_empty()).then(|| more.to_owned()));
    words.join(" ")
}

/// Quotes `word` for a POSIX shell if necessary.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn command_line_with_special_characters_is_quoted() {
        let words = ["deploy", "staging", "--config", "my file's.toml", "--image", "flask=a:1", ""];
        let again = line(words.into_iter().map(str::to_owned), "--accept-changed-plan");
        let expected =
            r"pb-deploy deploy staging --config 'my file'\''s.toml' --image flask=a:1 '' --accept-changed-plan";
        assert_eq!(again, expected);
    }
}
