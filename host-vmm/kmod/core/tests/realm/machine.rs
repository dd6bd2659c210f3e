//! A kernel on the fake machine, that watches over the rules of the pool with its own books.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fake_machine::{Memory, Owner, WORDS_PER_GRANULE};
use realm_kmod_core::host::{Host, HostError, Severity, Shared};
use realm_kmod_core::pool::{CHUNK_ORDERS, Page, Sweep};
use realm_kmod_core::rmi::{self, Features};
use realm_kmod_core::{PAGE_SIZE, granules};
use rmm_abi::rmi::fid;
use rmm_core::Rmm;

/// Where DRAM begins: memory for the pool.
pub(crate) const DRAM: u64 = 0x8000_0000;
/// Chunks that the kernel has to give.
pub(crate) const CHUNKS: u64 = 12;
const CHUNK: u64 = PAGE_SIZE << CHUNK_ORDERS[0];
/// Pages of the kernel and of user space behind them.
const OTHERS: u64 = DRAM + CHUNKS * CHUNK;
const KERNEL_PAGES: u64 = 64;
/// Where user space has its memory, in its own addresses.
pub(crate) const USER: u64 = 0x7000_0000_0000;
/// Pages that it has.
pub(crate) const USER_PAGES: u64 = 64;
const USER_MEMORY: u64 = OTHERS + KERNEL_PAGES * PAGE_SIZE;

/// The word of a page that the tests leave in user memory.
pub(crate) fn user_word(page: u64) -> u64 {
    0x1234_0000 + page
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The command of this number, from zero on, fails and does nothing: X0.
    Command(u64, u64),
    /// The kernel has no memory from this request on.
    Memory(u64),
    /// The thread is being killed from this look on.
    Kill(u64),
}

#[derive(Debug, Default)]
struct Books {
    /// Chunks and pages that were taken: order by address.
    taken: BTreeMap<u64, u32>,
    pinned: BTreeMap<u64, usize>,
    trouble: Option<Trouble>,
    /// Their functions.
    commands: Vec<u64>,
    requests: u64,
    looks: u64,
    /// Commands that were made to fail, by function.
    failed: Vec<u64>,
    /// A granule that does not come back.
    refused: Option<u64>,
    /// A command that always fails.
    refused_function: Option<u64>,
    written_off: bool,
    log: Vec<String>,
}

/// What all threads share.
pub(crate) struct Kernel<'m> {
    pub(crate) memory: &'m Memory,
    rmm: &'m Rmm<'m>,
    shared: Mutex<Shared>,
    books: Mutex<Books>,
    /// The order of the chunks: with every second one missing, none of them touch.
    scattered: AtomicBool,
    cpus: AtomicUsize,
    time: AtomicU64,
    rests: AtomicU64,
}

impl fmt::Debug for Kernel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

/// The kernel on one CPU.
#[derive(Debug)]
pub(crate) struct Cpu<'k, 'm> {
    pub(crate) kernel: &'k Kernel<'m>,
    number: usize,
}

/// Runs a test on a machine, and looks afterwards whether everything is as it was.
pub(crate) fn on_machine(test: impl FnOnce(&Kernel<'_>)) {
    let pages = CHUNKS * CHUNK / PAGE_SIZE + KERNEL_PAGES + USER_PAGES;
    let memory = Memory::new(&[(DRAM, pages)]);
    let rmm = memory.rmm();
    for page in 0..USER_PAGES {
        let address = USER_MEMORY + page * PAGE_SIZE;
        memory
            .host_write(address, 0, user_word(page))
            .expect("the host's");
    }
    let kernel = Kernel {
        memory: &memory,
        rmm: &rmm,
        shared: Mutex::default(),
        books: Mutex::default(),
        scattered: AtomicBool::new(false),
        cpus: AtomicUsize::new(0),
        time: AtomicU64::new(0),
        rests: AtomicU64::new(0),
    };
    test(&kernel);
    kernel.assert_clean();
}

impl<'m> Kernel<'m> {
    /// A CPU of its own for a thread.
    pub(crate) fn cpu(&self) -> Cpu<'_, 'm> {
        Cpu {
            kernel: self,
            number: self.cpus.fetch_add(1, Ordering::SeqCst),
        }
    }

    /// For what calls no RMM.
    pub(crate) const fn onlooker(&self) -> Cpu<'_, 'm> {
        Cpu {
            kernel: self,
            number: 0,
        }
    }

    /// How often others have been let run.
    pub(crate) fn rests(&self) -> u64 {
        self.rests.load(Ordering::SeqCst)
    }

    /// From now on no two chunks that the kernel gives touch each other.
    pub(crate) fn scatter(&self) {
        self.scattered.store(true, Ordering::SeqCst);
    }

    /// From now on something goes wrong, counted from here.
    pub(crate) fn cause(&self, trouble: Option<Trouble>) {
        let mut books = self.books();
        books.trouble = trouble;
        (books.requests, books.looks) = (0, 0);
        books.commands.clear();
        books.failed.clear();
    }

    /// Functions of the commands that were made to fail.
    pub(crate) fn failed(&self) -> Vec<u64> {
        self.books().failed.clone()
    }

    /// Functions of the commands since [`Self::cause`].
    pub(crate) fn commands(&self) -> Vec<u64> {
        self.books().commands.clone()
    }

    /// Requests for memory since [`Self::cause`].
    pub(crate) fn requests(&self) -> u64 {
        self.books().requests
    }

    /// What was logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.books().log.clone()
    }

    /// Pages of user space that are pinned.
    pub(crate) fn pinned(&self) -> usize {
        self.books().pinned.values().sum()
    }

    /// The features of the RMM.
    pub(crate) fn features(&self) -> Features {
        rmi::greet(&self.cpu()).expect("an RMM")
    }

    /// The physical address of user memory.
    pub(crate) fn user_page(address: u64) -> Option<u64> {
        let offset = address.checked_sub(USER)?;
        (offset < USER_PAGES * PAGE_SIZE).then_some(USER_MEMORY + offset)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pages of the Realm world.
    pub(crate) fn delegated(&self) -> Vec<u64> {
        let pages = CHUNKS * CHUNK / PAGE_SIZE;
        let addresses = (0..pages).map(|page| DRAM + page * PAGE_SIZE);
        addresses
            .filter(|&address| self.memory.owner(address) == Owner::Realm)
            .collect()
    }

    /// No page that the kernel has is delegated, or next to one that is.
    pub(crate) fn check_guards(&self) {
        let books = self.books();
        let owned = |address: u64| {
            let before = books.taken.range(..=address).next_back();
            before.is_some_and(|(base, order)| address < base + (PAGE_SIZE << order))
        };
        for page in self.delegated() {
            for address in [page - PAGE_SIZE, page, page + PAGE_SIZE] {
                assert!(
                    owned(address),
                    "{page:#x} is delegated, {address:#x} the kernel's"
                );
            }
        }
    }

    /// Nothing is taken, pinned, delegated or lost, and nothing is left in memory that was.
    pub(crate) fn assert_clean(&self) {
        granules::sweep(&self.cpu(), Sweep::Parts);
        let counters = self.shared().pool.counters();
        assert_eq!(counters, realm_kmod_core::pool::Counters::default());
        assert_eq!(self.shared().vmids.in_use(), 0);
        let books = self.books();
        assert_eq!(books.taken, BTreeMap::new());
        assert_eq!(books.pinned, BTreeMap::new());
        assert_eq!(books.log, Vec::<String>::new());
        if !books.written_off {
            drop(books);
            assert_eq!(self.delegated(), Vec::<u64>::new());
        }
    }

    /// From now on a granule does not come back.
    pub(crate) fn refuse(&self, page: Option<u64>) {
        self.books().refused = page;
    }

    /// From now on a command always fails.
    pub(crate) fn refuse_function(&self, function: Option<u64>) {
        self.books().refused_function = function;
    }

    /// Takes back what was lost on purpose, so that [`Self::assert_clean`] is content.
    pub(crate) fn forgive(&self, page: u64) {
        let reply = self
            .cpu()
            .call([fid::GRANULE_UNDELEGATE, page, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply[0], 0);
        self.write_off();
    }

    /// Forgets everything, where a test has shown that something stays for ever.
    pub(crate) fn write_off(&self) {
        *self.shared() = Shared::new();
        let mut books = self.books();
        books.log.clear();
        books.taken.clear();
        books.pinned.clear();
        books.written_off = true;
    }

    fn free_chunk(books: &Books, order: u32, scattered: bool) -> Option<u64> {
        let step = if scattered { 2 } else { 1 };
        let chunks = (0..CHUNKS).step_by(step).map(|chunk| DRAM + chunk * CHUNK);
        let overlaps = |base: u64, size: u64| {
            let mut taken = books.taken.iter();
            taken.any(|(&other, &order)| other < base + size && base < other + (PAGE_SIZE << order))
        };
        let size = PAGE_SIZE << order;
        let parts = CHUNK / size;
        chunks
            .flat_map(|chunk| (0..parts).map(move |part| chunk + part * size))
            .find(|&base| !overlaps(base, size))
    }
}

impl Cpu<'_, '_> {
    /// Calls the RMM, whatever the test has caused.
    pub(crate) fn call(&self, registers: [u64; 8]) -> [u64; 5] {
        let cpu = self.kernel.memory.cpu(self.number);
        cpu.call(self.kernel.rmm, &registers)
    }

    fn check_comes_back(&self, first: Page, count: usize, empty: bool) {
        for number in 0..count {
            let address = first.nth(number).address();
            assert_eq!(
                self.kernel.memory.owner(address),
                Owner::NonSecure,
                "{address:#x}"
            );
            let clean =
                (0..WORDS_PER_GRANULE).all(|word| self.kernel.memory.inspect(address, word) == 0);
            assert!(
                clean || !empty,
                "{address:#x} comes back with something in it"
            );
        }
    }

    /// Writes a page of the kernel.
    pub(crate) fn write(&self, page: Page, bytes: &[u8]) {
        for (word, bytes) in bytes.chunks_exact(8).enumerate() {
            let value = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            let memory = self.kernel.memory;
            memory
                .host_write(page.address(), word, value)
                .expect("the kernel's page");
        }
    }

    /// Reads a page of the kernel.
    pub(crate) fn read(&self, page: Page) -> Vec<u8> {
        (0..WORDS_PER_GRANULE)
            .flat_map(|word| {
                let value = self.kernel.memory.host_read(page.address(), word);
                value.expect("the kernel's page").to_le_bytes()
            })
            .collect()
    }
}

impl Host for Cpu<'_, '_> {
    fn rmi(&self, registers: [u64; 8]) -> [u64; 5] {
        {
            let mut books = self.kernel.books();
            let number = books.commands.len() as u64;
            books.commands.push(registers[0]);
            if let Some(Trouble::Command(which, x0)) = books.trouble
                && which == number
            {
                books.failed.push(registers[0]);
                return [x0, 0, 0, 0, 0];
            }
            let kept =
                registers[0] == fid::GRANULE_UNDELEGATE && books.refused == Some(registers[1]);
            if kept || books.refused_function == Some(registers[0]) {
                return [1, 0, 0, 0, 0];
            }
        }
        let result = self.call(registers);
        if registers[0] == fid::GRANULE_DELEGATE && result[0] == 0 {
            let page = Page::new(registers[1]).expect("a page");
            assert!(
                self.kernel.shared().pool.may_be_delegated(page),
                "{page:x?}"
            );
        }
        result
    }

    fn take_pages(&self, order: u32) -> Option<Page> {
        let mut books = self.kernel.books();
        let number = books.requests;
        books.requests += 1;
        if let Some(Trouble::Memory(from)) = books.trouble
            && number >= from
        {
            return None;
        }
        let base = if order == 0 {
            (0..KERNEL_PAGES)
                .map(|page| OTHERS + page * PAGE_SIZE)
                .find(|address| !books.taken.contains_key(address))?
        } else {
            Kernel::free_chunk(&books, order, self.kernel.scattered.load(Ordering::SeqCst))?
        };
        assert_eq!(books.taken.insert(base, order), None);
        Page::new(base)
    }

    fn give_pages(&self, first: Page, order: u32) {
        // What the Realm world had comes back empty; the kernel's own pages are as they are.
        self.check_comes_back(first, 1 << order, order != 0);
        // From now on somebody else may have it.
        let removed = self.kernel.books().taken.remove(&first.address());
        assert_eq!(removed, Some(order));
        self.kernel.check_guards();
    }

    fn split_pages(&self, first: Page, order: u32) {
        assert_ne!(order, 0);
        let mut books = self.kernel.books();
        assert_eq!(books.taken.remove(&first.address()), Some(order));
        let pages = (0..1 << order).map(|number| (first.nth(number).address(), 0));
        books.taken.extend(pages);
    }

    fn give_single_pages(&self, first: Page, count: usize) {
        self.check_comes_back(first, count, true);
        for number in 0..count {
            let removed = self
                .kernel
                .books()
                .taken
                .remove(&first.nth(number).address());
            assert_eq!(removed, Some(0));
        }
        self.kernel.check_guards();
    }

    fn write_page(&self, page: Page, bytes: &[u8]) {
        self.write(page, bytes);
    }

    fn copy_from_user(&self, page: Page, address: u64) -> Result<(), HostError> {
        let source = Kernel::user_page(address).ok_or(HostError::BadAddress)?;
        for word in 0..WORDS_PER_GRANULE {
            let value = self
                .kernel
                .memory
                .host_read(source, word)
                .expect("the host's");
            let memory = self.kernel.memory;
            memory
                .host_write(page.address(), word, value)
                .expect("the kernel's page");
        }
        Ok(())
    }

    fn pin(&self, address: u64) -> Result<Page, HostError> {
        let physical = Kernel::user_page(address).ok_or(HostError::BadAddress)?;
        *self.kernel.books().pinned.entry(physical).or_default() += 1;
        Page::new(physical).ok_or(HostError::BadAddress)
    }

    fn unpin(&self, page: Page) {
        let mut books = self.kernel.books();
        let count = books.pinned.get_mut(&page.address()).expect("pinned");
        *count -= 1;
        if *count == 0 {
            books.pinned.remove(&page.address());
        }
    }

    fn with_shared<R>(&self, action: impl FnOnce(&mut Shared) -> R) -> R {
        action(&mut self.kernel.shared())
    }

    fn rest(&self) {
        self.kernel.rests.fetch_add(1, Ordering::SeqCst);
    }

    fn interrupted(&self) -> bool {
        let mut books = self.kernel.books();
        let number = books.looks;
        books.looks += 1;
        matches!(books.trouble, Some(Trouble::Kill(from)) if number >= from)
    }

    fn nanoseconds(&self) -> u64 {
        self.kernel.time.fetch_add(1000, Ordering::SeqCst)
    }

    fn log(&self, _severity: Severity, text: fmt::Arguments<'_>) {
        self.kernel.books().log.push(text.to_string());
    }
}
