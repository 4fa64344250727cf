use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;

fn feed<S: Store>(store: &mut S, object: Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let parsed = S::Object::deserialize(&object).unwrap();
    store.apply(parsed, &Raw::Item(&object), &mut changes);
    changes
}

fn remove<S: Store>(store: &mut S, object: Value) -> Vec<Change> {
    let mut changes = Vec::new();
    store.delete(S::Object::deserialize(&object).unwrap(), &mut changes);
    changes
}

fn complete<S: Store>(store: &mut S) -> Vec<Change> {
    let mut changes = Vec::new();
    store.complete(&mut changes);
    changes
}

fn service(name: &str, version: &str, ip: Option<&str>) -> Value {
    let ingress: Vec<_> = ip.map(|ip| json!({"ip": ip})).into_iter().collect();
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": version},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

#[test]
fn a_new_list_tells_only_what_changed_and_what_is_gone() {
    let mut store = ServiceStore::new(Services::Full, None);
    store.begin();
    assert_eq!(feed(&mut store, service("a", "1", None)).len(), 1);
    assert_eq!(feed(&mut store, service("b", "2", None)).len(), 1);
    assert_eq!(feed(&mut store, service("c", "3", None)).len(), 1);
    assert!(complete(&mut store).is_empty());
    store.begin();
    assert!(feed(&mut store, service("a", "1", None)).is_empty());
    assert_eq!(feed(&mut store, service("b", "4", None)).len(), 1);
    assert_eq!(complete(&mut store), [Change::ServiceGone(key("c"))]);
    assert!(complete(&mut store).is_empty());
}

#[test]
fn a_list_that_breaks_off_reports_nothing_as_gone() {
    let mut store = ServiceStore::new(Services::Full, None);
    store.begin();
    feed(&mut store, service("a", "1", None));
    feed(&mut store, service("b", "1", None));
    complete(&mut store);
    store.begin();
    feed(&mut store, service("a", "1", None));
    store.begin();
    feed(&mut store, service("b", "1", None));
    feed(&mut store, service("a", "1", None));
    assert!(complete(&mut store).is_empty());
}

#[test]
fn a_deletion_is_told_once() {
    let mut store = ServiceStore::new(Services::Full, None);
    store.begin();
    feed(&mut store, service("a", "1", None));
    assert_eq!(
        remove(&mut store, service("a", "2", None)),
        [Change::ServiceGone(key("a"))]
    );
    assert!(remove(&mut store, service("a", "2", None)).is_empty());
    assert!(complete(&mut store).is_empty());
}

#[test]
fn a_controller_is_told_every_version_and_a_speaker_only_what_it_looks_at() {
    let mut full = ServiceStore::new(Services::Full, None);
    let mut trimmed = ServiceStore::new(Services::Trimmed, None);
    assert_eq!(feed(&mut full, service("a", "1", None)).len(), 1);
    assert_eq!(feed(&mut full, service("a", "2", None)).len(), 1);
    assert_eq!(feed(&mut trimmed, service("a", "1", None)).len(), 1);
    assert!(feed(&mut trimmed, service("a", "2", None)).is_empty());
    assert_eq!(
        feed(&mut trimmed, service("a", "3", Some("10.0.0.1"))).len(),
        1
    );
}

#[test]
fn whole_objects_are_kept_of_services_that_wait_for_an_address() {
    let raws = Arc::new(Mutex::new(RawCache::default()));
    let mut store = ServiceStore::new(Services::Full, Some(raws.clone()));
    let take = |name: &str, version: &str| raws.lock().unwrap().take(&key(name), version);
    feed(&mut store, service("waits", "1", None));
    feed(&mut store, service("has", "1", Some("10.0.0.1")));
    feed(&mut store, service("gone", "1", None));
    remove(&mut store, service("gone", "2", None));
    feed(&mut store, service("served", "1", None));
    feed(&mut store, service("served", "2", Some("10.0.0.2")));
    assert_eq!(take("waits", "1"), Some(service("waits", "1", None)));
    for name in ["has", "gone", "served"] {
        assert_eq!((take(name, "1"), take(name, "2")), (None, None), "{name}");
    }
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": addresses, "nodeName": "n1"}],
    })
}

fn merged(service: &str, addresses: &[&str]) -> Change {
    let endpoint = |address: &&str| view::Endpoint {
        address: (*address).into(),
        node: Some("n1".into()),
        ready: true,
    };
    Change::Endpoints(view::Endpoints {
        service: key(service),
        endpoints: addresses.iter().map(endpoint).collect(),
    })
}

#[test]
fn the_slices_of_a_service_are_told_as_one() {
    let mut store = FromSlices::default();
    store.begin();
    assert_eq!(
        feed(&mut store, slice("web-1", "web", &["a"])),
        [merged("web", &["a"])]
    );
    assert_eq!(
        feed(&mut store, slice("web-2", "web", &["b"])),
        [merged("web", &["a", "b"])]
    );
    assert!(feed(&mut store, slice("web-2", "web", &["b"])).is_empty());
    assert_eq!(
        feed(&mut store, slice("web-1", "web", &["c"])),
        [merged("web", &["c", "b"])]
    );
    assert_eq!(
        remove(&mut store, slice("web-1", "web", &["c"])),
        [merged("web", &["b"])]
    );
    assert_eq!(
        remove(&mut store, slice("web-2", "web", &["b"])),
        [Change::EndpointsGone(key("web"))]
    );
    assert!(remove(&mut store, slice("web-2", "web", &["b"])).is_empty());
}

#[test]
fn slices_that_vanished_between_two_lists_are_merged_away() {
    let mut store = FromSlices::default();
    store.begin();
    feed(&mut store, slice("web-1", "web", &["a"]));
    feed(&mut store, slice("web-2", "web", &["b"]));
    feed(&mut store, slice("old-1", "old", &["x"]));
    assert!(complete(&mut store).is_empty());
    store.begin();
    assert!(feed(&mut store, slice("web-2", "web", &["b"])).is_empty());
    let changes = complete(&mut store);
    assert_eq!(
        changes,
        [Change::EndpointsGone(key("old")), merged("web", &["b"])]
    );
}

#[test]
fn what_another_kind_of_object_told_is_forgotten_when_the_list_of_the_new_kind_is_complete() {
    let mut slices = FromSlices::default();
    slices.begin();
    feed(&mut slices, slice("web-1", "web", &["a"]));
    feed(&mut slices, slice("old-1", "old", &["x"]));
    complete(&mut slices);
    let mut endpoints = FromEndpoints(slices.0);
    endpoints.begin();
    let web = json!({"metadata": {"name": "web", "namespace": "shop"}, "subsets": [{"addresses": [{"ip": "a", "nodeName": "n1"}]}]});
    feed(&mut endpoints, web);
    let changes = complete(&mut endpoints);
    assert_eq!(
        changes,
        [Change::EndpointsGone(key("old")), merged("web", &["a"])]
    );
}

#[test]
fn an_annotation_of_an_endpoints_object_is_no_news() {
    let mut store = FromEndpoints::default();
    let object = |annotation: &str| json!({"metadata": {"name": "lease", "namespace": "shop", "annotations": {"control-plane.alpha.kubernetes.io/leader": annotation}}});
    assert_eq!(feed(&mut store, object("1")), [merged("lease", &[])]);
    assert!(feed(&mut store, object("2")).is_empty());
}

#[test]
fn a_heartbeat_of_a_node_is_no_news_but_readiness_and_labels_are() {
    let mut store = NodeStore::default();
    let node = |ready: &str, zone: &str, beat: u32| {
        json!({
            "metadata": {"name": "n1", "resourceVersion": beat.to_string(), "labels": {"zone": zone}},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}]},
        })
    };
    assert_eq!(feed(&mut store, node("True", "a", 1)).len(), 1);
    assert!(feed(&mut store, node("True", "a", 2)).is_empty());
    assert_eq!(feed(&mut store, node("False", "a", 3)).len(), 1);
    assert_eq!(feed(&mut store, node("False", "b", 4)).len(), 1);
    assert_eq!(
        remove(&mut store, node("False", "b", 5)),
        [Change::NodeGone("n1".into())]
    );
}

#[test]
fn an_absent_configmap_is_told_at_the_first_list_and_not_again() {
    let mut store = ConfigMapStore::new(ObjectKey::new("m", "config"));
    store.begin();
    assert_eq!(complete(&mut store), [Change::ConfigMapGone]);
    store.begin();
    assert!(complete(&mut store).is_empty());
    let object = json!({"metadata": {"name": "config", "namespace": "m"}, "data": {"config": "x"}});
    assert_eq!(feed(&mut store, object.clone()).len(), 1);
    assert!(feed(&mut store, object.clone()).is_empty());
    assert_eq!(remove(&mut store, object.clone()), [Change::ConfigMapGone]);
    assert_eq!(feed(&mut store, object).len(), 1);
    store.begin();
    assert_eq!(complete(&mut store), [Change::ConfigMapGone]);
}

#[test]
fn another_configmap_is_not_ours() {
    let mut store = ConfigMapStore::new(ObjectKey::new("m", "config"));
    assert!(
        feed(
            &mut store,
            json!({"metadata": {"name": "other", "namespace": "m"}})
        )
        .is_empty()
    );
    assert!(
        remove(
            &mut store,
            json!({"metadata": {"name": "other", "namespace": "m"}})
        )
        .is_empty()
    );
}
