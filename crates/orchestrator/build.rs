//! Linker options of the binary.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A position-independent executable contains a relocation table: five megabytes here, mostly for vtables of the
    // SDKs. It is read and applied at each start and stays in memory. The price of `-no-pie`: the program's own code
    // has a fixed address; the addresses of libraries, heap and stack remain random.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
