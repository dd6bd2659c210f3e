//! Serving the host on one CPU.

use core::sync::atomic::Ordering;

use rmm_abi::el3::BootCode;
use rmm_core::features::CpuIdentification;
use rmm_core::statistics::CpuStatistics;
use rmm_core::{Machine as _, Rmm};
use rmm_hw::cpu::{Prepared, ThisCpu};
use rmm_hw::slot::Slots;
use rmm_hw::vector_state::HostArea;
use rmm_hw::workroom::Workroom;
use rmm_hw::{el3, identity, park, wipe_boot_stack};
use spin::Once;

use crate::attestation::ATTESTER;

/// The RMM, from the end of cold boot on.
pub(crate) static RMM: Once<Rmm<'static>> = Once::new();

/// What each CPU counts.
pub(crate) static STATISTICS: Once<&'static [CpuStatistics]> = Once::new();

/// What the CPU is that Realms are offered.
pub(crate) static FIRST_CPU: Once<CpuIdentification> = Once::new();

/// From the end of boot on this CPU, for ever.
pub(crate) extern "C" fn serve(number: u64) -> ! {
    // SAFETY: the assembly passes this CPU's own number. What may have served here before the
    // CPU was switched off is gone with its stack.
    let windows = u32::try_from(number).ok().and_then(|number| unsafe {
        Some((Slots::of_this_cpu(number)?, Workroom::of_this_cpu(number)?))
    });
    let index = usize::try_from(number).ok();
    let statistics = index.and_then(|index| {
        let all = *STATISTICS.get()?;
        Some((all.get(index)?, all))
    });
    let (
        Some(rmm),
        Some(first),
        Some(index),
        Some((slots, workroom)),
        Some(last_x4),
        Some((own_statistics, all_statistics)),
    ) = (
        RMM.get(),
        FIRST_CPU.get(),
        index,
        windows,
        park::last_call(),
        statistics,
    )
    else {
        park::give_up(format_args!("CPU {number} is not prepared"));
    };
    if park::stopped() {
        park::refuse(BootCode::Unknown);
    }
    let area = HostArea::new();
    let prepared = Prepared {
        slots,
        workroom,
        area: &area,
        attester: ATTESTER.get(),
        own_statistics,
        all_statistics,
    };
    let this = ThisCpu::new(index, prepared, first);
    own_statistics.count_boot(this.time());
    let mut call = el3::boot_complete(BootCode::Success);
    identity::set_serving();
    while !park::stopped() {
        last_x4.store(call[4], Ordering::Relaxed);
        match rmm.call(&this, &call) {
            Ok(reply) => {
                #[cfg(feature = "trace")]
                rmm_hw::console::line(format_args!(
                    "CPU {number}: {:#x}({:#x}, {:#x}, {:#x}, {:#x}) = {reply:x?}",
                    call[0], call[1], call[2], call[3], call[4]
                ));
                call = el3::request_complete(&reply);
            }
            Err(fatal) => park::give_up(format_args!("{fatal}")),
        }
    }
    last_x4.store(call[4], Ordering::Relaxed);
    park::park()
}

/// The same on the first CPU, right after cold boot.
pub(crate) extern "C" fn serve_after_cold_boot(number: u64) -> ! {
    // SAFETY: this runs on the CPU's own stack, and nothing goes back to that of cold boot.
    unsafe { wipe_boot_stack() };
    serve(number)
}

/// Called by `entry.S` on a CPU that comes up after cold boot, on its own stack.
#[unsafe(no_mangle)]
extern "C" fn rmm_warm_boot(number: u64) -> ! {
    serve(number)
}
