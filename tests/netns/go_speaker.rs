//! A conflict with a node whose speaker is MetalLB's: it tells nobody its Ethernet addresses, and gives way to nobody.
//!
//! Its gossip is Go's memberlist (tests/interop/memberlist), its answers are the kernel's, which has the addresses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lan::{GOSSIP_SECRET, Lan};
use crate::world::{Namespace, eventually, now};

const POOL: &str = "address-pools:\n- {name: d, protocol: layer2, addresses: [172.31.0.128/28]}\n";

/// Ours is on `node-1`, Go's on `node-2`.
const OURS: usize = 0;
const GO: usize = 1;

/// Longer than a claim must last to be no handover, and than the packets of one.
const A_WHILE: Duration = Duration::from_secs(6);

/// Gossip by Go's memberlist. Dropped, it is killed.
struct GoGossip(Child);

impl GoGossip {
    fn start(namespace: &Namespace, name: &str, ip: &str) -> Self {
        let cache = std::env::var_os("FERROLB_CACHE").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/ferrolb"),
            PathBuf::from,
        );
        let program = cache.join("memberlist-node");
        assert!(program.exists(), "run tests/interop/memberlist/build");
        let child = Command::new("ip")
            .args(["netns", "exec", &namespace.name])
            .arg(program)
            .args(["-name", name, "-bind", ip, "-port", "7946"])
            .args(["-secret", GOSSIP_SECRET])
            // It leaves when this ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for GoGossip {
    fn drop(&mut self) {
        // Either fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A LAN with one speaker of each kind that know each other; and an address that ours comes first for, and one that Go's does.
fn one_of_each() -> (Lan, GoGossip, String, String) {
    let mut lan = Lan::new(2, POOL);
    let go = GoGossip::start(&lan.nodes[GO].namespace, "node-2", "172.31.0.12");
    // Ours asks it to join when it starts.
    eventually("Go's listens", || {
        let output = lan.nodes[GO].namespace.exec("ss", &["-ltnH"]);
        String::from_utf8_lossy(&output.stdout).contains(":7946")
    });
    lan.start(OURS);
    let members = |lan: &Lan| {
        let speaker = lan.nodes[OURS].speaker.as_ref().unwrap();
        speaker.gossip.counters().members
    };
    eventually("two members", || members(&lan) == 2);
    let addresses: Vec<String> = (128..136).map(|i| format!("172.31.0.{i}")).collect();
    for address in &addresses {
        serve(&mut lan, address);
    }
    // Whatever ours does not answer for, Go's would.
    let mut ours = Vec::new();
    eventually("owners", || {
        let before = std::mem::take(&mut ours);
        ours = lan.owners(&addresses).into_keys().collect();
        !ours.is_empty() && ours == before
    });
    let theirs = addresses.iter().find(|address| !ours.contains(address));
    let (first, theirs) = (ours.swap_remove(0), theirs.unwrap().clone());
    for address in &addresses {
        lan.unserve(address);
    }
    eventually("silence", || lan.owners(&addresses).is_empty());
    (lan, go, first, theirs)
}

fn serve(lan: &mut Lan, address: &str) {
    lan.serve(address, address, false);
    lan.set_endpoints(address, &["node-1".to_owned(), "node-2".to_owned()], &[]);
}

fn owned_by(address: &str, nodes: &[&str]) -> BTreeMap<String, Vec<String>> {
    let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
    BTreeMap::from([(address.to_owned(), nodes)])
}

/// What ours says of it, once, with the Service.
fn said(lan: &Lan) -> Vec<(&'static str, String)> {
    lan.nodes[OURS].events.warnings()
}

#[test]
#[ignore = "needs root, network namespaces and Go's memberlist; run by tests/run"]
fn needs_go_a_go_speaker_s_node_that_answers_out_of_turn_is_named_and_the_first_goes_on() {
    let (mut lan, _go, address, theirs) = one_of_each();
    let has = |lan: &Lan, verb: &str, address: &str| {
        let command = format!("addr {verb} {address}/32 dev eth0");
        lan.nodes[GO].namespace.ip(&command);
    };
    has(&lan, "add", &address);
    has(&lan, "add", &theirs);
    serve(&mut lan, &address);
    serve(&mut lan, &theirs);
    let addresses = [address.clone(), theirs.clone()];
    let mut both = owned_by(&address, &["node-1", "node-2"]);
    both.append(&mut owned_by(&theirs, &["node-2"]));
    lan.until_owned(&addresses, &both, Duration::from_secs(5));
    eventually("it is said", || !said(&lan).is_empty());
    let end = now() + A_WHILE;
    while now() < end {
        assert_eq!(lan.owners(&addresses), both);
    }
    let said = said(&lan);
    let [(reason, text)] = &said[..] else {
        panic!("once, and of one address: {said:?}");
    };
    assert_eq!(*reason, "AddressConflict");
    let begin = format!(
        "address {address} is answered for by node \"node-2\" (02:00:00:00:00:02 on interface eth0) as well; node \"node-1\" \
         comes first and goes on."
    );
    assert!(text.starts_with(&begin), "{text}");
}

#[test]
#[ignore = "needs root, network namespaces and Go's memberlist; run by tests/run"]
fn needs_go_a_go_speaker_that_comes_first_is_given_way_to_when_gossip_is_cut() {
    let (mut lan, go, _, address) = one_of_each();
    let node = |lan: &Lan, verb: &str| {
        let command = format!("addr {verb} {address}/32 dev eth0");
        lan.nodes[GO].namespace.ip(&command);
    };
    node(&lan, "add");
    serve(&mut lan, &address);
    let addresses = [address.clone()];
    let theirs = owned_by(&address, &["node-2"]);
    lan.until_owned(&addresses, &theirs, Duration::from_secs(5));
    assert_eq!(said(&lan), []);
    // Its node goes on answering, but no speaker is heard of there.
    drop(go);
    let both = owned_by(&address, &["node-1", "node-2"]);
    lan.until_owned(&addresses, &both, Duration::from_secs(20));
    lan.until_owned(&addresses, &theirs, Duration::from_secs(15));
    let end = now() + A_WHILE;
    while now() < end {
        assert_eq!(lan.owners(&addresses), theirs, "it does not flap");
    }
    let said = said(&lan);
    let [(reason, text)] = &said[..] else {
        panic!("once: {said:?}");
    };
    assert_eq!(*reason, "AddressConflict");
    let begin = format!(
        "address {address} is announced by node \"node-2\" (02:00:00:00:00:02 on interface eth0) as well, which comes first: \
         node \"node-1\" is silent until that changes."
    );
    assert!(text.starts_with(&begin), "{text}");
    // It is silent at last.
    node(&lan, "del");
    let ours = owned_by(&address, &["node-1"]);
    lan.until_owned(&addresses, &ours, Duration::from_secs(20));
}
