//! The ConfigMap's schema, field for field, as 0.12 reads it.
//!
//! What is here has the right types and is not checked further: a peer may have no address, a pool any protocol. Every value knows
//! where it was written.
//!
//! Upstream: `configFile` and what it holds in MetalLB 0.12.1's `internal/config`.

use crate::yaml::decode::{self, Decoded, Text, TextMap};
use crate::yaml::{Document, NodeId};

/// A record of a schema: its fields, their names in the text, and their types.
///
/// Exported for texts that are read by the same rules.
#[macro_export]
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* $key:literal => $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            /// Where the record stands.
            pub place: Option<$crate::yaml::Place>,
            $($(#[$field_meta])* pub $field: $crate::yaml::decode::Field<$type>,)*
        }

        impl $crate::yaml::decode::Record for $name {
            const FIELDS: &'static [&'static str] = &[$($key),*];

            fn decode_field(
                &mut self,
                index: usize,
                decoder: &mut $crate::yaml::decode::Decoder<'_>,
                node: $crate::yaml::NodeId,
            ) -> Result<(), $crate::yaml::decode::GiveUp> {
                match Self::FIELDS.get(index).copied() {
                    $(Some($key) => decoder.field($key, node, &mut self.$field),)*
                    _ => Ok(()),
                }
            }

            fn suspect(&mut self, index: usize) {
                match Self::FIELDS.get(index).copied() {
                    $(Some($key) => self.$field.faulty = true,)*
                    _ => {}
                }
            }

            fn set_place(&mut self, place: $crate::yaml::Place) {
                self.place = Some(place);
            }
        }
    };
}

record! {
    /// The whole document.
    pub struct ConfigFile {
        /// BGP peers.
        "peers" => peers: Vec<Peer>,
        /// Names of communities.
        "bgp-communities" => bgp_communities: TextMap,
        /// Pools of addresses.
        "address-pools" => address_pools: Vec<AddressPool>,
        /// BFD profiles.
        "bfd-profiles" => bfd_profiles: Vec<BfdProfile>,
    }
}

record! {
    /// A BGP peer.
    pub struct Peer {
        /// Our AS number.
        "my-asn" => my_asn: u32,
        /// The peer's AS number.
        "peer-asn" => peer_asn: u32,
        /// The address to dial.
        "peer-address" => peer_address: String,
        /// The address to dial from.
        "source-address" => source_address: String,
        /// The port to dial; 0: the default.
        "peer-port" => peer_port: u16,
        /// Go duration.
        "hold-time" => hold_time: String,
        /// Go duration.
        "keepalive-time" => keepalive_time: String,
        /// An address.
        "router-id" => router_id: String,
        /// Which nodes keep a session.
        "node-selectors" => node_selectors: Vec<NodeSelector>,
        /// TCP MD5.
        "password" => password: String,
        /// Name of a BFD profile.
        "bfd-profile" => bfd_profile: String,
        /// Whether the peer may be more than one hop away.
        "ebgp-multihop" => ebgp_multihop: bool,
    }
}

record! {
    /// A label selector.
    pub struct NodeSelector {
        /// Labels and their values.
        "match-labels" => match_labels: TextMap,
        /// Further requirements.
        "match-expressions" => match_expressions: Vec<SelectorRequirement>,
    }
}

record! {
    /// A requirement of a label selector.
    pub struct SelectorRequirement {
        /// The label.
        "key" => key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
        "operator" => operator: String,
        /// What the operator looks at.
        "values" => values: Vec<Text>,
    }
}

record! {
    /// A pool of addresses.
    pub struct AddressPool {
        /// `layer2` or `bgp`.
        "protocol" => protocol: String,
        /// Unique name.
        "name" => name: String,
        /// CIDRs and ranges.
        "addresses" => addresses: Vec<Text>,
        /// Whether IPv4 addresses ending in .0 and .255 are left out.
        "avoid-buggy-ips" => avoid_buggy_ips: bool,
        /// Whether Services that ask for nothing are served from it; absent: they are.
        "auto-assign" => auto_assign: Option<bool>,
        /// What is advertised.
        "bgp-advertisements" => bgp_advertisements: Vec<BgpAdvertisement>,
    }
}

record! {
    /// A BGP advertisement.
    pub struct BgpAdvertisement {
        /// Prefix length of the IPv4 route.
        "aggregation-length" => aggregation_length: Option<i64>,
        /// Prefix length of the IPv6 route.
        "aggregation-length-v6" => aggregation_length_v6: Option<i64>,
        /// LOCAL_PREF.
        "localpref" => localpref: Option<u32>,
        /// Communities, by name or as `a:b`.
        "communities" => communities: Option<Vec<Text>>,
    }
}

record! {
    /// A BFD profile.
    pub struct BfdProfile {
        /// Unique name.
        "name" => name: String,
        /// Milliseconds.
        "receive-interval" => receive_interval: Option<u32>,
        /// Milliseconds.
        "transmit-interval" => transmit_interval: Option<u32>,
        /// Lost packets until the session is down.
        "detect-multiplier" => detect_multiplier: Option<u32>,
        /// Milliseconds.
        "echo-interval" => echo_interval: Option<u32>,
        /// Echo function.
        "echo-mode" => echo_mode: bool,
        /// Wait for the peer to begin.
        "passive-mode" => passive_mode: bool,
        /// Lowest TTL of multihop sessions.
        "minimum-ttl" => minimum_ttl: Option<u32>,
    }
}

impl ConfigFile {
    /// Decodes a document.
    #[must_use]
    pub fn decode(document: &Document) -> Decoded<Self> {
        decode::decode(document, document.root())
    }

    /// Decodes a part of a document: Helm values hold the configuration as one of many.
    #[must_use]
    pub fn decode_node(document: &Document, node: NodeId) -> Decoded<Self> {
        decode::decode(document, Some(node))
    }
}
