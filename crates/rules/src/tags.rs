//! Keys and values of tags, and the number of tags of a resource.

use crate::text::length;
use crate::{Verdict, Violation};

/// Prefix that is reserved for the ownership tags.
pub const OWNERSHIP_PREFIX: &str = "pb-deploy:";

/// Maximum number of tags of a resource, including `Name` and the ownership tags. (EC2 user guide: Tag restrictions)
pub const TAGS_MAX: usize = 50;

/// Number of tags reserved for `Name` and the ownership tags.
pub const TAGS_RESERVED: usize = 10;

/// Checks the key of a tag. (EC2 user guide: Tag restrictions; the characters are those that every service accepts)
pub fn key(key: &str) -> Verdict {
    let what = "a tag key";
    length(what, key, 1, 128)?;
    characters(what, key)?;
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(Violation::new(format!("`{key}` starts with `aws:`, which is reserved by AWS")));
    }
    Ok(())
}

/// Checks the value of a tag, which may be empty. (EC2 user guide: Tag restrictions)
pub fn value(value: &str) -> Verdict {
    length("a tag value", value, 0, 256)?;
    characters("a tag value", value)
}

/// Checks the key of a tag that a user configures: it is neither `Name` nor an ownership tag.
pub fn extra_key(text: &str) -> Verdict {
    key(text)?;
    if text.to_ascii_lowercase().starts_with(OWNERSHIP_PREFIX) {
        return Err(Violation::new(format!(
            "`{text}` starts with `{OWNERSHIP_PREFIX}`, which is reserved for the ownership tags"
        )));
    }
    if text == "Name" {
        return Err(Violation::new("`Name` is already set on each resource, to its name in the workspace"));
    }
    Ok(())
}

/// Checks the number of tags that a user configures.
pub fn extra_count(count: usize) -> Verdict {
    let max = TAGS_MAX - TAGS_RESERVED;
    if count <= max {
        return Ok(());
    }
    Err(Violation::new(format!(
        "{count} tags are too many; a resource can have {TAGS_MAX}, of which {TAGS_RESERVED} are reserved for `Name` \
         and the ownership tags"
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
            ("aws:x", "reserved by AWS"),
            ("AWS:x", "reserved by AWS"),
            ("pb-deploy:stack", "reserved for the ownership tags"),
            ("Name", "already set"),
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
