//! References to container images.

use crate::text::{begins, length, only};
use crate::{Verdict, Violation};

/// Prefix of a digest: the only algorithm that ECS supports.
const SHA256: &str = "sha256:";

/// Forms of a reference, as a remedy.
const FORMS: &str = "write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, such as `ghcr.io/my-team/my-app:1.0`";

/// Checks an image reference: a name, optionally after a registry with a port, and optionally followed by a tag, by a
/// digest, or by both. ECS accepts more characters, but tasks that cannot pull their image never start. (ECS API:
/// ContainerDefinition, `image`; OCI distribution specification: Pulling manifests; Docker: `docker image tag`)
pub fn image(reference: &str) -> Verdict {
    let what = "an image reference";
    if let Some((_, rest)) = reference.split_once("://") {
        let message = format!("`{reference}` is a URL; {what} has no scheme");
        return Err(Violation::new(message).with_suggestion(rest));
    }
    let (tagged, digest) = reference.split_once('@').map_or((reference, None), |(name, digest)| (name, Some(digest)));
    length(what, tagged, 1, 255)?;
    only(what, tagged, |c| c.is_ascii_alphanumeric() || "-_:./".contains(c), "letters, digits and -_:./@")?;
    if let Some(text) = digest {
        self::digest(text)?;
    }
    // A colon before the last slash precedes the port of the registry.
    let folder = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match tagged.get(folder..).and_then(|last| last.find(':')) {
        Some(colon) => tagged.split_at(folder + colon),
        None => (tagged, ""),
    };
    if let Some(tag) = tag.strip_prefix(':') {
        image_tag(tag)?;
    }
    let path = match name.split_once('/').filter(|(first, _)| is_registry(first)) {
        Some((first, path)) => {
            registry(reference, first)?;
            path
        }
        None => name,
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        let (before, rest) = reference.split_at(name.len() - path.len());
        let lower = format!("{before}{}{}", path.to_lowercase(), rest.split_at(path.len()).1);
        let message = format!("`{reference}` contains capital letters; the name of an image is in lower case");
        return Err(Violation::new(message).with_suggestion(lower));
    }
    match path.split('/').all(is_component) {
        true => Ok(()),
        false => Err(Violation::new(format!("`{reference}` is not {what}")).with_remedy(FORMS)),
    }
}

/// Returns whether the part before the first slash names a registry rather than a part of the image's name.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn registry(reference: &str, text: &str) -> Verdict {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        inner && edge(label.chars().next()) && edge(label.chars().last())
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && matches!(port.parse::<u16>(), Ok(1..));
    if host.split('.').all(label) && port.is_none_or(is_port) {
        return Ok(());
    }
    Err(Violation::new(format!(
        "`{reference}` has no valid registry: `{text}` is not a host name with an optional port"
    ))
    .with_remedy(FORMS))
}

/// Returns whether a part of an image's name consists of lower-case letters and digits, with single separators between
/// them: a dot, one or two underscores, or hyphens.
fn is_component(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators: Vec<&str> = part.split(alphanumeric).collect();
    let [first, inner @ .., last] = separators.as_slice() else { return false };
    let is_separator = |text: &&str| matches!(*text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    first.is_empty() && last.is_empty() && inner.iter().all(is_separator)
}

/// Checks the digest of an image: `sha256:` and 64 hexadecimal digits. (ECS API: ContainerDefinition, `image`; OCI
/// image specification: Digests)
pub fn digest(text: &str) -> Verdict {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match text.strip_prefix(SHA256) {
        Some(digits) if digits.len() == 64 && digits.bytes().all(hexadecimal) => Ok(()),
        _ => {
            let message = format!("`{text}` is not a digest, which is `sha256:` and 64 digits from 0 to 9 and a to f");
            Err(Violation::new(message).with_remedy("copy the whole digest, such as from `docker images --digests`"))
        }
    }
}

/// Checks the tag of an image in ECR. (ECR API: ImageIdentifier, `imageTag`)
pub fn image_tag(tag: &str) -> Verdict {
    let what = "an image tag";
    length(what, tag, 1, 128)?;
    only(what, tag, |c| c.is_ascii_alphanumeric() || "_.-".contains(c), "letters, digits and _.-")?;
    begins(what, tag, |c| c.is_ascii_alphanumeric() || c == '_', "a letter, a digit or `_`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:94afd1f2e64d908bc90dbca0035a5b567d4fb2d50b2b7b0bd3f3e7c6b8d6d4a1";

    #[test]
    fn references_in_every_form_are_accepted() {
        for good in [
            "app",
            "app:1.0",
            "my-team/app",
            "ghcr.io/my-team/app:1.2",
            "123456789012.dkr.ecr.us-east-2.amazonaws.com/team/app_1.2:Release-7",
            "registry.example.org:5000/app",
            "registry.example.org:5000/app:1.0",
            "Registry.Example.org/app",
            "localhost/app",
            "a__b/c--d.e",
            &format!("app@{DIGEST}"),
            &format!("h.example:5000/team/app:1@{DIGEST}"),
            &format!("{}@{DIGEST}", "x".repeat(255)),
        ] {
            assert_eq!(image(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        for (bad, word) in [
            ("", "must not be empty"),
            ("a b", "' '"),
            ("app#1", "'#'"),
            ("/app", "is not an image reference"),
            ("app/", "is not an image reference"),
            ("team//app", "is not an image reference"),
            ("team/-app", "is not an image reference"),
            ("team/app-", "is not an image reference"),
            ("team/a..b", "is not an image reference"),
            ("team/a___b", "is not an image reference"),
            ("ghcr.io/", "is not an image reference"),
            ("ghcr.io/app:", "must not be empty"),
            ("ghcr.io/app:-1", "does not start with"),
            ("ghcr.io:x/app", "no valid registry"),
            ("ghcr.io:0/app", "no valid registry"),
            ("ghcr.io:70000/app", "no valid registry"),
            ("-ghcr.io/app", "no valid registry"),
            ("ghcr..io/app", "no valid registry"),
            ("app:1:2", "':'"),
            ("app@sha256:0123", "is not a digest"),
            ("app@md5:0123", "is not a digest"),
            ("app@", "is not a digest"),
            (&format!("app@{DIGEST}:1"), "is not a digest"),
            (&format!("@{DIGEST}"), "must not be empty"),
            (&"x".repeat(256), "256 characters"),
        ] {
            let violation = image(bad).unwrap_err().to_string();
            assert!(violation.contains(word), "{bad}: {violation}");
        }
    }

    #[test]
    fn capital_letters_and_schemes_have_a_suggestion() {
        for (bad, suggestion) in [
            ("ghcr.io/My-Team/App:1.0-RC", "ghcr.io/my-team/app:1.0-RC"),
            ("GHCR.io/Team/app", "GHCR.io/team/app"),
            ("Team.io/Team", "Team.io/team"),
            ("App", "app"),
            ("https://ghcr.io/team/app:1", "ghcr.io/team/app:1"),
        ] {
            assert_eq!(image(bad).unwrap_err().suggestion(), Some(suggestion), "{bad}");
        }
    }

    #[test]
    fn tags() {
        for good in ["flask", "v1.2.3", "_x", "2024-01-01"] {
            assert_eq!(image_tag(good), Ok(()), "{good}");
        }
        for bad in ["", "-x", ".x", "a:b", "a/b", &"x".repeat(129)] {
            assert!(image_tag(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_references_do_not_panic(reference in "[A-Za-z0-9:/@._é -]{0,40}") {
            let _ = image(&reference);
        }

        #[test]
        fn suggested_reference_is_valid(name in "[a-zA-Z]{1,8}(/[a-zA-Z]{1,8}){0,2}(:[A-Z]{1,4})?") {
            if let Err(violation) = image(&name) {
                prop_assert_eq!(image(violation.suggestion().unwrap()), Ok(()));
            }
        }
    }
}
