//! Tokens made here and elsewhere, good ones and bad ones.

mod mistakes;
mod published;
mod round_trip;
mod samples;
