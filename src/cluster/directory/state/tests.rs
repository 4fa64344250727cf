//! Tests of the state file.

use super::*;

fn state(address: &str) -> State {
    serde_json::from_str(&format!(
        r#"{{"version":1,"services":{{"default/web":{{"addresses":["{address}"],"file":"a.yaml","loadBalancer":true,
        "clusterIps":["0.0.0.0"],"ports":[["TCP",80]],"pool":"silver"}}}},
        "config":{{"file":"b.yaml","namespace":"metallb-system","name":"config","text":"peers: []",
        "settings":"bgp: {{}}"}}}}"#
    ))
    .unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    assert_eq!(load(&path, true).unwrap(), Loaded::Nothing);
    replace(&path, &state("10.0.0.1"), Secrecy::Private).unwrap();
    assert_eq!(load(&path, true).unwrap(), Loaded::State(state("10.0.0.1")));
    replace(&path, &state("10.0.0.2"), Secrecy::Private).unwrap();
    assert_eq!(load(&path, true).unwrap(), Loaded::State(state("10.0.0.2")));
    // Nothing is left beside it, and nobody else reads it.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    // What has no secrets is for everybody.
    replace(&path, &state("10.0.0.2"), Secrecy::Public).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o444, 0o444);
}

#[test]
fn a_damaged_file_is_moved_aside_each_time_to_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    for (text, want) in [
        ("{\"version\":1,\"serv", "state.json.corrupt"),
        ("{\"version\":1,\"services\":7}", "state.json.corrupt.1"),
        ("", "state.json.corrupt.2"),
    ] {
        fs::write(&path, text).unwrap();
        let Loaded::Damaged { aside, fault } = load(&path, true).unwrap() else {
            panic!("{text:?} was taken");
        };
        assert_eq!(aside, dir.path().join(want));
        assert!(!fault.is_empty());
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
        assert!(!path.exists());
    }
    // A dry run moves nothing.
    fs::write(&path, "x").unwrap();
    assert!(matches!(
        load(&path, false).unwrap(),
        Loaded::Damaged { .. }
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), "x");
}

#[test]
fn a_later_version_is_neither_read_nor_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    fs::write(&path, "{\"version\":2,\"new\":true}").unwrap();
    let error = load(&path, true).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
    assert!(path.exists());
}

#[test]
fn a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
    fs::write(&real, "{}").unwrap();
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    replace(&link, &state("10.0.0.1"), Secrecy::Private).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(load(&real, true).unwrap(), Loaded::State(state("10.0.0.1")));
}

#[test]
fn a_service_and_the_configuration_can_be_remembered() {
    let objects = state("10.0.0.1").objects_of("a.yaml", Path::new("/d"));
    let [Object::Service(service)] = objects.as_slice() else {
        panic!("{objects:?}");
    };
    assert_eq!(service.key, ObjectKey::new("default", "web"));
    assert_eq!(service.annotation_pool.as_deref(), Some("silver"));
    assert_eq!(service.ports.len(), 1);
    let objects = state("10.0.0.1").objects_of("b.yaml", Path::new("/d"));
    let [Object::ConfigMap(map)] = objects.as_slice() else {
        panic!("{objects:?}");
    };
    assert_eq!(map.config.as_deref(), Some("peers: []"));
    assert_eq!(map.settings.as_deref(), Some("bgp: {}"));
    assert_eq!(map.origin, "/d/b.yaml");
    assert!(
        state("10.0.0.1")
            .objects_of("c.yaml", Path::new("/d"))
            .is_empty()
    );
}

#[test]
fn a_file_that_cannot_be_written_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = replace(
        &dir.path().join("missing/state.json"),
        &state("10.0.0.1"),
        Secrecy::Private,
    )
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
