use super::*;

/// Returns the problems of a crate with these files.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    problems_in(&files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

const NONE: [&str; 0] = [];

#[test]
fn direct_cycle_is_shown_with_lines() {
    let root = ("lib.rs", "mod a; mod b;");
    let found =
        problems(&[root, ("a.rs", "\nuse crate::b::B;"), ("b.rs", "pub struct B;\n\nfn b() { crate::a::f() }")]);
    assert_eq!(found, ["a.rs -> b.rs -> a.rs (a.rs:2, b.rs:3)"]);
    assert_eq!(problems(&[root, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c;")]), NONE);
}

#[test]
fn cycles_of_three_files_are_found_once() {
    let files = [
        ("lib.rs", "mod c; mod a; mod b; mod d;"),
        ("c.rs", "use crate::a::A;"),
        ("a.rs", "use super::b::{B, B2};"),
        ("b.rs", "use crate::c::C;"),
        ("d.rs", "use crate::a::A; use crate::b::B;"),
    ];
    assert_eq!(problems(&files), ["a.rs -> b.rs -> c.rs -> a.rs (a.rs:1, b.rs:1, c.rs:1)"]);
}

#[test]
fn each_import_on_a_cycle_is_on_a_shown_cycle() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;\nuse crate::c::C;"),
        ("b.rs", "use crate::a::A;\nuse crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
    ];
    assert_eq!(
        problems(&files),
        [
            "a.rs -> b.rs -> a.rs (a.rs:1, b.rs:1)",
            "a.rs -> c.rs -> a.rs (a.rs:2, c.rs:1)",
            "a.rs -> b.rs -> c.rs -> a.rs (a.rs:1, b.rs:2, c.rs:1)"
        ]
    );
}

#[test]
fn cycle_through_a_reexport_is_found() {
    let files = |folder| {
        [
            ("lib.rs", "mod x; mod y; pub use x::a::A;"),
            ("x/mod.rs", folder),
            ("x/a.rs", "use crate::y::Y; pub struct A;"),
            ("y.rs", "use crate::x::A; pub struct Y;"),
        ]
    };
    let cycle = ["x/a.rs -> y.rs -> x/a.rs (x/a.rs:1, y.rs:1)"];
    assert_eq!(problems(&files("pub(crate) mod a; pub(crate) use a::A;")), cycle, "by name");
    assert_eq!(problems(&files("pub(crate) mod a; pub(crate) use self::a::*;")), cycle, "by a glob");
    assert_eq!(problems(&files("pub(crate) mod a; pub(crate) use crate::A;")), cycle, "by another re-export");
    let renamed = [
        ("lib.rs", "mod x; mod y;"),
        ("x.rs", "mod a; pub(crate) use a::A as B;"),
        ("x/a.rs", "use crate::y::Y; pub struct A;"),
        ("y.rs", "use crate::x; fn f(b: x::B) {} pub struct Y;"),
    ];
    assert_eq!(problems(&renamed), cycle, "by another name and through an imported module");
}

#[test]
fn reexport_itself_is_no_import() {
    let files = [
        ("lib.rs", "mod x; pub use x::X;"),
        ("x/mod.rs", "mod a; mod b; pub use a::A; pub use b::B; pub struct X;"),
        ("x/a.rs", "use super::X; use crate::x::B; pub struct A;"),
        ("x/b.rs", "use crate::X; pub struct B;"),
    ];
    assert_eq!(problems(&files), NONE);
}

#[test]
fn cycle_between_parent_and_child_is_found() {
    let files = |parent| [("lib.rs", "mod a;"), ("a.rs", parent), ("a/b.rs", "use super::A; pub(super) fn b() {}")];
    let cycle = ["a.rs -> a/b.rs -> a.rs (a.rs:2, a/b.rs:1)"];
    assert_eq!(problems(&files("mod b; pub struct A;\nuse self::b::b;")), cycle);
    assert_eq!(problems(&files("mod b; pub struct A;\nuse b::b;")), cycle, "without self");
    assert_eq!(problems(&files("mod b; pub struct A;\nfn a() { b::b() }")), cycle, "outside of a use declaration");
    assert_eq!(problems(&files("mod b; pub struct A;")), NONE, "only the child imports");
    assert_eq!(problems(&files("mod b; use other::A;\nuse self::b::b;")), NONE, "the item is of another crate");
    let root = [("lib.rs", "mod a;\nfn f() {} fn g() { a::a() }"), ("a.rs", "pub fn a() { crate::f() }")];
    assert_eq!(problems(&root), ["a.rs -> lib.rs -> a.rs (a.rs:1, lib.rs:2)"]);
}

#[test]
fn cycle_only_in_tests_is_allowed() {
    let files = [
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod testing;"),
        ("a.rs", "use crate::b::B; pub struct A; mod tests;"),
        ("a/tests.rs", "use crate::b::B;"),
        ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] mod fake;"),
        ("b/fake.rs", "use crate::a::A;"),
        ("testing.rs", "use crate::a::A; use crate::b::B;"),
    ];
    assert_eq!(problems(&files), NONE);
    let used = ("b.rs", "pub struct B; #[cfg(not(test))] mod x { use crate::a::A; }");
    assert_eq!(problems(&[files[0], files[1], used]).len(), 1);
}

#[test]
fn each_crate_root_has_its_own_modules() {
    let files = [("lib.rs", "mod a;"), ("a.rs", "use crate::b;"), ("main.rs", "mod b;"), ("b.rs", "use crate::a;")];
    assert_eq!(problems(&files), NONE);
}

#[test]
fn missing_file_is_a_problem() {
    assert_eq!(problems(&[("lib.rs", "mod a;")]), ["lib.rs: the module `a` has no file"]);
    assert_eq!(problems(&[("a.rs", "")]), ["found none of lib.rs, main.rs"]);
}

#[test]
fn this_project_has_no_cycle() {
    let root = crate::project::Project::find().unwrap().root;
    assert_eq!(check(&root).unwrap(), NONE);
}
