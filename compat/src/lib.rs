//! What MetalLB 0.12 fixed: its YAML dialect, its schema, its names, and those semantics of Go that a user can see.
//!
//! Pure: no I/O, no choice of ours, and nothing of the `ferrolb` package is known here. Reading order:
//!
//! * [`names`]: annotations, labels, environment variables, event reasons, metric names, file paths.
//! * [`go`]: addresses, durations, quoting, flags and JSON log lines as Go writes and reads them.
//! * [`yaml`]: yaml.v2's strict dialect over an event parser with marks.
//! * [`raw`]: the ConfigMap's schema, field for field, every value with its place in the text.
//! * [`crd`]: the custom resources that MetalLB has had instead of the ConfigMap since 0.13.
//! * [`migrate`]: from the one to the other as upstream's converter does, release by release.

pub mod crd;
pub mod go;
pub mod migrate;
pub mod names;
pub mod raw;
pub mod yaml;
