//! The command on this workspace: what cargo and git say here must be what it understands.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cyclonedx_bom::models::bom::Bom;
use cyclonedx_bom::models::component::Scope;
use cyclonedx_bom::prelude::SpecVersion;
use cyclonedx_bom::validation::Validate as _;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn image_tool(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-tool"));
    command.args(arguments).current_dir(ROOT).output().unwrap()
}

fn succeeds(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn the_bill_of_this_workspace_is_valid_and_has_the_right_crates() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let out = folder.path().join("bill");
    fs::write(&image, b"abc").unwrap();
    let [image, out] = [&image, &out].map(|path| path.to_str().unwrap());
    let arguments = ["sbom", "--image", image, "--revision", "0123", "-o", out];
    succeeds(&image_tool(&arguments));

    let bom = Bom::parse_from_json_v1_5(&fs::read(out).unwrap()[..]).unwrap();
    let result = bom.validate_version(SpecVersion::V1_5);
    assert!(result.passed(), "{result:?}");
    let components = bom.components.unwrap().0;
    let scope = |name: &str| {
        let found = components.iter().find(|one| one.name.to_string() == name);
        found.map(|one| one.scope.clone().unwrap())
    };
    for name in ["rmm-core", "rmm-hw", "p384", "zerocopy", "core"] {
        assert_eq!(scope(name), Some(Scope::Required), "{name}");
    }
    for name in ["syn", "serde_derive"] {
        assert_eq!(scope(name), Some(Scope::Excluded), "{name}");
    }
    // What only other programs of the workspace have.
    for name in ["regorus", "clap", "ns-host", "fake-machine"] {
        assert_eq!(scope(name), None, "{name}");
    }
    let from_registry = |one: &&cyclonedx_bom::prelude::Component| {
        let purl = one.purl.as_ref().map(ToString::to_string);
        purl.is_some_and(|purl| purl.starts_with("pkg:cargo/"))
    };
    let registry: Vec<_> = components.iter().filter(from_registry).collect();
    assert!(registry.len() > 30, "{}", registry.len());
    for component in registry {
        assert!(
            component.hashes.is_some(),
            "{} has no checksum",
            component.name
        );
        assert!(
            component.licenses.is_some(),
            "{} has no licence",
            component.name
        );
    }
}

#[test]
fn every_crate_of_the_image_has_its_licence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("licences");
    succeeds(&image_tool(&["licences", "-o", out.to_str().unwrap()]));
    let list = fs::read_to_string(out.join("LIST")).unwrap();
    assert!(list.contains("\np384-"), "{list}");
    assert!(!list.contains("\nsyn-"), "{list}");
}

#[test]
fn what_cannot_be_done_says_why() {
    let output = image_tool(&["size", "Cargo.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("Cargo.toml: no 64-bit ELF file"),
        "{errors}"
    );
    let output = image_tool(&["sbom", "--package", "no-such", "--image", "Cargo.toml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_image_of_nonsense_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (elf, out) = (folder.path().join("elf"), folder.path().join("out"));
    fs::write(&elf, "nonsense").unwrap();
    let [elf, out_text] = [&elf, &out].map(|path| path.to_str().unwrap());
    let output = image_tool(&["flat", elf, out_text]);
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    assert_eq!(output.status.code(), Some(2));
    assert!(!out.exists());
}

/// `tools/revision.sh` in a folder of its own.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        let tools = checkout.0.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let script = Path::new(ROOT).join("tools/revision.sh");
        fs::copy(script, tools.join("revision.sh")).unwrap();
        checkout
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        // Nothing of this machine's settings, and no repository further up.
        let output = git
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@t",
                "-c",
                "init.defaultBranch=m",
            ])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("GIT_DIR")
            .current_dir(self.0.path())
            .output()
            .unwrap();
        succeeds(&output);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn revision(&self, given: &str) -> Output {
        Command::new(self.0.path().join("tools/revision.sh"))
            .env("CLOISTER_REVISION", given)
            .env_remove("GIT_DIR")
            .output()
            .unwrap()
    }

    fn printed(&self) -> String {
        let output = self.revision("");
        succeeds(&output);
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn revisions_are_commits_and_say_whether_files_have_changed() {
    let checkout = Checkout::new();
    checkout.git(&["init", "--quiet"]);
    assert_eq!(checkout.printed(), "unknown\n", "without a commit");
    checkout.git(&["add", "."]);
    checkout.git(&["commit", "--quiet", "-m", "first"]);
    let commit = checkout.git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(checkout.printed(), format!("{commit}\n"));
    fs::write(checkout.0.path().join("not-of-it"), "x").unwrap();
    assert_eq!(checkout.printed(), format!("{commit}\n"));
    let script = checkout.0.path().join("tools/revision.sh");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, text + "# changed\n").unwrap();
    assert_eq!(checkout.printed(), format!("{commit}+changes\n"));
}

#[test]
fn sources_without_a_repository_say_so() {
    let checkout = Checkout::new();
    assert_eq!(checkout.printed(), "unknown\n");
    // Unpacked inside of somebody else's repository.
    let outer = Checkout::new();
    outer.git(&["init", "--quiet"]);
    outer.git(&["add", "."]);
    outer.git(&["commit", "--quiet", "-m", "theirs"]);
    let inner = outer.0.path().join("inner/tools");
    fs::create_dir_all(&inner).unwrap();
    let script = inner.join("revision.sh");
    fs::copy(Path::new(ROOT).join("tools/revision.sh"), &script).unwrap();
    let output = Command::new(script)
        .env_remove("CLOISTER_REVISION")
        .output();
    assert_eq!(output.unwrap().stdout, b"unknown\n");
}

#[test]
fn a_revision_that_is_given_has_a_form() {
    let checkout = Checkout::new();
    let output = checkout.revision("v1.2-rc3+local");
    assert_eq!(output.stdout, b"v1.2-rc3+local\n");
    for bad in ["two words", "a/b", "x\ny", &"x".repeat(65)] {
        assert_eq!(checkout.revision(bad).status.code(), Some(2), "{bad}");
    }
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The sources of a folder, one after the other.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(&path).unwrap();
        }
    }
}

#[test]
fn the_tests_that_the_guide_names_are_there() {
    let root = Path::new(ROOT);
    let guide = fs::read_to_string(root.join("docs/integration.md")).unwrap();
    let (_, table) = guide.split_once("| Promise | Tested by |\n").unwrap();
    let table = table.split("\n\n").next().unwrap();
    let mut code = String::new();
    for folder in ["rmm", "tests", "tools"] {
        sources(&root.join(folder), &mut code);
    }
    let mut names = 0;
    for row in table.lines() {
        let before = names;
        let tested_by = row.split(" | ").nth(1).unwrap_or(row);
        for name in quoted(tested_by) {
            let path = Path::new(name);
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            let is_there = if is_source || name.starts_with("tools/test.sh") {
                root.join(name.split(' ').next().unwrap()).is_file()
            } else if name.contains('/') {
                // The checks of the Debian host have their family apart.
                let name = name.strip_prefix("realm-linux/").unwrap_or(name);
                code.contains(&format!("\"{name}\""))
            } else if name.contains('_') {
                code.contains(&format!("fn {name}("))
            } else {
                // A command or program.
                continue;
            };
            assert!(
                is_there,
                "{name} is in docs/integration.md and nowhere else"
            );
            names += 1;
        }
        assert!(names > before || row.starts_with("|--"), "no test: {row}");
    }
    assert!(names > 60, "{names}");
}
