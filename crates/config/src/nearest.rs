//! Suggestions for mistyped names.

/// Returns the known name that is most similar to a mistyped name, if it is similar enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let edits = |candidate: &str| strsim::damerau_levenshtein(&name.to_lowercase(), candidate);
    let near = |candidate: &str| {
        let length = candidate.chars().count();
        edits(candidate) <= (length / 3).max(1) || (name.len() > 2 && candidate.starts_with(name))
    };
    known.into_iter().filter(|candidate| near(candidate)).min_by_key(|candidate| edits(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_within_a_few_edits() {
        let known = ["production", "staging", "default"];
        assert_eq!(nearest("stagign", known), Some("staging"));
        assert_eq!(nearest("prod", known), Some("production"));
        assert_eq!(nearest("Staging", known), Some("staging"));
        assert_eq!(nearest("qa", known), None);
    }
}
