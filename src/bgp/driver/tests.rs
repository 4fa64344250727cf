//! Real sockets on the loopback interface, against a peer built with the same codec.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::bgp::wire::{
    Capability, Context, Family, KEEPALIVE, Message, Open, decode, frame, update::end_of_rib,
};
use crate::bgp::{Origin, Password};
use crate::journal::Level;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// A router that listens.
struct Router {
    listener: TcpListener,
}

/// A connection that it has accepted.
struct Conversation {
    stream: TcpStream,
    from: SocketAddr,
    input: Vec<u8>,
}

impl Router {
    async fn listen() -> Self {
        Self {
            listener: TcpListener::bind((LOOPBACK, 0)).await.unwrap(),
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn params(&self) -> Params {
        Params {
            my_asn: 64512,
            peer_asn: 64513,
            peer_address: LOOPBACK,
            peer_port: self.port(),
            source_address: None,
            interface: None,
            hold_time: Duration::from_secs(90),
            keepalive_time: Duration::from_secs(30),
            router_id: Some(Ipv4Addr::new(10, 0, 0, 7)),
            fallback_router_id: Ipv4Addr::new(1, 2, 3, 4),
            password: Password::default(),
            ebgp_multihop: false,
            ttl_security: None,
            graceful_restart: None,
            graceful_shutdown: None,
        }
    }

    async fn accept(&self) -> Conversation {
        let (stream, from) = in_time(self.listener.accept()).await.unwrap();
        Conversation {
            stream,
            from,
            input: Vec::new(),
        }
    }

    /// Accepts, and speaks until both sides are Established.
    async fn meet(&self) -> Conversation {
        let mut conversation = self.accept().await;
        let first = conversation.next().await;
        assert!(matches!(first, Some(Message::Open(_))), "{first:?}");
        let open = Open::new(
            64513,
            90,
            Ipv4Addr::new(10, 0, 0, 1),
            vec![
                Capability::MultiProtocol(Family::IPV4_UNICAST),
                Capability::MultiProtocol(Family::IPV6_UNICAST),
                Capability::RouteRefresh,
                Capability::FourOctetAs(64513),
            ],
        );
        let mut octets = Vec::new();
        open.encode(&mut octets);
        octets.extend_from_slice(&KEEPALIVE);
        conversation.say(&octets).await;
        assert_eq!(conversation.next().await, Some(Message::Keepalive));
        conversation
    }
}

impl Conversation {
    async fn say(&mut self, octets: &[u8]) {
        in_time(self.stream.write_all(octets)).await.unwrap();
    }

    /// The next message; `None`: the end.
    async fn next(&mut self) -> Option<Message> {
        let context = Context {
            four_octet: true,
            refresh: true,
            ipv4: true,
            ipv6: true,
            ..Context::default()
        };
        loop {
            if let Some(length) = frame(&self.input, false).unwrap() {
                let message: Vec<u8> = self.input.drain(..length).collect();
                return Some(decode(&message, &context).unwrap());
            }
            let mut buffer = [0; 65_536];
            match in_time(self.stream.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads until so many prefixes were announced in all; says how many UPDATEs that took.
    async fn announced(&mut self, prefixes: u32) -> usize {
        let (mut sum, mut updates) = (0, 0);
        while sum < prefixes {
            match self.next().await {
                Some(Message::Update(update)) => {
                    sum += update.announced;
                    updates += 1;
                }
                Some(Message::Keepalive) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(sum, prefixes);
        updates
    }

    /// Reads to the end; the last words.
    async fn last_words(&mut self) -> Option<String> {
        let mut words = None;
        while let Some(message) = self.next().await {
            if let Message::Notification(said) = message {
                words = Some(said.to_string());
            }
        }
        words
    }
}

fn start() -> (Bgp, mpsc::Receiver<Report>) {
    let (sender, reports) = mpsc::channel(1000);
    (Bgp::start(sender), reports)
}

fn attributes() -> Option<Arc<Attributes>> {
    Some(Arc::new(Attributes {
        origin: Origin::Incomplete,
        local_pref: 0,
        communities: Box::default(),
    }))
}

fn prefix(number: u32) -> IpNet {
    IpNet::new(Ipv4Addr::from_bits(0x0a00_0000 + number).into(), 32).unwrap()
}

/// Waits for the report that suits.
async fn until<T>(reports: &mut mpsc::Receiver<Report>, suits: impl Fn(&Report) -> Option<T>) -> T {
    loop {
        let report = in_time(reports.recv()).await.unwrap();
        if let Some(found) = suits(&report) {
            return found;
        }
    }
}

async fn up(reports: &mut mpsc::Receiver<Report>, id: u32) {
    until(reports, |report| {
        (*report == Report::Up(PeerId(id))).then_some(())
    })
    .await;
}

/// The text of the next failure to connect.
async fn failure(reports: &mut mpsc::Receiver<Report>) -> String {
    until(reports, |report| match report {
        // The same again is said more quietly.
        Report::Log(record) if record.level > Level::Debug => record.error.clone(),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn routes_are_told_changes_too_and_the_end_is_said() {
    let router = Router::listen().await;
    let (bgp, mut reports) = start();
    bgp.send(Command::Route(prefix(1), attributes()));
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    peer.announced(1).await;
    bgp.send(Command::Route(prefix(2), attributes()));
    peer.announced(1).await;
    bgp.send(Command::Route(prefix(1), None));
    loop {
        match peer.next().await {
            Some(Message::Update(update)) if update.withdrawn == 1 => break,
            // End-of-RIB.
            Some(Message::Update(update)) => assert_eq!(update.announced, 0),
            other => panic!("{other:?}"),
        }
    }
    let figures = bgp.figures();
    let leaving = tokio::spawn(bgp.shutdown());
    let words = peer.last_words().await;
    assert_eq!(words.as_deref(), Some("Cease/Administrative Shutdown"));
    drop(peer);
    in_time(leaving).await.unwrap();
    let why = until(&mut reports, |report| match report {
        Report::Down(PeerId(1), why) => Some(why.clone()),
        _ => None,
    })
    .await;
    assert_eq!(why, "the program ends");
    let figures = figures.read();
    assert_eq!(figures[0].peer, format!("127.0.0.1:{}", router.port()));
    assert!(!figures[0].session.up);
    assert_eq!(figures[0].session.counters.notifications_out, 1);
}

#[tokio::test]
async fn ten_thousand_routes_in_a_burst_leave_in_few_updates() {
    let router = Router::listen().await;
    let (bgp, mut reports) = start();
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    for number in 0..10_000 {
        bgp.send(Command::Route(prefix(number), attributes()));
    }
    // Some 800 fit into one; here nothing runs while they are sent.
    let updates = peer.announced(10_000).await;
    assert!(updates <= 20, "{updates}");
    // Taken back before anybody looks: nothing to say.
    for number in 0..10_000 {
        bgp.send(Command::Route(prefix(number), None));
        bgp.send(Command::Route(prefix(number), attributes()));
    }
    bgp.send(Command::Route(prefix(70_000), attributes()));
    assert_eq!(peer.announced(1).await, 1);
    let figures = bgp.figures().read();
    assert_eq!(figures[0].session.announced, 10_001);
    assert_eq!(figures[0].session.pending, 0);
}

#[tokio::test]
async fn other_parameters_are_another_session_and_the_same_ones_are_not() {
    let router = Router::listen().await;
    let (bgp, mut reports) = start();
    bgp.send(Command::Route(prefix(1), attributes()));
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut params = router.params();
    params.hold_time = Duration::from_secs(60);
    bgp.send(Command::Peer(PeerId(1), Arc::new(params)));
    assert_eq!(
        peer.last_words().await.as_deref(),
        Some("Cease/Other Configuration Change")
    );
    let mut peer = router.meet().await;
    peer.announced(1).await;
    bgp.send(Command::PeerGone(PeerId(1)));
    assert_eq!(
        peer.last_words().await.as_deref(),
        Some("Cease/Peer De-configured")
    );
    assert_eq!(bgp.figures().read(), []);
}

/// Waits for [`Report::Left`]; the others are passed over.
async fn left(reports: &mut mpsc::Receiver<Report>, id: u32) {
    until(reports, |report| {
        (*report == Report::Left(PeerId(id))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_changes_or_goes_has_been_left_when_it_has_read_why() {
    for goes in [false, true] {
        let router = Router::listen().await;
        let (bgp, mut reports) = start();
        bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
        let mut peer = router.meet().await;
        up(&mut reports, 1).await;
        let since = Instant::now();
        bgp.send(if goes {
            Command::PeerGone(PeerId(1))
        } else {
            let hold_time = Duration::from_secs(60);
            let changed = Params {
                hold_time,
                ..router.params()
            };
            Command::Peer(PeerId(1), Arc::new(changed))
        });
        assert!(peer.last_words().await.is_some());
        let mut said = Vec::new();
        while let Ok(report) = reports.try_recv() {
            said.push(report);
        }
        let early = said.contains(&Report::Left(PeerId(1)));
        // Longer than that no peer is waited for.
        assert!(!early || since.elapsed() >= link::FAREWELL, "{said:?}");
        drop(peer);
        if !early {
            left(&mut reports, 1).await;
        }
    }
}

#[tokio::test]
async fn that_a_peer_has_been_left_is_not_lost_where_there_is_no_room_for_it() {
    let router = Router::listen().await;
    let (sender, mut reports) = mpsc::channel(1);
    let bgp = Bgp::start(sender);
    // One that is never reached has nothing to be told.
    for id in 1..=3 {
        bgp.send(Command::Peer(PeerId(id), Arc::new(router.params())));
        drop(router.accept().await);
    }
    let figures = bgp.figures();
    in_time(async {
        while figures.reports_dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    for id in 1..=3 {
        bgp.send(Command::PeerGone(PeerId(id)));
    }
    let mut gone = Vec::new();
    while gone.len() < 3 {
        gone.push(
            until(&mut reports, |report| match report {
                Report::Left(PeerId(id)) => Some(*id),
                _ => None,
            })
            .await,
        );
    }
    gone.sort_unstable();
    assert_eq!(gone, [1, 2, 3]);
}

#[tokio::test]
async fn bfd_down_closes_without_a_word() {
    let router = Router::listen().await;
    let (bgp, mut reports) = start();
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    bgp.send(Command::BfdDown(PeerId(1)));
    assert_eq!(peer.last_words().await, None);
    router.meet().await;
    up(&mut reports, 1).await;
}

#[tokio::test]
async fn dropping_ends_everything() {
    let router = Router::listen().await;
    let (bgp, mut reports) = start();
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    drop(bgp);
    assert_eq!(peer.last_words().await, None);
    // The tasks are gone, and with them the last sender.
    while in_time(reports.recv()).await.is_some() {}
}

#[tokio::test]
async fn peers_that_babble_or_are_silent_delay_nobody_and_nothing_at_the_end() {
    let (bgp, mut reports) = start();
    let mut others = Vec::new();
    for id in 1..=20 {
        let router = Router::listen().await;
        bgp.send(Command::Peer(PeerId(id), Arc::new(router.params())));
        others.push(tokio::spawn(async move {
            loop {
                let mut peer = router.accept().await;
                if id % 2 == 0 {
                    // Never reads, never says anything, never closes.
                    std::future::pending::<()>().await;
                }
                let garbage = vec![0x2a; 1 << 20];
                while peer.stream.write_all(&garbage).await.is_ok() {}
            }
        }));
    }
    let router = Router::listen().await;
    bgp.send(Command::Peer(PeerId(99), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 99).await;
    bgp.send(Command::Route(prefix(1), attributes()));
    peer.announced(1).await;
    let begin = Instant::now();
    let leaving = tokio::spawn(bgp.shutdown());
    assert!(peer.last_words().await.is_some());
    in_time(leaving).await.unwrap();
    // Some slack for a machine that is busy.
    assert!(begin.elapsed() < SHUTDOWN + Duration::from_secs(3));
    others.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_peer_that_reads_slowly_gets_everything() {
    let router = Router::listen().await;
    SockRef::from(&router.listener)
        .set_recv_buffer_size(128 * 1024)
        .unwrap();
    let (bgp, mut reports) = start();
    // Each with attributes of its own, and so a message: some megabytes, more than the kernel takes at once.
    let count = 60_000;
    for number in 0..count {
        let attributes = Attributes {
            origin: Origin::Igp,
            local_pref: 0,
            communities: Box::new([number, number + 1, number + 2]),
        };
        bgp.send(Command::Route(prefix(number), Some(Arc::new(attributes))));
    }
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    // End-of-RIB of IPv6, of which there is nothing, comes first.
    let updates = usize::try_from(count).unwrap() + 1;
    assert_eq!(peer.announced(count).await, updates);
}

#[tokio::test]
async fn why_there_is_no_connection_is_said() {
    let router = Router::listen().await;
    let mut params = router.params();
    params.source_address = Some("192.0.2.77".parse().unwrap());
    let (bgp, mut reports) = start();
    bgp.send(Command::Peer(PeerId(1), Arc::new(params.clone())));
    assert_eq!(
        failure(&mut reports).await,
        "source-address 192.0.2.77 is not on this node"
    );
    params.source_address = Some("::1".parse().unwrap());
    bgp.send(Command::Peer(PeerId(1), Arc::new(params.clone())));
    assert_eq!(
        failure(&mut reports).await,
        "source-address ::1 and the peer 127.0.0.1 are of different families"
    );
    params.source_address = None;
    params.peer_address = "fe80::1".parse().unwrap();
    bgp.send(Command::Peer(PeerId(1), Arc::new(params.clone())));
    assert_eq!(
        failure(&mut reports).await,
        "fe80::1 is a link-local address: the peer's interface must be given"
    );
    params.interface = Some("nowhere0".into());
    bgp.send(Command::Peer(PeerId(1), Arc::new(params.clone())));
    assert_eq!(
        failure(&mut reports).await,
        "the peer's interface nowhere0 is not on this node"
    );
    let mut params = router.params();
    params.password = Password("x".repeat(81).into());
    bgp.send(Command::Peer(PeerId(1), Arc::new(params)));
    assert_eq!(
        failure(&mut reports).await,
        "the password has 81 octets, TCP MD5 takes at most 80"
    );
    let params = router.params();
    drop(router);
    let address = format!("127.0.0.1:{}", params.peer_port);
    bgp.send(Command::Peer(PeerId(1), Arc::new(params)));
    assert_eq!(
        failure(&mut reports).await,
        format!(
            "{address} refuses the connection: it does not listen there, or does not expect this node's address"
        )
    );
}

#[tokio::test]
async fn the_source_address_is_the_one_that_is_asked_for() {
    let router = Router::listen().await;
    let mut params = router.params();
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    params.source_address = Some(source);
    let (dialled, peer) = tokio::join!(dial::dial(Arc::new(params)), router.accept());
    let (_stream, local) = dialled.unwrap();
    assert_eq!(peer.from.ip(), source);
    assert_eq!(local.address, source);
}

#[tokio::test]
async fn the_addresses_of_the_interface_are_known() {
    let neighbours = |ip, on| interfaces::neighbours(ip, on).unwrap();
    let none: Vec<IpAddr> = Vec::new();
    assert!(neighbours(LOOPBACK, None).contains(&LOOPBACK));
    assert!(neighbours(LOOPBACK, Some("lo")).contains(&LOOPBACK));
    assert_eq!(neighbours(LOOPBACK, Some("nowhere0")), none);
    assert_eq!(neighbours("192.0.2.77".parse().unwrap(), None), none);
}

/// Whether a connection comes about soon.
async fn connects(params: &Params) -> bool {
    let dialling = dial::dial(Arc::new(params.clone()));
    tokio::time::timeout(Duration::from_millis(700), dialling)
        .await
        .is_ok_and(|dialled| dialled.is_ok())
}

#[tokio::test]
async fn only_the_right_password_connects() {
    let router = Router::listen().await;
    let key = SocketAddr::new(LOOPBACK, 0);
    sys::sign_with_md5(&SockRef::from(&router.listener), key, b"right").unwrap();
    let mut params = router.params();
    assert!(!connects(&params).await, "without a password");
    params.password = Password("wrong".into());
    assert!(!connects(&params).await, "with another one");
    params.password = Password("right".into());
    assert!(connects(&params).await);
    // And what is said goes through.
    let (bgp, mut reports) = start();
    bgp.send(Command::Route(prefix(1), attributes()));
    router.accept().await;
    bgp.send(Command::Peer(PeerId(1), Arc::new(params)));
    let mut peer = router.meet().await;
    up(&mut reports, 1).await;
    peer.announced(1).await;
}

#[tokio::test]
async fn the_ttl_is_the_kernels_own_unless_the_peer_is_far_or_watches_it() {
    let router = Router::listen().await;
    let ttl = async |change: fn(&mut Params)| {
        let mut params = router.params();
        change(&mut params);
        let (stream, _) = in_time(dial::dial(Arc::new(params))).await.unwrap();
        SockRef::from(&stream).ttl_v4().unwrap()
    };
    // Upstream: the kernel's own, also for a peer several hops away.
    let own = SockRef::from(&router.listener).ttl_v4().unwrap();
    assert!(own > 1);
    assert_eq!(ttl(|_| {}).await, own);
    assert_eq!(ttl(|params| params.peer_asn = params.my_asn).await, own);
    assert_eq!(ttl(|params| params.ebgp_multihop = true).await, 255);
    assert_eq!(ttl(|params| params.ttl_security = Some(200)).await, 255);
}

#[tokio::test]
async fn with_gtsm_only_a_peer_at_that_distance_connects() {
    let router = Router::listen().await;
    let mut params = router.params();
    params.ttl_security = Some(1);
    let set_ttl = |ttl| {
        let socket = SockRef::from(&router.listener);
        socket.set_ttl_v4(ttl).unwrap();
    };
    set_ttl(254);
    assert!(!connects(&params).await, "two hops away");
    params.ttl_security = Some(2);
    assert!(connects(&params).await);
    set_ttl(255);
    params.ttl_security = Some(1);
    assert!(connects(&params).await);
}

#[tokio::test]
async fn two_peers_of_one_address_are_one_in_the_figures() {
    let router = Router::listen().await;
    let (bgp, mut reports) = start();
    let mut other = router.params();
    other.router_id = Some(Ipv4Addr::new(10, 0, 0, 8));
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut first = router.meet().await;
    up(&mut reports, 1).await;
    let figures = bgp.figures();
    assert!(figures.read()[0].session.up);
    bgp.send(Command::Peer(PeerId(2), Arc::new(other)));
    // One of both is not up yet.
    assert!(!figures.read()[0].session.up);
    let _second = router.meet().await;
    up(&mut reports, 2).await;
    first.say(&end_of_rib(Family::IPV4_UNICAST)).await;
    in_time(async {
        loop {
            let figures = figures.read();
            assert_eq!(figures.len(), 1);
            let session = &figures[0].session;
            if session.up && session.counters.updates_in == 1 {
                return assert_eq!(session.counters.established, 2);
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_channel_of_reports_drops_and_counts() {
    let router = Router::listen().await;
    let (sender, mut reports) = mpsc::channel(1);
    let bgp = Bgp::start(sender);
    bgp.send(Command::Route(prefix(1), attributes()));
    bgp.send(Command::Peer(PeerId(1), Arc::new(router.params())));
    let mut peer = router.meet().await;
    peer.announced(1).await;
    // The line came first and fills it, and that the session is up finds no room.
    assert_eq!(bgp.figures().reports_dropped(), 1);
    assert!(matches!(reports.recv().await, Some(Report::Log(_))));
}
