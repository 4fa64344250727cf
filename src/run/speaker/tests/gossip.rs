//! Three speakers with real gossip on the loopback: who owns which address, from one moment to the next.

use super::*;
use crate::memberlist::driver::{Params as GossipParams, StartError};

const ADDRESSES: u32 = 300;

fn ip(number: u32) -> IpAddr {
    IpAddr::from((0x0a01_0000 + number).to_be_bytes())
}

/// What all speakers commanded, in one order.
#[derive(Debug, Clone, Default)]
struct Timeline(Arc<Mutex<Vec<Told>>>);

/// When, by whom, what.
type Told = (Instant, &'static str, Command);

/// For how long an address had no owner, and two, at most, and who has it in the end.
#[derive(Debug, Default)]
struct Ownership {
    nobody: Duration,
    both: Duration,
    owners: BTreeMap<IpAddr, BTreeSet<&'static str>>,
}

impl Timeline {
    /// Since when the number of an address's owners is another than one, from a moment at which each had one.
    fn since(&self, start: Instant) -> Ownership {
        let mut seen = Ownership::default();
        let mut odd: BTreeMap<IpAddr, (Instant, usize)> = BTreeMap::new();
        for (at, node, command) in self.0.lock().unwrap().iter() {
            let (ip, comes) = match command {
                Command::Announce(ip) => (*ip, true),
                Command::Withdraw(ip) | Command::Yield(ip) => (*ip, false),
                Command::HandOver => continue,
            };
            let owners = seen.owners.entry(ip).or_default();
            if comes {
                owners.insert(node);
            } else {
                owners.remove(node);
            }
            let count = owners.len();
            if let Some((since, before)) = odd.remove(&ip) {
                let lasted = at.duration_since(since);
                if since >= start && before == 0 {
                    seen.nobody = seen.nobody.max(lasted);
                } else if since >= start {
                    seen.both = seen.both.max(lasted);
                }
            }
            if count != 1 {
                odd.insert(ip, (*at, count));
            }
        }
        seen
    }

    fn all_owned_by(&self, nodes: &[&'static str]) -> bool {
        let owners = self.since(now()).owners;
        let first = |ip: &IpAddr| {
            use sha2::Digest;
            nodes
                .iter()
                .copied()
                .min_by_key(|node| sha2::Sha256::digest(format!("{node}#{ip}")).to_vec())
        };
        (0..ADDRESSES).map(ip).all(|ip| {
            let owner = owners.get(&ip).and_then(|owners| owners.first().copied());
            owners.get(&ip).is_some_and(|owners| owners.len() == 1) && owner == first(&ip)
        })
    }

    async fn until_owned_by(&self, nodes: &[&'static str]) {
        let patience = tokio::time::timeout(Duration::from_secs(60), async {
            while !self.all_owned_by(nodes) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(patience.await.is_ok(), "{nodes:?}: {:?}", self.since(now()));
    }
}

const PEERS: [&str; 3] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];

/// Three nodes with gossip on one port that all three have free.
fn three_ports() -> [Arc<Gossip>; 3] {
    for _ in 0..20 {
        let Ok(first) = gossip(0, 0) else { continue };
        let port = first.address().port();
        if let (Ok(second), Ok(third)) = (gossip(1, port), gossip(2, port)) {
            return [first, second, third];
        }
    }
    panic!("no port is free on all of {PEERS:?}");
}

fn gossip(number: usize, port: u16) -> Result<Arc<Gossip>, StartError> {
    let params = GossipParams {
        name: Name::new(NAMES[number]).unwrap(),
        bind: SocketAddr::new(PEERS[number].parse().unwrap(), port),
        key: Keyring::from_secret(b"AAECAwQFBgcICQoLDA0ODw"),
        limits: Limits {
            loopback: true,
            ..Limits::default()
        },
    };
    Gossip::start(params, Arc::new(|_| {})).map(Arc::new)
}

const NAMES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// One speaker's process.
struct Process {
    _changes: mpsc::Sender<Change>,
    _reports: mpsc::Sender<Report>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Ended>,
}

/// Starts a speaker that knows the Services. Only the first is Ready by its pod.
async fn start(number: usize, gossip: Arc<Gossip>, timeline: &Timeline) -> Process {
    let name = NAMES[number];
    let (changes, changed) = mpsc::channel(2048);
    let (reports, reported) = mpsc::channel(16);
    let node: Arc<str> = Arc::from(name);
    let (seat, speaker) = seated(&node);
    let stop = seat.stop.clone();
    let timeline = timeline.clone();
    let world = World {
        cluster: Fake::default(),
        layer2: Protocol {
            send: move |command| timeline.0.lock().unwrap().push((now(), name, command)),
            reports: reported,
        },
        interfaces: None,
        bgp: silent(),
        bfd: silent(),
        announced: None,
        gossip: Some(gossip),
    };
    let task = tokio::spawn(drive(speaker, node, changed, world, seat));
    let mut told = vec![wide_pool()];
    for number in 0..ADDRESSES {
        let key = ObjectKey::new("default", &format!("s{number}"));
        told.push(Change::Service(Box::new(Service {
            key: key.clone(),
            ingress: vec![ip(number).to_string()],
            ..service()
        })));
        told.push(Change::Endpoints(Endpoints {
            service: key,
            endpoints: vec![Endpoint {
                address: "10.1.0.1".into(),
                node: Some("elsewhere".into()),
                ready: true,
            }],
        }));
    }
    told.push(Change::Speakers(Some(["node-1".into()].into())));
    told.push(addresses(&PEERS));
    told.extend(NEEDS.map(Change::Synced));
    for change in told {
        changes.send(change).await.unwrap();
    }
    Process {
        _changes: changes,
        _reports: reports,
        stop,
        task,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speaker_that_restarts_hands_over_and_takes_back() {
    let timeline = Timeline::default();
    let [first, second, third] = three_ports();
    let port = first.address().port();
    let _first = start(0, first, &timeline).await;
    let _second = start(1, second, &timeline).await;
    let third = start(2, third, &timeline).await;
    timeline.until_owned_by(&NAMES).await;

    let stopped = now();
    third.stop.cancel();
    assert_eq!(third.task.await.unwrap(), Ended::Stopped);
    timeline.until_owned_by(&NAMES[..2]).await;
    let left = timeline.since(stopped);
    // The others announced before it fell silent. Nobody lists pods here: without gossip there would be no new owner.
    assert!(left.nobody <= Duration::from_millis(500), "{left:?}");
    // As long as it lingers, and no longer.
    assert!(left.both <= Duration::from_secs(2), "{left:?}");

    let started = now();
    let mut again = gossip(2, port);
    while again.is_err() {
        // The thread of the one before is about to end.
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(started.elapsed() < Duration::from_secs(60));
        again = gossip(2, port);
    }
    let _again = start(2, again.unwrap(), &timeline).await;
    timeline.until_owned_by(&NAMES).await;
    let back = timeline.since(started);
    // Its pod is not Ready for all that time, and does not have to be. The others go on answering until it does.
    assert!(back.nobody <= Duration::from_millis(500), "{back:?}");
    assert!(back.both <= Duration::from_secs(2), "{back:?}");
    println!(
        "leaving: nobody {:?}, both {:?}; back: nobody {:?}, both {:?}",
        left.nobody, left.both, back.nobody, back.both
    );
}
