//! Memory whose granules have owners.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rmm_abi::rmi::FeatureRegister0;
use rmm_core::cpu_view::{IdRegister, IdRegisters, RealmIdRegisters};
use rmm_core::features::CpuIdentification;
use rmm_core::granule::{DramBanks, GranuleAddress, GranuleRecord, GranuleTable};
use rmm_core::realm::VmidTable;
use rmm_core::rtt::Invalidation;
use rmm_core::statistics::CpuStatistics;
use rmm_core::vgic::GicLimits;
use rmm_core::{GranuleWords, Rmm};

use crate::cpu::{El3Script, FakeCpu, TokenScript};
use crate::granule::{Granule, Owner};
use crate::host::HostHook;
use crate::mmu::{Fault, Stage2Registers, StaleTranslation, Tlb, Translation};
use crate::realm::{Guest, Program, Programs};

/// 64-bit words of a granule.
pub const WORDS_PER_GRANULE: usize = rmm_abi::GRANULE_SIZE / 8;

/// CPUs of a machine of which a test asks nothing special.
pub const CPUS: usize = 16;

/// What the host sees of a granule that is not its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GranuleProtectionFault;

/// The features of an RMM of which a test asks nothing special.
pub const FEATURES: FeatureRegister0 = FeatureRegister0 {
    ipa_width: 48,
    lpa2: false,
    sve_vector_length: Some(3),
    breakpoints: 5,
    watchpoints: 3,
    pmu_counters: Some(6),
    sha_256: true,
    sha_512: true,
    gic_list_registers: 3,
    max_recs_order: 10,
};

/// `ICH_VTR_EL2.PRIbits`.
const VTR_FIVE_PRIORITY_BITS: u64 = 4 << 29;

/// What the CPUs say of themselves: they have everything there is, and the newest of it.
pub const fn id_registers() -> IdRegisters {
    const PMU_VERSION: u64 = 0xf << 8;
    // All ones stand for a PMU that is not Arm's.
    const NEWEST_PMU: u64 = 0xe << 8;
    let mut values = [u64::MAX; 64];
    values[IdRegister::DFR0.index()] = !PMU_VERSION | NEWEST_PMU;
    IdRegisters::new(values)
}

/// DRAM of a machine, and the records that an RMM keeps of it.
#[derive(Debug)]
pub struct Memory {
    banks: Vec<Bank>,
    records: OnceLock<Vec<GranuleRecord>>,
    cpus: AtomicUsize,
    statistics: OnceLock<Vec<CpuStatistics>>,
    vmids: VmidTable,
    script: El3Script,
    tokens: TokenScript,
    pub(crate) host_hook: HostHook,
    pub(crate) host_write_hook: HostHook,
    programs: Programs,
    counter: AtomicU64,
    list_registers: AtomicUsize,
    identification: OnceLock<RealmIdRegisters>,
    tlb: Mutex<Tlb>,
    publications: AtomicU64,
    forgotten_instructions: AtomicU64,
    cleaned: Mutex<Vec<u64>>,
    calls_under_way: AtomicU64,
}

#[derive(Debug)]
struct Bank {
    base: u64,
    granules: Vec<Granule>,
}

impl Memory {
    /// DRAM of these banks, each (physical address, granules), all of it the host's and zero.
    ///
    /// # Panics
    ///
    /// When the banks are not a machine that an RMM can be told about.
    pub fn new(banks: &[(u64, u64)]) -> Self {
        let banks = banks
            .iter()
            .map(|&(base, granules)| {
                assert!(base.is_multiple_of(rmm_abi::GRANULE_SIZE as u64) && granules != 0);
                Bank {
                    base,
                    granules: (0..granules).map(|_| Granule::new()).collect(),
                }
            })
            .collect();
        Self {
            banks,
            records: OnceLock::new(),
            cpus: AtomicUsize::new(CPUS),
            statistics: OnceLock::new(),
            vmids: VmidTable::new(),
            script: El3Script::default(),
            tokens: TokenScript::default(),
            host_hook: HostHook::default(),
            host_write_hook: HostHook::default(),
            programs: Programs::default(),
            counter: AtomicU64::new(0),
            list_registers: AtomicUsize::new(0),
            identification: OnceLock::new(),
            tlb: Mutex::default(),
            publications: AtomicU64::new(0),
            forgotten_instructions: AtomicU64::new(0),
            cleaned: Mutex::new(Vec::new()),
            calls_under_way: AtomicU64::new(0),
        }
    }

    /// An RMM that has booted on this machine, with [`FEATURES`]. Its granule records start anew
    /// only with a new machine.
    ///
    /// # Panics
    ///
    /// When the banks are not ascending.
    pub fn rmm(&self) -> Rmm<'_> {
        self.rmm_with_features(FEATURES)
    }

    /// [`Self::rmm`] with another feature register.
    ///
    /// # Panics
    ///
    /// When the banks are not ascending.
    pub fn rmm_with_features(&self, features: FeatureRegister0) -> Rmm<'_> {
        self.rmm_with_vmids(features, 16)
    }

    /// [`Self::rmm_with_features`] on CPUs whose VMIDs have this many bits.
    ///
    /// # Panics
    ///
    /// When the banks are not ascending.
    pub fn rmm_with_vmids(&self, features: FeatureRegister0, vmid_bits: u32) -> Rmm<'_> {
        let granules = self.granule_table();
        let last_list_register = u64::from(features.gic_list_registers);
        self.list_registers.store(
            usize::from(features.gic_list_registers) + 1,
            Ordering::SeqCst,
        );
        let gic = GicLimits::new(&CpuIdentification {
            ich_vtr: VTR_FIVE_PRIORITY_BITS | last_list_register,
            ..CpuIdentification::default()
        });
        Rmm::new(granules, &self.vmids, features, vmid_bits, gic)
    }

    /// The RMM's records of this machine's granules.
    pub(crate) fn granule_table(&self) -> GranuleTable<'_> {
        let ranges = self.banks.iter().map(|bank| {
            let base = GranuleAddress::new(bank.base).expect("banks are aligned");
            (base, bank.granules.len() as u64)
        });
        let banks = DramBanks::from_ranges(ranges).expect("banks ascend");
        GranuleTable::new(banks, self.records()).expect("a record for each granule")
    }

    pub(crate) fn records(&self) -> &[GranuleRecord] {
        self.records.get_or_init(|| {
            let granules = self.banks.iter().map(|bank| bank.granules.len()).sum();
            std::iter::repeat_with(GranuleRecord::new)
                .take(granules)
                .collect()
        })
    }

    /// How many CPUs the machine has, before any is used; otherwise [`CPUS`].
    pub fn set_cpus(&self, cpus: usize) {
        self.cpus.store(cpus, Ordering::SeqCst);
    }

    pub(crate) fn statistics(&self) -> &[CpuStatistics] {
        self.statistics.get_or_init(|| {
            std::iter::repeat_with(CpuStatistics::new)
                .take(self.cpus.load(Ordering::SeqCst))
                .collect()
        })
    }

    /// A CPU of this machine.
    pub fn cpu(&self, number: usize) -> FakeCpu<'_> {
        FakeCpu::new(self, number)
    }

    /// How EL3 is to misbehave.
    pub fn el3(&self) -> &El3Script {
        &self.script
    }

    /// How tokens are made.
    pub fn tokens(&self) -> &TokenScript {
        &self.tokens
    }

    /// Who owns the granule at an address.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn owner(&self, address: u64) -> Owner {
        self.granule(address).expect("DRAM").owner()
    }

    /// Gives a granule to another owner, as EL3 does on its own account.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn set_owner(&self, address: u64, owner: Owner) {
        self.granule(address)
            .expect("DRAM")
            .change_owner(None, owner);
    }

    /// A Realm writes a word, wherever its translation led it.
    pub(crate) fn realm_write(&self, address: u64, word: usize, value: u64) {
        self.granule(address).expect("DRAM").store(word, value);
    }

    /// From now on a REC does what a program says, from its beginning. When the program has ended, or
    /// when there is none, the REC is interrupted whenever it runs.
    pub fn program<R>(&self, rec: u64, program: impl FnOnce(Guest) -> R)
    where
        R: Future<Output = ()> + Send + 'static,
    {
        self.programs.set(rec, Program::new(program));
    }

    pub(crate) const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The counter that timers are compared with.
    pub fn counter(&self) -> u64 {
        self.counter.load(Ordering::SeqCst)
    }

    /// Sets the counter: time passes.
    pub fn set_counter(&self, value: u64) {
        self.counter.store(value, Ordering::SeqCst);
    }

    /// List registers that the CPUs have.
    pub(crate) fn list_registers(&self) -> usize {
        self.list_registers.load(Ordering::SeqCst)
    }

    /// What Realms see of the CPUs, which have everything there is.
    pub(crate) fn identification(&self) -> &RealmIdRegisters {
        self.identification
            .get_or_init(|| RealmIdRegisters::of(&id_registers()))
    }

    /// Whether a CPU has a granule mapped for itself.
    pub(crate) fn is_mapped(&self, address: u64) -> bool {
        self.granule(address).is_some_and(Granule::is_mapped)
    }

    /// The address of the granule that has this content.
    pub(crate) fn address_of(&self, words: &GranuleWords) -> u64 {
        let mut granules = self.granules();
        let found = granules.find(|(_, granule)| {
            granule
                .touched_words()
                .is_some_and(|other| std::ptr::eq(other, words))
        });
        found.expect("the content of a granule").0
    }

    /// Looks at a word whoever owns it, as a test may and no world can.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn inspect(&self, address: u64, word: usize) -> u64 {
        self.granule(address).expect("DRAM").load(word)
    }

    /// Whether a granule has nothing in it, whoever owns it.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn is_empty(&self, address: u64) -> bool {
        let words = self.granule(address).expect("DRAM").touched_words();
        words.is_none_or(|words| words.iter().all(|word| word.load(Ordering::SeqCst) == 0))
    }

    /// A CPU that runs a Realm translates an IPA by the tables in memory, and remembers what it
    /// found until it is told to forget it. `None` when the MMU takes a fault.
    ///
    /// # Panics
    ///
    /// When a descriptor is not one that the MMU takes, leads to a table or to memory outside of
    /// the Realm world, or when the CPU remembers another Realm by the same VMID.
    pub fn translate(&self, registers: &Stage2Registers, ipa: u64) -> Option<Translation> {
        self.access_through(registers, ipa, Result::ok)
    }

    /// Translates, and makes an access by the translation before anybody can forget it: an
    /// invalidation waits for accesses that are under way.
    pub(crate) fn access_through<R>(
        &self,
        registers: &Stage2Registers,
        ipa: u64,
        access: impl FnOnce(Result<Translation, Fault>) -> R,
    ) -> R {
        let mut tlb = self.tlb();
        access(tlb.translate(self, registers, ipa))
    }

    pub(crate) fn run_on(&self, cpu: usize, vmid: u16, rec: u64, forget: bool) {
        self.tlb().run_on(cpu, vmid, rec, forget);
    }

    /// Whether everything that CPUs remember of a Realm is what its tables say. No call on the
    /// Realm may be under way.
    ///
    /// # Errors
    ///
    /// [`StaleTranslation`] with what is not so.
    pub fn check_translations(&self, vmid: u16) -> Result<(), StaleTranslation> {
        self.tlb().check(self, vmid)
    }

    /// Times that CPUs were made to forget the instructions that they had fetched.
    pub fn forgotten_instructions(&self) -> u64 {
        self.forgotten_instructions.load(Ordering::SeqCst)
    }

    pub(crate) fn count_forgotten_instructions(&self) {
        self.forgotten_instructions.fetch_add(1, Ordering::SeqCst);
    }

    /// Granules whose content was made visible to instruction fetches, in order.
    ///
    /// # Panics
    ///
    /// When a CPU has panicked while it noted one.
    pub fn cleaned(&self) -> Vec<u64> {
        self.cleaned.lock().expect("no CPU panicked").clone()
    }

    pub(crate) fn clean(&self, address: u64) {
        self.cleaned.lock().expect("no CPU panicked").push(address);
    }

    /// Times that the RMM made its writes to tables visible to the MMUs.
    pub fn publications(&self) -> u64 {
        self.publications.load(Ordering::SeqCst)
    }

    pub(crate) fn count_publication(&self) {
        self.publications.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn invalidate(&self, invalidation: &Invalidation) {
        self.tlb().invalidate(self, invalidation);
    }

    pub(crate) fn assert_unreachable(&self, address: u64) {
        self.tlb().assert_unreachable(address);
    }

    pub(crate) const fn calls_under_way(&self) -> &AtomicU64 {
        &self.calls_under_way
    }

    /// EL3 moves a granule from one owner to another. `false` when it is not `from`'s.
    pub(crate) fn change_owner(&self, address: u64, from: Owner, to: Owner) -> Option<bool> {
        // Accesses that are under way end before the owner changes.
        let _tlb = self.tlb();
        Some(self.granule(address)?.change_owner(Some(from), to))
    }

    fn tlb(&self) -> MutexGuard<'_, Tlb> {
        self.tlb.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn vmids(&self) -> &VmidTable {
        &self.vmids
    }

    /// Every granule with its address, in the order of the records.
    pub(crate) fn granules(&self) -> impl Iterator<Item = (u64, &Granule)> {
        self.banks.iter().flat_map(|bank| {
            let addresses = (bank.base..).step_by(rmm_abi::GRANULE_SIZE);
            addresses.zip(&bank.granules)
        })
    }

    pub(crate) fn granule(&self, address: u64) -> Option<&Granule> {
        self.banks.iter().find_map(|bank| {
            let offset = address.checked_sub(bank.base)? / rmm_abi::GRANULE_SIZE as u64;
            bank.granules.get(usize::try_from(offset).ok()?)
        })
    }
}
