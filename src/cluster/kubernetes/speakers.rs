//! Which nodes have a live speaker, as far as the API server knows: those with a ready speaker pod. And which addresses
//! the speakers' pods have: who should be in the gossip.
//!
//! 0.12's RBAC grants list of pods, not watch: so they are listed every 2 s, from the API server's memory
//! (`resourceVersion=0`), and at once when a Node has changed. Told only when the set changes. While the list cannot be
//! had the last one stays; where it is refused, or no labels say which pods are speakers, nobody can tell.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the period of the list"
)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::core::Request;
use kube::core::params::ListParams;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::client::{Api, Failure};
use super::convert::{PodList, SpeakerPods};
use super::reporter::{Operation, Reporter};
use super::watch::Backoff;
use crate::cluster::{Change, Kind};

/// The time between two lists. A speaker that dies is noticed by its kubelet's probe (seconds) first.
const PERIOD: Duration = Duration::from_secs(2);

/// The shortest time between two lists, however many Nodes change.
const SHORTEST_PERIOD: Duration = Duration::from_millis(200);

/// How long one list may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// How often is asked whether a refusal still holds.
const REFUSED_PERIOD: Duration = Duration::from_secs(60);

const LIST: Operation = Operation {
    verb: "list",
    resource: "pods",
};

/// Tells the nodes with a ready speaker, and the addresses of all, until nobody listens.
pub(super) async fn run(
    api: &Api,
    reporter: &Reporter,
    namespace: &str,
    labels: Option<&str>,
    node_changed: &Notify,
    out: &mpsc::Sender<Change>,
) {
    let polling = poll(api, reporter, namespace, labels, node_changed, out);
    tokio::select! {
        _ = polling => {}
        () = out.closed() => {}
    }
}

/// `None`: nobody listens any more.
async fn poll(
    api: &Api,
    reporter: &Reporter,
    namespace: &str,
    labels: Option<&str>,
    node_changed: &Notify,
    out: &mpsc::Sender<Change>,
) -> Option<()> {
    let mut teller = Teller {
        out,
        nodes: None,
        addresses: None,
    };
    let Some(labels) = labels else {
        teller.tell(None).await?;
        return std::future::pending().await;
    };
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let params = ListParams::default().labels(labels).at("0");
    let mut backoff = Backoff::new();
    loop {
        let request = Request::new(&path)
            .list(&params)
            .map_err(|error| Failure::Malformed(error.to_string()));
        match api.json::<PodList>(request, LIST_TIMEOUT).await {
            Ok(pods) => {
                backoff = Backoff::new();
                reporter.worked(LIST);
                teller.tell(Some(pods.into_speakers())).await?;
                tokio::time::sleep(SHORTEST_PERIOD).await;
                tokio::select! {
                    () = tokio::time::sleep(PERIOD - SHORTEST_PERIOD) => {}
                    () = node_changed.notified() => {}
                }
            }
            Err(failure) if reporter.is_refusal(Instant::now().into_std(), &failure) => {
                reporter.failed(Instant::now().into_std(), LIST, &failure);
                teller.tell(None).await?;
                tokio::time::sleep(REFUSED_PERIOD).await;
            }
            Err(failure) => {
                reporter.failed(Instant::now().into_std(), LIST, &failure);
                backoff.pause(reporter, Some(&failure)).await;
            }
        }
    }
}

struct Teller<'a> {
    out: &'a mpsc::Sender<Change>,
    /// `None`: nothing was told.
    nodes: Option<Option<BTreeSet<Arc<str>>>>,
    /// The same.
    addresses: Option<Option<BTreeSet<IpAddr>>>,
}

impl Teller<'_> {
    async fn tell(&mut self, pods: Option<SpeakerPods>) -> Option<()> {
        let first = self.nodes.is_none();
        let (nodes, addresses) = match pods {
            Some(pods) => (Some(pods.ready_nodes), Some(pods.addresses)),
            None => (None, None),
        };
        if self.nodes.as_ref() != Some(&nodes) {
            self.nodes = Some(nodes.clone());
            self.out.send(Change::Speakers(nodes)).await.ok()?;
        }
        if self.addresses.as_ref() != Some(&addresses) {
            self.addresses = Some(addresses.clone());
            let change = Change::SpeakerAddresses(addresses);
            self.out.send(change).await.ok()?;
        }
        if first {
            self.out.send(Change::Synced(Kind::Speakers)).await.ok()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
