//! Go's flag.
