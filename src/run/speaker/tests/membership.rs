//! Who is alive, of gossip and of pods: joining, leaving, and what follows a death.

use super::*;

fn standing(names: &[&str]) -> Standing {
    Standing::Members(names.iter().map(|name| Arc::from(*name)).collect())
}

/// A node's place in the election for the address: the least is first.
fn rank(node: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(format!("{node}#{ADDRESS}")).to_vec()
}

/// A speaker that gossips, and knows everything else.
async fn gossiping() -> Driven {
    let driven = driven_with(true);
    driven.tell_all().await;
    driven
        .tell(Change::Speakers(Some(["node-1".into()].into())))
        .await;
    driven.tell(addresses(&["10.0.0.1", "10.0.0.2"])).await;
    driven.tell(Change::Synced(Kind::Speakers)).await;
    for kind in NEEDS {
        if kind != Kind::Speakers {
            rest().await;
            assert_eq!(*driven.gossip.peers.lock().unwrap(), [], "before {kind:?}");
            driven.tell(Change::Synced(kind)).await;
        }
    }
    driven
        .until("the join", |driven| {
            !driven.gossip.peers.lock().unwrap().is_empty()
        })
        .await;
    driven
}

#[tokio::test(start_paused = true)]
async fn a_speaker_joins_when_it_can_announce_and_announces_when_it_has_joined() {
    let driven = gossiping().await;
    let told = Some(
        ["10.0.0.1", "10.0.0.2"]
            .map(|ip| ip.parse().unwrap())
            .into(),
    );
    assert_eq!(*driven.gossip.peers.lock().unwrap(), [told]);
    rest().await;
    assert_eq!(driven.commands(), []);
    driven.gossip.standing.send_replace(Standing::Joining);
    rest().await;
    assert_eq!(driven.commands(), []);
    driven.gossip.standing.send_replace(standing(&["node-1"]));
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    assert_eq!(driven.commands(), [Command::Announce(address())]);
    // Pods that are not Ready change nothing; a Node that changes is a reason to join again.
    driven
        .tell(Change::Speakers(Some(["node-2".into()].into())))
        .await;
    driven.tell(Change::NodeGone("node-2".into())).await;
    driven
        .tell(Change::Node(Node {
            name: "node-2".into(),
            labels: BTreeMap::new(),
            ready: true,
        }))
        .await;
    driven
        .until("the next join", |driven| {
            driven.gossip.peers.lock().unwrap().len() == 2
        })
        .await;
    assert_eq!(driven.commands().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn gossip_that_reaches_nobody_leaves_it_to_the_pods() {
    let driven = gossiping().await;
    driven.gossip.standing.send_replace(Standing::Unheard);
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    // Both nodes are Ready by their pods, and the other comes first.
    let first = ["node-1", "node-2"]
        .into_iter()
        .min_by_key(|node| rank(node));
    driven
        .tell(Change::Speakers(Some(
            ["node-1".into(), "node-2".into()].into(),
        )))
        .await;
    rest().await;
    let owns = driven.commands().last() == Some(&Command::Announce(address()));
    assert_eq!(owns, first == Some("node-1"));
    driven
        .gossip
        .standing
        .send_replace(standing(&["node-1", "node-3"]));
    driven.gossip.standing.send_replace(standing(&["node-1"]));
    driven
        .until("its return", |driven| {
            driven.commands().last() == Some(&Command::Announce(address()))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_stops_leaves_first_and_is_silent_a_moment_later() {
    let driven = gossiping().await;
    driven.gossip.standing.send_replace(standing(&["node-1"]));
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    let begun = now();
    driven.seat.stop.cancel();
    driven
        .until("the withdrawal", |driven| driven.commands().len() == 2)
        .await;
    let silent = begun.elapsed();
    assert!((LINGER..2 * LINGER).contains(&silent), "{silent:?}");
    let (left, commanded) = driven.gossip.leaving.lock().unwrap().unwrap();
    assert_eq!(commanded, 1, "it answers while it leaves");
    assert!(left.duration_since(begun) < Duration::from_millis(10));
    assert!(!driven.task.is_finished());
    driven.gossip.left.send_replace(true);
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
}

/// How long one that announces its address, or nothing, takes to end where everybody knows at once that it leaves.
async fn end_where_all_know(members: &[&str], serves: bool) -> Duration {
    let driven = gossiping().await;
    driven.gossip.standing.send_replace(standing(members));
    driven
        .until("the announcement", |driven| !driven.commands().is_empty())
        .await;
    if !serves {
        driven.tell(Change::ServiceGone(service().key)).await;
        rest().await;
    }
    driven.gossip.left.send_replace(true);
    let begun = now();
    driven.seat.stop.cancel();
    let commands = driven.commands.clone();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    let commands = commands.lock().unwrap().clone();
    let took = begun.elapsed();
    let (announce, withdraw) = (Command::Announce(address()), Command::Withdraw(address()));
    let told = if took < LINGER {
        vec![announce, withdraw]
    } else {
        vec![announce, Command::HandOver, withdraw]
    };
    assert_eq!(commands, told);
    took
}

#[tokio::test(start_paused = true)]
async fn who_stops_answers_while_its_heirs_announce_though_all_know_at_once() {
    let heir = (2..)
        .map(|i| format!("node-{i}"))
        .find(|node| rank("node-1") < rank(node))
        .unwrap();
    let took = end_where_all_know(&["node-1", &heir], true).await;
    assert!((LINGER..LINGER * 2).contains(&took), "{took:?}");
    // Nobody takes over, or there is nothing to take over.
    for (members, serves) in [(&["node-1"][..], true), (&["node-1", &heir], false)] {
        let took = end_where_all_know(members, serves).await;
        assert!(took < LINGER / 2, "{members:?} {serves}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_farewell_that_nobody_hears_ends_in_time() {
    let driven = gossiping().await;
    let begun = now();
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    let took = begun.elapsed();
    assert!(took <= FAREWELL + Duration::from_millis(10), "{took:?}");
    // With nobody to tell there is nothing to wait for.
    let driven = gossiping().await;
    driven.gossip.left.send_replace(true);
    let begun = now();
    driven.seat.stop.cancel();
    assert_eq!((&mut { driven.task }).await.unwrap(), Ended::Stopped);
    assert!(begun.elapsed() < LINGER);
}

/// A command to layer 2, or something that can wait, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Deed {
    Command(Command),
    Event(&'static str),
}

#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<Deed>>>);

impl Cluster for Witness {
    async fn write_status(&self, write: StatusWrite) -> Result<(), WriteError> {
        panic!("a speaker writes no status: {write:?}");
    }

    fn record(&self, event: KubernetesEvent) {
        self.0.lock().unwrap().push(Deed::Event(event.reason));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_speaker_had_is_announced_before_anything_is_said_and_nothing_else_is_touched()
{
    const SERVICES: u32 = 1000;
    let (changes, changed) = mpsc::channel(16);
    let (_reports, reported) = mpsc::channel(16);
    let node: Arc<str> = Arc::from("node-1");
    let (seat, speaker) = seated(&node);
    let witness = Witness::default();
    let gossip = FakeGossip {
        standing: watch::Sender::default(),
        peers: Arc::default(),
        left: watch::Sender::new(true),
        leaving: Arc::default(),
        commands: Commands::default(),
        fast: Arc::default(),
        stations: Arc::default(),
    };
    let world = World {
        cluster: witness.clone(),
        layer2: Protocol {
            send: {
                let deeds = witness.0.clone();
                move |command| deeds.lock().unwrap().push(Deed::Command(command))
            },
            reports: reported,
        },
        interfaces: None,
        bgp: silent(),
        bfd: silent(),
        announced: None,
        gossip: Some(gossip.clone()),
    };
    let metrics = seat.metrics.clone();
    let task = tokio::spawn(drive(speaker, node, changed, world, seat));
    let ip = |number: u32| IpAddr::from((0x0a01_0000 + number).to_be_bytes());
    changes.send(wide_pool()).await.unwrap();
    for number in 0..SERVICES {
        let key = ObjectKey::new("default", &format!("s{number}"));
        let service = Service {
            key: key.clone(),
            ingress: vec![ip(number).to_string()],
            ..service()
        };
        let endpoints = Endpoints {
            service: key,
            endpoints: vec![Endpoint {
                address: "10.1.0.1".into(),
                node: Some("node-3".into()),
                ready: true,
            }],
        };
        changes
            .send(Change::Service(Box::new(service)))
            .await
            .unwrap();
        changes.send(Change::Endpoints(endpoints)).await.unwrap();
    }
    changes.send(Change::SpeakerAddresses(None)).await.unwrap();
    for kind in NEEDS {
        changes.send(Change::Synced(kind)).await.unwrap();
    }
    let all = ["node-1", "node-2", "node-3"];
    gossip.standing.send_replace(standing(&all));
    let first_of = |nodes: &[&'static str], number: u32| {
        use sha2::Digest;
        let hash = |node: &&str| sha2::Sha256::digest(format!("{node}#{}", ip(number))).to_vec();
        nodes.iter().copied().min_by_key(hash)
    };
    let owned = |nodes: &[&'static str]| -> BTreeSet<IpAddr> {
        (0..SERVICES)
            .filter(|number| first_of(nodes, *number) == Some("node-1"))
            .map(ip)
            .collect()
    };
    let until = async |count: usize| {
        let patience = tokio::time::timeout(Duration::from_secs(60), async {
            while witness.0.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(patience.await.is_ok());
        rest().await;
        std::mem::take(&mut *witness.0.lock().unwrap())
    };
    let before = owned(&all);
    // An announcement and an Event for each.
    assert_eq!(until(2 * before.len()).await.len(), 2 * before.len());
    let processed = metrics_of(&metrics);

    let survivors = ["node-1", "node-3"];
    gossip.standing.send_replace(standing(&survivors));
    let gained: BTreeSet<IpAddr> = owned(&survivors).difference(&before).copied().collect();
    assert!(gained.len() > 100, "{}", gained.len());
    let deeds = until(2 * gained.len()).await;
    let (commands, rest) = deeds.split_at(gained.len());
    let announced: BTreeSet<IpAddr> = commands
        .iter()
        .map(|deed| match deed {
            Deed::Command(Command::Announce(ip)) => *ip,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(announced, gained);
    assert_eq!(rest.len(), gained.len());
    assert!(
        rest.iter().all(|deed| *deed == Deed::Event("nodeAssigned")),
        "{rest:?}"
    );
    // One event was processed, and no Service again.
    tokio::time::sleep(2 * PUBLISH).await;
    assert_eq!(metrics_of(&metrics), processed + 1);
    task.abort();
}

/// How many changes the speaker has processed.
fn metrics_of(metrics: &Arc<metrics::Speaker>) -> u64 {
    let mut registry = Registry::default();
    registry.add(metrics.clone());
    let page = registry.render();
    let line = page
        .lines()
        .find(|line| line.starts_with("metallb_k8s_client_updates_total "));
    line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
        .map(|count| format!("{count}").parse().unwrap())
        .unwrap()
}

#[test]
fn gossip_that_cannot_begin_says_what_to_do() {
    let memberlist = |bind_address: &str| Memberlist {
        bind_address: bind_address.to_owned(),
        bind_port: Some(1),
        labels: "app=metallb".to_owned(),
        secret_key: crate::cli::speaker::Secret(String::new()),
    };
    for (node, bind_address, says) in [
        ("node-1", "eth0", "METALLB_ML_BIND_ADDR"),
        ("node 1", "127.0.0.1", "-node-name"),
        ("node-1", "192.0.2.1", "status.podIP"),
    ] {
        let started = start_gossip(node, &memberlist(bind_address), &Journal::silent());
        let error = started.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
