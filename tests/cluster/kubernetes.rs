//! What each account is told and may do.

use std::collections::BTreeSet;

use ferrolb::cluster::kubernetes::{ConnectError, Kubernetes, SecretOutcome};
use ferrolb::cluster::{Change, Cluster as _, Kind, WriteError};
use ferrolb::view::{KubernetesEvent, ObjectKey, ObjectReference, Service, StatusWrite};
use serde_json::{Value, json};

use crate::lab;
use crate::support::{
    Account, CONTROLLER, SOON, SPACE, SPEAKER, apply, fresh, kubeconfig, load_balancer, now,
    params, pause,
};

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new(SPACE, name)
}

fn is_service(change: &Change, name: &str) -> bool {
    matches!(change, Change::Service(service) if service.key == key(name))
}

pub(crate) fn synced(kind: Kind) -> impl Fn(&Change) -> bool {
    move |change| *change == Change::Synced(kind)
}

fn service(changes: Vec<Change>) -> Service {
    match changes.into_iter().next_back() {
        Some(Change::Service(service)) => *service,
        other => panic!("not a Service: {other:?}"),
    }
}

fn wanted(service: &Service, addresses: &[&str]) -> StatusWrite {
    StatusWrite {
        key: service.key.clone(),
        resource_version: service.resource_version.clone(),
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_status_is_written_by_update_alone_and_touches_nothing_else() {
    fresh();
    let mut controller = Account::start("controller", CONTROLLER).await;
    controller.until("services", synced(Kind::Services)).await;
    let began = now();
    apply(&load_balancer("web"));
    let web = service(
        controller
            .until("web", |change| is_service(change, "web"))
            .await,
    );
    println!(
        "created and told in {:?}, kubectl included",
        began.elapsed()
    );
    assert!(web.is_load_balancer && web.ingress.is_empty() && web.cluster_ips.len() == 1);

    let before = lab::get(&["service", "-n", SPACE, "web"]);
    controller
        .cluster
        .write_status(wanted(&web, &["172.30.0.130"]))
        .await
        .unwrap();
    let mut after = lab::get(&["service", "-n", SPACE, "web"]);
    assert_eq!(lab::ingress_of(&after), ["172.30.0.130"]);
    after["status"] = before["status"].clone();
    after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    assert_eq!(after, before);

    // The old version is refused, whether it is still kept or read again.
    let outcome = controller
        .cluster
        .write_status(wanted(&web, &["172.30.0.131"]))
        .await;
    assert_eq!(outcome, Err(WriteError::Conflict));
    let web = service(
        controller
            .until("the status", |change| is_service(change, "web"))
            .await,
    );
    assert_eq!(web.ingress, ["172.30.0.130"]);
    // This one is not kept, because it has its address: it is read, and written.
    controller
        .cluster
        .write_status(wanted(&web, &[]))
        .await
        .unwrap();
    let web = service(
        controller
            .until("the cleared status", |change| is_service(change, "web"))
            .await,
    );
    assert!(web.ingress.is_empty());
    assert!(lab::ingress(SPACE, "web").is_empty());

    lab::kubectl(&["delete", "service", "-n", SPACE, "web"]);
    controller
        .until("the end", |change| {
            *change == Change::ServiceGone(key("web"))
        })
        .await;
    let outcome = controller
        .cluster
        .write_status(wanted(&web, &["172.30.0.131"]))
        .await;
    assert_eq!(outcome, Err(WriteError::Gone));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_change_of_somebody_else_in_between_is_a_conflict_and_is_not_overwritten() {
    fresh();
    apply(&load_balancer("web"));
    let mut controller = Account::start("controller", CONTROLLER).await;
    let web = service(
        controller
            .until("web", |change| is_service(change, "web"))
            .await,
    );
    lab::kubectl(&[
        "label",
        "service",
        "-n",
        SPACE,
        "web",
        "team=red",
        "--overwrite",
    ]);
    let outcome = controller
        .cluster
        .write_status(wanted(&web, &["172.30.0.130"]))
        .await;
    assert_eq!(outcome, Err(WriteError::Conflict));
    let web = service(
        controller
            .until("the label", |change| is_service(change, "web"))
            .await,
    );
    controller
        .cluster
        .write_status(wanted(&web, &["172.30.0.130"]))
        .await
        .unwrap();
    let after = lab::get(&["service", "-n", SPACE, "web"]);
    assert_eq!(after["metadata"]["labels"]["team"], "red");
    assert_eq!(lab::ingress_of(&after), ["172.30.0.130"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn the_speakers_account_may_not_write_and_is_told_so() {
    fresh();
    apply(&load_balancer("web"));
    let mut speaker = Account::start("speaker", CONTROLLER).await;
    let web = service(
        speaker
            .until("web", |change| is_service(change, "web"))
            .await,
    );
    let Err(WriteError::Refused(text)) = speaker
        .cluster
        .write_status(wanted(&web, &["172.30.0.130"]))
        .await
    else {
        panic!("the speaker may not update services/status");
    };
    let start = "the service account may not update services/status: services \"web\" is forbidden";
    assert!(text.starts_with(start), "{text}");
    let error = speaker
        .cluster
        .ensure_memberlist_secret("memberlist", "controller")
        .await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("cannot look for the secret metallb-system/memberlist: secrets"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_configmap_is_told_when_it_is_absent_comes_changes_and_goes() {
    fresh();
    let mut speaker = Account::start("speaker", SPEAKER).await;
    let config = |text: &str| {
        apply(&json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "config", "namespace": "metallb-system"}, "data": {"config": text}}));
    };
    let first = speaker.until("the list", synced(Kind::ConfigMap)).await;
    assert!(first.contains(&Change::ConfigMapGone), "{first:?}");
    let is = |wanted: &'static str| move |change: &Change| matches!(change, Change::ConfigMap(map) if map.config.as_deref() == Some(wanted));
    config("peers: []");
    speaker.until("the ConfigMap", is("peers: []")).await;
    config("address-pools: []");
    speaker.until("its change", is("address-pools: []")).await;
    // Others of the namespace are not ours.
    apply(&json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "other", "namespace": "metallb-system"}, "data": {"config": "x"}}));
    lab::kubectl(&[
        "delete",
        "configmap",
        "-n",
        "metallb-system",
        "config",
        "other",
    ]);
    let last = speaker
        .until("its end", |change| *change == Change::ConfigMapGone)
        .await;
    assert!(!last.iter().any(is("x")), "{last:?}");
}

fn node(name: &str, ready: &str) {
    apply(
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}}}),
    );
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
    patch_status("nodes", None, name, &status);
}

/// kubectl of this age cannot patch a status.
fn patch_status(resource: &str, namespace: Option<&str>, name: &str, patch: &Value) {
    let space = namespace
        .map(|space| format!("namespaces/{space}/"))
        .unwrap_or_default();
    let url = format!("https://127.0.0.1:6443/api/v1/{space}{resource}/{name}/status");
    lab::run(
        "curl",
        &[
            "-sk",
            "--fail-with-body",
            "-X",
            "PATCH",
            "-H",
            "Authorization: Bearer admintoken",
            "-H",
            "Content-Type: application/strategic-merge-patch+json",
            "-d",
            &patch.to_string(),
            &url,
        ],
    );
}

/// A pod that looks like a speaker's on this node.
fn speaker_pod(name: &str, node: &str, ready: &str) {
    let exists = lab::try_run("kubectl", &["get", "pod", "-n", "metallb-system", name]).is_ok();
    if !exists {
        apply(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "metallb-system", "labels": {"app": "metallb", "component": "speaker"}},
            "spec": {"nodeName": node, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "none"}]}}));
    }
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
    patch_status("pods", Some("metallb-system"), name, &status);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn nodes_and_ready_speaker_pods_are_told() {
    fresh();
    // Pods of a server without a controller-manager need an account to be admitted.
    let default = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "metallb-system"}});
    apply(&default);
    node("fake-1", "True");
    node("fake-2", "True");
    speaker_pod("fake-speaker-1", "fake-1", "True");
    speaker_pod("fake-speaker-2", "fake-2", "False");
    let mut speaker = Account::start("speaker", SPEAKER).await;
    let speakers = |nodes: &[&str]| {
        let nodes: BTreeSet<_> = nodes.iter().map(|node| (*node).into()).collect();
        Change::Speakers(Some(nodes))
    };
    let told = speaker
        .until("speakers", |change| matches!(change, Change::Speakers(_)))
        .await;
    assert_eq!(told.last(), Some(&speakers(&["fake-1"])));
    speaker_pod("fake-speaker-2", "fake-2", "True");
    let both = speakers(&["fake-1", "fake-2"]);
    speaker
        .until("both speakers", |change| *change == both)
        .await;

    let is_ready = |ready: bool| move |change: &Change| matches!(change, Change::Node(node) if &*node.name == "fake-1" && node.ready == ready);
    node("fake-1", "Unknown");
    let told = speaker.until("the lost Node", is_ready(false)).await;
    assert!(
        !told
            .iter()
            .any(|change| matches!(change, Change::Speakers(_))),
        "{told:?}"
    );
    lab::kubectl(&[
        "delete",
        "pod",
        "-n",
        "metallb-system",
        "fake-speaker-1",
        "--force",
        "--grace-period=0",
    ]);
    let one = speakers(&["fake-2"]);
    speaker
        .until("the last speaker", |change| *change == one)
        .await;
    lab::kubectl(&[
        "delete",
        "pod",
        "-n",
        "metallb-system",
        "fake-speaker-2",
        "--force",
        "--grace-period=0",
    ]);
    lab::kubectl(&["delete", "node", "fake-1", "fake-2"]);
    speaker
        .until("the Node's end", |change| {
            *change == Change::NodeGone("fake-2".into())
        })
        .await;
}

fn slice(name: &str, service: &str, addresses: &[&str], ready: Value) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [],
        "endpoints": addresses.iter().map(|address| json!({
            "addresses": [address], "topology": {"kubernetes.io/hostname": "node-1"}, "conditions": {"ready": ready},
        })).collect::<Vec<_>>()})
}

pub(crate) fn endpoints(
    change: &Change,
    name: &str,
) -> Option<Vec<(String, Option<String>, bool)>> {
    let Change::Endpoints(endpoints) = change else {
        return None;
    };
    let entries = endpoints.endpoints.iter().map(|endpoint| {
        let node = endpoint.node.as_deref().map(str::to_owned);
        (endpoint.address.to_string(), node, endpoint.ready)
    });
    (endpoints.service == key(name)).then(|| entries.collect())
}

pub(crate) fn entry(address: &str, ready: bool) -> (String, Option<String>, bool) {
    (address.to_owned(), Some("node-1".to_owned()), ready)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn the_slices_of_a_service_are_told_as_one() {
    fresh();
    apply(&slice("web-1", "web", &["10.1.0.1"], Value::Null));
    let mut speaker = Account::start("speaker", SPEAKER).await;
    let told = speaker.until("endpoints", synced(Kind::Endpoints)).await;
    let of_web: Vec<_> = told
        .iter()
        .filter_map(|change| endpoints(change, "web"))
        .collect();
    assert_eq!(of_web, [vec![entry("10.1.0.1", true)]]);
    speaker.said_soon("v1beta1 EndpointSlices").await;
    apply(&slice("web-2", "web", &["10.1.0.2"], false.into()));
    let both = vec![entry("10.1.0.1", true), entry("10.1.0.2", false)];
    speaker
        .until("both slices", |change| {
            endpoints(change, "web").as_ref() == Some(&both)
        })
        .await;
    lab::kubectl(&["delete", "endpointslice", "-n", SPACE, "web-1"]);
    let second = vec![entry("10.1.0.2", false)];
    speaker
        .until("the second", |change| {
            endpoints(change, "web").as_ref() == Some(&second)
        })
        .await;
    lab::kubectl(&["delete", "endpointslice", "-n", SPACE, "web-2"]);
    speaker
        .until("nothing", |change| {
            *change == Change::EndpointsGone(key("web"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn endpoints_are_read_where_slices_are_disabled_or_not_granted() {
    fresh();
    let subsets = json!([{
        "addresses": [{"ip": "10.1.0.1", "nodeName": "node-1"}],
        "notReadyAddresses": [{"ip": "10.1.0.2", "nodeName": "node-1"}], "ports": [{"port": 80}],
    }]);
    let object = json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": SPACE}, "subsets": subsets});
    apply(&object);
    let wanted = vec![entry("10.1.0.1", true), entry("10.1.0.2", false)];
    let disabled =
        |params: &mut ferrolb::cluster::kubernetes::Params| params.disable_endpoint_slices = true;
    let mut speaker = Account::with("speaker", SPEAKER, disabled).await;
    speaker
        .until("endpoints", |change| {
            endpoints(change, "web").as_ref() == Some(&wanted)
        })
        .await;

    let role = lab::get(&["clusterrole", "metallb-system:speaker"]);
    let mut narrower = role.clone();
    narrower["metadata"] = json!({"name": "metallb-system:speaker"});
    let rules = narrower["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["resources"] != json!(["endpointslices"]));
    apply(&narrower);
    let mut speaker = Account::start("speaker", SPEAKER).await;
    speaker
        .until("endpoints", |change| {
            endpoints(change, "web").as_ref() == Some(&wanted)
        })
        .await;
    let said = speaker.said_soon("EndpointSlices are not granted").await;
    assert!(
        said.contains("may not get endpointslices.discovery.k8s.io"),
        "{said}"
    );
    fresh();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_missing_grant_is_named_and_its_return_is_noticed() {
    fresh();
    lab::kubectl(&["delete", "clusterrolebinding", "metallb-system:controller"]);
    let mut controller = Account::start("controller", CONTROLLER).await;
    let said = controller.said_soon("may not list services").await;
    assert!(
        said.contains("grant it the verb \"list\" on \"services\""),
        "{said}"
    );
    fresh();
    controller.until("services", synced(Kind::Services)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn repeated_events_are_one_event_with_a_count() {
    fresh();
    let controller = Account::start("controller", CONTROLLER).await;
    let event = |kind, key: &ObjectKey, message: &str| KubernetesEvent {
        about: ObjectReference {
            kind,
            key: key.clone(),
            uid: "11111111-2222-3333-4444-555555555555".into(),
        },
        warning: true,
        reason: "AllocationFailed",
        message: message.to_owned(),
    };
    for _ in 0..3 {
        controller
            .cluster
            .record(event("Service", &key("web"), "no addresses"));
    }
    for n in 0..15 {
        controller
            .cluster
            .record(event("Service", &key("noisy"), &format!("attempt {n}")));
    }
    let node = ObjectKey::new("", &format!("node-{}", std::process::id()));
    controller
        .cluster
        .record(event("Node", &node, "about a node"));
    let events = |namespace: &str, name: &str| {
        let selector = format!("involvedObject.name={name}");
        let list = lab::get(&["events", "-n", namespace, "--field-selector", &selector]);
        list["items"].as_array().unwrap().clone()
    };
    let count = |items: &[Value]| {
        items
            .iter()
            .map(|item| item["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    let all = async {
        while count(&events(SPACE, "web")) < 3
            || count(&events(SPACE, "noisy")) < 15
            || events("default", node.name()).is_empty()
        {
            pause().await;
        }
    };
    tokio::time::timeout(SOON, all)
        .await
        .expect("the Events come");
    let web = events(SPACE, "web");
    assert_eq!(web.len(), 1);
    assert_eq!(
        (&web[0]["type"], &web[0]["reason"]),
        (&json!("Warning"), &json!("AllocationFailed"))
    );
    assert_eq!(
        web[0]["source"],
        json!({"component": "metallb-test", "host": "node-1"})
    );
    let noisy = events(SPACE, "noisy");
    let combined = noisy.iter().filter(|item| {
        item["message"]
            .as_str()
            .unwrap()
            .starts_with("(combined from similar")
    });
    assert_eq!((noisy.len(), combined.count()), (10, 1));
    assert_eq!(controller.cluster.events_dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn the_memberlist_secret_is_made_once_and_owned_by_the_deployment() {
    fresh();
    lab::kubectl(&[
        "delete",
        "secret",
        "-n",
        "metallb-system",
        "memberlist",
        "--ignore-not-found",
    ]);
    let controller = Account::start("controller", CONTROLLER).await.cluster;
    assert_eq!(controller.replicas_of("controller").await.unwrap(), 1);
    let ensure = || controller.ensure_memberlist_secret("memberlist", "controller");
    assert_eq!(ensure().await.unwrap(), SecretOutcome::Created);
    let secret = lab::get(&["secret", "-n", "metallb-system", "memberlist"]);
    assert_eq!(ensure().await.unwrap(), SecretOutcome::Exists);
    assert_eq!(
        lab::get(&["secret", "-n", "metallb-system", "memberlist"]),
        secret
    );
    let key = lab::kubectl(&[
        "get",
        "secret",
        "-n",
        "metallb-system",
        "memberlist",
        "-o",
        "go-template={{.data.secretkey | base64decode}}",
    ]);
    assert_eq!(key.len(), 22, "{key}");
    let deployment = lab::get(&["deployment", "-n", "metallb-system", "controller"]);
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Deployment"), &deployment["metadata"]["uid"])
    );
    let other = controller
        .replicas_of("another")
        .await
        .unwrap_err()
        .to_string();
    assert!(other.contains("forbidden"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_wrong_token_or_server_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let journal = || std::sync::Arc::new(|_| {});
    let wrong = params(kubeconfig(folder.path(), "nonsense"));
    let Err(ConnectError::Unreachable { failure, .. }) =
        Kubernetes::start(wrong, CONTROLLER, journal()).await
    else {
        panic!("a wrong token does not connect");
    };
    assert_eq!(failure.code(), Some(401));
    let path = kubeconfig(folder.path(), "x");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(":6443", ":1")).unwrap();
    let Err(error) = Kubernetes::start(params(path), CONTROLLER, journal()).await else {
        panic!("nobody listens there");
    };
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver: run by tests/run"]
async fn a_restarted_api_server_costs_nothing_but_what_changed_is_told() {
    fresh();
    apply(&load_balancer("before"));
    let mut controller = Account::start("controller", CONTROLLER).await;
    let told = controller.until("services", synced(Kind::Services)).await;
    let before = told
        .into_iter()
        .find(|change| is_service(change, "before"))
        .unwrap();
    lab::lab("apiserver", &["kill"]);
    controller
        .said_soon("the API server cannot be reached")
        .await;
    // Decided while it was away; written when it is back.
    let write = {
        let cluster = controller.cluster.clone();
        let write = wanted(&service(vec![before]), &["172.30.0.130"]);
        tokio::spawn(async move { cluster.write_status(write).await })
    };
    lab::lab("apiserver", &["start"]);
    apply(&load_balancer("after"));
    let told = controller
        .until("after", |change| is_service(change, "after"))
        .await;
    assert!(
        !told
            .iter()
            .any(|change| matches!(change, Change::ServiceGone(_))),
        "{told:?}"
    );
    write.await.unwrap().unwrap();
    controller.said_soon("the API server is back").await;
    assert_eq!(lab::ingress(SPACE, "before"), ["172.30.0.130"]);
}
