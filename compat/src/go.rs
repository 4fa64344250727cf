//! Semantics of Go's standard library that a user of MetalLB can see.

pub mod duration;
pub mod flag;
pub mod float;
pub mod ip;
pub mod json_log;
pub mod quote;
