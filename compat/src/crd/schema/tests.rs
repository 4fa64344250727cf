//! What the schemas of each release take and refuse.

use super::{Judge, Schemas};
use crate::migrate::Release;
use crate::yaml::{Document, emit};

/// Every release with a schema of its own.
const TARGETS: [(u8, u8); 9] = [
    (13, 7),
    (13, 12),
    (14, 3),
    (14, 8),
    (14, 9),
    (15, 0),
    (15, 3),
    (16, 0),
    (16, 1),
];

fn judged(text: &str, (minor, patch): (u8, u8), kubernetes: Option<u32>) -> Vec<String> {
    let schemas = Schemas::of(Release::new(minor, patch));
    let document = Document::parse(text).unwrap();
    let judge = Judge {
        schemas: &schemas,
        kubernetes,
    };
    let faults = judge.check(&document);
    faults.iter().map(ToString::to_string).collect()
}

fn object(version: &str, kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a, creationTimestamp: null}}\nspec: {spec}\nstatus: {{}}\n"
    )
}

fn peer(more: &str) -> String {
    let spec = format!("{{myASN: 65010, peerASN: 4200000000, peerAddress: 192.0.2.1{more}}}");
    object("metallb.io/v1beta2", "BGPPeer", &spec)
}

fn of(kind: &str, spec: &str) -> String {
    object("metallb.io/v1beta1", kind, spec)
}

#[test]
fn what_every_release_takes_is_taken() {
    for target in TARGETS {
        for text in [
            peer(""),
            peer(
                ", holdTime: bogus, keepaliveTime: 0s, passwordSecret: {}, ebgpMultiHop: true, routerID: null",
            ),
            peer(
                ", nodeSelectors: [{}, {matchLabels: {a: b}, matchExpressions: [{key: a, operator: In, values: [x]}]}]",
            ),
            of(
                "IPAddressPool",
                "{addresses: [192.0.2.0/24], autoAssign: false, avoidBuggyIPs: true}",
            ),
            of(
                "BGPAdvertisement",
                "{ipAddressPools: [a], aggregationLength: 24, localPref: 4294967295, communities: ['1:2']}",
            ),
            of(
                "L2Advertisement",
                "{ipAddressPools: [a], nodeSelectors: [{}], interfaces: [eth0]}",
            ),
            of(
                "BFDProfile",
                "{echoMode: true, minimumTtl: 254, receiveInterval: 10}",
            ),
            of("Community", "{communities: [{name: a, value: b}]}"),
            "apiVersion: v1\nkind: Pod\nspec: 5\n".to_owned(),
            "apiVersion: v1\nkind: List\nitems: []\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(
                judged(&text, target, None),
                Vec::<String>::new(),
                "{target:?} {text}"
            );
        }
    }
}

#[test]
fn what_a_release_does_not_know_yet_is_an_unknown_field() {
    for (text, path, from) in [
        (peer(", connectTime: 5s"), "spec.connectTime", (14, 8)),
        (peer(", dynamicASN: internal"), "spec.dynamicASN", (14, 9)),
        (
            peer(", dualStackAddressFamily: true"),
            "spec.dualStackAddressFamily",
            (15, 0),
        ),
        (peer(", localASN: 5"), "spec.localASN", (16, 0)),
        (
            of(
                "IPAddressPool",
                "{addresses: [], serviceAllocation: {priority: 5}}",
            ),
            "spec.serviceAllocation",
            (13, 12),
        ),
        (
            of("BGPAdvertisement", "{serviceSelectors: [{}]}"),
            "spec.serviceSelectors",
            (16, 0),
        ),
    ] {
        for target in TARGETS {
            let found = judged(&text, target, None);
            if target >= from {
                assert!(found.is_empty(), "{found:?}");
            } else {
                let [fault] = found.as_slice() else {
                    panic!("{target:?} {found:?}");
                };
                assert!(
                    fault.contains(path) && fault.contains("unknown field"),
                    "{fault}"
                );
            }
        }
    }
    let old = judged(
        &of("IPAddressPool", "{addresses: [], avoidBuggyIPs: true}"),
        (13, 2),
        None,
    );
    assert_eq!(
        old,
        ["IPAddressPool a: spec.avoidBuggyIPs: unknown field in MetalLB 0.13.2"]
    );
}

#[test]
fn bounds_types_and_what_is_required_are_checked() {
    for (text, want) in [
        (
            peer(", peerPort: 20179"),
            "BGPPeer a: spec.peerPort: must be less than or equal to 16384",
        ),
        (
            peer(", peerPort: 0"),
            "BGPPeer a: spec.peerPort: must be greater than or equal to 1",
        ),
        (
            peer(", password: 5"),
            "BGPPeer a: spec.password: must be of type string",
        ),
        (
            peer(", ebgpMultiHop: \"yes\""),
            "BGPPeer a: spec.ebgpMultiHop: must be of type boolean",
        ),
        (
            peer(", dynamicASN: any"),
            "BGPPeer a: spec.dynamicASN: must be one of internal, external",
        ),
        (
            peer(", connectTime: 1500ms"),
            "BGPPeer a: spec.connectTime: connect time should contain a whole number of seconds",
        ),
        (
            peer(", connectTime: 18h13m"),
            "BGPPeer a: spec.connectTime: connect time should be between 1 seconds to 65535",
        ),
        (
            peer(", nodeSelectors: [{matchExpressions: [{key: a}]}]"),
            "BGPPeer a: spec.nodeSelectors[0].matchExpressions[0].operator: is required",
        ),
        (
            peer(", nodeSelectors: [{matchLabels: {a: 1}}]"),
            "BGPPeer a: spec.nodeSelectors[0].matchLabels.a: must be of type string",
        ),
        (
            of("BGPAdvertisement", "{aggregationLength: 0}"),
            "BGPAdvertisement a: spec.aggregationLength: must be greater than or equal to 1",
        ),
        (
            of("BFDProfile", "{receiveInterval: 9.5}"),
            "BFDProfile a: spec.receiveInterval: must be of type integer",
        ),
        (
            of("BFDProfile", "{receiveInterval: 9}"),
            "BFDProfile a: spec.receiveInterval: must be greater than or equal to 10",
        ),
        (
            of("IPAddressPool", "{autoAssign: true}"),
            "IPAddressPool a: spec.addresses: is required",
        ),
        (
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: a}\n".to_owned(),
            "IPAddressPool a: spec: is required",
        ),
        (
            of("IPAddressPool", "{addresses: []}").replace("name: a", "name: My_Pool"),
            "IPAddressPool \"My_Pool\": metadata.name: must be a name: lower case letters, digits, `-` and `.`, 253 at most",
        ),
        (
            object("metallb.io/v1alpha1", "BGPPeer", "{}"),
            "BGPPeer a: MetalLB 0.16.1 has no BGPPeer in metallb.io/v1alpha1",
        ),
        (
            peer("").replace("status:", "extra:"),
            "BGPPeer a: extra: unknown field",
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {password: '!'}\n".to_owned(),
            "Secret a: data.password: must be base64",
        ),
    ] {
        assert_eq!(judged(&text, (16, 1), None), [want], "{text}");
    }
    // Before 0.15 port 0 was a port.
    assert!(judged(&peer(", peerPort: 0"), (14, 9), None).is_empty());
    let without = object("metallb.io/v1beta2", "BGPPeer", "{myASN: 1}");
    assert_eq!(judged(&without, (14, 8), None).len(), 2);
    assert_eq!(judged(&without, (14, 9), None).len(), 1);
    assert!(judged(&without, (15, 0), None).is_empty());
}

#[test]
fn kubernetes_1_36_refuses_as_numbers_that_are_int32() {
    for (target, want) in [((15, 3), 2), ((16, 0), 0), ((16, 1), 0)] {
        assert_eq!(judged(&peer(""), target, Some(36)).len(), want);
        assert!(judged(&peer(""), target, Some(35)).is_empty());
    }
}

#[test]
fn places_are_those_of_the_values() {
    let schemas = Schemas::of(Release::NEWEST);
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: metallb.io/v1beta1\n  kind: BFDProfile\n  metadata:\n    name: a\n  spec:\n    echoMode: 5\n";
    let faults = schemas.check(&Document::parse(text).unwrap());
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.place.line, fault.place.column))
        .collect();
    assert_eq!(places, [(9, 15)]);
}

#[test]
fn manifests_are_structural_and_each_is_read_back() {
    for (minor, patch) in TARGETS {
        let schemas = Schemas::of(Release::new(minor, patch));
        let manifests = schemas.manifests();
        assert_eq!(manifests.len(), 6);
        for (crd, manifest) in schemas.crds.iter().zip(&manifests) {
            let mut text = String::new();
            emit::write(&mut text, manifest);
            let document = Document::parse(&text).unwrap();
            let root = document.root().unwrap();
            let name = document.get(root, "metadata").unwrap();
            let name = document.text(document.get(name, "name").unwrap());
            assert_eq!(name, Some(crd.name().as_str()));
            // What structural schemas must not have.
            for word in ["$ref", "nullable", "null"] {
                assert!(!text.contains(word), "{text}");
            }
            assert!(text.contains("openAPIV3Schema:"));
        }
    }
    let mut text = String::new();
    let peers = Schemas::of(Release::new(15, 3));
    emit::write(
        &mut text,
        &peers
            .find("metallb.io/v1beta2", "BGPPeer")
            .unwrap()
            .manifest(),
    );
    assert!(
        text.contains(
            "              myASN:\n                format: int32\n                maximum: 4294967295\n                minimum: 0\n                type: integer\n"
        ),
        "{text}"
    );
}

#[test]
fn older_forms_are_judged_as_long_as_a_release_takes_them() {
    let peer = |more: &str| {
        let spec = format!("{{myASN: 65010, peerASN: 65020, peerAddress: 192.0.2.1{more}}}");
        object("metallb.io/v1beta1", "BGPPeer", &spec)
    };
    let selector =
        ", nodeSelectors: [{matchExpressions: [{key: a, operator: Exists, values: []}]}]";
    for target in TARGETS {
        assert_eq!(judged(&peer(selector), target, None), [""; 0]);
        let found = judged(&peer(", vrf: red"), target, None);
        assert!(
            found.concat().contains("spec.vrf: unknown field"),
            "{found:?}"
        );
    }
    let found = judged(
        &peer(", nodeSelectors: [{matchExpressions: [{key: a, operator: Exists}]}]"),
        (16, 1),
        None,
    );
    assert!(found.concat().ends_with("values: is required"), "{found:?}");
    let pool = |version: &str, more: &str| {
        let spec = format!("{{protocol: bgp, addresses: [192.0.2.0/24]{more}}}");
        object(&format!("metallb.io/{version}"), "AddressPool", &spec)
    };
    let ways = ", autoAssign: false, bgpAdvertisements: [{aggregationLength: 28, aggregationLengthV6: 124, localPref: 5, communities: [x]}]";
    for version in ["v1alpha1", "v1beta1"] {
        assert_eq!(judged(&pool(version, ways), (13, 7), None), [""; 0]);
        assert_eq!(judged(&pool(version, ways), (14, 2), None), [""; 0]);
        let found = judged(&pool(version, ways), (14, 3), None);
        assert_eq!(
            found,
            [format!(
                "AddressPool a: MetalLB 0.14.3 has no AddressPool in metallb.io/{version}"
            )]
        );
        let found = judged(
            &pool(version, ", bgpAdvertisements: [{aggregationLength: 0}]"),
            (14, 2),
            None,
        );
        assert!(
            found
                .concat()
                .ends_with("must be greater than or equal to 1"),
            "{found:?}"
        );
        let found = judged(&pool(version, "").replace("bgp", "ospf"), (14, 2), None);
        assert_eq!(
            found,
            ["AddressPool a: spec.protocol: must be one of layer2, bgp"]
        );
    }
    let buggy = ", avoidBuggyIPs: true";
    assert_eq!(judged(&pool("v1beta1", buggy), (13, 4), None), [""; 0]);
    for (version, target) in [("v1beta1", (13, 3)), ("v1alpha1", (14, 2))] {
        let found = judged(&pool(version, buggy), target, None);
        assert!(
            found.concat().contains("spec.avoidBuggyIPs: unknown field"),
            "{found:?}"
        );
    }
    // They have no manifest: an API server without MetalLB could not convert them.
    assert_eq!(Schemas::of(Release::new(13, 7)).manifests().len(), 6);
}
