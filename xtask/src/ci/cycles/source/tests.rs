use super::*;

/// Returns the imports of a module as `name=path`; a re-export begins with `pub`.
fn imports(text: &str) -> Vec<String> {
    let shown = |import: Import| {
        let visibility = if import.is_reexport { "pub " } else { "" };
        format!("{visibility}{}={}", import.name.as_deref().unwrap_or("*"), import.path.join("::"))
    };
    parse(text).imports.into_iter().map(shown).collect()
}

fn paths(text: &str) -> Vec<String> {
    parse(text).paths.into_iter().map(|path| path.segments.join("::")).collect()
}

#[test]
fn use_declarations_are_split_into_names() {
    assert_eq!(imports("use crate::a::B;"), ["B=crate::a::B"]);
    assert_eq!(
        imports("use super::{self as up, a::{self, B as C}, *};"),
        ["up=super", "a=super::a", "C=super::a::B", "*=super"]
    );
    assert_eq!(
        imports("pub use a::A; pub(crate) use b::B; pub(in crate::x) use c::C; use d::D;"),
        ["pub A=a::A", "pub B=b::B", "pub C=c::C", "D=d::D"]
    );
    assert_eq!(imports("fn f() -> impl A + use<> { use crate::b::C as D; }"), ["D=crate::b::C"]);
    assert_eq!(parse("use a::{\n    B,\n    C,\n};").imports[1].line, 3);
}

#[test]
fn paths_are_found_in_bodies_types_and_macros() {
    assert_eq!(paths("fn f(a: super::A) -> crate::B { self::c(d.e) }"), ["super::A", "crate::B", "self::c"]);
    assert_eq!(paths("const A: &str = concat!(crate::b!(), \"crate::c\");"), ["crate::b"]);
    assert_eq!(paths("type A = Vec::<crate::b::C::<u8>>; type D = ::e::F;"), ["crate::b::C"]);
    assert_eq!(paths("pub(in crate::a) struct B(pub(super) crate::C);"), ["crate::C"]);
}

#[test]
fn items_and_child_modules_are_named() {
    let source =
        parse("pub mod a; mod b { mod c; fn d() {} } pub const fn e() { fn f() {} } macro_rules! g { () => {} }");
    assert_eq!(source.files, ["a"]);
    assert_eq!(source.items, ["fn", "e", "g"].map(str::to_owned).into());
    let (name, inline) = &source.inline[0];
    assert_eq!((name.as_str(), inline.files.as_slice()), ("b", ["c".to_owned()].as_slice()));
    assert_eq!(inline.items, ["d".to_owned()].into());
}

#[test]
fn code_for_tests_is_left_out() {
    for cut in [
        "#[cfg(test)] mod x;",
        "#[cfg(test)] pub(crate) mod x { use crate::x; }",
        "#[cfg(all(test, unix))] #[derive(A)] struct X { a: crate::x::A }",
        "#[cfg(any(test))] const X: A = A { b: crate::x::B };",
        "#[cfg(test)] pub use crate::x::{A, B};",
        "#[cfg(test)] fn x<A, B>() -> [crate::x::C; 1] { if a { crate::x::D } }",
    ] {
        assert_eq!(parse(&format!("{cut} use crate::a;")), parse("use crate::a;"), "{cut}");
    }
    assert_eq!(paths("struct A { #[cfg(test)] b: crate::x::B, c: crate::C }"), ["crate::C"]);
    assert_eq!(paths("match a { #[cfg(test)] b => crate::x(), c => crate::d() }"), ["crate::d"]);
    for kept in ["cfg(not(test))", "cfg(any(test, feature = \"a\"))", "cfg_attr(test, a)", "doc = \"test\""] {
        assert_eq!(paths(&format!("#[{kept}] fn a() {{ crate::b() }}")), ["crate::b"], "{kept}");
    }
}
