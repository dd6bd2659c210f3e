//! Mistakes that other verifiers made.
