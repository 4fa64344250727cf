//! An account, what it is told, and the administrator beside it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferrolb::cluster::Change;
use ferrolb::cluster::kubernetes::{Interests, Kubernetes, Params, Services};
use ferrolb::journal::Record;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::lab;

/// Where the tests' own objects are.
pub(crate) const SPACE: &str = "ferrolb-cluster";

/// The longest wait for something that must come.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const CONTROLLER: Interests = Interests {
    services: Services::Full,
    endpoints: false,
    nodes: false,
    speakers: false,
};

pub(crate) const SPEAKER: Interests = Interests {
    services: Services::Trimmed,
    endpoints: true,
    nodes: true,
    speakers: true,
};

/// The manifests, and an empty namespace for the test.
pub(crate) fn fresh() {
    let policies = lab::try_run("kubectl", &["get", "--raw", "/apis/policy/v1beta1"]);
    let manifest = match policies {
        Ok(_) => "manifests/metallb.yaml",
        Err(_) => "manifests/metallb-1.25.yaml",
    };
    for file in ["manifests/namespace.yaml", manifest] {
        lab::kubectl(&["apply", "-f", lab::root().join(file).to_str().unwrap()]);
    }
    if lab::try_run("kubectl", &["get", "namespace", SPACE]).is_err() {
        lab::kubectl(&["create", "namespace", SPACE]);
    }
    // Nobody finishes the deletion of a namespace here: no controller-manager runs.
    for kind in ["services", "endpoints", "endpointslices", "events"] {
        // Where slices are a custom resource they may not be there yet.
        let _ = lab::try_run(
            "kubectl",
            &["delete", kind, "--all", "-n", SPACE, "--ignore-not-found"],
        );
    }
    lab::kubectl(&[
        "delete",
        "configmap",
        "config",
        "-n",
        "metallb-system",
        "--ignore-not-found",
    ]);
}

/// A kubeconfig that holds this token alone.
pub(crate) fn kubeconfig(folder: &Path, token: &str) -> PathBuf {
    let path = folder.join("kubeconfig");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true}}],
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "account"}}]});
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

pub(crate) fn params(kubeconfig: PathBuf) -> Params {
    Params {
        kubeconfig: Some(kubeconfig),
        namespace: "metallb-system".to_owned(),
        config_map: "config".to_owned(),
        config_file: None,
        disable_endpoint_slices: false,
        user_agent: "ferrolb/test",
        speaker_labels: Some("app=metallb,component=speaker".to_owned()),
        component: "metallb-test",
        host: "node-1".to_owned(),
    }
}

/// A service account at work.
pub(crate) struct Account {
    pub(crate) cluster: Kubernetes,
    pub(crate) changes: mpsc::Receiver<Change>,
    said: Arc<Mutex<Vec<Record>>>,
    _folder: tempfile::TempDir,
}

impl Account {
    pub(crate) async fn start(account: &str, interests: Interests) -> Self {
        Self::with(account, interests, |_| {}).await
    }

    pub(crate) async fn with(
        account: &str,
        interests: Interests,
        change: impl FnOnce(&mut Params),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = lab::lab("token", &["metallb-system", account]);
        let mut params = params(kubeconfig(folder.path(), token.trim()));
        change(&mut params);
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = said.clone();
        let journal = Arc::new(move |record| log.lock().unwrap().push(record));
        let (cluster, changes) = Kubernetes::start(params, interests, journal).await.unwrap();
        Self {
            cluster,
            changes,
            said,
            _folder: folder,
        }
    }

    /// What comes up to and with the first change that this is true of.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&Change) -> bool,
    ) -> Vec<Change> {
        let mut told = Vec::new();
        loop {
            let next = tokio::time::timeout(SOON, self.changes.recv()).await;
            let Ok(Some(change)) = next else {
                panic!(
                    "{what} does not come; told: {told:?}; said: {:?}",
                    self.said()
                );
            };
            let found = wanted(&change);
            told.push(change);
            if found {
                return told;
            }
        }
    }

    /// What the log has.
    pub(crate) fn said(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        let text = |record: &Record| match &record.error {
            Some(error) => format!("{}: {error}", record.msg),
            None => format!("{} {:?}", record.msg, record.fields),
        };
        said.iter().map(text).collect()
    }

    /// Waits for a line of the log.
    pub(crate) async fn said_soon(&self, words: &str) -> String {
        let found = async {
            loop {
                if let Some(line) = self.said().into_iter().find(|line| line.contains(words)) {
                    return line;
                }
                pause().await;
            }
        };
        let found = tokio::time::timeout(SOON, found).await;
        found.unwrap_or_else(|_| panic!("{words:?} is not said: {:?}", self.said()))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test on a real server waits in real time"
)]
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test on a real server measures real time"
)]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Applies an object as the administrator.
pub(crate) fn apply(object: &Value) {
    lab::apply(&object.to_string());
}

/// A Service of type LoadBalancer.
pub(crate) fn load_balancer(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"team": "blue"}, "annotations": {"keep": "me"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": name}},
    })
}
