use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::view::ObjectKey;

fn page(source: impl Source + 'static) -> String {
    let mut registry = Registry::default();
    registry.add(source);
    registry.render()
}

#[test]
fn the_controller_s_page_has_0_12_s_names_and_labels() {
    let figures = Arc::new(Controller::default());
    figures.publish(controller::Stats {
        pools: vec![
            ("default".to_owned(), 11, 2),
            ("a\"b\\\n".to_owned(), i64::MAX, 0),
        ],
        config_loaded: true,
        config_stale: false,
        updates: 1_234_567,
        update_errors: 3,
    });
    figures.count_write(WriteEnd::Written);
    figures.count_write(WriteEnd::Written);
    figures.count_write(WriteEnd::Superseded);
    assert_eq!(
        page(figures),
        r#"# HELP ferrolb_status_writes_total Writes of a Service's status, by how they ended.
# TYPE ferrolb_status_writes_total counter
ferrolb_status_writes_total{outcome="refused"} 0
ferrolb_status_writes_total{outcome="superseded"} 1
ferrolb_status_writes_total{outcome="unavailable"} 0
ferrolb_status_writes_total{outcome="written"} 2
# HELP metallb_allocator_addresses_in_use_total Number of addresses of a pool that Services hold.
# TYPE metallb_allocator_addresses_in_use_total gauge
metallb_allocator_addresses_in_use_total{pool="a\"b\\\n"} 0
metallb_allocator_addresses_in_use_total{pool="default"} 2
# HELP metallb_allocator_addresses_total Number of addresses that a pool has.
# TYPE metallb_allocator_addresses_total gauge
metallb_allocator_addresses_total{pool="a\"b\\\n"} 9.223372036854776e+18
metallb_allocator_addresses_total{pool="default"} 11
# HELP metallb_k8s_client_config_loaded_bool 1 if a configuration was successfully loaded at least once.
# TYPE metallb_k8s_client_config_loaded_bool gauge
metallb_k8s_client_config_loaded_bool 1
# HELP metallb_k8s_client_config_stale_bool 1 if the configuration in force is older than the ConfigMap, because that was refused.
# TYPE metallb_k8s_client_config_stale_bool gauge
metallb_k8s_client_config_stale_bool 0
# HELP metallb_k8s_client_update_errors_total Number of Kubernetes objects whose processing failed.
# TYPE metallb_k8s_client_update_errors_total counter
metallb_k8s_client_update_errors_total 3
# HELP metallb_k8s_client_updates_total Number of Kubernetes objects that were processed.
# TYPE metallb_k8s_client_updates_total counter
metallb_k8s_client_updates_total 1.234567e+06
"#
    );
}

#[test]
fn the_speaker_s_page_has_0_12_s_names_and_labels() {
    let figures = Arc::new(Speaker::new(Arc::from("node-1")));
    let announcement = |name, ip: &str| speaker::Announcement {
        service: ObjectKey::new("default", name),
        ip: ip.parse().unwrap(),
        protocol: speaker::ProtocolName("layer2"),
    };
    figures.publish(
        speaker::Stats {
            config_loaded: true,
            config_stale: true,
            updates: 2,
            update_errors: 0,
        },
        vec![
            announcement("b", "2001:db8::1"),
            announcement("a", "192.0.2.1"),
        ],
    );
    figures.set_strict_arp_off(true);
    assert_eq!(
        page(figures.clone()),
        r#"# HELP ferrolb_layer2_strict_arp_off 1 if this host's kernel answers ARP for announced addresses (kube-proxy in IPVS mode without strict ARP).
# TYPE ferrolb_layer2_strict_arp_off gauge
ferrolb_layer2_strict_arp_off 1
# HELP metallb_k8s_client_config_loaded_bool 1 if a configuration was successfully loaded at least once.
# TYPE metallb_k8s_client_config_loaded_bool gauge
metallb_k8s_client_config_loaded_bool 1
# HELP metallb_k8s_client_config_stale_bool 1 if the configuration in force is older than the ConfigMap, because that was refused.
# TYPE metallb_k8s_client_config_stale_bool gauge
metallb_k8s_client_config_stale_bool 1
# HELP metallb_k8s_client_update_errors_total Number of Kubernetes objects whose processing failed.
# TYPE metallb_k8s_client_update_errors_total counter
metallb_k8s_client_update_errors_total 0
# HELP metallb_k8s_client_updates_total Number of Kubernetes objects that were processed.
# TYPE metallb_k8s_client_updates_total counter
metallb_k8s_client_updates_total 2
# HELP metallb_speaker_announced 1 for each address of a Service that this node announces.
# TYPE metallb_speaker_announced gauge
metallb_speaker_announced{ip="192.0.2.1",node="node-1",protocol="layer2",service="default/a"} 1
metallb_speaker_announced{ip="2001:db8::1",node="node-1",protocol="layer2",service="default/b"} 1
"#
    );
    figures.publish(speaker::Stats::default(), Vec::new());
    figures.set_strict_arp_off(false);
    let empty = page(figures);
    assert!(!empty.contains("metallb_speaker_announced"));
    assert!(empty.contains("ferrolb_layer2_strict_arp_off 0\n"));
}

#[test]
fn layer_2_counts_by_address_from_the_first_packet_on() {
    let counters = [
        (
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            layer2::Counters {
                requests_received: 5,
                responses_sent: 4,
                gratuitous_sent: 0,
                conflicts: 0,
            },
        ),
        (
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
            layer2::Counters {
                requests_received: 0,
                responses_sent: 0,
                gratuitous_sent: 12,
                conflicts: 0,
            },
        ),
    ];
    assert_eq!(
        page(move |out: &mut Exposition| layer2(&counters, out)),
        r#"# HELP metallb_layer2_gratuitous_sent Number of gratuitous layer 2 packets sent for an announced address.
# TYPE metallb_layer2_gratuitous_sent counter
metallb_layer2_gratuitous_sent{ip="192.0.2.2"} 12
# HELP metallb_layer2_requests_received Number of layer 2 requests received for an announced address.
# TYPE metallb_layer2_requests_received counter
metallb_layer2_requests_received{ip="192.0.2.1"} 5
# HELP metallb_layer2_responses_sent Number of layer 2 responses sent for an announced address.
# TYPE metallb_layer2_responses_sent counter
metallb_layer2_responses_sent{ip="192.0.2.1"} 4
"#
    );
}

#[test]
fn every_program_shows_its_process_as_client_libraries_do() {
    let text = Registry::of_process("controller", Journal::silent()).render();
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
            .parse::<f64>()
            .unwrap()
    };
    for (name, kind) in [
        ("process_cpu_seconds_total", "counter"),
        ("process_open_fds", "gauge"),
        ("process_max_fds", "gauge"),
        ("process_virtual_memory_bytes", "gauge"),
        ("process_virtual_memory_max_bytes", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_start_time_seconds", "gauge"),
    ] {
        assert!(
            text.contains(&format!("# TYPE {name} {kind}\n")),
            "{name} in\n{text}"
        );
        assert!(value(name) >= 0.0, "{name}");
    }
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
    // 2020-09-13 to 2065-01-24: seconds, not ticks or milliseconds.
    assert!((1.6e9..3.0e9).contains(&value("process_start_time_seconds")));
    assert!(text.contains("ferrolb_build_info{commit=\""));
    assert!(text.contains("ferrolb_log_lines_dropped_total 0\n"));
}

#[test]
fn the_gossip_has_figures_of_its_own() {
    use crate::memberlist::swim;
    use crate::memberlist::wire::Dropped;
    let counters = memberlist_driver::Counters {
        received: 7,
        members: 3,
        dropped: vec![(Dropped::Undecryptable, 2), (Dropped::Empty, 0)],
        swim: swim::Counters {
            deaths: 1,
            ..swim::Counters::default()
        },
        ..memberlist_driver::Counters::default()
    };
    let page = page(move |out: &mut Exposition| memberlist(&counters, out));
    for line in [
        "# TYPE ferrolb_memberlist_members gauge",
        "ferrolb_memberlist_members 3",
        "# TYPE ferrolb_memberlist_datagrams_received_total counter",
        "ferrolb_memberlist_datagrams_received_total 7",
        "ferrolb_memberlist_deaths_total 1",
        "ferrolb_memberlist_dropped_total{reason=\"empty\"} 0",
        "ferrolb_memberlist_dropped_total{reason=\"undecryptable\"} 2",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
}
