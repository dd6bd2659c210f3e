//! Random steps without the host's guidance, see `realm_payload::soak`.

mod calls;
mod memory;
mod refused;

use realm_guest_kit::rsi;
use realm_payload::command::TimerKind;
use realm_payload::exit::Exit;
use realm_payload::pattern::Kind;
use realm_payload::soak::{Step, check_index, device_value};
use realm_payload::{Measurement, Random, Reply};
use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::HashAlgorithm;

use crate::calls::{Mismatch, canary_exit, expect, inverted_host_call};
use crate::entry::conduit;
use crate::rec::Rec;
use crate::{access, canaries, interrupts, timers};

/// RECs that have a REM of their own.
const RECS_WITH_REM: usize = 4;

/// Families that a REC watches, if it has them.
const WATCHED: [Kind; 6] = [
    Kind::System,
    Kind::PointerAuthentication,
    Kind::Debug,
    Kind::Pmu,
    Kind::Fpsimd,
    Kind::Exception,
];

/// What a soak knows.
struct Soak<'a> {
    rec: &'a mut Rec,
    random: Random,
    device: u64,
    counts: [u64; Step::ALL.len()],
    /// Families under watch, with the seeds of their patterns.
    watched: [Option<(Kind, u16)>; WATCHED.len()],
    /// What this REC's REM holds, if it has one.
    rem: Option<Measurement>,
    rim: [u8; 64],
    ripas: memory::Pages,
}

/// Takes that many steps.
pub(crate) fn soak(rec: &mut Rec, steps: u64, seed: u64, device: u64) -> Reply {
    let mut soak = match Soak::new(rec, seed, device) {
        Ok(soak) => soak,
        Err(mismatch) => return failed(0, Step::Rsi, &mismatch),
    };
    let mut done = 0;
    if let Err(mismatch) = soak.refill_all() {
        return failed(done, Step::Refill, &mismatch);
    }
    while done < steps {
        let step = soak.choose();
        if let Err(mismatch) = soak.take(step) {
            return failed(done, step, &mismatch);
        }
        done += 1;
        soak.counts[step as usize] += 1;
        if let Err(mismatch) = soak.look(done == steps) {
            return failed(done, Step::Refill, &mismatch);
        }
    }
    timers::mask_all();
    Reply::done(&soak.counts)
}

/// The answer to a check that has failed.
fn failed(steps: u64, step: Step, mismatch: &Mismatch) -> Reply {
    timers::mask_all();
    let check = u8::try_from(mismatch.index).unwrap_or(u8::MAX);
    Reply::CheckFailed {
        index: check_index(steps, step, check),
        expected: mismatch.expected,
        found: mismatch.found,
    }
}

/// A call that has to succeed.
fn succeeds<T, E>(check: usize, result: Result<T, E>) -> Result<T, Mismatch> {
    result.map_err(|_| Mismatch {
        index: check as u64,
        expected: 0,
        found: 1,
    })
}

impl<'a> Soak<'a> {
    fn new(rec: &'a mut Rec, seed: u64, device: u64) -> Result<Self, Mismatch> {
        let conduit = conduit();
        succeeds(0xf0, rsi::realm_config(&conduit, &mut rec.config))?;
        let algorithm = HashAlgorithm::from_encoding(rec.config.hash_algo);
        let algorithm = succeeds(0xf1, algorithm.ok_or(()))?;
        let rim = succeeds(0xf2, rsi::measurement_read(&conduit, 0))?;
        let rem = if rec.number < RECS_WITH_REM {
            let index = rec.number as u64 + 1;
            let value = succeeds(0xf3, rsi::measurement_read(&conduit, index))?;
            Some(Measurement::new(algorithm, value))
        } else {
            None
        };
        let ripas = succeeds(0xf4, memory::Pages::new(rec.scratch()))?;
        let exceptions_come = rec.daif & interrupts::MASKS != interrupts::MASKS;
        let mut random = Random::new(seed);
        let watched = WATCHED.map(|kind| {
            let kind = match kind {
                // The vectors of one are parts of those of the other.
                Kind::Fpsimd if rec.features.sve => Kind::Sve,
                Kind::Exception if exceptions_come => return None,
                other => other,
            };
            Some((kind, random_seed(&mut random)))
        });
        Ok(Self {
            rec,
            random,
            device,
            counts: [0; Step::ALL.len()],
            watched,
            rem,
            rim,
            ripas,
        })
    }

    /// The next step. Those that exit to the host are fewer: they take longest.
    fn choose(&mut self) -> Step {
        match self.random.below(32) {
            0..5 => Step::Rsi,
            5..9 => Step::RsiRefused,
            9..14 => Step::Measurement,
            14..17 => Step::Ripas,
            17..21 => Step::Psci,
            21..23 => Step::HostCall,
            23..26 => Step::Device,
            26 => Step::Wait,
            27..31 => Step::CanaryExit,
            _ => Step::Refill,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), Mismatch> {
        match step {
            Step::Rsi => self.call_rsi(),
            Step::RsiRefused => self.call_refused(),
            Step::Measurement => self.measurement(),
            Step::Ripas => self.ripas.step(&mut self.random),
            Step::Psci => self.call_psci(),
            Step::HostCall => {
                let seed = random_seed(&mut self.random);
                inverted_host_call(self.rec, seed)
            }
            Step::Device => self.device(),
            Step::Wait => self.wait(),
            Step::CanaryExit => self.canary_exit(),
            Step::Refill => self.refill_all(),
        }
    }

    /// Checks some of the families, or all of them. The families that are not looked at have to
    /// survive longer, and without being used.
    fn look(&mut self, all: bool) -> Result<(), Mismatch> {
        for (kind, seed) in self.watched.into_iter().flatten() {
            if all || self.random.below(2) == 0 {
                check(self.rec, kind, seed)?;
            }
        }
        Ok(())
    }

    /// Gives all families new patterns.
    fn refill_all(&mut self) -> Result<(), Mismatch> {
        for (kind, seed) in self.watched.iter_mut().flatten() {
            *seed = random_seed(&mut self.random);
            fill(self.rec, *kind, *seed)?;
        }
        Ok(())
    }

    fn measurement(&mut self) -> Result<(), Mismatch> {
        let conduit = conduit();
        let choice = self.random.below(6);
        let Some(rem) = self.rem.as_mut().filter(|_| choice != 0) else {
            let rim = succeeds(0, rsi::measurement_read(&conduit, 0))?;
            return expect_bytes(1, &self.rim, &rim);
        };
        let index = self.rec.number as u64 + 1;
        if choice < 3 {
            let value = succeeds(2, rsi::measurement_read(&conduit, index))?;
            return expect_bytes(3, rem.value(), &value);
        }
        let mut bytes = [0; 64];
        for byte in &mut bytes {
            *byte = self.random.word().to_le_bytes()[7];
        }
        let size = usize::try_from(self.random.below(65)).unwrap_or_default();
        let bytes = &bytes[..size];
        succeeds(4, rsi::measurement_extend(&conduit, index, bytes))?;
        rem.extend(bytes);
        Ok(())
    }

    /// The address of a doubleword of the device.
    fn device_address(&mut self) -> u64 {
        self.device + self.random.below(GRANULE_SIZE as u64 / 8) * 8
    }

    fn device(&mut self) -> Result<(), Mismatch> {
        let load = memory::random_load(&mut self.random, self.device);
        let value = device_value(load.address);
        if self.random.below(2) == 0 {
            access::store(load.address, load.size, value);
            return Ok(());
        }
        expect(0, load.extend(value), access::load(&load))
    }

    /// Arms a timer for a moment that comes soon.
    fn arm(&mut self) -> (TimerKind, u64) {
        let timer = if self.random.below(2) == 0 {
            TimerKind::Virtual
        } else {
            TimerKind::Physical
        };
        let ticks = self.random.below(timers::frequency() / 1000 + 1);
        (timer, timers::set(timer, ticks, true))
    }

    fn wait(&mut self) -> Result<(), Mismatch> {
        let (timer, compare) = self.arm();
        while timers::now() < compare {
            access::wait_for_interrupt();
        }
        // An emulator may notice a little later that the moment has come.
        let latest = compare.saturating_add(timers::frequency());
        let (mut control, found) = timers::get(timer);
        while control & timers::EXPIRED == 0 && timers::now() < latest {
            (control, _) = timers::get(timer);
        }
        timers::mask_all();
        expect(0, compare, found)?;
        // IMASK is set if the interrupt was taken.
        let expired = timers::ENABLE | timers::EXPIRED;
        expect(1, expired, control & expired)
    }

    fn canary_exit(&mut self) -> Result<(), Mismatch> {
        let choice = self.random.below(Exit::ALL.len() as u64);
        let exit = Exit::from_encoding(choice).unwrap_or(Exit::Wfi);
        let address = match exit {
            Exit::RipasChange => memory::steady_page(self.rec.scratch()),
            _ => self.device_address(),
        };
        if exit == Exit::Wfi {
            self.arm();
        }
        let seed = random_seed(&mut self.random);
        let results = canary_exit(self.rec, exit, seed, address);
        timers::mask_all();
        let [_, _, loaded, _] = results?;
        if exit == Exit::Load {
            expect(0xff, device_value(address), loaded)?;
        }
        // Its patterns were in the vector registers.
        for (kind, seed) in self.watched.into_iter().flatten() {
            if matches!(kind, Kind::Fpsimd | Kind::Sve) {
                fill(self.rec, kind, seed)?;
            }
        }
        Ok(())
    }
}

fn random_seed(random: &mut Random) -> u16 {
    let [.., low, high] = random.word().to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Fills a family. The check that fails is the number of the family.
fn fill(rec: &mut Rec, kind: Kind, seed: u16) -> Result<(), Mismatch> {
    match canaries::fill(rec, kind, seed) {
        Ok(_) => Ok(()),
        Err(mismatch) => Err(of_family(kind, &mismatch)),
    }
}

/// Checks a family, likewise.
fn check(rec: &mut Rec, kind: Kind, seed: u16) -> Result<(), Mismatch> {
    match canaries::check(rec, kind, seed) {
        Ok(_) => Ok(()),
        Err(mismatch) => Err(of_family(kind, &mismatch)),
    }
}

fn of_family(kind: Kind, mismatch: &Mismatch) -> Mismatch {
    Mismatch {
        index: kind as u64,
        ..*mismatch
    }
}

/// Compares bytes. What is reported is the first word that differs.
fn expect_bytes(check: usize, expected: &[u8], found: &[u8]) -> Result<(), Mismatch> {
    let (expected, found) = (expected.as_chunks().0, found.as_chunks().0);
    for (expected, found) in expected.iter().zip(found) {
        let (expected, found) = (u64::from_le_bytes(*expected), u64::from_le_bytes(*found));
        expect(check, expected, found)?;
    }
    Ok(())
}
