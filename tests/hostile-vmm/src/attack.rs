//! What one thread does.

use std::sync::Arc;

use crate::calls::{self, Call, Fields};
use crate::files::{Files, Kind};
use crate::guest;
use crate::random::Random;
use crate::sys::{self, ARENA, Arena, Descriptor, Errno, RunPage};
use crate::tally::Tally;
use rmm_abi::statistics;

/// Where RAM of the Realms begins.
const RAM: u64 = 0x8000_0000;
/// Room in the arena for the structures of one thread.
const SCRATCH: u64 = 0x1_0000;
/// One field in so many of an otherwise right call is wrong.
const SPOIL: u64 = 24;

/// A thread's share of the attack.
pub(crate) struct Attacker {
    random: Random,
    scratch: u64,
    arena: Arc<Arena>,
    files: Arc<Files>,
    tally: Arc<Tally>,
    pages: Vec<RunPage>,
}

impl Attacker {
    pub(crate) fn new(
        number: u64,
        seed: u64,
        arena: Arc<Arena>,
        files: Arc<Files>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            random: Random::new(seed.wrapping_mul(0x1_0001).wrapping_add(number << 32)),
            scratch: number * SCRATCH,
            arena,
            files,
            tally,
            pages: Vec::new(),
        }
    }

    /// One random deed.
    pub(crate) fn strike(&mut self) {
        match self.random.below(100) {
            0..35 => self.any_call(),
            35..50 => {
                self.build();
            }
            50..80 => self.run(),
            80..86 => self.scribble(),
            86..92 => self.files.close_any(&mut self.random),
            92..96 => {
                let (offset, pages) = (self.random.below(ARENA), self.random.below(1024));
                self.arena.discard(offset, pages);
            }
            96..98 => self.in_a_child(),
            _ => {
                if let Some(event) = self.files.any(Some(Kind::Event), &mut self.random) {
                    sys::signal_event(event);
                }
            }
        }
    }

    fn call(&self, file: Descriptor, call: Call, argument: u64) -> Result<i32, Errno> {
        let outcome = sys::ioctl(file, call.request, argument);
        self.tally.count(call.name, outcome);
        outcome
    }

    /// A call with a structure.
    fn call_with(&mut self, file: Descriptor, call: Call, fields: Fields) -> Result<i32, Errno> {
        let Fields(bytes) = fields.spoil(&mut self.random, SPOIL);
        self.arena.write(self.scratch, &bytes);
        self.call(file, call, self.arena.address(self.scratch))
    }

    /// Any call on any file with anything.
    fn any_call(&mut self) {
        let random = &mut self.random;
        let call = random.pick(calls::ALL);
        // A child may be stuck in KVM_RUN for a second; here a kick ends it.
        let kind = match random.below(8) {
            0..4 => Some(Kind::Vm),
            4 => Some(Kind::Vcpu),
            5 => Some(Kind::InterruptController),
            6 => Some(Kind::Device),
            _ => None,
        };
        let Some(file) = self.files.any(kind, random) else {
            self.files.open_device();
            return;
        };
        let argument = match random.below(4) {
            0 => sys::wild_address(random.next()),
            1 if call.request >> 16 == 0 => random.word(),
            _ => {
                let mut words: Vec<u8> =
                    (0..20).flat_map(|_| random.word().to_le_bytes()).collect();
                if call.name == "RMM_STATISTICS" && random.one_in(2) {
                    // A question that gets as far as the RMM.
                    words[4..8].copy_from_slice(&statistics::MAGIC.to_le_bytes());
                }
                self.arena.write(self.scratch, &words);
                self.arena.address(self.scratch)
            }
        };
        if argument < 0x1_0000 || call.request >> 30 != 0 || call.request & 0xff != 0x01 {
            let outcome = self.call(file, call, argument);
            self.keep(call, outcome);
        }
    }

    /// Remembers a descriptor that a call has made.
    fn keep(&self, call: Call, outcome: Result<i32, Errno>) {
        let kind = match call.name {
            "CREATE_VM" => Kind::Vm,
            "CREATE_VCPU" => Kind::Vcpu,
            "CREATE_GUEST_MEMFD" => Kind::GuestMemory,
            _ => return,
        };
        if let Ok(descriptor) = outcome
            && descriptor > 2
        {
            self.files.add(kind, descriptor);
        }
    }

    /// Builds a Realm as a VMM would, with a mistake here and there, or stops half-way.
    fn build(&mut self) -> Option<()> {
        let device = self.files.any(Some(Kind::Device), &mut self.random);
        let device = device.or_else(|| self.files.open_device())?;
        let ipa_bits = self.random.pick(&[33, 34, 36, 40, 48]);
        let shared = 1 << (ipa_bits - 1);
        let vm = self.call(device, calls::CREATE_VM, 0x100 | ipa_bits);
        let vm = vm.ok()?;
        self.files.add(Kind::Vm, vm);
        if self.random.one_in(2) {
            let hash = self.random.below(2);
            let configuration = Fields::default().word(hash << 32 | 0x0100 << 48);
            let configuration = configuration.word(1).zeroes(64);
            let _ = self.call_with(vm, calls::CONFIGURE, configuration);
        }
        let size = (1 + self.random.below(6)) << 21;
        self.memory(vm, size)?;
        let vcpus = 1 + self.random.below(3);
        for number in 0..vcpus {
            let vcpu = self.call(vm, calls::CREATE_VCPU, number).ok()?;
            self.files.add(Kind::Vcpu, vcpu);
            // PSCI 0.2, and off unless it is the first.
            let features = 1 << 2 | u32::from(number > 0);
            let init = Fields::default().half(5).half(features).zeroes(24);
            let _ = self.call_with(vcpu, calls::ARM_VCPU_INIT, init);
            self.arena.write(self.scratch + 0x1000, &RAM.to_le_bytes());
            let pc = Fields::default().word(0x6030_0000_0010_0040);
            let pc = pc.word(self.arena.address(self.scratch + 0x1000));
            let _ = self.call_with(vcpu, calls::SET_ONE_REG, pc);
        }
        // Its set-up ends when the vCPUs are there.
        self.interrupt_controller(vm);
        if self.random.one_in(8) {
            return None;
        }
        let program = guest::program(&mut self.random, RAM, size, shared);
        let source = ARENA - (1 << 20) + self.scratch;
        self.arena.write(source, &program);
        let pages = 1 + self.random.below(16);
        let populate = Fields::default()
            .word(RAM)
            .word(pages << 12)
            .word(self.arena.address(source))
            .half(u32::from(self.random.one_in(2)))
            .half(0);
        let _ = self.call_with(vm, calls::RMI_POPULATE, populate);
        for _ in 0..self.random.below(3) {
            self.events(vm);
        }
        self.run();
        Some(())
    }

    fn interrupt_controller(&mut self, vm: Descriptor) {
        let create = Fields::default().half(7).half(0).half(0);
        if self.call_with(vm, calls::CREATE_DEVICE, create).is_err() {
            return;
        }
        let mut answer = [0; 12];
        self.arena.read(self.scratch, &mut answer);
        let [_, _, _, _, a, b, c, d, ..] = answer;
        let device = i32::from_le_bytes([a, b, c, d]);
        // A thread may have scribbled over the answer.
        if !(3..4096).contains(&device) {
            return;
        }
        self.files.add(Kind::InterruptController, device);
        let value = self.scratch + 0x2000;
        // Addresses of distributor and redistributors, number of interrupts, end of set-up.
        for (group, attribute, content) in [
            (0_u32, 2_u64, 0x0800_0000_u64),
            (0, 3, 0x080a_0000),
            (3, 0, 128),
            (4, 0, 0),
        ] {
            self.arena.write(value, &content.to_le_bytes());
            let attribute = Fields::default().half(0).half(group).word(attribute);
            let attribute = attribute.word(self.arena.address(value));
            let _ = self.call_with(device, calls::SET_DEVICE_ATTR, attribute);
        }
    }

    fn memory(&mut self, vm: Descriptor, size: u64) -> Option<()> {
        let file = Fields::default().word(size).word(0).zeroes(48);
        let file = self.call_with(vm, calls::CREATE_GUEST_MEMFD, file).ok()?;
        self.files.add(Kind::GuestMemory, file);
        let user = self.random.below(8) << 21;
        let slot = Fields::default()
            .half(0)
            .half(1 << 2)
            .word(RAM)
            .word(size)
            .word(self.arena.address(user) & !0xfff)
            .word(0)
            .half(file.cast_unsigned())
            .zeroes(116);
        let _ = self.call_with(vm, calls::SET_USER_MEMORY_REGION2, slot);
        let attributes = Fields::default().word(RAM).word(size).word(8).word(0);
        let _ = self.call_with(vm, calls::SET_MEMORY_ATTRIBUTES, attributes);
        Some(())
    }

    /// An interrupt by event, and a doorbell.
    fn events(&mut self, vm: Descriptor) {
        let Ok(event) = sys::eventfd() else { return };
        self.files.add(Kind::Event, event);
        let event = event.cast_unsigned();
        if self.random.one_in(2) {
            let line = u32::try_from(self.random.below(100)).unwrap_or(0);
            let flags = u32::from(self.random.one_in(4));
            let irqfd = Fields::default().half(event).half(line).half(flags);
            let _ = self.call_with(vm, calls::IRQFD, irqfd.zeroes(20));
        } else {
            let address = 0x0a00_0000 + self.random.below(0x2000);
            let flags = u32::try_from(self.random.below(8)).unwrap_or(0);
            let doorbell = Fields::default().word(self.random.word()).word(address);
            let doorbell = doorbell.half(4).half(event).half(flags).zeroes(36);
            let _ = self.call_with(vm, calls::IOEVENTFD, doorbell);
        }
    }

    /// Runs vCPUs, answers what they ask or does not, and interrupts itself.
    fn run(&mut self) {
        for _ in 0..self.random.below(6) {
            let Some(vcpu) = self.files.any(Some(Kind::Vcpu), &mut self.random) else {
                return;
            };
            let outcome = self.call(vcpu, calls::RUN, 0);
            let Some(vm) = self.files.any(Some(Kind::Vm), &mut self.random) else {
                return;
            };
            if outcome == Err(libc::EFAULT) {
                let base = RAM + self.random.below(16) * 0x10_0000;
                let size = self.random.pick(&[0x1000, 0x20_0000, 0x40_0000]);
                let private = self.random.below(2) << 3;
                let attributes = Fields::default().word(base).word(size).word(private);
                let _ = self.call_with(vm, calls::SET_MEMORY_ATTRIBUTES, attributes.word(0));
            } else if self.random.one_in(4) {
                let target = self.random.below(4);
                let answer = Fields::default().word(target).word(0).zeroes(8);
                let _ = self.call_with(vcpu, calls::VCPU_RMI_PSCI_COMPLETE, answer);
            }
            if self.random.one_in(4) {
                let line = u32::try_from((1 << 24) | (32 + self.random.below(96))).unwrap_or(0);
                let level = u32::from(self.random.one_in(2));
                let line = Fields::default().half(line).half(level);
                let _ = self.call_with(vm, calls::IRQ_LINE, line);
            }
        }
    }

    /// Writes into pages that the kernel reads: run pages, structures of other threads, shared memory.
    fn scribble(&mut self) {
        if self.pages.len() < 8
            && let Some(vcpu) = self.files.any(Some(Kind::Vcpu), &mut self.random)
            && let Ok(page) = RunPage::map(vcpu, 4096)
        {
            self.pages.push(page);
        }
        if self.pages.len() == 8 && self.random.one_in(8) {
            self.pages.clear();
        }
        for _ in 0..16 {
            let word = self.random.word().to_le_bytes();
            let offset = self.random.next();
            if let Some(page) = self.pages.last() {
                page.write(offset % 512, &word);
            }
            self.arena.write(offset, &word);
        }
    }

    fn in_a_child(&mut self) {
        let Some(file) = self.files.any(None, &mut self.random) else {
            return;
        };
        let call = self.random.pick(calls::ALL);
        let kill = self.random.one_in(2);
        let argument = self.arena.address(self.scratch);
        sys::call_in_a_child(file, call.request, argument, kill);
    }
}
