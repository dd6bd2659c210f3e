//! The command `realm-kit`.

fn main() {}
