//! Configuration: mode.
