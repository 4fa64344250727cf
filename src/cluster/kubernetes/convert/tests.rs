use serde_json::{Value, json};

use super::*;

fn service(json: Value) -> view::Service {
    let object = Service::deserialize(&json).unwrap();
    let key = object.key().unwrap();
    object.into_view(key, Services::Full, &mut Interner::default())
}

fn typical() -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "42",
            "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}],
            "annotations": {
                "metallb.universe.tf/address-pool": "gold",
                "metallb.universe.tf/loadBalancerIPs": "10.0.0.1",
                "metallb.universe.tf/allow-shared-ip": "key",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"],
            "loadBalancerIP": "10.0.0.9", "loadBalancerClass": "x/y", "externalTrafficPolicy": "Local",
            "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30000}, {"protocol": "UDP", "port": 53}, {"port": 70000}],
            "someFutureField": {"deep": [1, 2, 3]},
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9", "ipMode": "VIP"}, {"hostname": "h"}]}, "conditions": []},
    })
}

#[test]
fn a_service_is_read_with_all_that_decides() {
    let service = service(typical());
    assert_eq!(service.key.as_str(), "shop/web");
    assert_eq!((&*service.uid, &*service.resource_version), ("u-1", "42"));
    assert!(service.is_load_balancer && service.local_traffic_policy);
    assert_eq!(service.load_balancer_class.as_deref(), Some("x/y"));
    assert_eq!(service.cluster_ips, ["10.96.0.7", "fd00::7"]);
    assert_eq!(service.load_balancer_ip, "10.0.0.9");
    assert_eq!(service.selector.get("app").unwrap(), "web");
    assert_eq!(service.annotation_pool.as_deref(), Some("gold"));
    assert_eq!(service.annotation_ips.as_deref(), Some("10.0.0.1"));
    assert_eq!(service.sharing_key, "key");
    assert_eq!(service.ingress, ["10.0.0.9", ""]);
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|port| (&*port.protocol, port.port))
        .collect();
    assert_eq!(ports, [("TCP", 80), ("UDP", 53)]);
}

#[test]
fn a_server_before_1_20_has_cluster_ip_alone_and_nulls_everywhere() {
    let old = service(json!({
        "metadata": {"name": "web", "namespace": "shop", "annotations": null, "uid": null},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": null, "ports": null, "selector": null},
        "status": {"loadBalancer": {"ingress": null}},
    }));
    assert_eq!(old.cluster_ips, ["10.96.0.7"]);
    assert!(old.ports.is_empty() && old.ingress.is_empty());
    let headless = service(json!({"metadata": {"name": "h"}, "spec": {"clusterIP": "None"}}));
    assert_eq!(headless.cluster_ips, ["None"]);
    let bare = service(json!({"metadata": {"name": "b"}, "spec": null, "status": null}));
    assert!(bare.cluster_ips.is_empty() && !bare.is_load_balancer);
}

#[test]
fn a_trimmed_service_has_what_a_speaker_looks_at_and_no_more() {
    let object = Service::deserialize(&typical()).unwrap();
    let key = object.key().unwrap();
    let service = object.into_view(key, Services::Trimmed, &mut Interner::default());
    assert_eq!(service.ingress, ["10.0.0.9", ""]);
    assert!(service.is_load_balancer && service.local_traffic_policy);
    assert_eq!(&*service.uid, "u-1");
    assert!(service.resource_version.is_empty() && service.ports.is_empty());
    assert!(service.selector.is_empty() && service.cluster_ips.is_empty());
}

#[test]
fn what_has_no_name_is_nothing() {
    for json in [
        json!({}),
        json!({"metadata": {"name": ""}}),
        json!({"metadata": {"namespace": "x"}}),
    ] {
        assert!(Service::deserialize(&json).unwrap().key().is_none());
        assert!(EndpointSlice::deserialize(&json).unwrap().key().is_none());
        assert!(Endpoints::deserialize(&json).unwrap().key().is_none());
        assert!(Node::deserialize(&json).unwrap().key().is_none());
        assert!(ConfigMap::deserialize(&json).unwrap().key().is_none());
    }
}

fn told(endpoints: &[view::Endpoint]) -> Vec<(&str, Option<&str>, bool)> {
    endpoints
        .iter()
        .map(|endpoint| (&*endpoint.address, endpoint.node.as_deref(), endpoint.ready))
        .collect()
}

#[test]
fn slices_of_both_versions_give_the_node_and_an_absent_condition_is_ready() {
    let slice = EndpointSlice::deserialize(&json!({
        "metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web", "a": "b"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.1.0.1", "10.1.0.2"], "nodeName": "n1", "conditions": {"ready": true}},
            {"addresses": ["10.1.0.3"], "topology": {"kubernetes.io/hostname": "n2"}, "conditions": {"ready": false}},
            {"addresses": ["10.1.0.4"], "conditions": {}},
            {"addresses": ["10.1.0.5"], "conditions": {"ready": null}, "nodeName": null},
            {"addresses": null},
        ],
    }))
    .unwrap();
    assert_eq!(slice.service().unwrap().as_str(), "shop/web");
    assert_eq!(
        told(&slice.into_endpoints(&mut Interner::default())),
        [
            ("10.1.0.1", Some("n1"), true),
            ("10.1.0.2", Some("n1"), true),
            ("10.1.0.3", Some("n2"), false),
            ("10.1.0.4", None, true),
            ("10.1.0.5", None, true),
        ]
    );
    let foreign = json!({"metadata": {"name": "x", "labels": {"other": "y"}}, "endpoints": null});
    assert!(
        EndpointSlice::deserialize(&foreign)
            .unwrap()
            .service()
            .is_none()
    );
}

#[test]
fn an_endpoints_object_gives_one_entry_for_each_address_of_each_subset() {
    let endpoints = Endpoints::deserialize(&json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "subsets": [
            {"addresses": [{"ip": "10.1.0.1", "nodeName": "n1"}], "notReadyAddresses": [{"ip": "10.1.0.2"}]},
            {"addresses": null, "notReadyAddresses": [{"ip": "10.1.0.1", "nodeName": "n1"}]},
        ],
    }))
    .unwrap();
    assert_eq!(
        told(&endpoints.into_endpoints(&mut Interner::default())),
        [
            ("10.1.0.1", Some("n1"), true),
            ("10.1.0.2", None, false),
            ("10.1.0.1", Some("n1"), false),
        ]
    );
}

#[test]
fn a_node_is_ready_unless_its_condition_says_otherwise() {
    let node = |status: Value| {
        let json = json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}, "status": status});
        Node::deserialize(&json).unwrap().into_view()
    };
    let condition = |status| json!({"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": status}]});
    assert!(node(Value::Null).ready);
    assert!(node(json!({"conditions": []})).ready);
    assert!(node(condition("True")).ready);
    assert!(!node(condition("False")).ready);
    assert!(!node(condition("Unknown")).ready);
    assert_eq!(node(Value::Null).labels.get("zone").unwrap(), "a");
}

#[test]
fn speakers_are_the_nodes_of_pods_that_are_ready_and_stay() {
    let pod = |node: Value, ready: &str, ip: &str, deleted: Value| {
        json!({
            "metadata": {"name": "p", "deletionTimestamp": deleted},
            "spec": {"nodeName": node},
            "status": {"conditions": [{"type": "Ready", "status": ready}], "podIP": ip},
        })
    };
    let list = json!({"items": [
        pod("n1".into(), "True", "10.0.0.1", Value::Null),
        pod("n2".into(), "False", "fd00::2", Value::Null),
        pod("n3".into(), "True", "10.0.0.3", "2026-01-01T00:00:00Z".into()),
        pod(Value::Null, "True", "", Value::Null),
        {"metadata": {}, "spec": {"nodeName": "n4"}, "status": {}},
        {"metadata": {}},
    ]});
    let speakers = PodList::deserialize(&list).unwrap().into_speakers();
    let want = SpeakerPods {
        ready_nodes: ["n1".into()].into(),
        // Whoever has an address may be in the gossip, ready or not.
        addresses: ["10.0.0.1", "fd00::2"].map(|ip| ip.parse().unwrap()).into(),
    };
    assert_eq!(speakers, want);
}

#[test]
fn the_text_of_a_configmap_is_found_and_an_absent_key_is_told() {
    let config = |data: Value| {
        let object = ConfigMap::deserialize(
            &json!({"metadata": {"name": "config", "namespace": "m", "uid": "u"}, "data": data}),
        )
        .unwrap();
        let key = object.key().unwrap();
        object.into_view(key)
    };
    assert_eq!(
        config(json!({"config": "peers:", "other": "x"}))
            .config
            .as_deref(),
        Some("peers:")
    );
    assert_eq!(config(json!({"other": "x"})).config, None);
    let both = config(json!({"config": "peers:", "ferrolb": "bgp:"}));
    assert_eq!(
        (both.config.as_deref(), both.settings.as_deref()),
        (Some("peers:"), Some("bgp:"))
    );
    assert_eq!(config(json!({"config": "peers:"})).settings, None);
    assert_eq!(config(Value::Null).config, None);
    assert_eq!(config(Value::Null).origin, "ConfigMap m/config");
}

proptest::proptest! {
    #[test]
    fn no_text_from_the_server_is_too_odd(text in ".*", port: i64) {
        let json = json!({
            "metadata": {"name": text, "namespace": text, "resourceVersion": text, "annotations": {"metallb.universe.tf/address-pool": text}},
            "spec": {"type": text, "clusterIPs": [text], "ports": [{"port": port, "protocol": text}]},
            "status": {"loadBalancer": {"ingress": [{"ip": text}]}},
        });
        let object = Service::deserialize(&json).unwrap();
        if let Some(key) = object.key() {
            let service = object.into_view(key, Services::Full, &mut Interner::default());
            proptest::prop_assert_eq!(&service.ingress, &[text]);
            proptest::prop_assert_eq!(service.ports.len(), usize::from(u16::try_from(port).is_ok()));
        }
    }
}
