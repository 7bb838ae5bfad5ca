//! Tags.

use crate::text::length;
use crate::{Verdict, Violation};

/// Prefix of the tags that say whose a resource is; nobody else may write them.
pub const OWNERSHIP_PREFIX: &str = "pb-deploy:";

/// Tags that a resource can have, ours and `Name` included. (EC2 user guide: Tag restrictions)
pub const TAGS_MAX: usize = 50;

/// Tags that are kept free for `Name` and the ownership tags.
pub const TAGS_RESERVED: usize = 10;

/// Key of a tag. (EC2 user guide: Tag restrictions; the characters are those that every service takes)
pub fn key(key: &str) -> Verdict {
    let what = "a tag key";
    length(what, key, 1, 128)?;
    characters(what, key)?;
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(Violation::new(format!("`{key}` begins with `aws:`, which AWS keeps for itself")));
    }
    Ok(())
}

/// Value of a tag; may be empty. (EC2 user guide: Tag restrictions)
pub fn value(value: &str) -> Verdict {
    length("a tag value", value, 0, 256)?;
    characters("a tag value", value)
}

/// Key of a tag that a person adds: neither `Name` nor an ownership tag.
pub fn extra_key(text: &str) -> Verdict {
    key(text)?;
    if text.to_ascii_lowercase().starts_with(OWNERSHIP_PREFIX) {
        return Err(Violation::new(format!(
            "`{text}` begins with `{OWNERSHIP_PREFIX}`, which is kept for the tags that say whose a resource is"
        )));
    }
    if text == "Name" {
        return Err(Violation::new(
            "`Name` is given to each resource already, as the name that it has in the workspace",
        ));
    }
    Ok(())
}

/// How many tags a person adds.
pub fn extra_count(count: usize) -> Verdict {
    let max = TAGS_MAX - TAGS_RESERVED;
    if count <= max {
        return Ok(());
    }
    Err(Violation::new(format!(
        "{count} tags are too many: a resource has at most {TAGS_MAX}, {TAGS_RESERVED} of them are kept for ownership"
    )))
}

fn characters(what: &str, text: &str) -> Verdict {
    let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    crate::text::only(what, text, allowed, "letters, digits, spaces and _.:/=+-@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for good in ["owner", "cost:center", "Équipe", &"k".repeat(128)] {
            assert_eq!(extra_key(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("aws:x", "AWS keeps"),
            ("AWS:x", "AWS keeps"),
            ("pb-deploy:stack", "whose a resource is"),
            ("Name", "already"),
            ("a,b", "','"),
            (&"k".repeat(129), "128"),
        ] {
            let violation = extra_key(bad).unwrap_err().to_string();
            assert!(violation.contains(why), "{bad}: {violation}");
        }
        assert_eq!(key("pb-deploy:stack"), Ok(()));
    }

    #[test]
    fn values() {
        assert_eq!(value(""), Ok(()));
        assert_eq!(value(&"v".repeat(256)), Ok(()));
        assert!(value(&"v".repeat(257)).is_err());
    }

    #[test]
    fn counts() {
        assert_eq!(extra_count(40), Ok(()));
        assert!(extra_count(41).is_err());
    }
}
