//! Real nodes on the loopback.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::memberlist::wire::{
    Datagram, Dropped, Message, Ping, StreamDecoder, decode_datagram, encode_message,
};

const LOOPBACK: Limits = Limits {
    datagram: 64 << 10,
    stream: 1 << 20,
    stream_plain: 8 << 20,
    members: 10_000,
    user: 64 << 10,
    loopback: true,
};

struct Host {
    gossip: Gossip,
    log: Arc<Mutex<Vec<Record>>>,
}

fn params(name: &str, secret: &str) -> Params {
    Params {
        name: Name::new(name).unwrap(),
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        key: Keyring::from_secret(secret.as_bytes()),
        limits: LOOPBACK,
    }
}

impl Host {
    fn new(name: &str, secret: &str) -> Self {
        Self::at_pace(name, secret, |_| {})
    }

    fn at_pace(name: &str, secret: &str, pace: impl FnOnce(&mut swim::Params)) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let journal: Journal = {
            let log = log.clone();
            Arc::new(move |record| log.lock().unwrap().push(record))
        };
        let gossip = Gossip::start_at_pace(params(name, secret), journal, pace).unwrap();
        Self { gossip, log }
    }

    /// Tells it that these should be members.
    fn should_join(&self, others: &[&Host]) {
        let peers = others.iter().map(|other| other.gossip.address());
        self.gossip.peers(Some(peers.collect()));
    }

    async fn until(&self, what: &str, condition: impl Fn(&Counters) -> bool) {
        let patience = tokio::time::timeout(Duration::from_secs(60), async {
            while !condition(&self.gossip.counters()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(
            patience.await.is_ok(),
            "{what}: {:?}, {:?}",
            self.gossip.counters(),
            self.log.lock().unwrap()
        );
    }

    async fn until_standing(&self, want: &Standing) {
        let mut standing = self.gossip.standing();
        let patience = tokio::time::timeout(
            Duration::from_secs(60),
            standing.wait_for(|standing| standing == want),
        );
        let reached = patience.await.is_ok_and(|told| told.is_ok());
        assert!(
            reached,
            "{want:?}: {:?}, {:?}",
            self.gossip.standing().borrow(),
            self.log.lock().unwrap()
        );
    }

    fn said(&self, event: &str) -> Vec<Record> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|record| matches!(record.subject, crate::journal::Subject::Event(name) if name == event))
            .cloned()
            .collect()
    }
}

fn members(names: &[&str]) -> Standing {
    Standing::Members(names.iter().map(|name| Arc::from(*name)).collect())
}

/// Somebody who is no member.
struct Stranger(UdpSocket);

impl Stranger {
    fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self(socket)
    }

    fn send(&self, to: &Host, bytes: &[u8]) {
        self.0.send_to(bytes, to.gossip.address()).unwrap();
    }

    fn receive(&self) -> Datagram {
        let mut buffer = [0; 2048];
        let (length, _) = self.0.recv_from(&mut buffer).unwrap();
        decode_datagram(&buffer[..length], None, &LOOPBACK).unwrap()
    }
}

fn ping(name: &str, seq_no: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let node = Name::new(name);
    encode_message(&Message::Ping(Ping { seq_no, node }), &mut bytes);
    bytes
}

#[tokio::test]
async fn three_join_encrypted_and_one_leaves() {
    let hosts = ["a", "b", "c"].map(|name| Host::new(name, "AAECAwQFBgcICQoLDA0ODw"));
    let [a, b, c] = &hosts;
    // `a` knows nobody; the others know `a` alone.
    a.should_join(&[a]);
    a.until_standing(&members(&["a"])).await;
    b.should_join(&[a]);
    c.should_join(&[a, c]);
    for host in &hosts {
        host.until_standing(&members(&["a", "b", "c"])).await;
    }
    c.gossip.leave().await;
    for host in [a, b] {
        host.until_standing(&members(&["a", "b"])).await;
    }
    let left = a.said("memberLeft");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(
        left[0].fields.contains(&("how", "left".to_owned())),
        "{left:?}"
    );
    // A second farewell has nothing to wait for.
    c.gossip.leave().await;
    for host in &hosts {
        let dropped: u64 = host.gossip.counters().dropped.iter().map(|(_, n)| n).sum();
        assert_eq!(dropped, 0, "{:?}", host.gossip.counters());
        assert_eq!(host.said("gossipUnheard"), []);
        assert_eq!(host.said("gossipInTheClear"), []);
    }
}

#[tokio::test]
async fn one_that_vanishes_is_found_dead() {
    let quick = |swim: &mut swim::Params| {
        swim.probe_interval = Duration::from_millis(100);
        swim.probe_timeout = Duration::from_millis(50);
        swim.gossip_interval = Duration::from_millis(20);
    };
    let [a, b] = ["a", "b"].map(|name| Host::at_pace(name, "secret", quick));
    a.should_join(&[&b]);
    b.should_join(&[&a]);
    a.until_standing(&members(&["a", "b"])).await;
    b.until_standing(&members(&["a", "b"])).await;
    drop(b);
    a.until_standing(&members(&["a"])).await;
    let left = a.said("memberLeft");
    assert!(
        left[0].fields.contains(&("how", "dead".to_owned())),
        "{left:?}"
    );
    let counters = a.gossip.counters();
    assert_eq!(
        (counters.swim.deaths, counters.members),
        (1, 1),
        "{counters:?}"
    );
}

#[tokio::test]
async fn another_key_is_no_member_and_is_said_once() {
    let [a, b] = [("a", "this secret"), ("b", "that secret")].map(|(n, s)| Host::new(n, s));
    a.should_join(&[&b]);
    b.should_join(&[&a]);
    a.until_standing(&Standing::Unheard).await;
    b.until_standing(&Standing::Unheard).await;
    b.until("the other's join", |counters| {
        counters.dropped_for(Dropped::Undecryptable) > 0
    })
    .await;
    a.gossip
        .peers(Some([b.gossip.address(), a.gossip.address()].into()));
    b.until("the other's second join", |counters| {
        counters.dropped_for(Dropped::Undecryptable) > 1
    })
    .await;
    assert_eq!(b.said("gossipDropped").len(), 1);
    assert_eq!(b.said("gossipUnheard").len(), 1);
    assert_eq!(b.gossip.counters().members, 1);
}

#[tokio::test]
async fn garbage_is_counted_by_its_reason_and_harms_nobody() {
    let host = Host::new("a", "");
    host.gossip.peers(Some(BTreeSet::new()));
    host.until_standing(&members(&["a"])).await;
    let stranger = Stranger::new();
    let mut too_many = vec![7, 200];
    too_many.extend([0; 400]);
    let whole = ping("a", 1);
    let garbage: [(&[u8], Dropped); 8] = [
        (&[], Dropped::Empty),
        (&[0x0c, 0, 0, 0, 0], Dropped::Empty),
        (&[0x0c, 1, 2, 3, 4, 5], Dropped::Checksum),
        (&[99, 1, 2, 3], Dropped::Kind),
        (&[6, 0x80], Dropped::Kind),
        (&whole[..whole.len() - 1], Dropped::Truncated),
        (&too_many, Dropped::Limit),
        (&[7, 2, 0, 9, 0, 9], Dropped::Truncated),
    ];
    let mut want: BTreeMap<&str, u64> = BTreeMap::new();
    for (bytes, reason) in garbage {
        stranger.send(&host, bytes);
        *want.entry(reason.as_str()).or_default() += 1;
    }
    host.until("all of it", |counters| {
        counters.received == u64::try_from(garbage.len()).unwrap()
    })
    .await;
    stranger.send(&host, &ping("a", 77));
    let answer = stranger.receive();
    assert!(
        matches!(&answer.messages[..], [Message::Ack(ack), ..] if ack.seq_no == 77),
        "{answer:?}"
    );
    let counted: BTreeMap<&str, u64> = host
        .gossip
        .counters()
        .dropped
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason.as_str(), count))
        .collect();
    assert_eq!(counted, want);
    // One line for each reason, one about the missing key.
    assert_eq!(host.said("gossipDropped").len(), want.len());
    assert_eq!(host.said("gossipInTheClear").len(), 1);
    // What is sealed, forged or cut off for one who has a key.
    let sealed = Host::new("s", "a secret");
    sealed.gossip.peers(Some(BTreeSet::new()));
    let nonce = [7; 12];
    let encoder = Encoder {
        keyring: Keyring::from_secret(b"a secret"),
        compress: true,
    };
    let good = encoder.datagram(&[ping("s", 5)], false, nonce).unwrap();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    for bytes in [&ping("s", 1), &forged, &good[..28].to_vec()] {
        stranger.send(&sealed, bytes);
    }
    sealed
        .until("three undecryptable", |counters| {
            counters.dropped_for(Dropped::Undecryptable) == 3
        })
        .await;
    assert_eq!(sealed.said("gossipDropped").len(), 1);
}

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    let patience = tokio::time::timeout(Duration::from_secs(60), reading);
    patience.await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn streams_that_say_nothing_do_not_keep_others_out() {
    let [a, b] = ["a", "b"].map(|name| Host::new(name, ""));
    a.should_join(&[&a]);
    let mut idle = Vec::new();
    for _ in 0..3 * STREAMS_PER_SOURCE {
        idle.push(TcpStream::connect(a.gossip.address()).await.unwrap());
    }
    let displaced = u64::try_from(2 * STREAMS_PER_SOURCE).unwrap();
    a.until("the oldest make room", |counters| {
        counters.streams_refused == displaced
    })
    .await;
    b.should_join(&[&a]);
    b.until_standing(&members(&["a", "b"])).await;
    assert_eq!(a.gossip.counters().streams_refused, displaced + 1);
    assert!(read_all(&mut idle[0]).await.is_empty());
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_is_answered_as_go_answers() {
    let host = Host::new("a", "");
    host.should_join(&[&host]);
    // Sealed, for one who has no key.
    let mut stream = TcpStream::connect(host.gossip.address()).await.unwrap();
    stream.write_all(&[10, 0, 0, 0, 40]).await.unwrap();
    let answer = read_all(&mut stream).await;
    let mut decoder = StreamDecoder::new(None, LOOPBACK);
    assert_eq!(
        decoder.feed(&answer).unwrap(),
        Some(Message::Err(
            "Remote state is encrypted and encryption is not configured".to_owned()
        ))
    );
    // A ping for another is closed without a word; so is one who only knocks.
    let mut stream = TcpStream::connect(host.gossip.address()).await.unwrap();
    stream.write_all(&ping("b", 1)).await.unwrap();
    assert!(read_all(&mut stream).await.is_empty());
    let mut stream = TcpStream::connect(host.gossip.address()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(read_all(&mut stream).await.is_empty());
    host.until("the drop", |counters| {
        counters.dropped_for(Dropped::NoKey) == 1
    })
    .await;
    let mut stream = TcpStream::connect(host.gossip.address()).await.unwrap();
    stream.write_all(&ping("a", 9)).await.unwrap();
    let mut decoder = StreamDecoder::new(None, LOOPBACK);
    let answer = decoder.feed(&read_all(&mut stream).await).unwrap();
    assert!(matches!(answer, Some(Message::Ack(ack)) if ack.seq_no == 9));
}

#[tokio::test]
async fn nothing_is_answered_before_the_speaker_is_ready() {
    let host = Host::new("a", "");
    let stranger = Stranger::new();
    stranger.send(&host, &ping("a", 3));
    let mut stream = TcpStream::connect(host.gossip.address()).await.unwrap();
    stream.write_all(&ping("a", 4)).await.unwrap();
    // Nobody knows it: a farewell has nobody to wait for.
    host.gossip.leave().await;
    assert_eq!(*host.gossip.standing().borrow(), Standing::Joining);
    assert_eq!(host.gossip.counters().received, 0);
    host.gossip.peers(None);
    host.until_standing(&Standing::Unheard).await;
    assert!(matches!(&stranger.receive().messages[..], [Message::Ack(ack), ..] if ack.seq_no == 3));
    assert!(!read_all(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_port_that_another_has_is_an_error_that_names_it() {
    let first = Host::new("a", "");
    let taken = Params {
        bind: first.gossip.address(),
        ..params("b", "")
    };
    let silent: Journal = Arc::new(|_| {});
    let error = Gossip::start(taken, silent.clone()).unwrap_err();
    let StartError::InUse { address, protocol } = &error else {
        panic!("{error}");
    };
    assert_eq!((*address, *protocol), (first.gossip.address(), "TCP"));
    assert!(error.to_string().contains("METALLB_ML_BIND_PORT"));
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = Params {
        bind: datagrams.local_addr().unwrap(),
        ..params("b", "")
    };
    let error = Gossip::start(taken, silent.clone()).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::InUse {
                protocol: "UDP",
                ..
            }
        ),
        "{error}"
    );
    let foreign = Params {
        bind: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0)),
        ..params("b", "")
    };
    let error = Gossip::start(foreign, silent).unwrap_err();
    assert!(matches!(error, StartError::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn dropping_it_gives_the_port_back() {
    let host = Host::new("a", "");
    let address = host.gossip.address();
    host.should_join(&[&host]);
    host.until_standing(&members(&["a"])).await;
    drop(host);
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        let again = || {
            let params = Params {
                bind: address,
                ..params("a", "")
            };
            Gossip::start(params, Arc::new(|_| {}))
        };
        while again().is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(patience.await.is_ok());
}
