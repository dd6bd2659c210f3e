//! The commands in the README do what they are there for.

use super::*;

const README: &str = include_str!("../../../README.md");

/// The examples in a language, one behind the other.
fn examples(language: &str) -> impl Iterator<Item = &'static str> {
    README
        .split("\n```")
        .filter_map(move |part| part.strip_prefix(language)?.strip_prefix('\n'))
}

#[cfg(unix)]
#[test]
fn its_commands_end_well() {
    let sample = Sample::new();
    let folder = prepared("readme", &sample);
    folder.write("cpak.jwk", sample.anchor());
    folder.write("challenge.hex", sample.challenge());
    let policy = examples("toml").find(|text| text.starts_with("# policy\n"));
    folder.write("policy.toml", policy.unwrap());
    folder.write("owner.rego", examples("rego").next().unwrap());
    let program = Path::new(env!("CARGO_BIN_EXE_cca-token"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(program.parent().unwrap().to_path_buf())
            .chain(std::env::split_paths(&path)),
    )
    .unwrap();
    let commands = examples("sh").flat_map(str::lines);
    let mut count = 0;
    for command in commands.filter(|line| line.contains("cca-token ")) {
        if command.starts_with("cargo ") {
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", command])
            .env("PATH", &path)
            .current_dir(&folder.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        count += 1;
    }
    assert_eq!(count, 5);
}
