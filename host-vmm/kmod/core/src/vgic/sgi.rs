//! Software generated interrupts.

use super::interrupt::flag;
use super::{Effects, SgiRegister, Source, Vgic, vcpu_of_affinity};

/// What a write of `ICC_SGI0R_EL1`, `ICC_SGI1R_EL1` or `ICC_ASGI1R_EL1` says.
struct Request(u64);

impl Request {
    const fn intid(&self) -> u32 {
        (self.0 >> 24 & 0xf) as u32
    }

    /// Whether it goes to all vCPUs but the sender.
    const fn to_all_others(&self) -> bool {
        self.0 >> 40 & 1 != 0
    }

    /// The vCPUs of the target list, whether they exist or not.
    fn list(&self) -> impl Iterator<Item = usize> + use<> {
        let value = self.0;
        let cluster = (value >> 16 & 0xff) << 8 | (value >> 32 & 0xff) << 16;
        let first = (value >> 44 & 0xf) * 16;
        let has_third_level = value >> 48 & 0xff != 0;
        (0..16)
            .filter(move |bit| value >> bit & 1 != 0 && !has_third_level)
            .filter_map(move |bit| vcpu_of_affinity((cluster | (first + bit)) as u32))
    }
}

impl Vgic {
    /// A Realm's write of a register that sends software generated interrupts, trapped on `sender`.
    pub fn send_sgi(
        &mut self,
        sender: usize,
        register: SgiRegister,
        value: u64,
        effects: &mut Effects,
    ) {
        let request = Request(value);
        // With a single Security state the register for group 1 sends what the target has made of
        // the interrupt, the others interrupts of group 0 only.
        let either_group = register == SgiRegister::Group1;
        let vcpus = self.vcpus.len();
        let mut send = |vcpu| {
            self.change(
                Source::Private(vcpu),
                request.intid(),
                effects,
                |interrupt| {
                    if either_group || !interrupt.is(flag::GROUP_1) {
                        interrupt.set(flag::LATCHED, true);
                    }
                },
            );
        };
        if request.to_all_others() {
            (0..vcpus)
                .filter(|&vcpu| vcpu != sender)
                .for_each(&mut send);
        } else {
            request.list().for_each(&mut send);
        }
    }
}
