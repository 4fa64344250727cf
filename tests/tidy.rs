//! The house's own rules, as far as a look at the text can hold them: who may import whom, and where the doors to the
//! world are. The table is the one in ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

/// (file or folder below the root, a word its code must not contain, why)
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "compat/src",
        &[
            "ferrolb::",
            "tokio",
            "kube::",
            "std::net::Tcp",
            "std::net::Udp",
            "std::fs",
            "std::process",
        ],
        "compat is what upstream fixed: pure, and it knows nothing of ours",
    ),
    (
        "src/machine.rs",
        &["tokio", "kube", "crate::"],
        "the contract stands alone",
    ),
    (
        "src/random.rs",
        &["tokio", "kube", "ring::", "crate::"],
        "chance stands alone, and comes from a seed",
    ),
    (
        "src/journal.rs",
        &["tokio", "kube", "tracing", "crate::"],
        "what is said is a value before it is written",
    ),
    (
        "src/ip.rs",
        &["crate::config", "crate::view", "tokio", "kube"],
        "addresses know nothing",
    ),
    (
        "src/ip",
        &["crate::config", "crate::view", "tokio", "kube"],
        "addresses know nothing",
    ),
    (
        "src/config.rs",
        &[
            "kube",
            "tokio",
            "crate::layer2",
            "crate::bgp",
            "crate::bfd",
            "crate::allocator",
            "crate::cluster",
        ],
        "the configuration knows neither Kubernetes nor protocols",
    ),
    (
        "src/config",
        &[
            "kube::",
            "tokio",
            "crate::layer2",
            "crate::bgp",
            "crate::bfd",
            "crate::allocator",
            "crate::cluster",
        ],
        "the configuration knows neither Kubernetes nor protocols",
    ),
    (
        "src/view.rs",
        &["kube::", "k8s_openapi", "tokio"],
        "views are plain structs",
    ),
    (
        "src/allocator.rs",
        &[
            "kube::",
            "tokio",
            "tracing",
            "crate::cluster",
            "crate::journal",
            "serde_json",
        ],
        "the allocator knows no JSON, no Events, no logging",
    ),
    (
        "src/allocator",
        &[
            "kube::",
            "tokio",
            "tracing",
            "crate::cluster",
            "crate::journal",
            "serde_json",
        ],
        "the allocator knows no JSON, no Events, no logging",
    ),
    (
        "src/controller.rs",
        &[
            "kube::",
            "tokio",
            "std::net::Udp",
            "crate::cluster",
            "wire",
            "tracing",
        ],
        "policy has no world",
    ),
    (
        "src/controller",
        &[
            "kube::",
            "tokio",
            "std::net::Udp",
            "crate::cluster",
            "tracing",
        ],
        "policy has no world",
    ),
    (
        "src/speaker.rs",
        &[
            "kube::",
            "tokio",
            "crate::cluster",
            "layer2::wire",
            "layer2::driver",
            "bgp::wire",
            "bgp::session",
            "bgp::driver",
            "bfd::wire",
            "bfd::session",
            "bfd::driver",
            "tracing",
        ],
        "policy has no world",
    ),
    (
        "src/speaker",
        &[
            "kube::",
            "tokio",
            "crate::cluster",
            "layer2::wire",
            "layer2::driver",
            "bgp::wire",
            "bgp::session",
            "bgp::driver",
            "bfd::wire",
            "bfd::session",
            "bfd::driver",
            "tracing",
        ],
        "policy has no world",
    ),
    (
        "src/layer2/wire",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::time",
            "socket2",
            "nix::",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/layer2/wire.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::time",
            "socket2",
            "nix::",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/layer2/responder.rs",
        &["tokio", "crate::config", "crate::view", "socket2", "nix::"],
        "machines have no sockets",
    ),
    (
        "src/memberlist/swim.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/memberlist/swim",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/memberlist/heartbeat.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/memberlist/heartbeat",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/memberlist/directory.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/layer2/conflict.rs",
        &["tokio", "crate::config", "crate::view", "socket2", "nix::"],
        "machines have no sockets",
    ),
    ("src/turns.rs", &["tokio", "crate::"], "one system call"),
    (
        "src/layer2/gratuitous.rs",
        &["tokio", "crate::config", "crate::view", "socket2", "nix::"],
        "machines have no sockets",
    ),
    (
        "src/layer2/interfaces.rs",
        &["tokio", "crate::config", "crate::view", "socket2", "nix::"],
        "machines have no sockets",
    ),
    (
        "src/layer2/driver.rs",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
        ],
        "drivers know no policy",
    ),
    (
        "src/layer2/driver",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
        ],
        "drivers know no policy",
    ),
    (
        "src/memberlist/wire.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::time",
            "socket2",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/memberlist/wire",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::time",
            "socket2",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/memberlist/standing.rs",
        &["tokio", "crate::config", "crate::view", "socket2"],
        "machines have no sockets",
    ),
    (
        "src/memberlist/driver.rs",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
            "crate::layer2",
        ],
        "drivers know no policy",
    ),
    (
        "src/memberlist/driver",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
            "crate::layer2",
        ],
        "drivers know no policy",
    ),
    (
        "src/bgp/wire.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::journal",
            "std::time",
            "socket2",
            "nix::",
            "rand::",
            "bgp::session",
            "rib_out",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/bgp/wire",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::journal",
            "std::time",
            "socket2",
            "nix::",
            "rand::",
            "bgp::session",
            "rib_out",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/bgp/rib_out.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::time",
            "socket2",
            "nix::",
            "rand::",
            "session::",
        ],
        "what a peer was told knows no time and no sockets",
    ),
    (
        "src/bgp/rib_out",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::time",
            "socket2",
            "nix::",
            "rand::",
            "session::",
        ],
        "what a peer was told knows no time and no sockets",
    ),
    (
        "src/bgp/backoff.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::net::Tcp",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/bgp/session.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::net::Tcp",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/bgp/session",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "std::net::Tcp",
            "socket2",
            "nix::",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/bgp/driver.rs",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
            "crate::layer2",
            "crate::bfd",
        ],
        "drivers know no policy",
    ),
    (
        "src/bgp/driver",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
            "crate::layer2",
            "crate::bfd",
        ],
        "drivers know no policy",
    ),
    (
        "src/cluster",
        &["crate::layer2", "crate::memberlist", "crate::allocator"],
        "the cluster knows no protocols",
    ),
    (
        "src/cluster.rs",
        &["crate::layer2", "crate::memberlist", "crate::allocator"],
        "the cluster knows no protocols",
    ),
    (
        "src/bfd/wire.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::bgp",
            "std::time::Instant",
            "socket2",
            "nix::",
            "libc",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/bfd/wire",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::bgp",
            "std::time::Instant",
            "socket2",
            "nix::",
            "libc",
        ],
        "wire knows bytes: no time, no state, no sockets",
    ),
    (
        "src/bfd/session.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::bgp",
            "crate::speaker",
            "socket2",
            "nix::",
            "libc",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/bfd/session",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::bgp",
            "crate::speaker",
            "socket2",
            "nix::",
            "libc",
            "rand::",
        ],
        "machines have no sockets and no randomness of their own",
    ),
    (
        "src/bfd/demux.rs",
        &[
            "tokio",
            "crate::config",
            "crate::view",
            "crate::bgp",
            "crate::speaker",
            "socket2",
            "nix::",
            "libc",
            "rand::",
            "std::time",
        ],
        "a table knows no time",
    ),
    (
        "src/bfd/driver.rs",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
            "crate::bgp",
            "crate::layer2",
            "crate::memberlist",
        ],
        "drivers know no policy and no other protocol",
    ),
    (
        "src/bfd/driver",
        &[
            "crate::config",
            "crate::controller",
            "crate::speaker",
            "crate::cluster",
            "crate::bgp",
            "crate::layer2",
            "crate::memberlist",
        ],
        "drivers know no policy and no other protocol",
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_file() {
        if place.extension().is_some_and(|e| e == "rs") {
            found.push(place.to_owned());
        }
        return;
    }
    let Ok(entries) = fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        rust_files(&entry.path(), found);
    }
}

/// The code of a file: comments are left out, and so are test modules in files of their own.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim_start()))
        .filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn nothing_inward_knows_that_the_world_exists() {
    let mut faults = Vec::new();
    for (place, words, why) in FORBIDDEN {
        let mut files = Vec::new();
        rust_files(&root().join(place), &mut files);
        for file in files {
            if file.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code_lines(&text) {
                for word in *words {
                    if line.contains(word) {
                        faults.push(format!("{}:{number}: `{word}`: {why}", file.display()));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn only_the_kubernetes_side_reads_its_structs() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut faults = Vec::new();
    for file in files {
        let inside = file
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if inside.starts_with("src/cluster/kubernetes") {
            continue;
        }
        for (number, line) in code_lines(&fs::read_to_string(&file).unwrap()) {
            if line.contains("k8s_openapi") || line.contains("use kube") || line.contains("kube::")
            {
                faults.push(format!(
                    "{inside}:{number}: Kubernetes' structs stay in cluster/kubernetes"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_ignored_test_says_what_it_needs() {
    let mut files = Vec::new();
    for place in ["src", "compat/src", "tests"] {
        rust_files(&root().join(place), &mut files);
    }
    let bare = concat!("#[ign", "ore]");
    for file in files {
        assert!(
            !fs::read_to_string(&file).unwrap().contains(bare),
            "{}: an ignored test without its reason",
            file.display()
        );
    }
}

#[test]
fn the_forbidden_table_names_places_that_exist() {
    for (place, _, _) in FORBIDDEN {
        let path = root().join(place);
        let sibling = path.with_extension("rs");
        assert!(
            path.exists() || sibling.exists(),
            "{place} is gone: mend the table"
        );
    }
}
