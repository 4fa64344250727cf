//! Peers that no router is: they say nonsense, nothing, or everything at the wrong time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::lan::{Host, Lan, holds_for, until};
use crate::routers::{Frr, Neighbour, Peer as _, Router};
use crate::speaker::{Folder, Service, Speaker, config, peer};

/// What a stranger does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Takes it and closes it.
    Closes,
    /// Agrees, and closes a moment later.
    ClosesWhenEstablished,
    /// Says nonsense, another one each time.
    Rambles,
    /// Agrees, and never reads again; its own KEEPALIVEs go on.
    NeverReads,
    /// Takes it and says nothing.
    IsSilent,
}

/// A listener on port 179 of a host.
struct Stranger {
    host: Host,
    connections: Arc<AtomicUsize>,
    reads: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

const MARKER: [u8; 16] = [0xff; 16];
const KEEPALIVE: [u8; 3] = [0, 19, 4];

/// An OPEN of AS 64513 with both families.
fn open() -> Vec<u8> {
    let mut message = MARKER.to_vec();
    let capabilities = [
        1, 4, 0, 1, 0, 1, // IPv4 unicast
        1, 4, 0, 2, 0, 1, // IPv6 unicast
        65, 4, 0, 0, 0xfc, 1, // AS 64513
    ];
    let length = u8::try_from(capabilities.len()).unwrap();
    let body = [4, 0xfc, 1, 0, 9, 192, 0, 2, 1, length + 2, 2, length];
    let total = u8::try_from(19 + body.len() + capabilities.len()).unwrap();
    message.extend([0, total, 1]);
    message.extend(body);
    message.extend(capabilities);
    message
}

fn keepalive() -> Vec<u8> {
    [&MARKER[..], &KEEPALIVE].concat()
}

/// The nonsense of the `number`th connection.
fn nonsense(number: usize) -> Vec<u8> {
    let noise = |seed: u64| {
        let mut state = seed;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..100_000).map(|_| next()).collect::<Vec<u8>>()
    };
    let framed = |kind: u8, body: &[u8]| {
        let length = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
        [&MARKER[..], &length, &[kind], body].concat()
    };
    match number % 8 {
        0 => noise(1),
        // a length below that of the header, above what is allowed
        1 => [&MARKER[..], &[0, 18, 4]].concat(),
        2 => [&MARKER[..], &[0xff, 0xff, 2]].concat(),
        // an UPDATE before the OPEN
        3 => framed(2, &[0, 0, 0, 0]),
        // an OPEN that says it is longer than it is; one of noise
        4 => framed(1, &[4, 0xfc, 1, 0, 9, 192, 0, 2, 1, 200, 2, 1]),
        5 => framed(1, &noise(5)[..200]),
        // a message of no type, after an OPEN
        6 => [open(), framed(77, &[])].concat(),
        // established, then an UPDATE of noise
        _ => [open(), keepalive(), framed(2, &noise(7)[..1000])].concat(),
    }
}

fn agree(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&open())?;
    stream.write_all(&keepalive())?;
    // the other's OPEN, and its KEEPALIVE
    for _ in 0..2 {
        let mut header = [0; 19];
        stream.read_exact(&mut header)?;
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        stream.read_exact(&mut vec![0; length - 19])?;
    }
    Ok(())
}

impl Stranger {
    fn start(host: Host, manner: Manner) -> Self {
        let listener = host.namespace.enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // Small, so that one who never reads is full soon.
            socket.set_recv_buffer_size(4096).unwrap();
            socket.set_reuse_address(true).unwrap();
            let any: SocketAddr = "0.0.0.0:179".parse().unwrap();
            socket.bind(&any.into()).unwrap();
            socket.listen(16).unwrap();
            TcpListener::from(socket)
        });
        listener.set_nonblocking(true).unwrap();
        let stranger = Self {
            host,
            connections: Arc::default(),
            reads: Arc::default(),
            ends: Arc::default(),
        };
        let connections = Arc::clone(&stranger.connections);
        let (reads, ends) = (Arc::clone(&stranger.reads), Arc::clone(&stranger.ends));
        thread::spawn(move || {
            let mut held = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                if let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nonblocking(false).unwrap();
                    stream
                        .set_read_timeout(Some(Duration::from_secs(5)))
                        .unwrap();
                    let number = connections.fetch_add(1, Ordering::Relaxed);
                    match manner {
                        Manner::Closes => {}
                        Manner::ClosesWhenEstablished => {
                            let _ = agree(&mut stream);
                        }
                        Manner::Rambles => {
                            let _ = stream.write_all(&nonsense(number));
                            // until the other has had enough
                            while stream.read(&mut [0; 1000]).is_ok_and(|read| read > 0) {}
                        }
                        Manner::NeverReads => {
                            if agree(&mut stream).is_ok() {
                                held.push(stream);
                            }
                        }
                        Manner::IsSilent => held.push(stream),
                    }
                }
                if manner == Manner::NeverReads {
                    for stream in &mut held {
                        let _ = stream.write_all(&keepalive());
                        if reads.load(Ordering::Relaxed) {
                            let _ = stream.set_read_timeout(Some(Duration::from_millis(10)));
                            let mut buffer = [0; 65536];
                            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
                        }
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        stranger
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A router (250) and a stranger (251), and a speaker that has both as peers.
struct World {
    speaker: Speaker,
    router: Frr,
    stranger: Stranger,
    _lan: Lan,
}

fn world(manner: Manner, services: impl Fn(&Folder)) -> World {
    let lan = Lan::new();
    let (router, stranger, speaker) = (lan.host(250), lan.host(251), lan.host(11));
    let stranger = Stranger::start(stranger, manner);
    let neighbour = Neighbour::new(speaker.ip4(), 64512);
    let router = Frr::start(router, &Router::new(64513).neighbour(neighbour));
    let text = config(&[
        peer(64512, 64513, &stranger.host.ip4(), &["hold-time: 9s"]),
        peer(64512, 64513, "172.31.0.250", &["hold-time: 9s"]),
    ]);
    let folder = Folder::new(&text, "");
    services(&folder);
    let speaker = Speaker::start(speaker, folder);
    World {
        speaker,
        router,
        stranger,
        _lan: lan,
    }
}

impl World {
    /// The other session came up once, stays, and is served.
    fn the_router_does_not_notice(&mut self, name: &str) {
        let ip = self.speaker.ip4();
        self.router.established(&ip);
        let address = format!("10.80.200.{}", name.len());
        self.speaker.folder.service(&Service::new(name, &address));
        self.router.knows(&format!("{address}/32"), &[&ip]);
        assert_eq!(self.router.neighbour(&ip)["connectionsEstablished"], 1);
        assert!(self.speaker.is_running());
    }

    fn state(&self) -> String {
        format!(
            "{} connections\n{}",
            self.stranger.connections(),
            self.speaker.state()
        )
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn one_that_rambles_is_told_off_and_harms_nobody() {
    let mut world = world(Manner::Rambles, |folder| {
        folder.service(&Service::new("web", "10.80.0.1"));
    });
    world.the_router_does_not_notice("a");
    // Each kind of nonsense takes a turn of the backoff; four are 0 + 1 + 2 s apart at most.
    until(
        "four kinds of nonsense",
        || world.stranger.connections() >= 4,
        || world.state(),
    );
    world.the_router_does_not_notice("ab");
    world
        .speaker
        .logs(&["172.31.0.251:179", "failed to connect"]);
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn one_that_closes_is_dialled_less_and_less() {
    for manner in [Manner::Closes, Manner::ClosesWhenEstablished] {
        let mut world = world(manner, |folder| {
            folder.service(&Service::new("web", "10.80.0.1"));
        });
        world.the_router_does_not_notice("a");
        until(
            "two dials",
            || world.stranger.connections() >= 2,
            || world.state(),
        );
        // 0, 1, 2, 4 s, each by up to a quarter shorter: in 8 s no more than five, however busy the machine.
        holds_for(
            Duration::from_secs(8),
            "few dials",
            || world.stranger.connections() <= 6,
            || world.state(),
        );
        assert!(world.stranger.connections() >= 4, "{}", world.state());
        world.the_router_does_not_notice("ab");
    }
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn one_that_says_nothing_delays_nobody() {
    let started = Instant::now();
    let mut world = world(Manner::IsSilent, |folder| {
        folder.service(&Service::new("web", "10.80.0.1"));
    });
    world.the_router_does_not_notice("a");
    // Well before anything could have timed out.
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{}",
        world.state()
    );
}

#[test]
#[ignore = "needs root, FRR, BIRD, GoBGP; run by tests/run"]
fn one_that_never_reads_delays_nobody_and_costs_little_memory() {
    // More than any buffer between the two holds: /32s of many attributes would not be needed, IPv6 takes the room.
    let mut world = world(Manner::NeverReads, |folder| {
        let services: Vec<String> = (0..3000)
            .map(|n| Service::new(&format!("s{n}"), &format!("fd80::{:x}", n + 1)).manifest())
            .collect();
        folder.write("many.yaml", &services.join("---\n"));
    });
    let ip = world.speaker.ip4();
    world.router.knows("fd80::1/128", &[&ip]);
    until(
        "the router has all",
        || world.router.prefixes("ipv6").len() == 3000,
        || world.state(),
    );
    let before = world.speaker.resident();
    // Twenty changes of everything: what waits for the one who does not read is merged, not queued.
    for turn in 0..20 {
        let communities = format!(
            "  bgp-advertisements:\n  - communities: ['1:{turn}']\n  - {{aggregation-length-v6: 120, communities: ['2:{turn}']}}\n"
        );
        let text = config(&[
            peer(64512, 64513, &world.stranger.host.ip4(), &["hold-time: 9s"]),
            peer(64512, 64513, "172.31.0.250", &["hold-time: 9s"]),
        ]) + &communities;
        world.speaker.folder.config(&text, "");
        until(
            "the router has the change",
            || {
                world
                    .router
                    .paths("fd80::1/128")
                    .first()
                    .is_some_and(|path| path.communities == [format!("1:{turn}")])
            },
            || world.state(),
        );
    }
    let grown = world.speaker.resident().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    world.the_router_does_not_notice("a");
    assert_eq!(world.stranger.connections(), 1, "{}", world.state());
    // When it reads at last it hears what holds now.
    world.stranger.reads.store(true, Ordering::Relaxed);
    until(
        "nothing is pending",
        || {
            world
                .speaker
                .metric("metallb_bgp_pending_prefixes_total", "172.31.0.251:179")
                == Some(0)
        },
        || world.speaker.metrics(),
    );
}
