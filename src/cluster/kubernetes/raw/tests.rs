use super::*;

fn object(version: &str, size: usize) -> Value {
    json!({"metadata": {"name": "web", "resourceVersion": version, "annotations": {"filler": "x".repeat(size)}}})
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn an_object_comes_back_as_it_was_from_a_line_and_from_a_list() {
    let mut cache = RawCache::default();
    let web = object("5", 10);
    let line = json!({"type": "ADDED", "object": web}).to_string();
    cache.insert(&key("a"), &"5".into(), &Raw::Line(line.as_bytes()));
    cache.insert(&key("b"), &"5".into(), &Raw::Item(&web));
    assert_eq!(cache.take(&key("a"), "4"), None);
    assert_eq!(cache.take(&key("a"), "5"), Some(web.clone()));
    assert_eq!(cache.take(&key("a"), "5"), None);
    assert_eq!(cache.take(&key("b"), "5"), Some(web));
    assert_eq!((cache.len(), cache.octets), (0, 0));
}

#[test]
fn the_oldest_make_room_and_a_replaced_object_is_not_the_oldest() {
    let mut cache = RawCache::default();
    let small = object("1", 0);
    cache.insert(&key("first"), &"1".into(), &Raw::Item(&small));
    cache.insert(&key("second"), &"1".into(), &Raw::Item(&small));
    cache.insert(&key("first"), &"2".into(), &Raw::Item(&object("2", 0)));
    for n in 0..MOST_OBJECTS - 1 {
        cache.insert(&key(&n.to_string()), &"1".into(), &Raw::Item(&small));
    }
    assert_eq!(cache.len(), MOST_OBJECTS);
    assert!(cache.take(&key("second"), "1").is_none());
    assert!(cache.take(&key("first"), "2").is_some());
}

#[test]
fn octets_are_bounded_and_a_giant_is_not_kept() {
    let mut cache = RawCache::default();
    let large = object("1", LARGEST_OBJECT / 2);
    for n in 0..300 {
        cache.insert(&key(&n.to_string()), &"1".into(), &Raw::Item(&large));
        assert!(cache.octets <= MOST_OCTETS);
    }
    assert!(cache.len() > 50);
    cache.insert(
        &key("giant"),
        &"1".into(),
        &Raw::Item(&object("1", LARGEST_OBJECT)),
    );
    assert!(cache.take(&key("giant"), "1").is_none());
    for n in 0..3 * MOST_OBJECTS {
        cache.insert(&key("same"), &"1".into(), &Raw::Item(&object("1", 0)));
        assert!(cache.order.len() <= 2 * MOST_OBJECTS, "{n}");
    }
}

#[test]
fn only_the_addresses_change_and_what_the_server_added_to_one_that_stays_is_kept() {
    let before = json!({
        "metadata": {"name": "web", "labels": {"a": "b"}, "finalizers": ["f"], "managedFields": [{}]},
        "spec": {"future": true},
        "status": {
            "conditions": [{"type": "X"}],
            "loadBalancer": {"ingress": [{"ip": "10.0.0.1", "ipMode": "VIP"}, {"ip": "FD00::1", "ipMode": "Proxy"}], "other": 1},
        },
    });
    let after = with_addresses(before, &addresses(&["fd00::1", "10.0.0.2"])).unwrap();
    assert_eq!(
        after,
        json!({
            "metadata": {"name": "web", "labels": {"a": "b"}, "finalizers": ["f"]},
            "spec": {"future": true},
            "status": {
                "conditions": [{"type": "X"}],
                "loadBalancer": {"ingress": [{"ip": "FD00::1", "ipMode": "Proxy"}, {"ip": "10.0.0.2"}], "other": 1},
            },
        })
    );
    let cleared = with_addresses(after, &[]).unwrap();
    assert_eq!(
        cleared["status"],
        json!({"conditions": [{"type": "X"}], "loadBalancer": {"other": 1}})
    );
}

#[test]
fn a_status_that_is_absent_null_or_odd_is_made() {
    for status in [
        Value::Null,
        json!({}),
        json!({"loadBalancer": null}),
        json!({"loadBalancer": {"ingress": "x"}}),
    ] {
        let after = with_addresses(json!({"status": status}), &addresses(&["10.0.0.1"])).unwrap();
        assert_eq!(
            after,
            json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}})
        );
    }
    assert_eq!(with_addresses(json!([]), &[]), None);
}
