//! Tokens made here and elsewhere, good ones and bad ones.

mod anchors;
mod appraisal;
mod back_ends;
mod bit_flips;
mod claims;
mod corim;
mod cose;
mod ear;
mod encoding;
mod forge;
mod mistakes;
mod published;
mod readme;
mod references;
mod rego;
mod rego_bounds;
mod remembered;
mod round_trip;
mod samples;
mod verification;
