//! One granule: its states and what a command makes of them.

use rmm_abi::rmi::ReturnCode;

/// A command that names one granule and depends on nothing but that granule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `RMI_GRANULE_DELEGATE`.
    Delegate,
    /// `RMI_GRANULE_UNDELEGATE`.
    Undelegate,
}

/// To whom memory belongs that never changes hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// EL3.
    Root,
    /// The Secure world.
    Secure,
    /// The RMM itself, from boot on.
    Rmm,
    /// Nobody: it is not memory, or not memory that the RMM was told of.
    OutsideDram,
}

/// State of a granule, as the host can tell it apart by what commands answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Granule {
    /// The host's.
    Undelegated,
    /// In the Realm world, without a use.
    Delegated,
    /// Realm descriptor.
    Rd,
    /// Realm execution context.
    Rec,
    /// Auxiliary granule of an execution context.
    RecAux,
    /// Memory of a Realm.
    Data,
    /// Realm translation table.
    Rtt,
    /// Not delegable, for ever.
    Fixed(Owner),
}

impl Granule {
    /// Numbers that [`Self::index`] can give.
    pub(crate) const COUNT: usize = 8;

    /// The word that `command` returns for a granule in this state, and the state after it.
    pub const fn apply(self, command: Command) -> (u64, Self) {
        match (command, self) {
            (Command::Delegate, Self::Undelegated) => (ReturnCode::SUCCESS.word(), Self::Delegated),
            (Command::Undelegate, Self::Delegated) => {
                (ReturnCode::SUCCESS.word(), Self::Undelegated)
            }
            (Command::Delegate | Command::Undelegate, _) => (ReturnCode::ERROR_INPUT.word(), self),
        }
    }

    /// Whether a load or store of the host must reach the granule. When not, it must fault;
    /// outside of DRAM there is no rule and the answer is no.
    pub const fn host_may_access(self) -> bool {
        matches!(self, Self::Undelegated)
    }

    /// A number for each state. No command tells the owners of fixed granules apart.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Undelegated => 0,
            Self::Delegated => 1,
            Self::Rd => 2,
            Self::Rec => 3,
            Self::RecAux => 4,
            Self::Data => 5,
            Self::Rtt => 6,
            Self::Fixed(_) => 7,
        }
    }

    /// A state with this number.
    pub(crate) const fn from_index(index: usize) -> Option<Self> {
        match index {
            0 => Some(Self::Undelegated),
            1 => Some(Self::Delegated),
            2 => Some(Self::Rd),
            3 => Some(Self::Rec),
            4 => Some(Self::RecAux),
            5 => Some(Self::Data),
            6 => Some(Self::Rtt),
            7 => Some(Self::Fixed(Owner::OutsideDram)),
            _ => None,
        }
    }
}

/// States that a granule may be in. The owners of fixed granules count as one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GranuleSet(u8);

impl GranuleSet {
    /// No state.
    pub const EMPTY: Self = Self(0);

    /// Exactly this state.
    pub const fn of(granule: Granule) -> Self {
        Self(1 << granule.index())
    }

    /// The set with one more state.
    #[must_use]
    pub const fn with(self, granule: Granule) -> Self {
        Self(self.0 | 1 << granule.index())
    }

    /// Whether the granule may be in this state.
    pub const fn contains(self, granule: Granule) -> bool {
        self.0 & 1 << granule.index() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Granule; 11] = [
        Granule::Undelegated,
        Granule::Delegated,
        Granule::Rd,
        Granule::Rec,
        Granule::RecAux,
        Granule::Data,
        Granule::Rtt,
        Granule::Fixed(Owner::Root),
        Granule::Fixed(Owner::Secure),
        Granule::Fixed(Owner::Rmm),
        Granule::Fixed(Owner::OutsideDram),
    ];

    #[test]
    fn only_the_two_documented_transitions_succeed() {
        for granule in ALL {
            for command in [Command::Delegate, Command::Undelegate] {
                let expected = match (granule, command) {
                    (Granule::Undelegated, Command::Delegate) => (0, Granule::Delegated),
                    (Granule::Delegated, Command::Undelegate) => (0, Granule::Undelegated),
                    _ => (1, granule),
                };
                assert_eq!(
                    granule.apply(command),
                    expected,
                    "{command:?} on {granule:?}"
                );
            }
        }
    }

    #[test]
    fn the_host_reaches_undelegated_granules_only() {
        for granule in ALL {
            assert_eq!(granule.host_may_access(), granule == Granule::Undelegated);
        }
    }

    #[test]
    fn indices_and_sets_keep_states_apart() {
        for granule in ALL {
            let again = Granule::from_index(granule.index()).unwrap();
            assert_eq!(again.index(), granule.index());
            assert!(GranuleSet::of(granule).contains(granule));
            assert!(!GranuleSet::EMPTY.contains(granule));
            for other in ALL {
                let both = GranuleSet::of(granule).with(other);
                assert!(both.contains(granule) && both.contains(other));
                assert_eq!(
                    GranuleSet::of(granule).contains(other),
                    granule.index() == other.index()
                );
            }
        }
        assert_eq!(Granule::from_index(Granule::COUNT), None);
    }
}
