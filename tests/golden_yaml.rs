//! The YAML dialect against what yaml.v2 2.4 itself made of the same documents.
//!
//! See `tests/golden/README.md` for what is compared. Nothing here can rewrite a golden file.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use ferrolb_compat::raw::{
    AddressPool, BfdProfile, BgpAdvertisement, ConfigFile, NodeSelector, Peer, SelectorRequirement,
};
use ferrolb_compat::yaml::Document;
use ferrolb_compat::yaml::decode::{Text, TextMap};
use serde_json::{Value, json};

/// The number of recorded documents.
const CASES: usize = 1320;

/// Documents that both refuse, for reasons that differ: our parser reads on where libyaml's port stops.
const OTHER_REASON: [&str; 1] = ["bgp-communities: {: No}"];

/// What became of a document.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The values, without those that are empty.
    Accepted(Value),
    /// The number of type errors; none if the document was given up or is no YAML.
    Refused(usize),
}

fn ours(text: &str) -> Outcome {
    let Ok(document) = Document::parse(text) else {
        return Outcome::Refused(0);
    };
    let decoded = ConfigFile::decode(&document);
    if decoded.given_up {
        return Outcome::Refused(0);
    }
    if !decoded.faults.is_empty() {
        return Outcome::Refused(decoded.faults.len() + decoded.unkept);
    }
    Outcome::Accepted(without_empty(file(&decoded.value)))
}

#[test]
fn documents_mean_what_yaml_v2_made_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/yaml/cases.jsonl");
    let cases = fs::read_to_string(path).unwrap();
    let mut faults = Vec::new();
    let (mut count, mut accepted) = (0, 0);
    for case in cases.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let text = case["in"].as_str().unwrap();
        let want = match case["type_errors"].as_u64() {
            Some(number) => Outcome::Refused(usize::try_from(number).unwrap()),
            None => Outcome::Accepted(case["want"].clone()),
        };
        let got = ours(text);
        let other_reason = OTHER_REASON.iter().any(|part| text.contains(part))
            && matches!((&got, &want), (Outcome::Refused(_), Outcome::Refused(_)));
        if got != want && !other_reason {
            faults.push(format!("{text}\n  got {got:?}\n  want {want:?}"));
        }
        count += 1;
        accepted += usize::from(matches!(want, Outcome::Accepted(_)));
    }
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert_eq!(count, CASES);
    assert!(accepted > 200, "{accepted} documents accepted");
}

/// Members of objects that are null or empty are left out.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| (key, without_empty(value)))
            .filter(|(_, value)| {
                !matches!(value, Value::Null)
                    && *value != json!("")
                    && *value != json!([])
                    && *value != json!({})
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(without_empty).collect(),
        value => value,
    }
}

fn list<T>(items: &[T], show: fn(&T) -> Value) -> Value {
    items.iter().map(show).collect()
}

fn text(text: &Text) -> Value {
    json!(text.0.value)
}

fn map(map: &TextMap) -> Value {
    let members = map.iter();
    members
        .map(|(key, field)| (key.clone(), json!(field.value)))
        .collect()
}

fn file(file: &ConfigFile) -> Value {
    json!({
        "peers": list(&file.peers.value, peer),
        "bgp-communities": map(&file.bgp_communities.value),
        "address-pools": list(&file.address_pools.value, pool),
        "bfd-profiles": list(&file.bfd_profiles.value, profile),
    })
}

fn peer(peer: &Peer) -> Value {
    json!({
        "my-asn": peer.my_asn.value,
        "peer-asn": peer.peer_asn.value,
        "peer-address": peer.peer_address.value,
        "source-address": peer.source_address.value,
        "peer-port": peer.peer_port.value,
        "hold-time": peer.hold_time.value,
        "keepalive-time": peer.keepalive_time.value,
        "router-id": peer.router_id.value,
        "node-selectors": list(&peer.node_selectors.value, selector),
        "password": peer.password.value,
        "bfd-profile": peer.bfd_profile.value,
        "ebgp-multihop": peer.ebgp_multihop.value,
    })
}

fn selector(selector: &NodeSelector) -> Value {
    json!({
        "match-labels": map(&selector.match_labels.value),
        "match-expressions": list(&selector.match_expressions.value, requirement),
    })
}

fn requirement(requirement: &SelectorRequirement) -> Value {
    json!({
        "key": requirement.key.value,
        "operator": requirement.operator.value,
        "values": list(&requirement.values.value, text),
    })
}

fn pool(pool: &AddressPool) -> Value {
    json!({
        "protocol": pool.protocol.value,
        "name": pool.name.value,
        "addresses": list(&pool.addresses.value, text),
        "avoid-buggy-ips": pool.avoid_buggy_ips.value,
        "auto-assign": pool.auto_assign.value,
        "bgp-advertisements": list(&pool.bgp_advertisements.value, advertisement),
    })
}

fn advertisement(advertisement: &BgpAdvertisement) -> Value {
    let communities = advertisement.communities.value.as_deref().unwrap_or(&[]);
    json!({
        "aggregation-length": advertisement.aggregation_length.value,
        "aggregation-length-v6": advertisement.aggregation_length_v6.value,
        "localpref": advertisement.localpref.value,
        "communities": list(communities, text),
    })
}

fn profile(profile: &BfdProfile) -> Value {
    json!({
        "name": profile.name.value,
        "receive-interval": profile.receive_interval.value,
        "transmit-interval": profile.transmit_interval.value,
        "detect-multiplier": profile.detect_multiplier.value,
        "echo-interval": profile.echo_interval.value,
        "echo-mode": profile.echo_mode.value,
        "passive-mode": profile.passive_mode.value,
        "minimum-ttl": profile.minimum_ttl.value,
    })
}
