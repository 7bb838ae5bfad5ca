//! Size of task definitions and of the overrides of a task.

use crate::{Verdict, Violation};

/// Maximum size of a task definition in bytes; more is refused with a ClientException: "Actual length: '66420'. Max
/// allowed length is '65536' bytes." (ECS developer guide: service quotas, "Task definition size")
pub const SIZE_MAX: usize = 65_536;

/// Bytes that are reserved for the fields that ECS adds to a registered task definition. AWS does not document what it
/// counts: here, it is the JSON that is sent, without white space, and these bytes.
pub const ADDED_BY_ECS: usize = 1024;

/// Bytes that are reserved for the part of a task definition that the configuration does not contain: names, roles,
/// image, log settings, the address of the queue, and [`ADDED_BY_ECS`].
const OUTSIDE_OF_CONFIGURATION: usize = 2048;

/// Maximum size of the overrides of a task, in characters of their JSON. (ECS API: TaskOverride)
pub const OVERRIDES_MAX: usize = 8192;

/// Bytes that are reserved for the name of the container in the overrides of a task.
const CONTAINER_NAME: usize = 64;

/// Remedy for a task definition that is too large.
const REMEDY: &str = "move large values into a file in the image, or into S3, Secrets Manager or Parameter Store";

/// Checks the size in bytes of a task definition. (ECS developer guide: service quotas)
pub fn size(bytes: usize) -> Verdict {
    match bytes > SIZE_MAX {
        false => Ok(()),
        true => Err(Violation::new(format!(
            "the task definition has {bytes} bytes, including {ADDED_BY_ECS} for what ECS adds; ECS accepts {SIZE_MAX}"
        ))
        .with_remedy(REMEDY)),
    }
}

/// Checks that variables, references to secrets and a command leave room for the rest of a task definition. (ECS
/// developer guide: service quotas)
pub fn configured_size(bytes: usize) -> Verdict {
    let most = SIZE_MAX - OUTSIDE_OF_CONFIGURATION;
    match bytes > most {
        false => Ok(()),
        true => Err(Violation::new(format!(
            "`environment`, `secrets` and `command` together have {bytes} bytes in the task definition; ECS accepts \
             {SIZE_MAX} for all of it, which leaves {most} for these"
        ))
        .with_remedy(REMEDY)),
    }
}

/// Returns the size in bytes of the variables, the references to secrets and the command of a container in the JSON of
/// a task definition.
pub fn container_size<'a>(
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    secrets: impl IntoIterator<Item = (&'a str, &'a str)>,
    command: impl IntoIterator<Item = &'a str>,
) -> usize {
    let pair = |fields: usize| move |(name, value)| fields + json_length(name) + json_length(value);
    let environment: usize = environment.into_iter().map(pair(r#"{"name":,"value":},"#.len())).sum();
    let secrets: usize = secrets.into_iter().map(pair(r#"{"name":,"valueFrom":},"#.len())).sum();
    let command: usize = command.into_iter().map(|word| 1 + json_length(word)).sum();
    environment + secrets + command
}

/// Checks the size of a command that replaces the command of a container in one task. (ECS API: TaskOverride, "A total
/// of 8192 characters are allowed for overrides. This limit includes the JSON formatting characters")
pub fn command_override<'a>(command: impl IntoIterator<Item = &'a str>) -> Verdict {
    let fields = r#"{"containerOverrides":[{"name":"","command":[]}]}"#.len() + CONTAINER_NAME;
    let length = fields + container_size([], [], command);
    match length > OVERRIDES_MAX {
        false => Ok(()),
        true => Err(Violation::new(format!(
            "the command has {length} characters in the overrides of its task; ECS accepts {OVERRIDES_MAX}"
        ))
        .with_remedy("move the command into a script in the image")),
    }
}

/// Returns the number of bytes of a text as a JSON string, with its quotes.
fn json_length(text: &str) -> usize {
    let escaped = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c.is_ascii_control() => 6,
        c => c.len_utf8(),
    };
    2 + text.chars().map(escaped).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_that_of_compact_json() {
        let size = container_size([("A", "1\n\u{1}é")], [("B", "arn")], ["say", "\"hi\""]);
        let json = concat!(
            r#"{"name":"A","value":"1\n\u0001é"},"#,
            r#"{"name":"B","valueFrom":"arn"},"#,
            r#""say","\"hi\"","#
        );
        assert_eq!(size, json.len());
    }

    #[test]
    fn task_definition_beyond_the_limit_is_refused() {
        assert_eq!(size(SIZE_MAX), Ok(()));
        assert!(size(SIZE_MAX + 1).unwrap_err().to_string().contains("65537 bytes"));
        assert_eq!(configured_size(63_488), Ok(()));
        assert!(configured_size(63_489).unwrap_err().to_string().contains("leaves 63488"));
    }

    #[test]
    fn long_command_of_one_task_is_refused() {
        assert_eq!(command_override(["flask", "db", "upgrade"]), Ok(()));
        assert_eq!(command_override([&*"x".repeat(8000)]), Ok(()));
        assert!(command_override([&*"x".repeat(8192)]).is_err());
        assert!(command_override(vec!["x"; 2100]).is_err(), "quotes and commas count");
    }
}
