//! `AddressPool`, the resource that 0.13 had before IPAddressPool (`v1alpha1`, `v1beta1`; gone with 0.14.3): a pool that says itself
//! how it is announced, as in 0.12's ConfigMap.
//!
//! Upstream: `internal/config` of 0.13 reads them after all else: BGPAdvertisements and L2Advertisements are not for them.

use super::{Announcement, Foreign, Object, texts};
use crate::crd::{BgpAdvertisement, IpAddressPool};
use crate::record;
use crate::yaml::decode::Text;

record! {
    /// `spec` of an AddressPool.
    pub struct LegacyPoolSpec {
        /// `layer2` or `bgp`.
        "protocol" => protocol: String,
        /// CIDRs and ranges.
        "addresses" => addresses: Vec<Text>,
        /// Whether Services that ask for nothing are served from it.
        "autoAssign" => auto_assign: Option<bool>,
        /// Whether addresses ending in .0 and .255 are left out; not in `v1alpha1`.
        "avoidBuggyIPs" => avoid_buggy_ips: bool,
        /// How it is announced by BGP.
        "bgpAdvertisements" => advertisements: Vec<LegacyAdvertisementSpec>,
    }
}

record! {
    /// An advertisement of an AddressPool.
    pub struct LegacyAdvertisementSpec {
        /// Prefix length of IPv4 routes.
        "aggregationLength" => aggregation_length: Option<i64>,
        /// Prefix length of IPv6 routes.
        "aggregationLengthV6" => aggregation_length_v6: Option<i64>,
        /// LOCAL_PREF.
        "localPref" => local_pref: u32,
        /// Names or values.
        "communities" => communities: Vec<Text>,
    }
}

impl Object<'_> {
    /// The pool, and how it is announced.
    pub(super) fn legacy_pool(&mut self) -> Option<(IpAddressPool, Announcement)> {
        let raw: LegacyPoolSpec = self.spec()?;
        let advertisements = raw.advertisements.value.iter();
        let advertisements: Vec<BgpAdvertisement> = advertisements
            .map(|advertisement| BgpAdvertisement {
                pools: vec![self.name.to_owned()],
                aggregation_length: advertisement.aggregation_length.value,
                aggregation_length_v6: advertisement.aggregation_length_v6.value,
                local_pref: advertisement.local_pref.value,
                communities: texts(&advertisement.communities.value),
            })
            .collect();
        let announcement = match raw.protocol.value.as_str() {
            "layer2" if advertisements.is_empty() => Announcement::Layer2,
            "layer2" => {
                let path = "spec.bgpAdvertisements";
                let message = format!("{path}: the protocol is layer2, and MetalLB refuses this");
                self.rest(Foreign::Fault, path, message, raw.advertisements.place);
                return None;
            }
            // Upstream: without an advertisement it has the default one.
            "bgp" if advertisements.is_empty() => {
                let pools = vec![self.name.to_owned()];
                Announcement::Bgp(vec![BgpAdvertisement {
                    pools,
                    ..BgpAdvertisement::default()
                }])
            }
            "bgp" => Announcement::Bgp(advertisements),
            _ => {
                let path = "spec.protocol";
                let message = format!("{path} must be layer2 or bgp");
                self.rest(Foreign::Fault, path, message, raw.protocol.place);
                return None;
            }
        };
        let pool = IpAddressPool {
            addresses: texts(&raw.addresses.value),
            auto_assign: raw.auto_assign.value,
            avoid_buggy_ips: raw.avoid_buggy_ips.value,
        };
        Some((pool, announcement))
    }
}
