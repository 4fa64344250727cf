//! Ranges and sets of addresses.
