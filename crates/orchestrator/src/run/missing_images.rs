//! Instructions for images that are not pushed yet.

use crate::invocation;
use crate::local::build_source::{BuildSource, Dockerfiles};
use crate::local::dockerfile::stage_names;
use crate::output::reporter::Reporter;
use crate::output::{BOLD, WARN, paint};
use crate::workspace::context::WorkspaceContext;
use crate::workspace::images::{DIGEST, Images};
use serde_json::json;
use std::collections::BTreeMap;

/// Prints the commands that push the missing images to the repository at `uri`.
pub fn print_push_commands(reporter: &Reporter, context: &WorkspaceContext, images: &Images, uri: &str) {
    let services: BTreeMap<&str, &str> = images.missing().collect();
    let push = PushCommands::new(&services, uri, &context.workspace.region, &Dockerfiles::find(&context.project));
    reporter.json("images_missing", &json!({ "repository": uri, "services": services, "commands": push.commands }));
    let names: Vec<&str> = services.keys().copied().collect();
    let (verb, because, them) = match names.len() {
        1 => ("is", "its image is missing", "it"),
        _ => ("are", "their images are missing", "them"),
    };
    let names = paint(WARN, names.join(" and "));
    let mut text = format!("\n{names} {verb} not running yet because {because}. Push {them} with:\n");
    for command in &push.commands {
        text.push_str(&format!("  {command}\n"));
    }
    for note in &push.notes {
        text.push_str(&format!("{note}\n"));
    }
    let next = invocation::command(&["deploy", context.name()]);
    text.push_str(&format!("Then run: {}", paint(BOLD, next)));
    reporter.message(&text);
}

/// Shell commands that push images, and what the user has to know about them.
#[derive(Debug, Default)]
struct PushCommands {
    commands: Vec<String>,
    notes: Vec<String>,
}

impl PushCommands {
    /// Returns the commands for the missing tags of `services` (tag by service): each tag is built once.
    fn new(services: &BTreeMap<&str, &str>, uri: &str, region: &str, dockerfiles: &Dockerfiles) -> Self {
        let mut by_tag: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (service, tag) in services {
            by_tag.entry(tag).or_default().push(service);
        }
        let registry = uri.split('/').next().unwrap_or(uri);
        let password = invocation::aws_command("aws ecr get-login-password", region);
        let mut push = Self::default();
        push.commands.push(format!("{password} | docker login --username AWS --password-stdin {registry}"));
        let mut unknown = Vec::new();
        for (tag, services) in by_tag {
            if tag.starts_with(DIGEST) {
                push.notes.push(format!("Push the image {tag} from where it was built, or choose a tag."));
                continue;
            }
            let (target, folder) = match dockerfiles.source(&stage_names(tag, &services)) {
                Some(source) => arguments(&source),
                None => {
                    unknown.push(placeholder(tag));
                    (String::new(), placeholder(tag))
                }
            };
            push.commands.push(format!("docker build --platform linux/amd64 {target}-t {uri}:{tag} {folder}"));
            push.commands.push(format!("docker push {uri}:{tag}"));
        }
        if !unknown.is_empty() {
            push.notes.push(format!("Replace {} with the folder of the Dockerfile.", unknown.join(" and ")));
        }
        push
    }
}

/// Returns the option of `docker build` that selects the stage, and the folder.
fn arguments(source: &BuildSource) -> (String, String) {
    let folder = source.folder.display().to_string();
    let target = source.target.as_ref().map(|target| format!("--target {target} "));
    (target.unwrap_or_default(), invocation::quoted(if folder.is_empty() { "." } else { &folder }))
}

/// Returns a placeholder for the folder that an image is built from, in capitals, because the user has to replace it.
fn placeholder(tag: &str) -> String {
    let capital = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("FOLDER_OF_{}", tag.chars().map(capital).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::PushCommands;
    use crate::local::build_source::Dockerfiles;

    const URI: &str = "1.dkr.ecr.us-east-2.amazonaws.com/staging-celeryflask";

    #[test]
    fn each_tag_is_built_once_and_no_digest_is() {
        let services = [("api", "sha256:ab"), ("celery", "app"), ("flask", "v1.0"), ("other", "app")];
        let push = PushCommands::new(&services.into(), URI, "us-east-2", &Dockerfiles::default());
        assert_eq!(
            push.commands,
            [
                "aws ecr get-login-password --region us-east-2 | docker login --username AWS --password-stdin \
                 1.dkr.ecr.us-east-2.amazonaws.com"
                    .to_owned(),
                format!("docker build --platform linux/amd64 -t {URI}:app FOLDER_OF_APP"),
                format!("docker push {URI}:app"),
                format!("docker build --platform linux/amd64 -t {URI}:v1.0 FOLDER_OF_V1_0"),
                format!("docker push {URI}:v1.0"),
            ]
        );
        assert_eq!(
            push.notes,
            [
                "Push the image sha256:ab from where it was built, or choose a tag.",
                "Replace FOLDER_OF_APP and FOLDER_OF_V1_0 with the folder of the Dockerfile.",
            ]
        );
    }
}
