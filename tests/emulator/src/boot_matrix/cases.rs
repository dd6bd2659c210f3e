//! The boots, and what has to come of each.

/// A boot.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `family/what-is-different`.
    pub(crate) name: String,
    pub(crate) cpus: u32,
    /// What EL3 hands over, in the words of `opt/cloister/hand-over`.
    pub(crate) hand_over: String,
    /// Memory modules: base, MiB.
    pub(crate) far_memory: Vec<(u64, u64)>,
    /// Tests of the test host when the RMM serves.
    pub(crate) only: Vec<&'static str>,
    /// Banks of the manifest, for the test host; without them all memory.
    pub(crate) banks: Option<String>,
    pub(crate) expected: Expected,
}

/// What has to come of a boot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// The RMM serves; each word is in a line of its own, or it has no console.
    Serves {
        says: Option<&'static [&'static str]>,
    },
    /// It does not, with this code for EL3; each word is in the line that says so, or it has no
    /// console.
    Refuses {
        code: &'static str,
        says: Option<&'static [&'static str]>,
    },
}

impl Case {
    /// The command line of the test host.
    pub(crate) fn command_line(&self) -> String {
        if self.only.is_empty() {
            return "mode=list".to_owned();
        }
        let mut line = format!("mode=test only={}", self.only.join(","));
        if let Some(banks) = &self.banks {
            line.push_str(" banks=");
            line.push_str(banks);
        }
        line
    }

    /// Tests that have to pass.
    pub(crate) fn tests(&self) -> usize {
        self.only.len()
    }
}

/// Which memory is tracked, that all CPUs serve, and that a Realm runs.
const TRACKED: &str = "boot/tracked-memory";
const EVERY_CPU: &str = "version/every-cpu";
const A_REALM: &str = "exit/wfi";

const VERSION: &str = "E_RMM_BOOT_VERSION_NOT_VALID";
const CPUS: &str = "E_RMM_BOOT_CPUS_OUT_OF_RANGE";
const CPU_ID: &str = "E_RMM_BOOT_CPU_ID_OUT_OF_RANGE";
const BUFFER: &str = "E_RMM_BOOT_INVALID_SHARED_BUFFER";
const MANIFEST_VERSION: &str = "E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED";
const MANIFEST_DATA: &str = "E_RMM_BOOT_MANIFEST_DATA_ERROR";
const UNKNOWN: &str = "E_RMM_BOOT_UNKNOWN";

/// All boots.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = combinations();
    cases.extend(SERVES.iter().map(|(name, cpus, hand_over, says)| Case {
        name: (*name).to_owned(),
        cpus: *cpus,
        hand_over: (*hand_over).to_owned(),
        far_memory: Vec::new(),
        only: tests(*cpus, true),
        banks: None,
        expected: Expected::Serves { says: *says },
    }));
    cases.extend(REFUSES.iter().map(|(name, hand_over, code, says)| Case {
        name: (*name).to_owned(),
        cpus: 2,
        hand_over: (*hand_over).to_owned(),
        far_memory: Vec::new(),
        only: Vec::new(),
        banks: None,
        expected: Expected::Refuses { code, says: *says },
    }));
    cases
}

fn tests(cpus: u32, has_memory: bool) -> Vec<&'static str> {
    let mut tests = vec![TRACKED];
    if cpus > 1 {
        tests.push(EVERY_CPU);
    }
    if has_memory {
        tests.push(A_REALM);
    }
    tests
}

/// A shape of memory: modules, and banks of the manifest (`BASE+SIZE`). The first GiB is at
/// 0x40000000.
type Memory = (&'static [(u64, u64)], &'static [&'static str]);

/// One to four banks, with holes in memory and in front of memory, up to the 1 TiB line.
const MEMORY: [Memory; 5] = [
    (&[], &["0x40000000+0x40000000"]),
    (&[], &["0x40000000+0x20000000", "0x70000000+0x10000000"]),
    (
        &[(0x4_0000_0000, 128), (0xff_f800_0000, 128)],
        &[
            "0x40000000+0x40000000",
            "0x400000000+0x8000000",
            "0xfff8000000+0x8000000",
        ],
    ),
    (
        &[(0x80_0000_0000, 128), (0xff_f800_0000, 128)],
        &[
            "0x40000000+0x30000000",
            "0x78000000+0x7fff000",
            "0x8000001000+0x7fff000",
            "0xfffffff000+0x1000",
        ],
    ),
    // A bank with no memory behind it.
    (&[], &["0x40000000+0x40000000", "0xffff000000+0x1000000"]),
];

const MEMORY_NAMES: [&str; 5] = [
    "1-bank",
    "2-banks",
    "3-banks",
    "4-banks",
    "bank-without-memory",
];

/// Consoles: a name, the words, and whether the RMM can use one.
const CONSOLES: [(&str, &str, bool); 5] = [
    ("pl011", "", true),
    ("no-console", "console=none", false),
    ("other-console", "console=uart16@0x9000000", false),
    (
        "second-console",
        "console=uart16@0x9000000 console=pl011@0x9000000",
        true,
    ),
    ("old-checksum", "console-checksum=old", true),
];

const NUMBERS_OF_CPUS: [u32; 5] = [1, 2, 4, 8, 1];

/// Every version with every console, number of CPUs and shape of memory, and every pair of these:
/// three Latin squares that are orthogonal to each other.
fn combinations() -> Vec<Case> {
    let mut cases = Vec::new();
    for version in 0..5 {
        for console in 0..5 {
            let cpus = NUMBERS_OF_CPUS[(version + console) % 5];
            cases.push(combination(
                version,
                console,
                cpus,
                (version + 2 * console) % 5,
            ));
        }
    }
    cases
}

fn combination(version: usize, console: usize, cpus: u32, memory: usize) -> Case {
    const BANKS_SINCE: usize = 1;
    const CONSOLES_SINCE: usize = 2;
    /// By version.
    const SAYS: [&[&str]; 5] = [
        &["boot manifest 0.1"],
        &["boot manifest 0.2"],
        &["boot manifest 0.3"],
        &["boot manifest 0.4"],
        &["boot manifest 0.5"],
    ];
    let (console_name, console_words, usable) = CONSOLES[console];
    let (modules, banks) = MEMORY[memory];
    let mut words = vec![format!("version=0.{}", version + 1)];
    words.extend(
        modules
            .iter()
            .map(|(base, size)| format!("memory={base:#x}+{:#x}", size << 20)),
    );
    words.extend(banks.iter().map(|bank| format!("bank={bank}")));
    if !console_words.is_empty() {
        words.push(console_words.to_owned());
    }
    let has_banks = version >= BANKS_SINCE;
    let says = (usable && version >= CONSOLES_SINCE).then_some(SAYS[version]);
    let tracked = if has_banks {
        banks.join(",")
    } else {
        "none".to_owned()
    };
    Case {
        name: format!(
            "manifest-0.{}/{cpus}-cpus-{}-{console_name}",
            version + 1,
            MEMORY_NAMES[memory]
        ),
        cpus,
        hand_over: words.join(" "),
        far_memory: modules.to_vec(),
        only: tests(cpus, has_banks),
        banks: Some(tracked),
        expected: Expected::Serves { says },
    }
}

/// A boot after which the RMM serves: name, CPUs, what is handed over, words that it says.
type Serves = (
    &'static str,
    u32,
    &'static str,
    Option<&'static [&'static str]>,
);

const SERVES: &[Serves] = &[
    (
        "version/manifest-0.6",
        1,
        "version=0.6",
        Some(&["boot manifest 0.6", "what 0.5 does not have is ignored"]),
    ),
    (
        "version/manifest-0.65535",
        1,
        "version=0.65535",
        Some(&["boot manifest 0.65535"]),
    ),
    (
        "version/interface-0.2",
        2,
        "x1=0x2",
        Some(&["EL3 offers interface 0.2"]),
    ),
    (
        "version/interface-0.9",
        2,
        "x1=0x9",
        Some(&["EL3 offers interface 0.9"]),
    ),
    ("cpus/512-announced", 2, "cpus=512", Some(&["512 CPUs"])),
    (
        "cpus/the-last-of-512",
        4,
        "cpus=512 last-numbers",
        Some(&["512 CPUs"]),
    ),
    (
        "console/that-does-not-answer",
        1,
        // The UART of the Secure world, then nothing at all.
        "console=pl011@0x9040000 console=pl011@0xb000000 console=pl011@0x9000000",
        Some(&["Cloister RMM"]),
    ),
    (
        "console/misaligned-one-first",
        1,
        "console=pl011@0x9000010 console=pl011@0x9000000",
        Some(&["Cloister RMM"]),
    ),
    (
        "console/none-answers",
        1,
        "console=pl011@0x9040000 console=pl011@0xb000000",
        None,
    ),
    (
        "memory/taken-from-el3",
        2,
        "withhold=0x10000",
        Some(&["tables, stacks and records"]),
    ),
];

/// A boot that the RMM refuses: name, what is handed over, code for EL3, words that it says.
type Refuses = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static [&'static str]>,
);

const REFUSES: &[Refuses] = &[
    (
        "registers/interface-0.1",
        "x1=0x1",
        VERSION,
        Some(&["RMM-EL3 interface 0.1"]),
    ),
    (
        "registers/interface-1.0",
        "x1=0x10000",
        VERSION,
        Some(&["RMM-EL3 interface 1.0"]),
    ),
    (
        "registers/interface-2.0",
        "x1=0x20000",
        VERSION,
        Some(&["RMM-EL3 interface 2.0", "0.2 to 0.8"]),
    ),
    (
        "registers/interface-is-none",
        "x1=0xffffffffffffffff",
        VERSION,
        Some(&["0xffffffffffffffff, which is no version"]),
    ),
    ("registers/no-cpus", "x2=0", CPUS, Some(&["0 CPUs (x2)"])),
    (
        "registers/513-cpus",
        "x2=513",
        CPUS,
        Some(&["513 CPUs (x2)", "1 to 512"]),
    ),
    (
        "registers/absurd-cpus",
        "x2=0x8000000000000001",
        CPUS,
        Some(&["9223372036854775809 CPUs (x2)"]),
    ),
    (
        "registers/cpu-beyond-the-cpus",
        "x0=2",
        CPU_ID,
        Some(&["this is CPU 2 (x0)", "2 CPUs (x2)"]),
    ),
    (
        "registers/misaligned-page",
        "x3=+8",
        BUFFER,
        Some(&["shared page", "(x3)"]),
    ),
    (
        "registers/half-a-page-off",
        "x3=+0x800",
        BUFFER,
        Some(&["shared page", "(x3)"]),
    ),
    ("registers/no-page", "x3=0", BUFFER, None),
    ("registers/page-of-the-host", "x3=0x40000000", BUFFER, None),
    (
        "registers/page-beyond-memory",
        "x3=0x7000000000",
        BUFFER,
        None,
    ),
    (
        "registers/page-at-the-end-of-numbers",
        "x3=0xfffffffffffff000",
        BUFFER,
        None,
    ),
    (
        "version/manifest-0.0",
        "version=0.0",
        MANIFEST_VERSION,
        Some(&["boot manifest version word 0x0"]),
    ),
    (
        "version/manifest-1.5",
        "version=1.5",
        MANIFEST_VERSION,
        Some(&["boot manifest version word 0x10005", "0.1 to 0.5"]),
    ),
    (
        "version/manifest-is-none",
        "version=0x80000005",
        MANIFEST_VERSION,
        Some(&["boot manifest version word 0x80000005"]),
    ),
    (
        "dram/checksum",
        "dram-checksum=+1",
        MANIFEST_DATA,
        Some(&["checksum of the DRAM list"]),
    ),
    (
        "dram/no-bank",
        "dram-count=0",
        MANIFEST_DATA,
        Some(&["no DRAM bank"]),
    ),
    (
        "dram/more-banks-than-there-are",
        "dram-count=40",
        MANIFEST_DATA,
        Some(&["checksum of the DRAM list"]),
    ),
    (
        "dram/65-banks",
        "dram-count=65",
        MANIFEST_DATA,
        Some(&["65 DRAM banks"]),
    ),
    (
        "dram/absurd-count",
        "dram-count=0xffffffffffffffff",
        MANIFEST_DATA,
        Some(&["18446744073709551615 DRAM banks"]),
    ),
    (
        "dram/list-nowhere",
        "dram-address=0",
        MANIFEST_DATA,
        Some(&["DRAM list", "at 0x0", "not inside the shared page"]),
    ),
    (
        "dram/list-in-the-next-page",
        "dram-address=+0x1000",
        MANIFEST_DATA,
        Some(&["DRAM list", "not inside the shared page"]),
    ),
    (
        "dram/list-cut-off-by-the-end-of-the-page",
        "dram-address=+0xf50",
        MANIFEST_DATA,
        Some(&["DRAM list", "not inside the shared page"]),
    ),
    (
        "dram/misaligned-list",
        "dram-address=+4",
        MANIFEST_DATA,
        Some(&["DRAM list"]),
    ),
    (
        "dram/bank-at-zero",
        "bank=0+0x1000 bank=0x40000000+0x40000000",
        MANIFEST_DATA,
        Some(&["DRAM bank 0", "at 0x0"]),
    ),
    (
        "dram/misaligned-bank",
        "bank=0x40000800+0x1000",
        MANIFEST_DATA,
        Some(&["DRAM bank 0", "0x1000 bytes at 0x40000800"]),
    ),
    (
        "dram/half-a-granule",
        "bank=0x40000000+0x1800",
        MANIFEST_DATA,
        Some(&["DRAM bank 0", "0x1800 bytes"]),
    ),
    (
        "dram/empty-bank",
        "bank=0x40000000+0x40000000 bank=0x100000000+0",
        MANIFEST_DATA,
        Some(&["DRAM bank 1", "0x0 bytes"]),
    ),
    (
        "dram/overlapping-banks",
        "bank=0x40000000+0x40000000 bank=0x7ffff000+0x2000",
        MANIFEST_DATA,
        Some(&["DRAM bank 1", "above the bank before it"]),
    ),
    (
        "dram/descending-banks",
        "bank=0x60000000+0x1000 bank=0x40000000+0x1000",
        MANIFEST_DATA,
        Some(&["DRAM bank 1"]),
    ),
    (
        "dram/bank-beyond-the-address-space",
        "bank=0x40000000+0x40000000 bank=0x1000000000000+0x1000",
        MANIFEST_DATA,
        Some(&["DRAM bank 1", "physical address space"]),
    ),
    (
        "dram/bank-that-wraps",
        "bank=0x40000000+0xfffffffffffff000",
        MANIFEST_DATA,
        Some(&["DRAM bank 0", "0xfffffffffffff000 bytes"]),
    ),
    (
        "dram/a-granule-more-than-1-tib",
        "bank=0x40000000+0x10000001000",
        MANIFEST_DATA,
        Some(&["268435457 granules of DRAM"]),
    ),
    (
        "memory/1-tib-of-dram-needs-512-mib",
        "bank=0x40000000+0x10000000000",
        UNKNOWN,
        Some(&["tables need 0x200", "EL3 left 0x"]),
    ),
    (
        "memory/withheld",
        "withhold=0x10000 x1=0x6",
        UNKNOWN,
        Some(&["tables need", "EL3 left"]),
    ),
    (
        "memory/none-after-the-image",
        "withhold=0x40000000 x1=0x6",
        UNKNOWN,
        Some(&["tables need", "EL3 left 0x0"]),
    ),
    (
        "console/checksum",
        "console-checksum=+1",
        MANIFEST_DATA,
        Some(&["checksum of the console list"]),
    ),
    // Without a list that can be read there is nothing to say it on.
    (
        "console/list-in-the-next-page",
        "console-address=+0x1000",
        MANIFEST_DATA,
        None,
    ),
    (
        "console/absurd-count",
        "console-count=0x5555555555555556",
        MANIFEST_DATA,
        None,
    ),
    // The first device, a clock, does not say that it is a PL011; the second does.
    (
        "console/checksum-with-another-device",
        "console=pl011@0x9010000 console=pl011@0x9000000 console-checksum=+1",
        MANIFEST_DATA,
        Some(&["checksum of the console list"]),
    ),
    (
        "console/checksum-without-a-console",
        "console=pl011@0x9010000 console-checksum=+1",
        MANIFEST_DATA,
        None,
    ),
    ("page/empty", "keep=0", MANIFEST_VERSION, None),
    ("page/ends-after-the-version", "keep=4", MANIFEST_DATA, None),
    (
        "page/ends-before-the-lists",
        "keep=168",
        MANIFEST_DATA,
        None,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_boot_has_a_name_of_its_own() {
        let cases = all();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.iter().all(|case| case.command_line().len() < 512));
    }

    /// Each pair of a version, a console, a number of CPUs and a shape of memory is there.
    #[test]
    fn every_pair_is_tried() {
        let cases = combinations();
        let words: [Vec<String>; 4] = [
            (1..=5)
                .map(|minor| format!("manifest-0.{minor}/"))
                .collect(),
            [1, 2, 4, 8].map(|cpus| format!("/{cpus}-cpus-")).to_vec(),
            MEMORY_NAMES.map(|name| format!("-{name}-")).to_vec(),
            CONSOLES.map(|(name, ..)| format!("-{name}")).to_vec(),
        ];
        let mut pairs = 0;
        for (place, first) in words.iter().enumerate() {
            for second in &words[place + 1..] {
                for (a, b) in first
                    .iter()
                    .flat_map(|a| second.iter().map(move |b| (a, b)))
                {
                    let found = cases.iter().any(|case| {
                        case.name.contains(a.as_str()) && case.name.contains(b.as_str())
                    });
                    assert!(found, "{a} with {b}");
                    pairs += 1;
                }
            }
        }
        assert_eq!(pairs, 20 + 25 + 25 + 20 + 20 + 25);
    }
}
