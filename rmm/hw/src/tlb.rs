//! Translation tables of Realms and the TLBs: the one place that invalidates.
//!
//! # CPU errata
//!
//! Published errata of several CPU families make a broadcast invalidation and its barrier
//! complete while another CPU still uses what was invalidated; their workaround is to do both
//! once more. A list of such CPUs would never be complete, and what hangs on it is that the host
//! gets back memory which a Realm can no longer reach, so each invalidation of a sequence is
//! repeated on all CPUs.
//!
//! Others do not wait for accesses of streaming mode (CVE-2026-0995). Realms have no streaming
//! mode; for the host's memory accesses EL3 must apply the workaround, which needs all CPUs.
//!
//! Nothing outside this module executes a `TLBI` for the regime of Realms.

#[cfg(target_os = "none")]
mod maintenance;
#[cfg(any(target_os = "none", test))]
mod operand;

#[cfg(target_os = "none")]
pub use maintenance::{
    LONG_ADDRESSES, TlbMaintenance, forget_on_this_cpu, publish, stage_2_control, vmid_bits,
};
