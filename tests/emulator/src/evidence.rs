//! Evidence from inside the machine, judged by the guest owner: what has to be accepted, and what
//! has to be rejected and why.

mod launch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attestation_token::PlatformToken;

use crate::atomic;
use crate::command_line::CommandLine;
use crate::keys::KeyFiles;
use crate::log::TestLog;
use crate::machine::{Fault, Machine};
use crate::owner::{Challenge, Owner, OwnerError, measured_images};
use crate::protocol::Line;
use crate::session::Emulator as _;
use crate::suite::{self, Limits, Observer, Outcome, Report, Request, Selection, Verdict};
use crate::token::{self, Piece};
pub(crate) use launch::{Launch, prepare};

/// Name of the Realm's token in the report of the test host.
pub(crate) const REALM_TOKEN: &str = "realm";

/// Sizes of the challenges for platform tokens; all bytes of one are its size.
const PLATFORM_CHALLENGES: [u8; 3] = [32, 48, 64];

/// What the checks work with.
pub(crate) struct Setting<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) machine: &'a Machine,
    /// What runs in the Realm.
    pub(crate) payload: &'a Path,
    /// A program in the place of the RMM that fetches platform tokens.
    pub(crate) probe: &'a Path,
    pub(crate) trust_anchor: &'a Path,
    pub(crate) limits: Limits,
}

/// Runs all checks.
pub(crate) fn check(
    setting: &Setting<'_>,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut checks = Checks {
        report: Report::default(),
        log,
        observer,
    };
    setting.realm(&mut checks);
    setting.not_secured(&mut checks);
    setting.old_interface(&mut checks);
    setting.silent_key(&mut checks);
    setting.platform(&mut checks);
    setting.without_key(&mut checks);
    checks.report
}

/// Runs one check after the other.
struct Checks<'a> {
    report: Report,
    log: &'a mut dyn TestLog,
    observer: &'a mut dyn Observer,
}

impl Checks<'_> {
    /// Runs a check; what it returns is for those that build on it.
    fn run<T>(
        &mut self,
        name: &str,
        check: impl FnOnce(&mut dyn TestLog) -> Result<T, String>,
    ) -> Option<T> {
        self.observer.begun(name);
        self.log.line(&format!("---- {name} ----"));
        self.log.test_started();
        let start = Instant::now();
        let result = check(self.log);
        let (verdict, value) = match result {
            Ok(value) => (Verdict::Passed, Some(value)),
            Err(reason) => (Verdict::Failed(reason), None),
        };
        let log = match verdict {
            Verdict::Failed(_) => self.log.keep_excerpt(name),
            _ => None,
        };
        let outcome = Outcome {
            name: name.to_owned(),
            verdict,
            seconds: start.elapsed().as_secs_f64(),
            log,
        };
        self.observer.ended(&outcome);
        self.report.outcomes.push(outcome);
        value
    }
}

impl Setting<'_> {
    /// Evidence of a Realm, and what it must not be taken for.
    fn realm(&self, checks: &mut Checks<'_>) {
        let arrived = checks.run("evidence/arrives", |log| {
            self.boot(self.machine, "token.cbor", log)
        });
        let evidence = arrived.as_ref().ok_or_else(|| "no evidence".to_owned());
        let mut judge =
            |name: &str,
             verdict: &str,
             command: &dyn Fn(&Evidence) -> Result<CommandLine, String>| {
                checks.run(name, |log| {
                    expect(&command(evidence.clone()?)?, verdict, log)
                });
            };

        judge("evidence/accepted", "accepted", &|evidence| {
            Ok(evidence.verification(self))
        });
        judge(
            "evidence/other-challenge",
            "rejected: challenge",
            &|evidence| {
                let launch = Challenge::new().map_err(|error| error.to_string())?;
                let references = evidence.launch.references();
                Ok(self.owner.verification(
                    self.trust_anchor,
                    &launch,
                    &references,
                    &evidence.token,
                ))
            },
        );
        judge(
            "evidence/other-program",
            "rejected: realm.initial-measurement",
            &|evidence| self.expecting_another_program(evidence),
        );
        judge(
            "evidence/other-firmware",
            "rejected: platform.software-component.RMM",
            &|evidence| self.expecting_another_rmm(evidence),
        );
        judge(
            "evidence/other-machine",
            "rejected: platform.signature",
            &|evidence| {
                let folder = self.owner.file("keys-of-another-machine");
                let keys = KeyFiles::open(&folder).map_err(|error| error.to_string())?;
                let launch = &evidence.launch;
                Ok(launch.verification(self.owner, &keys.trust_anchor, &evidence.token))
            },
        );
        judge(
            "evidence/changed-signature",
            "rejected: realm.signature",
            &|evidence| {
                let mut token = fs::read(&evidence.token).map_err(|error| error.to_string())?;
                if let Some(last) = token.last_mut() {
                    *last ^= 1;
                }
                let path = self.owner.file("changed.cbor");
                atomic::write(&path, &token).map_err(|error| error.to_string())?;
                let launch = &evidence.launch;
                Ok(launch.verification(self.owner, self.trust_anchor, &path))
            },
        );
    }

    /// Boots a machine whose Realm shows evidence over a fresh challenge.
    fn boot(
        &self,
        machine: &Machine,
        name: &str,
        log: &mut dyn TestLog,
    ) -> Result<Evidence, String> {
        let launch = self
            .owner
            .prediction(self.payload)
            .and_then(|prediction| prepare(self.owner, machine, prediction))
            .map_err(|error| error.to_string())?;
        let lines = self.report(machine, "ns-host", &launch.command_line(), log)?;
        let token = assemble(&lines, REALM_TOKEN)?;
        let path = self.owner.file(name);
        atomic::write(&path, &token).map_err(|error| error.to_string())?;
        Ok(Evidence {
            launch,
            token: path,
        })
    }

    /// Everything that a payload reports.
    fn report(
        &self,
        machine: &Machine,
        speaker: &str,
        command_line: &str,
        log: &mut dyn TestLog,
    ) -> Result<Vec<Line>, String> {
        let request = Request {
            speaker: speaker.to_owned(),
            selection: Selection::default(),
            words: Vec::new(),
            has_command_line: false,
            restarts: 0,
            stops: 0,
            limits: self.limits,
        };
        let session = machine.clone().start(command_line);
        let mut session = session.map_err(|error| error.to_string())?;
        log.session_started();
        suite::lines(session.as_mut(), &request, log)
    }

    /// Reference values for the program with one bit changed.
    fn expecting_another_program(&self, evidence: &Evidence) -> Result<CommandLine, String> {
        let expectation = || -> Result<PathBuf, OwnerError> {
            let mut image = atomic::read(self.payload)?;
            if let Some(last) = image.last_mut() {
                *last ^= 1;
            }
            let path = self.owner.file("other-program.img");
            atomic::write(&path, &image)?;
            let prediction = self.owner.prediction(&path)?;
            self.owner.predict(&prediction, "other-program.toml")
        };
        let values = expectation().map_err(|error| error.to_string())?;
        let references = [evidence.launch.firmware_values.as_path(), &values];
        Ok(self.owner.verification(
            self.trust_anchor,
            &evidence.launch.challenge,
            &references,
            &evidence.token,
        ))
    }

    /// Reference values for a machine with another RMM.
    fn expecting_another_rmm(&self, evidence: &Evidence) -> Result<CommandLine, String> {
        let monitor = &self.machine.monitor;
        let values = self
            .owner
            .expect_firmware(monitor, self.probe, "other-firmware.toml")
            .map_err(|error| error.to_string())?;
        let references = [values.as_path(), &evidence.launch.realm_values];
        Ok(self.owner.verification(
            self.trust_anchor,
            &evidence.launch.challenge,
            &references,
            &evidence.token,
        ))
    }

    /// A machine that can be debugged vouches for a Realm.
    fn not_secured(&self, checks: &mut Checks<'_>) {
        checks.run("evidence/not-secured", |log| {
            let machine = Machine {
                fault: Some(Fault::DebugLifecycle),
                ..self.machine.clone()
            };
            let evidence = self.boot(&machine, "not-secured.cbor", log)?;
            let verdict = "rejected: platform.lifecycle, platform.config";
            expect(&evidence.verification(self), verdict, log)
        });
    }

    /// EL3 with the oldest interface: only that it does so on purpose is wrong with it.
    fn old_interface(&self, checks: &mut Checks<'_>) {
        checks.run("evidence/old-interface", |log| {
            let machine = Machine {
                fault: Some(Fault::OldInterface),
                ..self.machine.clone()
            };
            let evidence = self.boot(&machine, "old-interface.cbor", log)?;
            expect(
                &evidence.verification(self),
                "rejected: platform.config",
                log,
            )
        });
    }

    /// What EL3 does not write is no key, and there is no token signed with what happened to be there.
    fn silent_key(&self, checks: &mut Checks<'_>) {
        checks.run("evidence/silent-key", |log| {
            let machine = Machine {
                fault: Some(Fault::SilentKey),
                ..self.machine.clone()
            };
            match self.boot(&machine, "silent-key.cbor", log) {
                Ok(_) => Err("there is a token".to_owned()),
                Err(_) => Ok(()),
            }
        });
    }

    /// Platform tokens as EL3 gives them to a program in the place of the RMM.
    fn platform(&self, checks: &mut Checks<'_>) {
        let machine = Machine {
            rmm: Some(self.probe.to_path_buf()),
            ..self.machine.clone()
        };
        let lines = checks.run("platform-token/arrives", |log| {
            self.report(&machine, "el3-probe", "", log)
        });
        for size in PLATFORM_CHALLENGES {
            checks.run(&format!("platform-token/over-{size}-bytes"), |log| {
                let lines = lines.as_ref().ok_or("the probe has not come to its end")?;
                let token = assemble(lines, &format!("of-{size}"))?;
                let claims = PlatformToken::decode(&token).map_err(|error| error.to_string())?;
                let challenge = vec![size; usize::from(size)];
                let found = claims.claims().challenge;
                if found.as_bytes() != challenge {
                    return Err(format!("the token is over {found}"));
                }
                let command = self.judge_platform(&machine, &token, size);
                expect(
                    &command.map_err(|error| error.to_string())?,
                    "accepted",
                    log,
                )
            });
        }
    }

    fn judge_platform(
        &self,
        machine: &Machine,
        token: &[u8],
        size: u8,
    ) -> Result<CommandLine, OwnerError> {
        let (monitor, rmm) = measured_images(machine)?;
        let values = self
            .owner
            .expect_firmware(monitor, rmm, "probe-firmware.toml")?;
        let path = self.owner.file(&format!("platform-{size}.cbor"));
        atomic::write(&path, token)?;
        Ok(self
            .owner
            .platform_verification(self.trust_anchor, &values, &path))
    }

    /// Without a key EL3 has no platform token, and says so.
    fn without_key(&self, checks: &mut Checks<'_>) {
        checks.run("platform-token/needs-a-key", |log| {
            let machine = Machine {
                rmm: Some(self.probe.to_path_buf()),
                attestation_key: None,
                ..self.machine.clone()
            };
            let lines = self.report(&machine, "el3-probe", "", log)?;
            let is_skipped =
                |line: &Line| matches!(line, Line::Skip { name, .. } if name == "token/success");
            if lines.iter().any(|line| matches!(line, Line::Token(_))) {
                return Err("there is a token".to_owned());
            }
            if !lines.iter().any(is_skipped) {
                return Err("the probe does not say that there is none".to_owned());
            }
            Ok(())
        });
    }
}

/// A token, and what it has to be judged by.
struct Evidence {
    launch: Launch,
    token: PathBuf,
}

impl Evidence {
    fn verification(&self, setting: &Setting<'_>) -> CommandLine {
        self.launch
            .verification(setting.owner, setting.trust_anchor, &self.token)
    }
}

fn assemble(lines: &[Line], name: &str) -> Result<Vec<u8>, String> {
    let pieces = lines.iter().filter_map(|line| match line {
        Line::Token(piece) => Some(piece),
        _ => None,
    });
    let pieces: Vec<&Piece> = pieces.collect();
    token::assemble(pieces, name).map_err(|error| format!("no token '{name}': {error}"))
}

/// Runs the program and compares its last line and its exit code with a verdict.
fn expect(command: &CommandLine, verdict: &str, log: &mut dyn TestLog) -> Result<(), String> {
    log.line(&format!("$ {}", command.text()));
    let output = command.run().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    for line in text.lines().chain(errors.lines()) {
        log.line(line);
    }
    let last = text.lines().last().unwrap_or_default();
    let code = i32::from(verdict != "accepted");
    if last == verdict && output.status.code() == Some(code) {
        return Ok(());
    }
    let (seen, errors) = (output.status.code(), errors.trim());
    Err(format!(
        "expected '{verdict}' and exit code {code}, saw '{last}' and {seen:?} {errors}"
    ))
}
