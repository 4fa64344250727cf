//! `/debug/pprof/`: what can honestly be said here of what Go's profiler says there.

use std::fmt::Write as _;

use axum::http::StatusCode;

const INDEX: &str =
    "This is not a Go program: Go's profiles (heap, goroutine, profile, trace …) do not exist here.

/debug/pprof/cmdline   the command line, words separated by NUL
/debug/pprof/threads   the threads with their CPU time
";

/// The page below `/debug/pprof/`.
pub(super) fn page(name: &str) -> (StatusCode, String) {
    match name {
        "" => (StatusCode::OK, INDEX.to_owned()),
        "cmdline" => {
            let words: Vec<String> = std::env::args_os()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            (StatusCode::OK, words.join("\0"))
        }
        "threads" => match threads() {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot read /proc/self/task: {error}\n"),
            ),
        },
        other => (
            StatusCode::NOT_FOUND,
            format!("There is no {other}. {INDEX}"),
        ),
    }
}

/// One line for each thread, the busiest first.
fn threads() -> Result<String, procfs::ProcError> {
    let ticks = procfs::ticks_per_second().max(1);
    let mut rows = Vec::new();
    for task in procfs::process::Process::myself()?.tasks()? {
        // A thread may end meanwhile.
        if let Ok(stat) = task.and_then(|task| task.stat()) {
            let cpu = stat.utime.saturating_add(stat.stime);
            rows.push((cpu, stat.pid, stat.state, stat.comm));
        }
    }
    rows.sort_unstable_by(|a, b| b.cmp(a));
    let mut text = String::from("    tid state  cpu seconds  name\n");
    for (cpu, tid, state, name) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{tid:7} {state:5} {:9}.{:02}  {name}",
            cpu / ticks,
            cpu % ticks * 100 / ticks
        );
    }
    Ok(text)
}
