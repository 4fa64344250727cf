//! Which Services a migration touches: who asks for a renamed pool, who holds an address that no pool has, who asks for
//! two things that later releases do not reconcile.
//!
//! Upstream: the controller clears a Service whose annotation names another pool than the one its address is of
//! (`convergeBalancer` of 0.12.1, 0.13.7 and 0.16.1). From 0.14.9 on `metallb.io/*` is preferred to
//! `metallb.universe.tf/*`; before, and in 0.12, nobody reads it.

use std::collections::BTreeMap;
use std::fmt;

use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::migrate::Release;
use ferrolb_compat::names::{ANNOTATION_ADDRESS_POOL, ANNOTATION_LOAD_BALANCER_IPS};

use super::inventory::Service;
use crate::config::Config;
use crate::migrate::{Level, Rename};
use crate::view::ObjectKey;

/// Annotation of a Service from 0.14.9 on: the pool.
pub const ANNOTATION_NEW_ADDRESS_POOL: &str = "metallb.io/address-pool";

/// Whether a release reads [`ANNOTATION_NEW_ADDRESS_POOL`].
#[must_use]
pub fn reads_new_annotation(target: Release) -> bool {
    target >= Release::new(14, 9)
}

/// A Service that is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// The addresses that it has.
    pub addresses: Vec<String>,
    /// How.
    pub how: How,
}

/// How a Service is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It asks for a pool that gets another name.
    Renamed {
        /// The pool's name in the ConfigMap.
        from: String,
        /// The pool's name as a resource.
        to: String,
        /// What helps.
        remedy: Remedy,
    },
    /// `metallb.io/address-pool` names a pool that its address is not of.
    Contradicted {
        /// What the new annotation says.
        asks: String,
        /// The pool of its address, as a resource; `None`: it asks for this one by the old annotation.
        holds: String,
    },
    /// It asks for a pool that the configuration has not: it gets nothing, before and after.
    Unknown {
        /// The annotation.
        annotation: &'static str,
        /// What it says.
        pool: String,
    },
    /// It has an address that no pool has.
    Lost {
        /// The address.
        address: String,
    },
    /// It asks for an address and for a pool that has it not.
    Disagreeing {
        /// The address.
        address: String,
        /// The pool.
        pool: String,
    },
}

/// What helps a Service that asks for a renamed pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The new annotation, beside the old one: no program of today reads it, the target prefers it.
    Add,
    /// The old annotation, with the new name, while no controller runs.
    Replace,
    /// It is done already.
    Done,
}

impl How {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Renamed { .. } | Self::Contradicted { .. } | Self::Unknown { .. } => "MIG014",
            Self::Lost { .. } => "MIG015",
            Self::Disagreeing { .. } => "MIG042",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Renamed {
                remedy: Remedy::Done,
                ..
            }
            | Self::Unknown { .. } => Level::Info,
            Self::Renamed { .. }
            | Self::Contradicted { .. }
            | Self::Lost { .. }
            | Self::Disagreeing { .. } => Level::Warning,
        }
    }

    /// What to do; empty: nothing.
    #[must_use]
    pub fn help(&self, key: &ObjectKey) -> String {
        let (namespace, name) = (key.namespace(), key.name());
        match self {
            Self::Renamed {
                remedy: Remedy::Add,
                to,
                ..
            } => format!(
                "apply adds {ANNOTATION_NEW_ADDRESS_POOL}: {to} and leaves the old annotation; by hand: \
                 kubectl annotate service -n {namespace} {name} {ANNOTATION_NEW_ADDRESS_POOL}={to}"
            ),
            Self::Renamed {
                remedy: Remedy::Replace,
                to,
                ..
            } => format!(
                "with no controller running (the speakers go on announcing), apply changes {ANNOTATION_ADDRESS_POOL} to \
                 {to}; by hand: kubectl annotate service -n {namespace} {name} --overwrite {ANNOTATION_ADDRESS_POOL}={to}"
            ),
            Self::Contradicted { holds, .. } => format!(
                "kubectl annotate service -n {namespace} {name} --overwrite {ANNOTATION_NEW_ADDRESS_POOL}={holds}"
            ),
            Self::Lost { .. } => "add the address to a pool, or expect another one".to_owned(),
            Self::Disagreeing { pool, .. } => format!(
                "take one of the two away: the annotation that asks for {pool}, or the address"
            ),
            Self::Renamed { .. } | Self::Unknown { .. } => String::new(),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed {
                from,
                to,
                remedy: Remedy::Done,
            } => write!(
                f,
                "asks for pool {from:?}, which becomes {to}, and for {to} as well already"
            ),
            Self::Renamed { from, to, .. } => write!(
                f,
                "asks for pool {from:?}, which becomes {to}: the new controller would take its address"
            ),
            Self::Contradicted { asks, holds } => write!(
                f,
                "{ANNOTATION_NEW_ADDRESS_POOL} asks for pool {asks:?}, and its address is of {holds}: the new \
                 controller would take it"
            ),
            Self::Unknown { annotation, pool } => write!(
                f,
                "{annotation} asks for pool {pool:?}, which the configuration has not: it gets no address, before and after"
            ),
            Self::Lost { address } => write!(
                f,
                "has {address}, which no pool has: the new controller would take it"
            ),
            Self::Disagreeing { address, pool } => write!(
                f,
                "asks for {address} and for pool {pool:?}, which has it not: 0.12 goes by the address, the new controller \
                 gives nothing"
            ),
        }
    }
}

/// The Services that are touched, in the order of their names.
#[must_use]
pub fn touched(
    config: &Config,
    renames: &[Rename],
    services: &[Service],
    target: Release,
) -> Vec<Touched> {
    let renamed: BTreeMap<&str, &str> = renames
        .iter()
        .filter(|rename| rename.kind == "IPAddressPool")
        .map(|rename| (rename.from.as_str(), rename.to.as_str()))
        .collect();
    let look = Look {
        config,
        renamed: &renamed,
        target,
    };
    let mut all: Vec<Touched> = Vec::new();
    for service in services {
        let found = look.service(service).into_iter().map(|how| Touched {
            key: service.key.clone(),
            uid: service.uid.clone(),
            addresses: service.addresses.clone(),
            how,
        });
        all.extend(found);
    }
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

struct Look<'l> {
    config: &'l Config,
    renamed: &'l BTreeMap<&'l str, &'l str>,
    target: Release,
}

impl<'l> Look<'l> {
    /// A pool's name as a resource.
    fn resource(&self, pool: &'l str) -> &'l str {
        self.renamed.get(pool).copied().unwrap_or(pool)
    }

    /// The pool that has an address.
    fn pool_of(&self, address: &str) -> Option<&'l str> {
        let address = parse_ip(address.trim())?;
        let pools = &self.config.pools;
        let pool = pools.iter().find(|pool| pool.contains(address))?;
        Some(&pool.name)
    }

    fn service(&self, service: &Service) -> Vec<How> {
        let annotation = |key: &str| service.annotations.get(key).filter(|pool| !pool.is_empty());
        let old = annotation(ANNOTATION_ADDRESS_POOL);
        let new =
            annotation(ANNOTATION_NEW_ADDRESS_POOL).filter(|_| reads_new_annotation(self.target));
        let known = |pool: &str| self.config.pools.iter().find(|known| known.name == pool);
        let mut found = Vec::new();
        match old.map(|old| (old, known(old))) {
            Some((old, None)) => found.push(How::Unknown {
                annotation: ANNOTATION_ADDRESS_POOL,
                pool: old.clone(),
            }),
            Some((_, Some(pool))) => {
                let to = self.resource(&pool.name);
                let renamed = |remedy| How::Renamed {
                    from: pool.name.clone(),
                    to: to.to_owned(),
                    remedy,
                };
                match new {
                    Some(new) if new != to => found.push(How::Contradicted {
                        asks: new.clone(),
                        holds: to.to_owned(),
                    }),
                    Some(_) if pool.name != to => found.push(renamed(Remedy::Done)),
                    None if pool.name != to && reads_new_annotation(self.target) => {
                        found.push(renamed(Remedy::Add));
                    }
                    None if pool.name != to => found.push(renamed(Remedy::Replace)),
                    Some(_) | None => {}
                }
            }
            None => {
                let holds = service.addresses.iter();
                let holds = holds.filter_map(|address| self.pool_of(address)).next();
                if let (Some(new), Some(holds)) = (new, holds) {
                    let holds = self.resource(holds);
                    if new != holds {
                        found.push(How::Contradicted {
                            asks: new.clone(),
                            holds: holds.to_owned(),
                        });
                    }
                }
            }
        }
        // A class that 0.12 does not know may be another implementation's, whose addresses are no concern of ours.
        let lost = service
            .addresses
            .iter()
            .filter(|address| service.class.is_empty() && self.pool_of(address).is_none());
        found.extend(lost.map(|address| How::Lost {
            address: address.clone(),
        }));
        if self.target >= Release::new(13, 10)
            && let Some(pool) = old.and_then(|old| known(old))
        {
            let listed = annotation(ANNOTATION_LOAD_BALANCER_IPS).map_or("", String::as_str);
            let requested = std::iter::once(service.requested.as_str()).chain(listed.split(','));
            let outside = requested
                .map(str::trim)
                .filter(|address| parse_ip(address).is_some_and(|address| !pool.contains(address)));
            found.extend(outside.map(|address| How::Disagreeing {
                address: address.to_owned(),
                pool: pool.name.clone(),
            }));
        }
        found
    }
}
