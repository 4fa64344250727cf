//! Endpoints, reduced to what an announcement depends on: is any ready, and on which nodes.

use std::collections::HashSet;
use std::sync::Arc;

use crate::view::Endpoint;

/// What the endpoints of a Service say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Readiness {
    /// Whether at least one endpoint is ready (also one without a node).
    pub(super) any: bool,
    /// The nodes with a ready endpoint, ascending, without repetition.
    pub(super) nodes: Box<[Arc<str>]>,
    /// For BGP: whether an address is ready wherever it is named.
    pub(super) served: bool,
    /// For BGP: whether one of these is on this node.
    pub(super) served_here: bool,
}

impl Readiness {
    /// Reduces the endpoints.
    ///
    /// Upstream: for layer 2 each entry counts for itself: an address that is ready in one subset and not in another
    /// counts. For BGP it does not.
    pub(super) fn new(endpoints: &[Endpoint], me: &str, names: &mut Names) -> Self {
        let not_ready: HashSet<&str> = endpoints
            .iter()
            .filter(|endpoint| !endpoint.ready)
            .map(|endpoint| &*endpoint.address)
            .collect();
        let mut served = false;
        let mut served_here = false;
        let mut any = false;
        let mut nodes: Vec<&Arc<str>> = Vec::new();
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.ready) {
            any = true;
            nodes.extend(endpoint.node.as_ref());
            if !not_ready.contains(&*endpoint.address) {
                served = true;
                served_here |= endpoint.node.as_deref() == Some(me);
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        Self {
            any,
            nodes: nodes.into_iter().map(|node| names.share(node)).collect(),
            served,
            served_here,
        }
    }

    /// A Service that this node serves though nothing says so.
    pub(super) fn on(node: &Arc<str>) -> Self {
        Self {
            any: true,
            nodes: Box::new([node.clone()]),
            served: true,
            served_here: true,
        }
    }

    /// Whether a ready endpoint is on this node.
    pub(super) fn is_on(&self, node: &str) -> bool {
        self.nodes
            .binary_search_by(|other| (**other).cmp(node))
            .is_ok()
    }
}

/// Node names, each kept once, however many Services mention it.
#[derive(Debug)]
pub(super) struct Names {
    known: HashSet<Arc<str>>,
    /// At this many, look for names that nobody uses any more.
    sweep_at: usize,
}

/// Names kept without a thought: no cluster is too small for them.
const SWEEP_AT_LEAST: usize = 1024;

impl Default for Names {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            sweep_at: SWEEP_AT_LEAST,
        }
    }
}

impl Names {
    /// The same name, in one allocation with all others.
    ///
    /// Invariant: at most twice as many names are kept as were in use at some time (and 1024).
    fn share(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = (self.known.len() * 2).max(SWEEP_AT_LEAST);
        }
        self.known.insert(name.clone());
        name.clone()
    }

    /// How many names are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
