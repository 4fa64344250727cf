//! Tests of the reader of manifests.

use super::*;

fn source() -> Source<'static> {
    Source {
        origin: "dir/file.yaml",
        format: Format::Yaml,
        config_name: Some("config"),
        may_be_bare: false,
    }
}

fn service(text: &str) -> view::Service {
    let parsed = parse(text, source()).unwrap();
    match parsed.objects.as_slice() {
        [Object::Service(service)] => (**service).clone(),
        other => panic!("expected one Service: {other:?}"),
    }
}

fn fault(text: &str) -> String {
    parse(text, source()).unwrap_err().to_string()
}

const WEB: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations:
    metallb.universe.tf/address-pool: silver
    metallb.universe.tf/allow-shared-ip: key
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  loadBalancerClass: example.org/ours
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http}
  - {name: dns, port: 53, protocol: UDP}
status:
  loadBalancer:
    ingress: [{ip: 10.0.0.7}]
";

#[test]
fn a_service_is_read_field_for_field() {
    let service = service(WEB);
    assert_eq!(
        service,
        view::Service {
            key: ObjectKey::new("default", "web"),
            uid: "".into(),
            resource_version: "".into(),
            is_load_balancer: true,
            load_balancer_class: Some("example.org/ours".to_owned()),
            cluster_ips: vec!["0.0.0.0".to_owned()],
            load_balancer_ip: String::new(),
            local_traffic_policy: true,
            selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            ports: vec![
                view::Port {
                    protocol: "TCP".into(),
                    port: 80
                },
                view::Port {
                    protocol: "UDP".into(),
                    port: 53
                },
            ],
            annotation_pool: Some("silver".to_owned()),
            annotation_ips: None,
            sharing_key: "key".to_owned(),
            ingress: vec!["10.0.0.7".to_owned()],
        }
    );
}

#[test]
fn the_family_comes_from_what_the_manifest_says() {
    for (spec, want) in [
        ("{}", vec!["0.0.0.0"]),
        ("{clusterIP: ''}", vec!["0.0.0.0"]),
        ("{clusterIP: None}", vec!["None"]),
        ("{clusterIP: 10.1.1.1}", vec!["10.1.1.1"]),
        (
            "{clusterIP: 10.1.1.1, clusterIPs: [10.1.1.1, 'fd00::1']}",
            vec!["10.1.1.1", "fd00::1"],
        ),
        ("{ipFamilies: [IPv6]}", vec!["::"]),
        ("{ipFamilies: [IPv6, IPv4]}", vec!["::", "0.0.0.0"]),
        (
            "{ipFamilies: [IPv6, IPv4], ipFamilyPolicy: SingleStack}",
            vec!["::"],
        ),
        (
            "{ipFamilies: [IPv6], ipFamilyPolicy: RequireDualStack}",
            vec!["::", "0.0.0.0"],
        ),
        ("{ipFamilyPolicy: RequireDualStack}", vec!["0.0.0.0", "::"]),
        ("{ipFamilyPolicy: PreferDualStack}", vec!["0.0.0.0"]),
        ("{loadBalancerIP: 'fd00::7'}", vec!["::"]),
    ] {
        let text =
            format!("{{apiVersion: v1, kind: Service, metadata: {{name: a}}, spec: {spec}}}");
        assert_eq!(service(&text).cluster_ips, want, "{spec}");
    }
    let both = "{apiVersion: v1, kind: Service, metadata: {name: a, annotations: \
                {metallb.universe.tf/loadBalancerIPs: '10.0.0.1, fd00::1'}}}";
    assert_eq!(service(both).cluster_ips, ["0.0.0.0", "::"]);
}

#[test]
fn a_fault_has_its_line_and_column() {
    for (from, to, place, word) in [
        ("port: 80", "port: 70000", "14:", "port"),
        (
            "type: LoadBalancer",
            "type: Loadbalancer",
            "9:",
            "LoadBalancer",
        ),
        ("protocol: UDP", "protocol: udp", "15:", "UDP"),
        ("name: web", "name: We_b", "4:", "is not a name"),
        (
            "selector: {app: web}",
            "selector: {app: web",
            "",
            "expected",
        ),
        (
            "address-pool: silver",
            "address-pool: [silver]",
            "6:",
            "string",
        ),
    ] {
        let text = fault(&WEB.replacen(from, to, 1));
        assert!(text.starts_with(place), "{to}: {text}");
        assert!(text.contains(word), "{to}: {text}");
    }
    assert!(fault("kind: Service\nmetadata: {name: a}\n").contains("`apiVersion`"));
    assert!(fault("metadata: {name: a}\n").contains("`kind` is missing of \"a\""));
    assert!(fault("address-pools: []\n").contains("config.yaml"));
    assert!(fault("- 1\n- 2\n").starts_with("1:1: "));
}

#[test]
fn a_fault_in_a_later_document_refuses_the_whole_file() {
    let text = format!(
        "{WEB}---\napiVersion: v1\nkind: Service\nmetadata: {{name: b}}\nspec: {{ports: 7}}\n"
    );
    let fault = parse(&text, source()).unwrap_err();
    assert_eq!(fault.place.map(|(line, _)| line), Some(23), "{fault}");
}

#[test]
fn documents_and_lists_are_read_in_order_and_the_rest_is_counted() {
    let text = "\
# nothing
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: n1, labels: {rack: a}}, status: {conditions: [{type: Ready, status: 'False'}]}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}}}
- apiVersion: v1
  kind: List
  items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: config, namespace: any}, data: {config: 'peers: []'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {a: b}}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: k}, spec: {template: {}}}
---
apiVersion: v1
kind: ServiceList
items:
- {metadata: {name: s, namespace: web}}
";
    let parsed = parse(text, source()).unwrap();
    let identities: Vec<_> = parsed
        .objects
        .iter()
        .map(|object| {
            let (kind, key) = object.identity();
            format!("{kind} {key}")
        })
        .collect();
    assert_eq!(
        identities,
        ["Node /n1", "ConfigMap /config", "Service web/s"]
    );
    let ignored: Vec<_> = parsed.ignored.keys().map(String::as_str).collect();
    assert_eq!(
        ignored,
        [
            "ConfigMap \"other\"",
            "Deployment (apps/v1)",
            "Service (serving.knative.dev/v1)"
        ]
    );
    let Some(Object::Node(node)) = parsed.objects.first() else {
        panic!("{parsed:?}");
    };
    assert!(!node.ready);
    assert_eq!(node.labels.get("rack").map(String::as_str), Some("a"));
}

#[test]
fn endpoints_and_slices_become_the_same_view() {
    let text = "\
{apiVersion: v1, kind: Endpoints, metadata: {name: web}, subsets: [{addresses: [{ip: 10.1.0.1, nodeName: n1}], notReadyAddresses: [{ip: 10.1.0.2}]}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, labels: {kubernetes.io/service-name: web}},
 endpoints: [{addresses: [10.1.0.1], nodeName: n1}, {addresses: [10.1.0.2], conditions: {ready: false}}]}
---
{apiVersion: discovery.k8s.io/v1beta1, kind: EndpointSlice, metadata: {name: web-2, labels: {kubernetes.io/service-name: web}},
 endpoints: [{addresses: [10.1.0.1], topology: {kubernetes.io/hostname: n1}}, {addresses: [10.1.0.2], conditions: {ready: false}}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: nobodys}, endpoints: []}
";
    let parsed = parse(text, source()).unwrap();
    let want = view::Endpoints {
        service: ObjectKey::new("default", "web"),
        endpoints: vec![
            view::Endpoint {
                address: "10.1.0.1".into(),
                node: Some("n1".into()),
                ready: true,
            },
            view::Endpoint {
                address: "10.1.0.2".into(),
                node: None,
                ready: false,
            },
        ],
    };
    assert_eq!(
        parsed.objects,
        [
            Object::Endpoints(want.clone()),
            Object::Slice(ObjectKey::new("default", "web-1"), want.clone()),
            Object::Slice(ObjectKey::new("default", "web-2"), want),
        ]
    );
}

#[test]
fn a_bare_configuration_is_taken_as_it_is_written() {
    let bare = Source {
        may_be_bare: true,
        ..source()
    };
    // The second text is no YAML for this reader, and none for the configuration's: that one explains it better.
    for text in [
        "address-pools:\n- {name: a, protocol: layer2, addresses: [10.0.0.0/24]}\n",
        "address-pools:\n\t- broken",
    ] {
        let parsed = parse(text, bare).unwrap();
        let [Object::ConfigMap(map)] = parsed.objects.as_slice() else {
            panic!("{parsed:?}");
        };
        assert_eq!(map.key, ObjectKey::new("metallb-system", "config"));
        assert_eq!(map.config.as_deref(), Some(text));
        assert_eq!(map.origin, "dir/file.yaml");
    }
    assert_eq!(parse("", bare).unwrap().objects, []);
    assert_eq!(parse("# only words\n", bare).unwrap().objects, []);
    let manifest =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {config: 'a: b'}\n";
    let parsed = parse(manifest, bare).unwrap();
    let [Object::ConfigMap(map)] = parsed.objects.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(map.config.as_deref(), Some("a: b"));
    assert_eq!(map.settings, None);
    let both = manifest.replace("'a: b'", "'a: b', ferrolb: 'c: d'");
    let parsed = parse(&both, bare).unwrap();
    let [Object::ConfigMap(map)] = parsed.objects.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(map.settings.as_deref(), Some("c: d"));
    assert!(parse(&manifest.replace("data: {", "data: ["), bare).is_err());
}

#[test]
fn json_is_read_as_json() {
    let json = Source {
        format: Format::Json,
        ..source()
    };
    let text = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\"}}\n\
                {\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"v1\",\"kind\":\"Service\",\
                \"metadata\":{\"name\":\"b\"}}]}";
    assert_eq!(parse(text, json).unwrap().objects.len(), 2);
    let fault = parse(&text.replace("\"b\"", "7"), json).unwrap_err();
    assert_eq!(fault.place.map(|(line, _)| line), Some(2), "{fault}");
}

#[test]
fn a_configuration_beyond_the_limit_is_refused() {
    let long = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config}}\ndata:\n  config: \"{}\"\n",
        "#".repeat(CONFIG_LIMIT + 1)
    );
    assert!(fault(&long).contains("at most 1048576"), "{}", fault(&long));
}
