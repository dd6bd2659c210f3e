//! Registers that carry patterns: those of the host and of Realms that take turns on all CPUs. No
//! pattern may ever be anywhere but where it belongs.

mod soak;

pub(crate) use soak::{four_realms, one_realm};

use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use realm_payload::exit::Exit as Cause;
use realm_payload::pattern::{Kind, identify, pattern};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::enter_flags;
use spin::Mutex;

use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{Command, Options, Realm, Reply, Report, RunningRealm, SPARE, Vcpu};
use crate::rmi;
use crate::simd::{self, LONGEST_VECTOR, Sve};
use crate::suite::Host;
use crate::suite::registers::system;
use crate::time::relax;

/// Families that are filled and checked by commands of their own.
const FAMILIES: [Kind; 6] = [
    Kind::System,
    Kind::Exception,
    Kind::PointerAuthentication,
    Kind::Debug,
    Kind::Pmu,
    Kind::Timers,
];

/// What the features of this machine offer a Realm.
pub(crate) fn offered() -> Outcome<(Option<u8>, Option<u8>, u8, u8)> {
    let [code, features, ..] = rmi::command(fid::FEATURES, &[0])?;
    ensure!(code == rmi::SUCCESS, "FEATURES returned {code:#x}");
    let field = |shift: u32, width: u32| (features >> shift & ((1 << width) - 1)).to_le_bytes()[0];
    Ok((
        (features >> 9 & 1 == 1).then(|| field(10, 4)),
        (features >> 26 & 1 == 1).then(|| field(27, 5)),
        field(14, 6),
        field(20, 6),
    ))
}

/// Realms that differ in what they may use: everything, nothing special, the least of everything.
fn different_options() -> Outcome<[Options; 3]> {
    let (sve, pmu, breakpoints, watchpoints) = offered()?;
    let everything = Options {
        sve,
        pmu,
        breakpoints,
        watchpoints,
        ..Options::PLAIN
    };
    let least = Options {
        sve: sve.map(|_| 0),
        pmu: pmu.map(|_| 0),
        ..Options::PLAIN
    };
    Ok([everything, Options::PLAIN, least])
}

/// One of each.
fn different_realms(host: &Host) -> Outcome<ArrayVec<RunningRealm<'_>, 3>> {
    let mut realms = ArrayVec::new();
    for options in different_options()? {
        realms.push(RunningRealm::greeted(host, options)?);
    }
    Ok(realms)
}

/// A reply that must be good. What is in the wrong place is named by its origin.
fn is_right(reply: Reply, what: &str, number: usize) -> Outcome {
    match reply {
        Reply::Done(_) => Ok(()),
        Reply::CheckFailed {
            index,
            expected,
            found,
        } => match identify(found) {
            Some(origin) => fail!(
                "{what} of Realm {number}: register {index} holds {origin:?} instead of {expected:#x}"
            ),
            None => fail!(
                "{what} of Realm {number}: register {index} holds {found:#x} instead of {expected:#x}"
            ),
        },
        other => fail!("{what} of Realm {number}: the payload answers {other:x?}"),
    }
}

/// The seed of a Realm's patterns.
const fn seed(number: usize) -> u16 {
    0x100 + number.to_le_bytes()[0] as u16
}

/// The family of the vectors: those of SIMD are parts of those of SVE.
const fn vectors(options: &Options) -> Kind {
    match options.sve {
        Some(_) => Kind::Sve,
        None => Kind::Fpsimd,
    }
}

/// The families that a Realm has.
fn families(options: &Options) -> impl Iterator<Item = Kind> + use<> {
    FAMILIES.into_iter().chain([vectors(options)])
}

fn fill(vcpu: &mut Vcpu, options: &Options, number: usize) -> Outcome {
    families(options).try_for_each(|kind| {
        let seed = seed(number);
        is_right(vcpu.command(&Command::Fill { kind, seed })?, "fill", number)
    })
}

fn check(vcpu: &mut Vcpu, options: &Options, number: usize) -> Outcome {
    families(options).try_for_each(|kind| {
        let seed = seed(number);
        let reply = vcpu.command(&Command::Check { kind, seed })?;
        is_right(reply, family(kind), number)
    })
}

const fn family(kind: Kind) -> &'static str {
    match kind {
        Kind::Fpsimd => "SIMD registers",
        Kind::Sve => "SVE registers",
        Kind::System => "system registers",
        Kind::Exception => "exception registers",
        Kind::PointerAuthentication => "keys",
        Kind::Debug => "debug registers",
        Kind::Pmu => "PMU registers",
        Kind::Timers => "timers",
        _ => "registers",
    }
}

/// The command for an exit, and what it needs: `WFI` is to be trapped.
fn canary_exit(realm: &Realm, vcpu: &mut Vcpu, exit: Cause, seed: u16) -> Command {
    vcpu.flags = enter_flags::TRAP_WFI;
    let address = match exit {
        Cause::RipasChange => SPARE,
        _ => realm.shape.half() + 0x10_0040,
    };
    Command::CanaryExit {
        exit,
        seed,
        address,
    }
}

/// Patterns in the host's vector registers, which nothing else of this program uses.
struct HostVectors(Sve);

impl HostVectors {
    /// Those of one step on one CPU.
    fn load(step: u64) -> Self {
        let mut values = Sve::new();
        if simd::has_sve() {
            let length = simd::use_longest_vectors();
            let seed = seed_of_host(step);
            for (index, word) in values.vectors[..32 * length]
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .enumerate()
            {
                *word = pattern(seed, Kind::Host, index).to_le_bytes();
            }
            let predicates = length * 2;
            for (index, byte) in values.predicates[..predicates].iter_mut().enumerate() {
                *byte = pattern(seed, Kind::Host, 0x1000 + index).to_le_bytes()[0];
            }
            // The first-fault register may only hold ones from its start on.
            values.predicates[predicates..predicates + length / 8].fill(0xff);
            values.load();
        } else {
            simd::load(&simd_pattern(step));
        }
        Self(values)
    }

    /// They must be as they were.
    fn check(&self, step: u64) -> Outcome {
        if !simd::has_sve() {
            let seen = simd::store();
            for (number, (seen, expected)) in seen.iter().zip(&simd_pattern(step)).enumerate() {
                ensure!(
                    seen == expected,
                    "V{number} of the host is {seen:#x} instead of {expected:#x}"
                );
            }
            return Ok(());
        }
        let length = simd::use_longest_vectors();
        ensure!(length <= LONGEST_VECTOR, "a vector of {length} bytes");
        let mut seen = Sve::new();
        seen.store();
        // Reading the first-fault register takes a predicate.
        self.0.load();
        let pairs = seen.vectors.iter().zip(&self.0.vectors);
        if let Some(byte) = pairs.clone().position(|(seen, expected)| seen != expected) {
            let (number, offset) = (byte / length, (byte % length) & !7);
            let start = number * length + offset;
            let word = seen.vectors[start..start + 8].try_into();
            let word = u64::from_le_bytes(word.unwrap_or_default());
            return fail!(
                "Z{number} of the host holds {word:#x} at byte {offset}, {:?}",
                identify(word)
            );
        }
        ensure!(
            seen.predicates == self.0.predicates,
            "a predicate of the host has changed"
        );
        Ok(())
    }
}

const fn seed_of_host(step: u64) -> u16 {
    let [low, high, ..] = step.to_le_bytes();
    0x8000 | u16::from_le_bytes([low, high & 0x7f])
}

fn simd_pattern(step: u64) -> simd::Simd {
    core::array::from_fn(|index| {
        let word = |half| u128::from(pattern(seed_of_host(step), Kind::Host, 2 * index + half));
        word(1) << 64 | word(0)
    })
}

/// Runs steps one after the other, each on the next CPU.
fn in_turns(host: &Host, steps: u64, step: &(dyn Fn(u64) -> Outcome + Sync)) -> Outcome {
    let count = host.cpus.count() as u64;
    let next = AtomicU64::new(0);
    host.cpus.check(host.cpus.count(), &|cpu| {
        loop {
            let number = next.load(Ordering::Acquire);
            if number >= steps {
                return Ok(());
            }
            if number % count == cpu as u64 {
                let outcome = step(number);
                let after = if outcome.is_ok() {
                    number + 1
                } else {
                    u64::MAX
                };
                next.store(after, Ordering::Release);
                outcome?;
            }
            relax();
        }
    })
}

/// Realms take turns with exits of each kind, on all CPUs; after each exit all registers of that
/// Realm and all vectors of the host are looked at.
pub(crate) fn realms_and_host(host: &Host) -> Outcome {
    let mut realms = different_realms(host)?;
    for (number, realm) in realms.iter_mut().enumerate() {
        realm.realm.supply(SPARE)?;
        let options = realm.options;
        fill(realm.first(), &options, number)?;
    }
    let count = realms.len();
    let realms: ArrayVec<_, 3> = realms.into_iter().map(Mutex::new).collect();
    let steps = (count * Cause::ALL.len() * 3) as u64;
    in_turns(host, steps, &|step| {
        let number = usize::try_from(step).unwrap_or(0);
        let exit = Cause::ALL[number / count % Cause::ALL.len()];
        let number = number % count;
        let mut realm = realms[number].lock();
        let realm = &mut *realm;
        let vcpu = &mut realm.vcpus[0];
        let of_host = HostVectors::load(step);
        let command = canary_exit(&realm.realm, vcpu, exit, seed(number));
        let report = vcpu.begin(&command)?;
        let reply = realm.realm.serve(vcpu, &report)?;
        is_right(reply, exit_name(exit), number)?;
        of_host.check(step)?;
        // The exit has used the vectors for patterns of its own.
        let (kind, seed) = (vectors(&realm.options), seed(number));
        is_right(vcpu.command(&Command::Fill { kind, seed })?, "fill", number)?;
        check(vcpu, &realm.options, number)?;
        of_host.check(step)
    })?;
    for realm in realms {
        realm.into_inner().tear_down()?;
    }
    Ok(())
}

const fn exit_name(exit: Cause) -> &'static str {
    match exit {
        Cause::Wfi => "registers across WFI",
        Cause::Load => "registers across an emulated load",
        Cause::Store => "registers across an emulated store",
        Cause::UnknownSmc => "registers across an unknown SMC",
        Cause::SendSgi => "registers across an SGI",
        Cause::RipasChange => "registers across a RIPAS change",
        Cause::HostCall => "registers across a host call",
        Cause::CpuSuspend => "registers across CPU_SUSPEND",
        Cause::Version => "registers across RSI_VERSION",
    }
}

/// Exits of each kind while all registers of the host carry patterns.
pub(crate) fn host_registers(host: &Host) -> Outcome {
    let mut realms = different_realms(host)?;
    for (number, realm) in realms.iter_mut().enumerate() {
        realm.realm.supply(SPARE)?;
        let RunningRealm {
            realm: memory,
            vcpus,
            options,
            ..
        } = realm;
        let vcpu = &mut vcpus[0];
        fill(vcpu, options, number)?;
        for exit in Cause::ALL {
            let command = canary_exit(memory, vcpu, exit, seed(number));
            vcpu.enter.gprs = command.encode();
            let mut report = run_watched(vcpu)?;
            // The exit itself, and the host's answer to it.
            for _ in 0..1000 {
                let (reply, last) = vcpu.until_reply(&report)?;
                if let Some(reply) = reply {
                    is_right(reply, exit_name(exit), number)?;
                    break;
                }
                memory.attend(vcpu, &last.exit)?;
                report = run_watched(vcpu)?;
            }
        }
    }
    realms.into_iter().try_for_each(RunningRealm::tear_down)
}

/// Enters the REC while each register of the host has a pattern. Those of the virtual interrupt
/// controller are the Realm's: a host keeps its own.
fn run_watched(vcpu: &mut Vcpu) -> Outcome<Report> {
    vcpu.run_by(|rec, page| {
        let mut reply = None;
        system::survive_call(
            rec ^ page,
            |name| name.starts_with("ICH_"),
            || reply = Some(rmi::commands::rec_enter(rec, page)),
        )?;
        reply.unwrap_or_else(|| fail!("no REC_ENTER was made"))
    })
}
