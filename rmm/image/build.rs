//! Links the image by `link.ld` when it is built for the bare machine, with a link map beside it, and
//! tells it the revision of its sources.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CLOISTER_REVISION");
    // tools/bare-metal-cargo.sh says it; whoever calls cargo otherwise does not know.
    let revision = env::var("CLOISTER_REVISION").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=CLOISTER_REVISION={revision}");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets the manifest folder");
        println!("cargo:rustc-link-arg-bins=-T{folder}/link.ld");
        for option in [
            "--no-dynamic-linker",
            "--build-id=none",
            "-zmax-page-size=4096",
            "-znognustack",
            "--icf=all",
        ] {
            println!("cargo:rustc-link-arg-bins={option}");
        }
        // …/release/build/rmm-image-…/out: three up is where the program goes.
        let output = env::var("OUT_DIR").expect("cargo sets the output folder");
        if let Some(folder) = Path::new(&output).ancestors().nth(3) {
            println!(
                "cargo:rustc-link-arg-bins=-Map={}/rmm.map",
                folder.display()
            );
        }
    }
}
