//! Runs Realms and ordinary virtual machines on a Linux host.
