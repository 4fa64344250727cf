//! Tests of the one set of objects.

use super::*;
use crate::cluster::directory::manifest::{Format, Source, parse};

fn objects(text: &str) -> Arc<Vec<Object>> {
    let source = Source {
        origin: "file",
        format: Format::Yaml,
        config_name: Some("config"),
        may_be_bare: false,
    };
    Arc::new(parse(text, source).unwrap().objects)
}

fn service(name: &str, port: u16) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: LoadBalancer, ports: [{{port: \
         {port}}}]}}}}\n---\n"
    )
}

fn replace(world: &mut World, files: &[(&str, &str)]) -> Difference {
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, objects(text)))
        .collect();
    world.replace(files.iter().map(|(name, objects)| (*name, objects)), None)
}

fn told(change: &Change) -> (String, u16, Vec<String>) {
    match change {
        Change::Service(service) => (
            service.key.name().to_owned(),
            service.ports.first().map_or(0, |port| port.port),
            service.ingress.clone(),
        ),
        other => panic!("{other:?}"),
    }
}

fn status(change: &Change, address: &str) -> view::StatusWrite {
    match change {
        Change::Service(service) => view::StatusWrite {
            key: service.key.clone(),
            resource_version: service.resource_version.clone(),
            addresses: vec![address.parse().unwrap()],
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_file_wins_and_the_second_is_named() {
    let mut world = World::default();
    let first = replace(
        &mut world,
        &[
            ("a.yaml", &service("web", 1)),
            ("b.yaml", &service("web", 2)),
        ],
    );
    assert_eq!(
        first.changes.iter().map(told).collect::<Vec<_>>(),
        [("web".to_owned(), 1, vec![])]
    );
    let duplicates: Vec<_> = first.duplicates.iter().map(ToString::to_string).collect();
    assert_eq!(
        duplicates,
        ["Service \"default/web\" is in a.yaml and in b.yaml: the one in a.yaml counts"]
    );
    // The first file goes: the second one's object takes its place without the Service ever being gone.
    let second = replace(&mut world, &[("b.yaml", &service("web", 2))]);
    assert_eq!(
        second.changes.iter().map(told).collect::<Vec<_>>(),
        [("web".to_owned(), 2, vec![])]
    );
    assert!(second.duplicates.is_empty());
}

#[test]
fn a_written_status_stays_through_changes_of_the_manifest() {
    let mut world = World::default();
    let first = replace(&mut world, &[("a.yaml", &service("web", 1))]);
    let echo = world
        .write(&status(&first.changes[0], "10.0.0.1"))
        .unwrap()
        .unwrap();
    assert_eq!(
        told(&echo),
        ("web".to_owned(), 1, vec!["10.0.0.1".to_owned()])
    );
    let second = replace(&mut world, &[("a.yaml", &service("web", 2))]);
    assert_eq!(
        second.changes.iter().map(told).collect::<Vec<_>>(),
        [("web".to_owned(), 2, vec!["10.0.0.1".to_owned()])]
    );
    // Nothing changed, nothing told; and the same status again is no change either.
    assert_eq!(
        replace(&mut world, &[("b.yaml", &service("web", 2))]),
        Difference::default()
    );
    assert_eq!(
        world.write(&status(&second.changes[0], "10.0.0.1")),
        Ok(None)
    );
}

#[test]
fn a_write_on_another_version_or_a_gone_service_is_refused() {
    let mut world = World::default();
    let first = replace(&mut world, &[("a.yaml", &service("web", 1))]);
    let stale = status(&first.changes[0], "10.0.0.1");
    replace(&mut world, &[("a.yaml", &service("web", 2))]);
    assert_eq!(world.write(&stale), Err(WriteError::Conflict));
    assert_eq!(
        replace(&mut world, &[]).changes,
        [Change::ServiceGone(ObjectKey::new("default", "web"))]
    );
    assert_eq!(world.write(&stale), Err(WriteError::Gone));
}

#[test]
fn held_addresses_beat_the_manifests_own_status() {
    let dump = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: LoadBalancer}, status: {loadBalancer: \
                {ingress: [{ip: 10.0.0.9}]}}}";
    let mut world = World::default();
    let fresh = replace(&mut world, &[("a.yaml", dump)]);
    assert_eq!(told(&fresh.changes[0]).2, ["10.0.0.9"]);

    let web = ObjectKey::new("default", "web");
    let old = ObjectKey::new("default", "old");
    let mut world = World::new(BTreeMap::from([
        (web, vec!["10.0.0.1".to_owned()]),
        (old.clone(), vec!["10.0.0.2".to_owned()]),
    ]));
    let again = replace(&mut world, &[("a.yaml", dump)]);
    assert_eq!(told(&again.changes[0]).2, ["10.0.0.1"]);
    assert_eq!(
        world.forget_unclaimed(),
        [(old, vec!["10.0.0.2".to_owned()])]
    );
    // Cleared is cleared: the manifest's own status counts once.
    let mut clear = status(&again.changes[0], "10.0.0.1");
    clear.addresses.clear();
    world.write(&clear).unwrap();
    let changed = replace(
        &mut world,
        &[("a.yaml", &dump.replace("web}", "web, uid: u}"))],
    );
    assert_eq!(told(&changed.changes[0]).2, Vec::<String>::new());
}

#[test]
fn slices_of_a_service_are_merged_and_stand_for_its_endpoints() {
    let slice = |name: &str, ip: &str| {
        format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}, labels: \
             {{kubernetes.io/service-name: web}}}}, endpoints: [{{addresses: [{ip}]}}]}}"
        )
    };
    let endpoints = "{apiVersion: v1, kind: Endpoints, metadata: {name: web}, subsets: [{addresses: [{ip: 10.1.0.9}]}]}";
    let mut world = World::default();
    let both = replace(
        &mut world,
        &[
            ("a.yaml", &slice("s1", "10.1.0.1")),
            ("b.yaml", &slice("s2", "10.1.0.2")),
            ("c.yaml", endpoints),
        ],
    );
    let [Change::Endpoints(all)] = both.changes.as_slice() else {
        panic!("{both:?}");
    };
    let addresses: Vec<_> = all
        .endpoints
        .iter()
        .map(|e| e.address.to_string())
        .collect();
    assert_eq!(addresses, ["10.1.0.1", "10.1.0.2"]);
    let gone = replace(&mut world, &[]);
    assert_eq!(
        gone.changes,
        [Change::EndpointsGone(ObjectKey::new("default", "web"))]
    );
}
