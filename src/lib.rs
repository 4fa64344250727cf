//! FerroLB: a drop-in replacement for MetalLB 0.12.
//!
//! Inside, code is sorted by what it knows. Imports point from the world inward; nothing inward knows that the
//! world exists. Modules in reading order:
//!
//! | layer | modules |
//! | --- | --- |
//! | contract of the machines | [`machine`], [`random`], [`journal`] |
//! | values | [`ip`], [`config`], [`view`] |
//! | policy | [`allocator`], [`controller`], [`speaker`], [`migrate`] |
//! | protocols | [`layer2`], [`bgp`], [`bfd`], [`memberlist`] |
//! | the world (feature `io`) | `cluster`, `metrics`, `logging`, `http`, `run`, `cli` |
//!
//! What upstream fixed lives in the crate `ferrolb_compat`.

pub mod machine;

pub mod random;

pub mod journal;

pub mod ip;

pub mod config;

pub mod view;

pub mod allocator;

pub mod migrate;

pub mod controller;

pub mod speaker;

pub mod layer2;

pub mod bgp;

pub mod bfd;

pub mod memberlist;

#[cfg(feature = "io")]
mod turns;

#[cfg(feature = "io")]
pub mod cluster;

#[cfg(feature = "io")]
pub mod metrics;

#[cfg(feature = "io")]
pub mod logging;

#[cfg(feature = "io")]
pub mod http;

#[cfg(feature = "io")]
pub mod run;

#[cfg(feature = "io")]
pub mod cli;
