//! How the binary is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A program that can lie anywhere has a table of each address in it, five megabytes here, most of them the vtables of the SDKs.
    // It is read and applied at each start, and stays in memory. The price: the program's own code lies where it is linked to,
    // while libraries, heap and stack are placed at random as ever.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
