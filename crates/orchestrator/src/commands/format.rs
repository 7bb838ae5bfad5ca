//! `fmt`: formats the configuration.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::files;
use crate::output::console;
use pb_config::Config;
use pb_engine::ErrorCode;
use serde_json::json;
use toml_edit::{Array, Decor, DocumentMut, Item, KeyMut, RawString, Table, Value};

/// Formats the configuration, or with `check` only reports whether it is formatted: one space around `=`, no
/// consecutive blank lines, a blank line before each table, no trailing spaces. Comments, order and values are
/// preserved.
///
/// # Errors
/// A file that cannot be read or written, or is not TOML.
pub fn format(global: &Global, check: bool) -> Result<Exit, Error> {
    let file = &global.config;
    let unreadable = |e| {
        Error::other(ErrorCode::File, format!("cannot read {}: {e}", file.display()), "choose a file with --config")
    };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let Some(formatted) = formatted(&text) else {
        // If the file is not TOML, this returns the parser's error, which names the line.
        Config::load(file)?;
        let message = format!("cannot format {}: its meaning would change", file.display());
        return Err(Error::other(ErrorCode::Bug, message, "this is a bug in pb-deploy; the file was not changed"));
    };
    let changed = formatted != text;
    if changed && !check {
        let unwritable =
            |e| Error::other(ErrorCode::File, format!("cannot write {}: {e}", file.display()), "nothing was changed");
        files::replace(file, &formatted).map_err(unwritable)?;
    }
    if global.json {
        console::document(&json!({ "file": file, "changed": changed, "written": changed && !check }))?;
    } else if changed {
        console::print(file.display());
    }
    Ok(if changed && check { Exit::Failed } else { Exit::Done })
}

/// Returns the formatted text; `None` if it is not TOML, or its meaning would change.
fn formatted(text: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    // The last line may lack a line break.
    let trailing = clean(&format!("{}\n", document.trailing().as_str().unwrap_or_default()));
    table(document.as_table_mut());
    document.set_trailing(trailing);
    let formatted = format!("{}\n", document.to_string().trim());
    let meaning = |text: &str| text.parse::<toml::Table>().ok();
    (meaning(text)? == meaning(&formatted)?).then_some(formatted)
}

fn table(table: &mut Table) {
    for (key, item) in table.iter_mut() {
        match item {
            Item::Value(value) => {
                leaf(key);
                ends(value.decor_mut());
                inside(value);
            }
            Item::Table(inner) => header(key, inner),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|inner| {
                head(inner.decor_mut());
                self::table(inner);
            }),
            Item::None => {}
        }
    }
}

fn header(mut key: KeyMut<'_>, inner: &mut Table) {
    key.dotted_decor_mut().clear();
    if !inner.is_dotted() {
        head(inner.decor_mut());
    }
    table(inner);
}

/// Formats the header of a table: a blank line before it and its comments.
fn head(decor: &mut Decor) {
    let prefix = before(decor);
    let apart = prefix.lines().any(str::is_empty);
    decor.set_prefix(if apart { prefix } else { format!("\n{prefix}") });
    let suffix = comment(decor);
    decor.set_suffix(suffix);
}

/// Formats a key, with the comments on the lines before it.
fn leaf(mut key: KeyMut<'_>) {
    key.dotted_decor_mut().clear();
    let decor = key.leaf_decor_mut();
    let prefix = before(decor);
    decor.set_prefix(prefix);
    decor.set_suffix(" ");
}

/// Formats the space before a value, and the comment after it.
fn ends(decor: &mut Decor) {
    let suffix = comment(decor);
    decor.set_prefix(" ");
    decor.set_suffix(suffix);
}

/// Returns the comment after an element, preceded by one space.
fn comment(decor: &Decor) -> String {
    let text = decor.suffix().and_then(RawString::as_str).unwrap_or_default().trim();
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

/// Returns the comments and blank lines before an element.
fn before(decor: &Decor) -> String {
    clean(decor.prefix().and_then(RawString::as_str).unwrap_or_default())
}

/// Formats comments and blank lines: no spaces at the ends of a line, and no consecutive blank lines.
fn clean(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').map(str::trim).collect();
    // After the last line break, there is only indentation.
    lines.pop();
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Formats the inside of a value that is on one line. A value that spans several lines is not changed, nor are the
/// comments in it.
fn inside(value: &mut Value) {
    if spans_lines(value) {
        return;
    }
    match value {
        Value::Array(array) => one_line(array),
        Value::InlineTable(table) => {
            table.iter_mut().for_each(|(_, value)| inside(value));
            table.fmt();
        }
        _ => {}
    }
}

fn one_line(array: &mut Array) {
    array.iter_mut().for_each(inside);
    array.fmt();
}

fn spans_lines(value: &Value) -> bool {
    match value {
        Value::Array(_) | Value::InlineTable(_) => {
            let mut alone = value.clone();
            alone.decor_mut().clear();
            alone.to_string().contains('\n')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::formatted;

    const ROOT: &str = include_str!("../../../../pb_deploy.toml");

    #[test]
    fn repository_configuration_is_formatted() {
        assert_eq!(formatted(ROOT).unwrap(), ROOT);
    }

    #[test]
    fn formatting_fixes_blanks_and_keeps_comments() {
        let text = "\n\n# about it   \n  region=\"us-east-2\"   # why\nhostname   = 'a.b'\n\n\n\n[ state ]  # where\n\
                    bucket= \"b\"\nlist =[ 1,2 ,  3]\nroles.execution  =   \"r\"\nmap = {a=1,b = [1,2]}\n   # the last\n\n\
                    [workspace.staging]\n   [workspace.staging.services.celery]\ncount=1\n# end";
        let expected = "# about it\nregion = \"us-east-2\" # why\nhostname = 'a.b'\n\n[ state ] # where\n\
                        bucket = \"b\"\nlist = [1, 2, 3]\nroles.execution = \"r\"\nmap = { a = 1, b = [1, 2] }\n# the last\n\n\
                        [workspace.staging]\n\n[workspace.staging.services.celery]\ncount = 1\n# end\n";
        let once = formatted(text).unwrap();
        assert_eq!(once, expected);
        assert_eq!(formatted(&once).unwrap(), once);
    }

    #[test]
    fn multiline_list_keeps_its_lines_and_comments() {
        let text = "list = [\n    1, # one\n    2,\n]\ntext = '''\n  a  \n'''\n";
        assert_eq!(formatted(text).unwrap(), text);
    }

    #[test]
    fn invalid_toml_is_not_formatted() {
        assert_eq!(formatted("a: 1"), None);
    }
}
