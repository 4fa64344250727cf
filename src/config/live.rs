//! Configuration: live.
