//! Configuration: error.
