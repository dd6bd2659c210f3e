//! The command `host-vmm`.

fn main() {}
