//! What is in `deploy`, as far as it can be tested without a cluster, a registry or a service manager: manifests against
//! the schemas of Kubernetes, every command line and every file of settings against the program itself, exit codes
//! against the README.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use host_vmm::command_line::{Arguments, Command};
use host_vmm::settings::Effective;
use serde::Deserialize as _;
use serde_json::Value;
use tempfile::TempDir;

#[path = "deploy/schema.rs"]
mod schema;

use schema::Schemas;

const README: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../../docs/operating.md");
const UNIT: &str = include_str!("../../deploy/systemd/host-vmm@.service");
const CONTAINERFILE: &str = include_str!("../../deploy/container/Containerfile");
const EXAMPLE: &str = include_str!("../../deploy/debian/machine.toml");
const PLUGIN: &str = include_str!("../../deploy/kubernetes/device-plugin.yaml");
const MACHINE: &str = include_str!("../../deploy/kubernetes/machine.yaml");
const JOB: &str = include_str!("../../deploy/kubernetes/machine-job.yaml");
const SCHEMAS: &str = include_str!("deploy/kubernetes-1.33.json");

/// The documents of a manifest.
fn documents(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// The only document of a kind.
fn document(text: &str, kind: &str) -> Value {
    let mut found = documents(text);
    found.retain(|document| document["kind"] == kind);
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

fn pod_of_machine() -> Value {
    document(MACHINE, "Pod")["spec"].take()
}

fn texts(value: &Value) -> Vec<&str> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_str().unwrap()).collect()
}

fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    Arguments::try_parse_from(&words)
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
        .command
}

/// What a machine comes to by its file of settings, which is put where a test may write.
fn settings(file: &Path, text: &str, words: &[&str]) -> Effective {
    fs::write(file, text).unwrap();
    let mut words = words.to_vec();
    let path = words.iter().position(|word| *word == "--config").unwrap() + 1;
    words[path] = file.to_str().unwrap();
    let Command::Run(run) = parse(words) else {
        panic!("not a run");
    };
    run.effective().unwrap()
}

#[test]
fn manifests_keep_to_the_schemas() {
    let schemas = Schemas::new(SCHEMAS);
    let mut kinds = Vec::new();
    for document in [PLUGIN, MACHINE, JOB].into_iter().flat_map(documents) {
        assert_eq!(schemas.check(&document), Ok(()));
        kinds.push(document["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["DaemonSet", "ConfigMap", "Pod", "Job"]);
}

#[test]
fn schemas_refuse_what_is_wrong() {
    let schemas = Schemas::new(SCHEMAS);
    let policy = "restartPolicy: OnFailure";
    for (from, to, complaint) in [
        (
            "kind: Pod",
            "kind: Pot",
            "io.k8s.api.core.v1.Pot: no such kind",
        ),
        (
            policy,
            "restartPolice: OnFailure",
            ".spec.restartPolice: unknown",
        ),
        (
            policy,
            "restartPolicy: 5",
            ".spec.restartPolicy: 5 is no string",
        ),
        (
            "periodSeconds: 2",
            "periodSeconds: 2s",
            "[0].startupProbe.periodSeconds: \"2s\" is no integer",
        ),
        (
            "    - name: machine\n      image",
            "    - image",
            ".spec.containers[0]: \"name\" is missing",
        ),
        (
            "drop: [ALL]",
            "drop: ALL",
            "capabilities.drop: \"ALL\" is no array",
        ),
        (
            "memory: 1056Mi",
            "memory: true",
            "resources.requests.memory: true fits none or several of",
        ),
    ] {
        assert!(MACHINE.contains(from), "{from}");
        let mut documents = documents(&MACHINE.replace(from, to));
        let wrong = schemas.check(&documents.remove(1)).unwrap_err().join("\n");
        assert!(wrong.contains(complaint), "{to}: {wrong}");
    }
}

#[test]
fn pods_have_no_privilege() {
    let pod = pod_of_machine();
    let container = &pod["containers"][0];
    let context = &container["securityContext"];
    assert_eq!(context["privileged"], false);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(texts(&context["capabilities"]["drop"]), ["ALL"]);
    assert_eq!(context["capabilities"].get("add"), None);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    for shared in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
        assert_eq!(pod.get(shared), None);
    }
    for volume in pod["volumes"].as_array().unwrap() {
        assert_eq!(volume.get("hostPath"), None);
    }
    // The node that it has comes from the plugin, which offers it by this name.
    let plugin = document(PLUGIN, "DaemonSet");
    let arguments = &plugin["spec"]["template"]["spec"]["containers"][0]["args"];
    let [option, device] = texts(arguments)[..] else {
        panic!("{arguments}");
    };
    let device: Value = serde_json::from_str(device).unwrap();
    assert_eq!(option, "--device");
    assert_eq!(device["groups"][0]["paths"][0]["path"], "/dev/realm");
    let resource = format!("squat.ai/{}", device["name"].as_str().unwrap());
    for amounts in ["requests", "limits"] {
        assert_eq!(container["resources"][amounts][&resource], "1");
    }
}

#[test]
fn the_job_runs_the_same_pod() {
    let mut job = document(JOB, "Job")["spec"]["template"]["spec"].take();
    assert_eq!(job["restartPolicy"].take(), "Never");
    let mut pod = pod_of_machine();
    assert_eq!(pod["restartPolicy"].take(), "OnFailure");
    assert_eq!(job, pod);
}

#[test]
fn command_lines_of_pods_are_ours() {
    let folder = TempDir::new().unwrap();
    let pod = pod_of_machine();
    let container = &pod["containers"][0];
    let text = document(MACHINE, "ConfigMap")["data"]["machine.toml"].take();
    let mut words = vec!["host-vmm"];
    words.extend(texts(&container["args"]));
    let file = folder.path().join("machine.toml");
    let effective = settings(&file, text.as_str().unwrap(), &words);
    let (machine, process) = (effective.configuration, effective.process);
    assert!(machine.realm.is_some());
    // Probes ask this machine, where it has its socket, which is in a volume.
    for (probe, question) in [
        ("startupProbe", "Ready"),
        ("readinessProbe", "Ready"),
        ("livenessProbe", "Live"),
    ] {
        let Command::Probe(probe) = parse(texts(&container[probe]["exec"]["command"])) else {
            panic!("{probe} does not probe");
        };
        assert_eq!(probe.name, machine.name);
        assert_eq!(Some(probe.run_dir), process.run_directory);
        assert_eq!(format!("{:?}", probe.question), question);
    }
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mounts: Vec<PathBuf> = mounts
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap().into())
        .collect();
    let files = [&machine.kernel, machine.initrd.as_ref().unwrap()];
    let disks = machine.disks.iter().map(|disk| &disk.path);
    for path in files.into_iter().chain(disks).chain(&process.run_directory) {
        assert!(
            mounts.iter().any(|mount| path.starts_with(mount)),
            "{path:?}"
        );
    }
    // The image runs the same if nothing is said.
    let line = |word: &str| {
        let mut lines = CONTAINERFILE.lines().filter(|line| line.starts_with(word));
        let line = lines.next().unwrap_or_else(|| panic!("no {word}"));
        assert_eq!(lines.next(), None);
        line[word.len()..].trim()
    };
    let command: Value = serde_json::from_str(line("CMD")).unwrap();
    assert_eq!(command, container["args"]);
    let program: Value = serde_json::from_str(line("ENTRYPOINT")).unwrap();
    assert_eq!(program[0], container["livenessProbe"]["exec"]["command"][0]);
    assert_eq!(line("FROM"), "scratch");
    let (user, context) = (line("USER"), &pod["securityContext"]);
    assert_eq!(
        user,
        format!("{}:{}", context["runAsUser"], context["runAsGroup"])
    );
    assert!(line("COPY").ends_with(program[0].as_str().unwrap()));
}

/// The program itself judges, by a host of which it sees only the limit.
#[test]
fn pods_have_the_memory_that_their_machine_wants() {
    let container = &pod_of_machine()["containers"][0];
    let limit = container["resources"]["limits"]["memory"].as_str().unwrap();
    let mebibytes: u64 = limit.strip_suffix("Mi").unwrap().parse().unwrap();
    let text = document(MACHINE, "ConfigMap")["data"]["machine.toml"].take();
    for (mebibytes, verdict) in [(mebibytes, "good"), (1024, "bad")] {
        let host = TempDir::new().unwrap();
        let group = host.path().join("sys/fs/cgroup/pod");
        fs::create_dir_all(&group).unwrap();
        fs::create_dir_all(host.path().join("proc/self")).unwrap();
        fs::write(host.path().join("proc/self/cgroup"), "0::/pod\n").unwrap();
        fs::write(group.join("memory.max"), (mebibytes << 20).to_string()).unwrap();
        let file = host.path().join("machine.toml");
        fs::write(&file, text.as_str().unwrap()).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_host-vmm"))
            .args(["check", "--json", "--root"])
            .arg(host.path())
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut lines = findings["lines"].as_array().unwrap().iter();
        let line = lines.find(|line| line["name"] == "memory of the control group");
        assert_eq!(line.unwrap()["verdict"], verdict, "{line:?}");
    }
}

/// The values of a key in the unit.
fn of_unit(key: &str) -> Vec<&'static str> {
    UNIT.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn the_command_line_of_the_unit_is_ours() {
    let folder = TempDir::new().unwrap();
    let line = of_unit("ExecStart")[0].replace("%i", "web");
    let words: Vec<&str> = line.split(' ').collect();
    let file = folder.path().join("web.toml");
    let Effective {
        configuration: machine,
        process,
        ..
    } = settings(&file, EXAMPLE, &words);
    assert_eq!(machine.name.to_string(), "web");
    // What it writes to is what the unit gives it.
    let within = |path: &Path, folder: &str, key: &str| {
        let folder = Path::new(folder).join(of_unit(key)[0]);
        assert!(path.starts_with(&folder), "{path:?} is not in {folder:?}");
    };
    within(&process.run_directory.unwrap(), "/run", "RuntimeDirectory");
    within(&process.audit_log.unwrap(), "/var/log", "LogsDirectory");
    for disk in &machine.disks {
        within(&disk.path, "/var/lib", "StateDirectory");
    }
    let nodes = &machine.device_nodes;
    for node in [&nodes.realm, &nodes.kvm] {
        let allowed = format!("{} rw", node.display());
        assert!(
            of_unit("DeviceAllow").contains(&allowed.as_str()),
            "{allowed}"
        );
    }
}

/// Numbers in the first column of the table under a heading.
fn codes(text: &str, heading: &str) -> BTreeSet<u8> {
    let begin = text.find(&format!("{heading}\n")).expect("the heading");
    let rows = text[begin..]
        .lines()
        .skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('|').nth(1)?.trim().parse().ok())
        .collect()
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let all = codes(README, "### Exit codes");
    // Other commands than `run` have those.
    let run: BTreeSet<u8> = all
        .iter()
        .copied()
        .filter(|code| ![6, 7].contains(code))
        .collect();
    assert_eq!(codes(GUIDE, "## After an exit code"), run);
    let numbers = |key| -> BTreeSet<u8> {
        let words = of_unit(key).into_iter().flat_map(str::split_whitespace);
        words.map(|word| word.parse().unwrap()).collect()
    };
    let (again, never) = (
        numbers("RestartForceExitStatus"),
        numbers("RestartPreventExitStatus"),
    );
    let good = numbers("SuccessExitStatus");
    let job = document(JOB, "Job");
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
    let by = |action: &str| -> BTreeSet<u8> {
        let rules = rules.iter().filter(|rule| rule["action"] == action);
        let values = rules.filter_map(|rule| rule["onExitCodes"]["values"].as_array());
        let values = values.flatten().map(|value| value.as_u64().unwrap());
        values.map(|value| u8::try_from(value).unwrap()).collect()
    };
    // The unit and the job begin again after the same ones.
    assert_eq!(by("Ignore"), again);
    assert_eq!(by("FailJob"), &never | &good);
    for code in [&again, &never, &good].into_iter().flatten() {
        assert!(run.contains(code), "{code}");
    }
}
