use std::sync::Arc;

use super::*;
use crate::cluster::Kind;

fn gone(name: &str) -> Change {
    Change::ServiceGone(ObjectKey::new("default", name))
}

#[tokio::test]
async fn merged_changes_keep_each_side_s_order_and_end_with_the_cluster_s() {
    let (cluster, cluster_changes) = mpsc::channel(8);
    let (file, file_changes) = mpsc::channel(8);
    let mut merged = merge(cluster_changes, file_changes);
    for name in ["a", "b", "c"] {
        cluster.send(gone(name)).await.unwrap();
    }
    file.send(Change::ConfigMapGone).await.unwrap();
    file.send(Change::Synced(Kind::ConfigMap)).await.unwrap();
    let mut services = Vec::new();
    let mut config = Vec::new();
    for _ in 0..5 {
        match merged.recv().await.unwrap() {
            Change::ServiceGone(key) => services.push(key.name().to_owned()),
            other => config.push(other),
        }
    }
    assert_eq!(services, ["a", "b", "c"]);
    assert_eq!(
        config,
        [Change::ConfigMapGone, Change::Synced(Kind::ConfigMap)]
    );

    drop(file);
    cluster.send(gone("d")).await.unwrap();
    assert_eq!(merged.recv().await, Some(gone("d")));
    drop(cluster);
    assert_eq!(merged.recv().await, None);
}

#[tokio::test]
async fn a_consumer_that_is_gone_lets_the_sources_know() {
    let (cluster, cluster_changes) = mpsc::channel::<Change>(8);
    let (file, file_changes) = mpsc::channel::<Change>(8);
    drop(merge(cluster_changes, file_changes));
    cluster.closed().await;
    file.closed().await;
}

#[tokio::test]
async fn the_configuration_comes_from_the_file_where_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, "address-pools: []\n").unwrap();
    let common = Common {
        port: 0,
        config_map: "config".to_owned(),
        config_file: Some(path.clone()),
        namespace: "metallb-system".to_owned(),
        kubeconfig: None,
        log_level: Threshold::All,
        disable_endpoint_slices: false,
        profiling: false,
        ignored: Vec::new(),
    };
    let (_cluster, cluster_changes) = mpsc::channel(8);
    let mut changes = with_config_file(cluster_changes, &common, &Journal::silent());
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(60), changes.recv())
            .await
            .unwrap()
    };
    let text = |change: Option<Change>| match change {
        Some(Change::ConfigMap(map)) => (map.key.to_string(), map.config),
        other => panic!("{other:?}"),
    };
    let key = "metallb-system/config".to_owned();
    let first = text(next().await);
    assert_eq!(first, (key.clone(), Some(Arc::from("address-pools: []\n"))));
    assert_eq!(next().await, Some(Change::Synced(Kind::ConfigMap)));
    std::fs::write(&path, "peers: []\n").unwrap();
    let mut second = text(next().await);
    if second.1.as_deref() == Some("") {
        // The file was seen between its truncation and its text.
        second = text(next().await);
    }
    assert_eq!(second, (key, Some(Arc::from("peers: []\n"))));
}

#[test]
fn causes_are_said_once() {
    let error = anyhow::anyhow!("no route")
        .context("cannot reach 192.0.2.1: no route")
        .context("starting");
    assert_eq!(chain(&error), "starting: cannot reach 192.0.2.1: no route");
}

/// The name of this test, and of the variable that makes it the process that panics.
const PANICS: &str = "run::tests::a_panic_in_any_thread_is_a_log_line_and_ends_the_process";

#[test]
fn a_panic_in_any_thread_is_a_log_line_and_ends_the_process() {
    if std::env::var_os(PANICS).is_some() {
        let journal = Journal::start(
            Threshold::All,
            crate::logging::Form::Json,
            std::io::stderr(),
        );
        end_at_panic(journal.unwrap());
        let _ = std::thread::spawn(|| panic!("half a \"speaker\"")).join();
        // Not reached: the other thread has ended the process.
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", PANICS, "--nocapture"])
        .env(PANICS, "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(101));
    let told = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let [line] = lines.as_slice() else {
        panic!("not one line in {told}");
    };
    assert_eq!(line["level"], "error");
    assert_eq!(line["op"], "panic");
    assert_eq!(line["error"], "half a \"speaker\"");
    let place = line["place"].as_str().unwrap();
    assert!(place.starts_with("src/run/tests.rs:"), "{place}");
}
