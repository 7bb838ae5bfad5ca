//! Linker options of the binary.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A position-independent executable contains a relocation table: five megabytes here, mostly for vtables of the
    // SDKs. The table is read and applied at each start, and stays in memory. `-no-pie` avoids it, at a price: the
    // program's own code gets a fixed address. The addresses of libraries, heap and stack remain random.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
