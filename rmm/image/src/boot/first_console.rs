//! The console on which the RMM prints: the first that the manifest names and that answers.
//!
//! Without one the RMM is silent.

use rmm_core::boot::{ConsoleDescription, ConsoleKind, GuessedConsole};
use rmm_hw::memory::can_read;
use rmm_hw::translation::{Attributes, Tables};
use rmm_hw::{console, layout};

/// Prints on the first of these consoles that can be reached from the Realm world, from now on.
pub(super) fn use_listed(tables: &mut Tables, consoles: impl Iterator<Item = ConsoleDescription>) {
    use_first(tables, consoles.map(|console| (console, false)));
}

/// The same with consoles of a manifest that is refused. Where not even a checksum vouches for the
/// address, the device there has to say that it is a console.
pub(super) fn use_guessed(tables: &mut Tables, guesses: impl Iterator<Item = GuessedConsole>) {
    use_first(
        tables,
        guesses.map(|guess| (guess.console, !guess.has_checksum)),
    );
}

fn use_first(tables: &mut Tables, consoles: impl Iterator<Item = (ConsoleDescription, bool)>) {
    for (console, must_identify) in consoles {
        let ConsoleDescription {
            base,
            kind: ConsoleKind::Pl011,
        } = console;
        // Firmware leaves devices in one physical address space or the other.
        for attributes in [Attributes::RealmDevice, Attributes::NonSecureDevice] {
            // SAFETY: no console is in use yet, and nothing else uses this page of the window.
            let mapped = unsafe { tables.map_device_page(layout::CONSOLE, base, attributes) };
            // SAFETY: it is mapped if we come to ask. That it can be read is asked first; then these registers are
            // read, which has no effect on a console.
            let reached = mapped.is_ok()
                && unsafe {
                    can_read(layout::CONSOLE + console::PL011_FLAG_OFFSET)
                        && (!must_identify || console::is_pl011())
                };
            if reached {
                // SAFETY: the registers are mapped there, and this function, which alone remaps
                // that page, is called once.
                unsafe { console::use_pl011() };
                return;
            }
        }
    }
}
