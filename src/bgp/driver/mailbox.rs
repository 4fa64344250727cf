//! What a peer's task has to look at: never more than one entry for each prefix.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::lock;
use crate::bgp::{Attributes, Params};

/// Where the desk puts it.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// What changed since the task last looked.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) bfd_down: bool,
    pub(super) params: Option<Arc<Params>>,
    pub(super) routes: BTreeMap<IpNet, Option<Arc<Attributes>>>,
    pub(super) end: Option<End>,
}

/// Why there is no session any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The peer is not wanted any more.
    Gone,
    /// The program ends.
    Shutdown,
}

impl Mailbox {
    /// A first mail: all routes.
    pub(super) fn with_routes(routes: &BTreeMap<IpNet, Arc<Attributes>>) -> Self {
        let mailbox = Self::default();
        lock(&mailbox.mail).routes = routes
            .iter()
            .map(|(prefix, attributes)| (*prefix, Some(attributes.clone())))
            .collect();
        mailbox
    }

    fn put(&self, put: impl FnOnce(&mut Mail)) {
        put(&mut lock(&self.mail));
        // Keeps one permit, however often it is called: a burst is one wake-up.
        self.arrived.notify_one();
    }

    pub(super) fn route(&self, prefix: IpNet, attributes: Option<Arc<Attributes>>) {
        self.put(|mail| {
            mail.routes.insert(prefix, attributes);
        });
    }

    pub(super) fn params(&self, params: Arc<Params>) {
        self.put(|mail| mail.params = Some(params));
    }

    pub(super) fn bfd_down(&self) {
        self.put(|mail| mail.bfd_down = true);
    }

    pub(super) fn end(&self, end: End) {
        self.put(|mail| mail.end = Some(end));
    }

    /// Waits until there may be mail. Cancel-safety: nothing is taken.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes what there is.
    pub(super) fn take(&self) -> Mail {
        std::mem::take(&mut *lock(&self.mail))
    }
}
