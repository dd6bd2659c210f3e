//! Faults that a test can order, to see what the RMM does when EL3 lets it down.

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No granule goes back to the normal world: every `GTSI_UNDELEGATE` is refused.
    RefuseUndelegate,
    /// Platform tokens say that firmware can be debugged: lifecycle 0x4000, not secured.
    DebugLifecycle,
    /// The monitor speaks RMM-EL3 interface 0.2, where a platform token comes in one piece and nothing is said
    /// of what remains.
    OldInterface,
    /// The attestation key is handed over without a byte of it.
    SilentKey,
    /// To the normal world there is an RMM of RMI 2.0 alone: the monitor says so itself.
    OtherRmi,
}

/// Names of the faults, as the file `opt/cloister/fault` has them.
const NAMES: [(&str, Fault); 5] = [
    ("refuse-undelegate", Fault::RefuseUndelegate),
    ("debug-lifecycle", Fault::DebugLifecycle),
    ("interface-0.2", Fault::OldInterface),
    ("silent-key", Fault::SilentKey),
    ("rmi-2.0", Fault::OtherRmi),
];

impl Fault {
    /// The fault of this name. Line ends and what pads a file after it do not count.
    pub fn parse(text: &str) -> Option<Self> {
        let wanted = text.trim_end_matches(['\0', '\n', '\r', ' ']);
        let known = NAMES.iter().find(|(name, _)| *name == wanted);
        known.map(|(_, fault)| *fault)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// What happens, for the console.
    pub fn describe(self) -> &'static str {
        match self {
            Self::RefuseUndelegate => "every GTSI_UNDELEGATE is refused",
            Self::DebugLifecycle => "platform tokens have a debug lifecycle",
            Self::OldInterface => "this monitor speaks RMM-EL3 interface 0.2",
            Self::SilentKey => "the attestation key is not written",
            Self::OtherRmi => "RMI_VERSION is answered as by an RMM of version 2.0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_goes_by_its_exact_name() {
        for text in [
            "refuse-undelegate",
            "refuse-undelegate\n",
            "refuse-undelegate\r\n\0",
        ] {
            assert_eq!(
                Fault::parse(text),
                Some(Fault::RefuseUndelegate),
                "{text:?}"
            );
        }
        for text in [
            "",
            "\n",
            "none",
            "refuse",
            " refuse-undelegate",
            "Refuse-Undelegate",
            "refuse-undelegate,",
            "refuse-undelegate\nrefuse-undelegate",
        ] {
            assert_eq!(Fault::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_name_is_one_that_is_understood() {
        assert!(Fault::names().all(|name| Fault::parse(name).is_some()));
    }
}
