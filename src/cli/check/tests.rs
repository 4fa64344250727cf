//! The command on captured streams.
