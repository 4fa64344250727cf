//! Go's duration.
