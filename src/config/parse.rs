//! Configuration: parse.
