//! What is counted: the tasks put down, `/metrics` reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::bgp::PeerId;
use crate::bgp::session;

/// The figures of all peers. Reading them disturbs no peer.
#[derive(Debug, Default)]
pub struct Figures {
    peers: ArcSwap<BTreeMap<PeerId, Entry>>,
    reports_dropped: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: Arc<str>,
    newest: Arc<ArcSwap<session::Figures>>,
}

/// The figures of one peer at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFigures {
    /// `ip:port`: the label `peer`.
    pub peer: String,
    /// The session's own.
    pub session: session::Figures,
}

/// Where a task puts its figures down.
#[derive(Debug)]
pub(super) struct Slate {
    newest: Arc<ArcSwap<session::Figures>>,
    reports_dropped: Arc<AtomicU64>,
}

impl Slate {
    /// Puts the figures down, if they changed.
    pub(super) fn put(&self, figures: session::Figures) {
        if **self.newest.load() != figures {
            self.newest.store(Arc::new(figures));
        }
    }

    pub(super) fn report_dropped(&self) {
        self.reports_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Figures {
    /// The figures of all peers, by name. Peers that have one address and port are one: their counters are added, and
    /// `up` says whether all of them are.
    #[must_use]
    pub fn read(&self) -> Vec<PeerFigures> {
        let mut by_name: BTreeMap<Arc<str>, session::Figures> = BTreeMap::new();
        for entry in self.peers.load().values() {
            let newest = **entry.newest.load();
            by_name
                .entry(entry.name.clone())
                .and_modify(|figures| *figures = figures.and(&newest))
                .or_insert(newest);
        }
        by_name
            .into_iter()
            .map(|(name, session)| PeerFigures {
                peer: name.to_string(),
                session,
            })
            .collect()
    }

    /// Reports that found the channel full.
    #[must_use]
    pub fn reports_dropped(&self) -> u64 {
        self.reports_dropped.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<PeerId, Entry>)) {
        // The desk's lock is held: nobody else changes it.
        let mut peers = BTreeMap::clone(&self.peers.load());
        change(&mut peers);
        self.peers.store(Arc::new(peers));
    }

    pub(super) fn add(&self, id: PeerId, name: String) -> Slate {
        let newest = Arc::<ArcSwap<session::Figures>>::default();
        let entry = Entry {
            name: name.into(),
            newest: newest.clone(),
        };
        self.change(|peers| {
            peers.insert(id, entry);
        });
        Slate {
            newest,
            reports_dropped: self.reports_dropped.clone(),
        }
    }

    pub(super) fn rename(&self, id: PeerId, name: String) {
        self.change(|peers| {
            if let Some(entry) = peers.get_mut(&id) {
                entry.name = name.into();
            }
        });
    }

    pub(super) fn remove(&self, id: PeerId) {
        self.change(|peers| {
            peers.remove(&id);
        });
    }
}
