//! Places the program when it is built for bare metal.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=image.ld");
    // On the development machine there is nothing to place.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{folder}/image.ld");
    }
}
