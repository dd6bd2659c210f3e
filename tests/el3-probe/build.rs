//! Links the bare-metal program so that it can move itself to where firmware loads it.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // Relocations are for the program's own entry code, which applies them to constants too.
        for argument in [
            "-pie",
            "--no-dynamic-linker",
            "-znotext",
            &format!("-T{folder}/link.ld"),
        ] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
