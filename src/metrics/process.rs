//! `process_*`, as Prometheus' client libraries give them: read from `/proc` when somebody asks.

use super::{Exposition, Source, Type, float};

/// This process.
#[derive(Debug, Default)]
pub struct Process {}

impl Source for Process {
    fn collect(&self, out: &mut Exposition) {
        // A figure that /proc does not give (a hidden or foreign /proc) is left out, as the Go client does.
        let Ok(process) = procfs::process::Process::myself() else {
            return;
        };
        let mut gauge = |name, help, value| {
            out.family(name, Type::Gauge, help).sample(&[], value);
        };
        if let Ok(count) = process.fd_count() {
            gauge(
                "process_open_fds",
                "Number of open file descriptors.",
                float(u64::try_from(count).unwrap_or(u64::MAX)),
            );
        }
        if let Ok(limits) = process.limits() {
            gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
                limit(limits.max_open_files.soft_limit),
            );
            gauge(
                "process_virtual_memory_max_bytes",
                "Maximum amount of virtual memory available in bytes.",
                limit(limits.max_address_space.soft_limit),
            );
        }
        let Ok(stat) = process.stat() else {
            return;
        };
        let ticks = float(procfs::ticks_per_second()).max(1.0);
        gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            float(stat.vsize),
        );
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            float(stat.rss.saturating_mul(procfs::page_size())),
        );
        if let Ok(boot) = procfs::boot_time_secs() {
            gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                float(boot) + float(stat.starttime) / ticks,
            );
        }
        out.family(
            "process_cpu_seconds_total",
            Type::Counter,
            "Total user and system CPU time spent in seconds.",
        )
        .sample(&[], float(stat.utime.saturating_add(stat.stime)) / ticks);
    }
}

/// The Go client shows an unlimited resource as the largest number of its type.
fn limit(value: procfs::process::LimitValue) -> f64 {
    match value {
        procfs::process::LimitValue::Unlimited => float(u64::MAX),
        procfs::process::LimitValue::Value(value) => float(value),
    }
}
