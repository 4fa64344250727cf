//! Go's ip.
