//! Links the image by `link.ld` when it is built for the bare machine.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets the manifest folder");
        println!("cargo:rustc-link-arg-bins=-T{folder}/link.ld");
        for option in [
            "--no-dynamic-linker",
            "--build-id=none",
            "-zmax-page-size=4096",
            "-znognustack",
        ] {
            println!("cargo:rustc-link-arg-bins={option}");
        }
    }
}
