use super::*;

/// Two made-up phrases; the second contains the first.
const LIST: &str = "# comment\n\nwibble\ngreat wibble\twobble\n";

fn checked(name: &str, text: &str) -> Vec<String> {
    problems(&phrases(LIST), &[Source { name: name.to_owned(), text: text.to_owned() }])
}

/// Returns a line with an exemption; it is composed here, so that this file itself contains none.
fn exempt(line: &str, reason: &str) -> String {
    format!("{line} // {EXEMPTION} {reason}").trim_end().to_owned()
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn phrase_is_matched_as_whole_words_in_any_case() {
    let found = checked("a.md", "fine\nA Wibble, here\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("a.md:2: \"wibble\" is retired, ") && found[0].ends_with(": A Wibble, here"),
        "{found:?}"
    );
    assert_eq!(checked("a.md", "wibbles unwibble"), none());
}

#[test]
fn phrase_with_suggestion_replaces_those_that_it_contains() {
    assert_eq!(
        checked("a.toml", "great wibble"),
        ["a.toml:1: \"great wibble\" is retired, write wobble: great wibble"]
    );
}

#[test]
fn phrase_is_found_across_lines_and_in_names() {
    for text in
        ["/// a great\n/// wibble", "# a great\n# wibble", "print(\"a great \\\n   wibble\")", "let great_wibble = 1;"]
    {
        let found = checked("a.rs", text);
        assert!(found.len() == 1 && found[0].starts_with("a.rs:1: \"great wibble\""), "{text}: {found:?}");
    }
    assert_eq!(checked("a.md", "great\n\nwobble"), none(), "another paragraph");
}

#[test]
fn repository_has_no_violation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(check(root).unwrap(), none());
}

#[test]
fn list_of_phrases_is_lower_case_and_without_duplicates() {
    let all = phrases(PHRASES);
    assert!(all.len() > 20, "{all:?}");
    for phrase in &all {
        assert_eq!(phrase.text, phrase.text.trim().to_lowercase(), "{phrase:?}");
        assert_eq!(all.iter().filter(|other| other.text == phrase.text).count(), 1, "{phrase:?}");
    }
}

#[test]
fn doc_comment_that_begins_with_a_question_word_is_refused() {
    for word in ["What", "Whether", "How", "Who"] {
        for text in
            [format!("    /// {word} it is."), format!("//! {word} it is."), format!("/// A.\n///\n/// {word} b.")]
        {
            let found = checked("a.rs", &text);
            assert!(found.len() == 1 && found[0].contains(&format!("begins with \"{word}\"")), "{text}: {found:?}");
        }
        for text in [
            format!("    \"\"\"{word} it is.\"\"\""),
            format!("#: {word} it is."),
            format!("\"\"\"\n{word} b.\n\"\"\""),
        ] {
            let found = checked("a.py", &text);
            assert!(found.len() == 1 && found[0].contains(&format!("begins with \"{word}\"")), "{text}: {found:?}");
        }
    }
}

#[test]
fn question_word_elsewhere_in_a_doc_comment_is_accepted() {
    for text in [
        "/// Returns\n/// whether it is.",
        "// What it is.",
        "/// A.\n///\n/// ```\n/// what\n/// ```",
        "/// Whose it is.",
    ] {
        assert_eq!(checked("a.rs", text), none(), "{text}");
    }
    for text in [
        "#: Says\n#: how.",
        "# How.",
        "\"\"\"Says\nhow.\n\"\"\"",
        "x = \"\"\"\nWhat\n\"\"\"",
        "\"\"\"A.\n\nHow.\n\"\"\"",
    ] {
        assert_eq!(checked("a.py", text), none(), "{text}");
    }
    assert_eq!(checked("a.md", "What it is."), none());
}

#[test]
fn long_test_name_is_refused() {
    let (fits, long) = (format!("test_{}", "x".repeat(55)), format!("test_{}", "x".repeat(56)));
    for before in
        ["#[test]\nfn ", "#[tokio::test(start_paused = true)]\nasync fn ", "#[rstest]\n#[case(1)]\n/// A.\nfn "]
    {
        assert_eq!(checked("a.rs", &format!("{before}{fits}() {{}}")), none());
        let found = checked("a.rs", &format!("{before}{long}() {{}}"));
        assert!(found.len() == 1 && found[0].contains("has 61 characters, more than 60"), "{found:?}");
    }
    assert_eq!(checked("a.rs", &format!("#[test]\nfn a() {{}}\nfn {long}() {{}}")), none(), "a helper");
    let property = format!("proptest! {{\n    #[test]\n    fn {long}(a in 0..1) {{}}\n}}");
    assert_eq!(checked("a.rs", &property).len(), 1);
    assert_eq!(checked("a.py", &format!("def {fits}() -> None: ...\n    async def {long}(self): ...")).len(), 1);
}

#[test]
fn exempt_line_needs_a_reason_and_a_finding() {
    assert_eq!(checked("a.rs", &exempt("wibble", "a name of AWS")), none());
    assert_eq!(checked("a.rs", &exempt("wibble", "")).len(), 1, "no reason");
    let unused = checked("a.rs", &exempt("fine", "a name of AWS"));
    assert!(
        unused.len() == 1 && unused[0].starts_with("a.rs:1: ") && unused[0].contains("exempts nothing"),
        "{unused:?}"
    );
    assert_eq!(checked("a.rs", &format!("\"wibble {EXEMPTION} x\"")).len(), 1, "not in a comment");
    assert_eq!(checked("a.md", &format!("wibble <!-- {EXEMPTION} quoted -->")), none());
}

#[test]
fn more_than_ten_exemptions_are_refused() {
    let lines = |count: usize| vec![exempt("wibble", "quoted"); count].join("\n");
    assert_eq!(checked("a.rs", &lines(10)), none());
    let found = checked("a.rs", &lines(11));
    assert!(found.len() == 1 && found[0].starts_with("11 lines carry"), "{found:?}");
}

#[test]
fn only_tracked_sources_and_documents_are_checked() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a.md", "b.txt", "tests/snapshots/c.md", "tests/fixtures/d.py", "e/f.py", "untracked.md"] {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#: How it is.\n").unwrap();
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        assert!(command.arg("-C").arg(root.path()).args(arguments).status().unwrap().success());
    };
    assert!(check(root.path()).unwrap_err().to_string().contains("git ls-files failed"));
    git(&["init", "--quiet"]);
    git(&["add", "a.md", "b.txt", "tests", "e"]);
    let found = check(root.path()).unwrap();
    assert!(found.len() == 1 && found[0].starts_with("e/f.py:1: "), "{found:?}");
}
