//! What applying would change, whom it touches, what stands against it, and how it is undone: without a server.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::schema::{Schema, Schemas};
use ferrolb_compat::migrate::Release;
use serde_json::{Value, json};

use super::changes::{Changes, Wanted, changes, differences, manifest, says_the_same};
use super::inventory::{
    Inventory, Node, Object, Program, Role, Served, Service, Software, objects,
};
use super::plan::{self, Plan, State};
use super::rollback::{Entry, FileError, Rollback, Undo, beginning};
use super::services::{How, Remedy, Touched, touched};
use super::{FIELD_MANAGER, Kind};
use crate::migrate::{BgpMode, Conversion, Level, Options, Source, convert};

const CONFIG: &str = "
peers:
- {peer-address: 10.0.0.1, peer-asn: 64500, my-asn: 64501, password: hunter2}
address-pools:
- {name: default, protocol: layer2, addresses: [192.0.2.0/28]}
- name: My_Pool
  protocol: bgp
  addresses: [198.51.100.0/24]
  bgp-advertisements: [{communities: [mark]}]
bgp-communities: {mark: '64500:1'}
";

fn release(text: &str) -> Release {
    text.parse().unwrap()
}

fn converted(config: &str, target: &str) -> Conversion {
    let options = Options {
        target: release(target),
        ..Options::default()
    };
    convert(Source::Text(config), &options)
}

/// A CustomResourceDefinition as a server has it once it serves it.
fn established(target: &str) -> Vec<Served> {
    let manifests = Schemas::of(release(target)).manifests();
    let mut served = Vec::new();
    for manifest in manifests {
        let mut text = String::new();
        ferrolb_compat::yaml::emit::write(&mut text, &manifest);
        let mut object = objects(&text).unwrap().remove(0);
        assert_eq!(Served::read(&object), None, "it is not established yet");
        object["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        served.push(Served::read(&object).unwrap());
    }
    served
}

fn service(name: &str, annotations: Value, address: &str) -> Service {
    Service::read(&json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "annotations": annotations},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    }))
    .unwrap()
}

fn program(role: Role, image: &str, wanted: u64) -> Program {
    let (kind, status) = match role {
        Role::Controller => ("Deployment", json!({"replicas": wanted})),
        Role::Speaker => ("DaemonSet", json!({"desiredNumberScheduled": wanted})),
    };
    let word = role.as_str();
    let object = json!({
        "metadata": {"name": word},
        "spec": {"replicas": wanted, "template": {
            "metadata": {"labels": {"app": "metallb", "component": word}},
            "spec": {"containers": [{"name": word, "image": image, "args": ["--port=7472", "--config=config"]}]},
        }},
        "status": status,
    });
    Program::read(kind, &object).unwrap()
}

/// A cluster of 0.12 with the definitions of a release.
fn cluster(target: &str) -> Inventory {
    Inventory {
        server: "https://one".to_owned(),
        cluster: "cluster-1".to_owned(),
        namespace: "metallb-system".to_owned(),
        config_map: Some(
            json!({"metadata": {"name": "config", "namespace": "metallb-system"}, "data": {"config": CONFIG}}),
        ),
        programs: vec![
            program(Role::Controller, "quay.io/metallb/controller:v0.12.1", 1),
            program(Role::Speaker, "quay.io/metallb/speaker:v0.12.1", 3),
        ],
        served: established(target),
        services: vec![
            service("web", json!({}), "192.0.2.1"),
            service(
                "api",
                json!({"metallb.universe.tf/address-pool": "My_Pool"}),
                "198.51.100.9",
            ),
        ],
        ..Inventory::default()
    }
}

/// What a command would compute.
struct Case {
    inventory: Inventory,
    conversion: Conversion,
    target: Release,
    allow: BTreeSet<String>,
}

impl Case {
    fn new(target: &str) -> Self {
        Self {
            inventory: cluster(target),
            conversion: converted(CONFIG, target),
            target: release(target),
            allow: BTreeSet::new(),
        }
    }

    fn touched(&self) -> Vec<Touched> {
        touched(
            self.conversion.config.as_ref().unwrap(),
            &self.conversion.renames,
            &self.inventory.services,
            self.target,
        )
    }

    fn with<T>(&self, look: impl FnOnce(&Wanted<'_>, &Changes) -> T) -> T {
        let touched = self.touched();
        let wanted = Wanted {
            config: self.conversion.config.as_ref().unwrap(),
            resources: self.conversion.resources.as_ref().unwrap(),
            touched: &touched,
            target: self.target,
            field_manager: FIELD_MANAGER,
            allow: &self.allow,
        };
        look(&wanted, &changes(&self.inventory, &wanted))
    }

    fn changes(&self) -> Changes {
        self.with(|_, changes| changes.clone())
    }

    fn plan(&self) -> Plan {
        self.with(|wanted, changes| {
            plan::plan(&plan::Situation {
                inventory: &self.inventory,
                wanted,
                changes,
                mode: BgpMode::Native,
                config_name: "config",
                options: " --target-version X",
            })
        })
    }

    /// The cluster after the changes, by this owner.
    fn apply(&mut self, manager: &str) {
        let changes = self.changes();
        for (number, change) in changes.objects.iter().enumerate() {
            self.inventory.objects.retain(|object| {
                (object.kind.as_str(), &object.name) != (change.kind.name, &change.name)
            });
            self.inventory.objects.push(stored(
                change.manifest.clone(),
                &format!("made-{number}"),
                manager,
            ));
        }
        for annotation in &changes.annotations {
            let service = self
                .inventory
                .services
                .iter_mut()
                .find(|service| service.key == annotation.service)
                .unwrap();
            service
                .annotations
                .insert(annotation.key.to_owned(), annotation.after.clone());
        }
    }

    fn codes(&self) -> Vec<&'static str> {
        let changes = self.changes();
        changes
            .hindrances
            .iter()
            .map(|hindrance| hindrance.code)
            .collect()
    }
}

/// An object as a server has it.
fn stored(mut object: Value, uid: &str, manager: &str) -> Object {
    object["metadata"]["uid"] = json!(uid);
    object["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Apply"}]);
    let kind = object["kind"].as_str().unwrap().to_owned();
    Object::read(&kind, object)
}

// -- what is there

#[test]
fn a_program_says_what_it_reads_by_its_image() {
    let software = |image: &str| program(Role::Controller, image, 1).software;
    assert_eq!(
        software("quay.io/metallb/controller:v0.12.1"),
        Software::ConfigMap
    );
    assert_eq!(
        software("quay.io/ferrolb/controller:v0.1.0"),
        Software::ConfigMap
    );
    assert_eq!(
        software("quay.io/metallb/controller:v0.13.7"),
        Software::Resources(Release::new(13, 7))
    );
    assert_eq!(
        software("registry:5000/bitnami/metallb-controller:0.14.3-debian-12-r1"),
        Software::Resources(Release::new(14, 3))
    );
    // No version: 0.13 and later have no --config.
    assert_eq!(
        software("registry:5000/controller@sha256:00"),
        Software::ConfigMap
    );
}

#[test]
fn other_workloads_are_no_programs() {
    for labels in [
        json!({"app": "nginx", "component": "controller"}),
        json!({"app": "metallb"}),
        json!({"app": "metallb", "component": "frr"}),
    ] {
        let object = json!({"spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{}]}}}});
        assert_eq!(Program::read("Deployment", &object), None);
    }
    assert_eq!(Program::read("Deployment", &json!({})), None);
}

#[test]
fn the_definitions_tell_of_which_releases_they_are() {
    for (target, shown) in [
        ("0.13.0", "0.13.0 or later, before 0.13.4"),
        ("0.13.7", "0.13.6 or later, before 0.13.8"),
        ("0.13.12", "0.13.8 or later, before 0.14.4"),
        ("0.14.4", "0.14.4 or later, before 0.14.6"),
        ("0.14.9", "0.14.9 or later, before 0.15.0"),
        ("0.15.3", "0.15.0 or later, before 0.16.0"),
        ("0.16.1", "0.16.0 or later"),
    ] {
        let inventory = Inventory {
            served: established(target),
            ..Inventory::default()
        };
        let vintage = inventory.vintage().unwrap();
        assert!(vintage.contains(release(target)), "{target}");
        assert_eq!(vintage.to_string(), shown);
    }
    assert_eq!(Inventory::default().vintage(), None);
}

#[test]
fn every_default_of_every_release_counts_as_absent() {
    for target in ["0.13.0", "0.13.7", "0.13.12", "0.14.9", "0.15.0", "0.16.1"] {
        for crd in Schemas::of(release(target)).crds {
            let Schema::Object { fields, .. } = &crd.spec else {
                continue;
            };
            for field in fields {
                let Some(default) = &field.default else {
                    continue;
                };
                let default = match default {
                    ferrolb_compat::yaml::emit::Value::Bool(truth) => json!(truth),
                    ferrolb_compat::yaml::emit::Value::Int(number) => json!(number),
                    other => panic!("a default of another kind: {other:?}"),
                };
                let mut there = json!({"spec": {}});
                there["spec"][field.name] = default;
                let kind = Kind::named(crd.kind).unwrap();
                let title = format!("{target} {} {}", crd.kind, field.name);
                assert!(says_the_same(kind, &there, &json!({"spec": {}})), "{title}");
            }
        }
    }
}

#[test]
fn an_offline_inventory_is_a_list_a_document_or_several() {
    let one = "kind: Service\nmetadata: {name: a}\n";
    assert_eq!(objects(one).unwrap().len(), 1);
    assert_eq!(objects(&format!("{one}---\n{one}---\n")).unwrap().len(), 2);
    assert_eq!(
        objects(r#"{"kind":"List","items":[{"kind":"Service"},{"kind":"Service"}]}"#)
            .unwrap()
            .len(),
        2
    );
    assert!(objects("just a text").is_err());
    assert!(objects("a: [").is_err());
}

// -- who is touched

#[test]
fn a_service_of_a_renamed_pool_is_helped_by_what_the_target_reads() {
    let how = |target: &str| {
        let all = Case::new(target).touched();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].how.clone()
    };
    let renamed = |remedy| How::Renamed {
        from: "My_Pool".to_owned(),
        to: "my-pool".to_owned(),
        remedy,
    };
    assert_eq!(how("0.14.9"), renamed(Remedy::Add));
    assert_eq!(how("0.16.1"), renamed(Remedy::Add));
    assert_eq!(how("0.14.8"), renamed(Remedy::Replace));
    assert_eq!(how("0.13.12"), renamed(Remedy::Replace));
}

#[test]
fn both_annotations_must_mean_the_pool_that_the_address_is_of() {
    let (old, new) = (
        "metallb.universe.tf/address-pool",
        "metallb.io/address-pool",
    );
    let how = |target: &str, annotations: Value| {
        let mut case = Case::new(target);
        case.inventory.services = vec![service("one", annotations, "198.51.100.9")];
        case.touched()
            .into_iter()
            .map(|one| one.how)
            .collect::<Vec<_>>()
    };
    let contradicted = |asks: &str| {
        vec![How::Contradicted {
            asks: asks.to_owned(),
            holds: "my-pool".to_owned(),
        }]
    };
    let done = vec![How::Renamed {
        from: "My_Pool".to_owned(),
        to: "my-pool".to_owned(),
        remedy: Remedy::Done,
    }];
    assert_eq!(how("0.16.1", json!({old: "My_Pool", new: "my-pool"})), done);
    assert_eq!(
        how("0.16.1", json!({old: "My_Pool", new: "default"})),
        contradicted("default")
    );
    assert_eq!(
        how("0.16.1", json!({new: "My_Pool"})),
        contradicted("My_Pool")
    );
    assert_eq!(how("0.16.1", json!({new: "my-pool"})), []);
    // Nobody reads the new one there.
    assert_eq!(how("0.14.8", json!({new: "default"})), []);
}

#[test]
fn addresses_that_no_pool_has_and_wishes_that_contradict_are_told() {
    let mut case = Case::new("0.16.1");
    let mut lost = service("lost", json!({}), "203.0.113.1");
    let elsewhere = Service {
        class: "other".to_owned(),
        ..lost.clone()
    };
    lost.addresses.push("192.0.2.5".to_owned());
    let mut both = service(
        "both",
        json!({"metallb.universe.tf/address-pool": "default"}),
        "192.0.2.4",
    );
    both.requested = "198.51.100.1".to_owned();
    let unknown = service(
        "unknown",
        json!({"metallb.universe.tf/address-pool": "gone"}),
        "",
    );
    case.inventory.services = vec![unknown, both, lost, elsewhere];
    let told: Vec<(String, &str, Level)> = case
        .touched()
        .iter()
        .map(|one| (one.key.name().to_owned(), one.how.code(), one.how.level()))
        .collect();
    assert_eq!(
        told,
        [
            ("both".to_owned(), "MIG042", Level::Warning),
            ("lost".to_owned(), "MIG015", Level::Warning),
            ("unknown".to_owned(), "MIG014", Level::Info),
        ]
    );
    // 0.13.9 goes by the address, as 0.12 does.
    case.target = release("0.13.9");
    assert!(case.touched().iter().all(|one| one.how.code() != "MIG042"));
}

// -- what would change

#[test]
fn what_others_refer_to_comes_first_and_the_sessions_last() {
    let changes = Case::new("0.16.1").changes();
    let kinds: Vec<&str> = changes
        .objects
        .iter()
        .map(|change| change.kind.name)
        .collect();
    assert_eq!(
        kinds,
        [
            "Secret",
            "Community",
            "IPAddressPool",
            "IPAddressPool",
            "BGPAdvertisement",
            "L2Advertisement",
            "BGPPeer"
        ]
    );
    assert_eq!(changes.hindrances, []);
    let [annotation] = changes.annotations.as_slice() else {
        panic!("{:?}", changes.annotations);
    };
    assert_eq!(
        (
            annotation.key,
            annotation.before.as_deref(),
            annotation.after.as_str()
        ),
        ("metallb.io/address-pool", None, "my-pool")
    );
    assert!(
        !format!("{changes:?}").contains("hunter2")
            && !format!("{changes:?}").contains("aHVudGVyMg")
    );
}

#[test]
fn what_is_applied_is_not_applied_again() {
    for manager in [FIELD_MANAGER, "kubectl"] {
        let mut case = Case::new("0.16.1");
        case.apply(manager);
        let changes = case.changes();
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!((changes.unchanged, changes.hindrances.len()), (7, 0));
    }
}

#[test]
fn an_object_of_ours_is_changed_and_one_of_others_is_in_the_way() {
    let mut case = Case::new("0.16.1");
    case.apply(FIELD_MANAGER);
    let pool = case
        .inventory
        .objects
        .iter_mut()
        .find(|object| object.name == "default")
        .unwrap();
    pool.json["spec"]["addresses"] = json!(["192.0.2.0/30"]);
    let changes = case.changes();
    let [change] = changes.objects.as_slice() else {
        panic!("{changes:?}");
    };
    let before = change.before.as_ref().unwrap();
    assert_eq!(
        before.manifest["spec"]["addresses"],
        json!(["192.0.2.0/30"])
    );
    assert_eq!(
        before.manifest["metadata"].as_object().unwrap().len(),
        2,
        "name and namespace"
    );
    assert_eq!(changes.hindrances, []);

    let pool = case
        .inventory
        .objects
        .iter_mut()
        .find(|object| object.name == "default")
        .unwrap();
    pool.managers = ["kubectl".to_owned()].into();
    assert_eq!(case.codes(), ["MIG040"]);
    // Not even by permission.
    case.allow.insert("MIG040".to_owned());
    assert_eq!(case.codes(), ["MIG040"]);
    let pool = case
        .inventory
        .objects
        .iter_mut()
        .find(|object| object.name == "default")
        .unwrap();
    pool.is_going = true;
    assert!(
        case.changes().hindrances[0]
            .what
            .contains("is being deleted")
    );
}

#[test]
fn foreign_objects_that_change_what_is_announced_are_in_the_way_and_others_are_not() {
    let foreign = |kind: &str, spec: Value| {
        let mut case = Case::new("0.16.1");
        let object = json!({"kind": kind, "metadata": {"name": "theirs"}, "spec": spec});
        case.inventory.objects.push(stored(object, "t", "kubectl"));
        let codes = case.codes();
        case.allow.insert("MIG040".to_owned());
        assert_eq!(case.codes(), Vec::<&str>::new());
        codes
    };
    for (kind, spec) in [
        (
            "IPAddressPool",
            json!({"addresses": ["203.0.113.0/24", "192.0.2.15-192.0.2.20"]}),
        ),
        (
            "AddressPool",
            json!({"addresses": ["198.51.100.7/32"], "protocol": "layer2"}),
        ),
        ("L2Advertisement", json!({})),
        ("L2Advertisement", json!({"ipAddressPools": ["my-pool"]})),
        (
            "BGPAdvertisement",
            json!({"ipAddressPoolSelectors": [{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}]}),
        ),
        ("BGPPeer", json!({"peerAddress": "10.0.0.9"})),
        (
            "Community",
            json!({"communities": [{"name": "mark", "value": "1:1"}]}),
        ),
    ] {
        assert_eq!(foreign(kind, spec.clone()), ["MIG040"], "{kind} {spec}");
    }
    for (kind, spec) in [
        ("IPAddressPool", json!({"addresses": ["203.0.113.0/24"]})),
        ("L2Advertisement", json!({"ipAddressPools": ["theirs"]})),
        (
            "BGPAdvertisement",
            json!({"ipAddressPoolSelectors": [{"matchLabels": {"a": "b"}}]}),
        ),
        ("BFDProfile", json!({})),
        (
            "Community",
            json!({"communities": [{"name": "other", "value": "1:1"}]}),
        ),
    ] {
        assert_eq!(
            foreign(kind, spec.clone()),
            Vec::<&str>::new(),
            "{kind} {spec}"
        );
    }
}

#[test]
fn what_the_server_does_not_know_is_named() {
    let mut case = Case::new("0.16.1");
    case.inventory
        .served
        .retain(|served| served.kind != "BGPPeer");
    let changes = case.changes();
    assert_eq!(case.codes(), ["MIG051"]);
    assert!(
        changes.hindrances[0]
            .what
            .contains("bgppeers.metallb.io (v1beta2)")
    );
    assert!(changes.hindrances[0].is_state);
    // Older definitions would drop a field: here 0.13.0's have no avoidBuggyIPs.
    let config = "address-pools: [{name: a, protocol: layer2, addresses: [192.0.2.0/28], avoid-buggy-ips: true}]";
    let mut case = Case::new("0.16.1");
    case.conversion = converted(config, "0.16.1");
    case.inventory.services.clear();
    case.inventory.served = established("0.13.0");
    let what = &case.changes().hindrances[0].what;
    assert!(what.contains("IPAddressPool spec.avoidBuggyIPs"), "{what}");
}

#[test]
fn no_pool_is_applied_beside_a_controller_that_would_take_addresses() {
    let mut case = Case::new("0.16.1");
    case.inventory.programs = vec![program(
        Role::Controller,
        "quay.io/metallb/controller:v0.16.1",
        1,
    )];
    assert_eq!(case.codes(), ["MIG050"]);
    case.allow.insert("MIG050".to_owned());
    assert_eq!(case.codes(), Vec::<&str>::new());
    case.allow.clear();
    case.inventory.programs = vec![program(
        Role::Controller,
        "quay.io/metallb/controller:v0.16.1",
        0,
    )];
    assert_eq!(case.codes(), Vec::<&str>::new());
    // Once all is applied it may run.
    case.apply(FIELD_MANAGER);
    case.inventory.programs = vec![program(
        Role::Controller,
        "quay.io/metallb/controller:v0.16.1",
        1,
    )];
    assert_eq!(case.codes(), Vec::<&str>::new());
}

#[test]
fn an_annotation_that_0_12_reads_is_changed_only_while_no_controller_runs() {
    let mut case = Case::new("0.13.12");
    assert_eq!(case.codes(), ["MIG014"]);
    assert!(
        case.changes().hindrances[0]
            .help
            .contains("kubectl scale -n metallb-system deployment/controller --replicas=0")
    );
    case.inventory.programs[0] = program(Role::Controller, "quay.io/metallb/controller:v0.12.1", 0);
    let changes = case.changes();
    assert_eq!(changes.hindrances, []);
    assert_eq!(
        changes.annotations[0].key,
        "metallb.universe.tf/address-pool"
    );
    assert_eq!(changes.annotations[0].before.as_deref(), Some("My_Pool"));
}

/// The rule of a controller: whether it takes a Service's address. `pools`: the names that it knows, with an address of each.
fn takes(service: &Service, pools: &BTreeMap<String, Vec<&str>>, reads_new: bool) -> bool {
    let new = service
        .annotations
        .get("metallb.io/address-pool")
        .filter(|_| reads_new);
    let asked = new.or(service.annotations.get("metallb.universe.tf/address-pool"));
    let held = pools.iter().find(|(_, addresses)| {
        service
            .addresses
            .iter()
            .any(|held| addresses.contains(&held.as_str()))
    });
    match (held, asked) {
        (None, _) => true,
        (Some((held, _)), Some(asked)) => held != asked,
        (Some(_), None) => false,
    }
}

#[test]
fn no_service_loses_its_address_after_any_number_of_steps() {
    let addresses = |name: &str| match name {
        "default" => vec!["192.0.2.1"],
        _ => vec!["198.51.100.9"],
    };
    for target in ["0.13.7", "0.14.8", "0.14.9", "0.16.1"] {
        let mut case = Case::new(target);
        let replaces = case.codes() == ["MIG014"];
        if replaces {
            // The operator has stopped it: nobody takes anything.
            case.inventory.programs[0] =
                program(Role::Controller, "quay.io/metallb/controller:v0.12.1", 0);
        }
        let changes = case.changes();
        let mut services = case.inventory.services.clone();
        let of_config: BTreeMap<String, Vec<&str>> = ["default", "My_Pool"]
            .map(|name| (name.to_owned(), addresses(name)))
            .into();
        let steps = changes.objects.len() + changes.annotations.len();
        for done in 0..=steps {
            if let Some(annotation) = done
                .checked_sub(changes.objects.len() + 1)
                .map(|index| &changes.annotations[index])
            {
                let service = services
                    .iter_mut()
                    .find(|service| service.key == annotation.service)
                    .unwrap();
                service
                    .annotations
                    .insert(annotation.key.to_owned(), annotation.after.clone());
            }
            if !replaces {
                let taken = services
                    .iter()
                    .filter(|service| takes(service, &of_config, false))
                    .count();
                assert_eq!(taken, 0, "{target}: 0.12 after {done} steps");
            }
        }
        let made: BTreeMap<String, Vec<&str>> = changes
            .objects
            .iter()
            .filter(|change| change.kind.name == "IPAddressPool")
            .map(|change| (change.name.clone(), addresses(&change.name)))
            .collect();
        let taken = services
            .iter()
            .filter(|service| takes(service, &made, target >= "0.14.9"))
            .count();
        assert_eq!(taken, 0, "{target}: the new controller");
        // And the other way round everybody would lose: the check is one that can fail.
        let none = BTreeMap::new();
        assert!(services.iter().all(|service| takes(service, &none, true)));
    }
}

#[test]
fn differences_name_fields_and_no_passwords() {
    let peer = Kind::named("BGPPeer").unwrap();
    let one = json!({"spec": {"myASN": 1, "password": "hunter2", "peerPort": 179}});
    let other = json!({"spec": {"myASN": 2, "password": "hunter3"}});
    let shown: Vec<String> = differences(peer, &one, &other)
        .iter()
        .map(|difference| {
            format!(
                "{} {:?} {:?}",
                difference.field, difference.there, difference.converted
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"spec.myASN Some("1") Some("2")"#,
            r#"spec.password Some("(not shown)") Some("(not shown)")"#
        ]
    );
    let secret =
        |data: &str| json!({"type": "kubernetes.io/basic-auth", "data": {"password": data}});
    let shown = format!(
        "{:?}",
        differences(Kind::SECRET, &secret("aHVudGVyMg=="), &secret("eA=="))
    );
    assert!(
        shown.contains("data.password") && !shown.contains("aHVudGVyMg"),
        "{shown}"
    );
}

// -- the plan

#[test]
fn the_plan_of_a_fresh_cluster_has_everything_to_do_in_order() {
    let mut case = Case::new("0.16.1");
    case.inventory.served.clear();
    let plan = case.plan();
    let titles: Vec<&str> = plan.steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "keep a copy of the ConfigMap",
            "look at the Services that are touched",
            "install the custom resource definitions of MetalLB 0.16.1",
            "apply the resources",
            "let Services of renamed pools ask for the new name",
            "prove that the resources in the cluster mean what the ConfigMap means",
            "upgrade controller and speakers to MetalLB 0.16.1",
            "see that every Service kept its address",
            "delete the ConfigMap, last of all",
        ]
    );
    let states: Vec<&str> = plan.steps.iter().map(|step| step.state.as_str()).collect();
    assert_eq!(
        states,
        [
            "to do", "to do", "to do", "hindered", "to do", "to do", "to do", "to do", "to do"
        ]
    );
    assert_eq!(plan.endangered.len(), 2);
}

#[test]
fn the_plan_follows_what_is_done() {
    let mut case = Case::new("0.16.1");
    assert_eq!(case.plan().steps[2].state, State::Done);
    assert_eq!(case.plan().steps[3].state, State::ToDo);
    case.apply(FIELD_MANAGER);
    let plan = case.plan();
    for done in [1, 2, 3, 4, 5] {
        assert_eq!(
            plan.steps[done].state,
            State::Done,
            "{:?}",
            plan.steps[done]
        );
    }
    case.inventory.programs = vec![program(
        Role::Controller,
        "quay.io/metallb/controller:v0.16.1",
        1,
    )];
    case.inventory.config_map = None;
    let plan = case.plan();
    assert_eq!(
        (&plan.steps[6].state, &plan.steps[8].state),
        (&State::Done, &State::Done)
    );
    // Definitions of another release are not those of the target.
    case.inventory.served = established("0.14.9");
    assert_eq!(case.plan().steps[2].state, State::ToDo);
}

#[test]
fn the_plan_remarks_on_nodes_names_and_webhooks() {
    let codes = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::new("0.16.1");
        change(&mut case);
        let remarks = case.plan().remarks;
        remarks.iter().map(|remark| remark.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&|_| {}), Vec::<&str>::new());
    let excluded = Node::read(
        &json!({"metadata": {"name": "cp", "labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.3"}]}}),
    );
    assert_eq!(
        codes(&|case| case.inventory.nodes = vec![excluded.clone()]),
        ["MIG033"]
    );
    assert_eq!(
        codes(&|case| {
            case.inventory.nodes = vec![excluded.clone()];
            case.target = release("0.15.0");
        }),
        ["MIG033", "MIG036"]
    );
    assert_eq!(
        codes(&|case| case.inventory.programs[0].config_map = Some("other".to_owned())),
        ["MIG043"]
    );
    assert_eq!(
        codes(&|case| case.inventory.namespace = "lb".to_owned()),
        ["MIG032"]
    );
    assert_eq!(
        codes(&|case| case.inventory.webhooks = vec!["metallb-webhook-configuration".to_owned()]),
        ["MIG052"]
    );
}

// -- back again

fn file(case: &Case, done: usize) -> String {
    let changes = case.changes();
    let mut entries = beginning(
        &case.inventory,
        "0.16.1",
        FIELD_MANAGER,
        "ferrolb test",
        "2026-01-01T00:00:00Z",
    );
    entries.extend(changes.objects.iter().map(Entry::will_apply));
    entries.extend(changes.annotations.iter().map(Entry::will_annotate));
    let deeds = changes.objects.iter().enumerate().take(done);
    entries.extend(deeds.map(|(number, change)| Entry::applied(change, &format!("made-{number}"))));
    entries.iter().map(|entry| entry.line().unwrap()).collect()
}

#[test]
fn everything_is_undone_the_last_deed_first() {
    let mut case = Case::new("0.16.1");
    let file = file(&case, 7);
    case.apply(FIELD_MANAGER);
    let rollback = Rollback::parse(&file).unwrap();
    rollback.is_for(&case.inventory).unwrap();
    let undo = rollback.undo(&case.inventory.objects, &case.inventory.services);
    let shown: Vec<String> = undo.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "remove metallb.io/address-pool from Service shop/api",
            "delete BGPPeer peer1",
            "delete L2Advertisement l2advertisement1",
            "delete BGPAdvertisement bgpadvertisement1",
            "delete IPAddressPool my-pool",
            "delete IPAddressPool default",
            "delete Community communities",
            "delete Secret peer1-password",
        ]
    );
    // What is gone, or was never done, stays as it is.
    let before = Case::new("0.16.1").inventory;
    let undo = rollback.undo(&[], &before.services);
    assert!(
        undo.iter().all(|undo| matches!(undo, Undo::Leave { .. })),
        "{undo:?}"
    );
}

#[test]
fn a_deed_whose_record_is_missing_is_undone_if_its_owner_is_ours() {
    for (manager, deletes) in [(FIELD_MANAGER, 7), ("kubectl", 2)] {
        let mut case = Case::new("0.16.1");
        // Two deeds were recorded, the third's line was cut off.
        let mut file = file(&case, 2);
        let whole = file.len();
        file.push_str(r#"{"applied":{"kind":"IPAddr"#);
        case.apply(manager);
        let rollback = Rollback::parse(&file).unwrap();
        assert_eq!(rollback.length, whole);
        let undo = rollback.undo(&case.inventory.objects, &case.inventory.services);
        let deleted = undo
            .iter()
            .filter(|undo| matches!(undo, Undo::Delete { .. }))
            .count();
        assert_eq!(deleted, deletes, "{manager}: {undo:?}");
    }
}

#[test]
fn what_others_made_or_changed_since_stays() {
    let mut case = Case::new("0.16.1");
    let file = file(&case, 7);
    case.apply(FIELD_MANAGER);
    for object in &mut case.inventory.objects {
        object.uid = "anew".to_owned();
    }
    let api = case
        .inventory
        .services
        .iter_mut()
        .find(|service| service.key.name() == "api")
        .unwrap();
    api.annotations
        .insert("metallb.io/address-pool".to_owned(), "default".to_owned());
    let rollback = Rollback::parse(&file).unwrap();
    let undo = rollback.undo(&case.inventory.objects, &case.inventory.services);
    assert!(
        undo.iter().all(|undo| matches!(undo, Undo::Leave { .. })),
        "{undo:?}"
    );
    assert!(undo[0].to_string().contains("was changed since"));
}

#[test]
fn an_object_that_was_changed_says_again_what_it_said_first() {
    let mut case = Case::new("0.16.1");
    case.apply(FIELD_MANAGER);
    let spoil = |case: &mut Case, addresses: Value| {
        let pool = case
            .inventory
            .objects
            .iter_mut()
            .find(|object| object.name == "default")
            .unwrap();
        pool.json["spec"]["addresses"] = addresses;
    };
    spoil(&mut case, json!(["192.0.2.0/30"]));
    let mut text = file(&case, 1);
    // A second attempt finds it half changed: what counts is what was there before the first.
    spoil(&mut case, json!(["192.0.2.0/31"]));
    let again = case.changes();
    text.push_str(&Entry::will_apply(&again.objects[0]).line().unwrap());
    let undo = Rollback::parse(&text)
        .unwrap()
        .undo(&case.inventory.objects, &case.inventory.services);
    let [Undo::Restore { manifest, .. }] = undo.as_slice() else {
        panic!("{undo:?}");
    };
    assert_eq!(manifest["spec"]["addresses"], json!(["192.0.2.0/30"]));
}

#[test]
fn a_file_that_was_undone_has_nothing_to_undo() {
    let mut case = Case::new("0.16.1");
    let mut file = file(&case, 7);
    case.apply(FIELD_MANAGER);
    file.push_str(&Entry::Complete {}.line().unwrap());
    let rollback = Rollback::parse(&file).unwrap();
    assert!(rollback.is_complete && !rollback.is_empty());
    file.push_str(&Entry::Undone {}.line().unwrap());
    assert!(Rollback::parse(&file).unwrap().is_empty());
}

#[test]
fn a_file_of_another_cluster_or_none_is_refused_without_quoting_it() {
    let case = Case::new("0.16.1");
    let text = file(&case, 7);
    let parse = |text: &str| Rollback::parse(text).err().unwrap();
    let elsewhere = |change: &dyn Fn(&mut Inventory)| {
        let mut other = case.inventory.clone();
        change(&mut other);
        Rollback::parse(&text).unwrap().is_for(&other).err()
    };
    assert_eq!(elsewhere(&|_| {}), None);
    // The same cluster by another name.
    assert_eq!(
        elsewhere(&|other| other.server = "https://two".to_owned()),
        None
    );
    assert!(elsewhere(&|other| other.cluster = "cluster-2".to_owned()).is_some());
    assert!(elsewhere(&|other| other.namespace = "lb".to_owned()).is_some());
    assert!(
        elsewhere(&|other| {
            other.cluster.clear();
            other.server = "https://two".to_owned();
        })
        .is_some()
    );
    assert_eq!(parse(""), FileError::Empty);
    assert_eq!(parse("{\"begin\""), FileError::Empty);
    assert!(matches!(
        parse("{\"complete\":{}}\n"),
        FileError::Line { line: 1, .. }
    ));
    let broken = text.replacen("\"config-map\"", "\"hunter2\"", 1);
    let error = parse(&broken);
    assert!(matches!(error, FileError::Line { line: 2, .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let later = text.replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(parse(&later), FileError::Format(2));
}

#[test]
fn every_line_of_a_file_is_read_back_as_it_was_written() {
    let case = Case::new("0.16.1");
    for line in file(&case, 7).lines() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        assert_eq!(entry.line().unwrap().trim_end(), line);
    }
}

#[test]
fn a_manifest_has_no_status_and_names_its_namespace() {
    let case = Case::new("0.16.1");
    for resource in case.conversion.resources.as_ref().unwrap() {
        let manifest = manifest(resource, "lb");
        assert_eq!(manifest["metadata"]["namespace"], json!("lb"));
        assert_eq!(manifest.get("status"), None);
    }
}
