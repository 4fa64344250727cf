//! The migration of a cluster that runs: what is there, whom it touches, in which order it is done, and how it is undone.
//!
//! [`inventory`] is what was read of the cluster; [`services`] says which Services are touched; [`changes`] is what
//! applying would do, and what stands against it; [`plan`] puts that between the operator's own steps; [`rollback`] is
//! the file that undoes it.
//!
//! What it is not: nothing is read or written here. Objects come as JSON and leave as JSON.
//!
//! Invariant: applying takes no Service's address. 0.12 reads neither the resources nor the annotation that is added; an
//! annotation that it does read is changed only while no controller runs.

use serde_json::Value;

pub mod changes;
pub mod inventory;
pub mod plan;
pub mod rollback;
pub mod services;

#[cfg(test)]
mod tests;

/// The owner of what is applied, in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "ferrolb-migrate";

/// The API group of the custom resources.
pub const GROUP: &str = "metallb.io";

/// A kind of object that a migration writes or looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// `kind`.
    pub name: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Its API group; empty: the core.
    pub group: &'static str,
    /// The version that is written.
    pub version: &'static str,
}

/// A kind of MetalLB's.
const fn custom(name: &'static str, plural: &'static str, version: &'static str) -> Kind {
    Kind {
        name,
        plural,
        group: GROUP,
        version,
    }
}

impl Kind {
    /// The kinds of MetalLB's that are written, in the order in which they are applied.
    pub const WRITTEN: [Self; 6] = [
        custom("BFDProfile", "bfdprofiles", "v1beta1"),
        custom("Community", "communities", "v1beta1"),
        custom("IPAddressPool", "ipaddresspools", "v1beta1"),
        custom("BGPAdvertisement", "bgpadvertisements", "v1beta1"),
        custom("L2Advertisement", "l2advertisements", "v1beta1"),
        custom("BGPPeer", "bgppeers", "v1beta2"),
    ];

    /// Secrets, which hold passwords.
    pub const SECRET: Self = Self {
        name: "Secret",
        plural: "secrets",
        group: "",
        version: "v1",
    };

    /// 0.13's own predecessor of the pools; gone in 0.14.3.
    pub const ADDRESS_POOL: Self = custom("AddressPool", "addresspools", "v1beta1");

    /// The kind of that name, among those that are written.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = Self::WRITTEN.into_iter().chain([Self::SECRET]);
        all.into_iter().find(|kind| kind.name == name)
    }

    /// Where its objects of a namespace are.
    #[must_use]
    pub fn path(self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        format!("{root}/namespaces/{namespace}/{}", self.plural)
    }

    /// `apiVersion`.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `bgppeers.metallb.io`, `secrets`: how rights and messages call it.
    #[must_use]
    pub fn resource(self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The list at a JSON pointer; empty where there is none.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}
