use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::logging::Journal;

const NEEDS: [Kind; 2] = [Kind::ConfigMap, Kind::Services];

/// A server on a port of the loopback that the kernel chose.
fn served(profiling: bool) -> (SocketAddr, Arc<Health>) {
    let health = Arc::new(Health::new(&NEEDS));
    let params = Params {
        host: "127.0.0.1".to_owned(),
        port: 0,
        profiling,
    };
    let registry = Registry::of_process("test", Journal::silent());
    let server = start(&params, registry, health.clone()).unwrap();
    (server.address(), health)
}

/// Status line, head and body of an answer.
fn get_page(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[test]
fn metrics_answer_from_the_first_moment() {
    let (address, _) = served(false);
    let (status, head, body) = get_page(address, "/metrics");
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(body.contains("process_resident_memory_bytes "), "{body}");
}

#[test]
fn readiness_waits_for_what_must_be_known() {
    let (address, health) = served(false);
    let ready = || {
        let (status, _, body) = get_page(address, "/readyz");
        (status, body)
    };
    assert_eq!(
        ready(),
        (503, "waiting for the ConfigMap, Services\n".to_owned())
    );
    health.known(Kind::Services);
    health.known(Kind::Nodes);
    assert_eq!(ready(), (503, "waiting for the ConfigMap\n".to_owned()));
    health.known(Kind::ConfigMap);
    assert_eq!(ready(), (200, "ok\n".to_owned()));
}

#[test]
fn a_main_loop_that_has_begun_and_beats_no_more_is_unhealthy() {
    let mut health = Health::new(&NEEDS);
    assert_eq!(health.stuck_for(), None);
    let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(60)) else {
        // The machine has just started; nothing can be that long ago.
        return;
    };
    health.begun = long_ago;
    assert_eq!(health.stuck_for(), None, "it is still connecting");
    health.beat.store(1, Ordering::Relaxed);
    assert!(health.stuck_for() >= Some(Duration::from_secs(59)));
    health.beat();
    assert_eq!(health.stuck_for(), None);
}

#[test]
fn health_answers_while_every_worker_of_the_program_is_stuck() {
    // The program's own runtime: its only thread is inside a task that never gives it back.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (address, health) = served(false);
    health.beat();
    let program = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async move {
                let _ = held.recv();
            });
    });
    for path in ["/metrics", "/healthz"] {
        let begun = Instant::now();
        assert_eq!(get_page(address, path).0, 200);
        assert!(begun.elapsed() < Duration::from_secs(1), "{path}");
    }
    drop(hold);
    program.join().unwrap();
}

#[test]
fn slow_clients_neither_hold_the_port_nor_stay() {
    let (address, _) = served(false);
    let mut slow: Vec<TcpStream> = (0..2 * CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /met").unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(get_page(address, "/metrics").0, 200);
    assert!(begun.elapsed() < Duration::from_secs(1));
    let last = slow.last_mut().unwrap();
    last.set_read_timeout(Some(HEAD + Duration::from_secs(20)))
        .unwrap();
    let mut rest = Vec::new();
    // Cut off: the end, or a reset.
    match last.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_connection_is_closed_after_its_answer() {
    let (address, _) = served(false);
    // Would wait for ever if the server kept it open.
    let (_, head, _) = get_page(address, "/healthz");
    assert!(head.contains("connection: close"), "{head}");
}

#[test]
fn a_port_in_use_is_told_with_its_address_and_what_to_do() {
    let (address, health) = served(false);
    let params = Params {
        host: "127.0.0.1".to_owned(),
        port: address.port(),
        profiling: false,
    };
    let error = start(&params, Registry::default(), health).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot serve HTTP on {address}: another program (another MetalLB or FerroLB?) has that port; choose \
             another with -port"
        )
    );
}

#[test]
fn a_host_without_address_is_told() {
    let health = Arc::new(Health::new(&NEEDS));
    let params = Params {
        host: "not a host".to_owned(),
        port: 0,
        profiling: false,
    };
    let error = start(&params, Registry::default(), health).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "cannot serve HTTP: \"not a host\" (-host, METALLB_HOST) has no address: "
        ),
        "{error}"
    );
}

#[test]
fn an_empty_host_is_every_address() {
    let health = Arc::new(Health::new(&NEEDS));
    let params = Params {
        host: String::new(),
        port: 0,
        profiling: false,
    };
    let server = start(&params, Registry::default(), health).unwrap();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, server.address().port()));
    assert_eq!(get_page(loopback, "/metrics").0, 200);
}

#[test]
fn profiling_pages_exist_only_where_they_are_wanted_and_say_what_they_are_not() {
    let (address, _) = served(false);
    assert_eq!(get_page(address, "/debug/pprof/").0, 404);
    assert_eq!(get_page(address, "/").0, 404);

    let (address, _) = served(true);
    for path in ["/debug/pprof", "/debug/pprof/"] {
        let (status, _, body) = get_page(address, path);
        assert_eq!(status, 200);
        assert!(body.starts_with("This is not a Go program"), "{body}");
    }
    let (status, _, body) = get_page(address, "/debug/pprof/threads");
    assert_eq!(status, 200);
    assert!(body.lines().any(|line| line.ends_with("  http")), "{body}");
    let (status, _, body) = get_page(address, "/debug/pprof/cmdline");
    assert_eq!(status, 200);
    let words: Vec<String> = std::env::args().collect();
    assert_eq!(body, words.join("\0"));
    let (status, _, body) = get_page(address, "/debug/pprof/heap?debug=1");
    assert_eq!(status, 404);
    assert!(
        body.starts_with("There is no heap. This is not a Go program"),
        "{body}"
    );
}
