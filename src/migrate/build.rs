//! The resources, in the order in which to apply them: what others refer to comes first, the sessions last.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::{BgpAdvertisement, BgpPeer, IpAddressPool, Password, Resource, Spec};
use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::quote::quote;
use ferrolb_compat::migrate as upstream;
use ferrolb_compat::migrate::{Release, is_object_name};
use ferrolb_compat::raw::{self, ConfigFile};
use ferrolb_compat::yaml::Place;

use super::checks::{has_family, is_dual_stack, needs_dual_stack};
use super::{
    ANNOTATION_ORIGINAL_NAME, Advertisements, BgpMode, Built, Findings, Level, Options, Passwords,
    Rename, names, settings,
};
use crate::config::{self, Config, Protocol};

/// A resource, and where it comes from.
type Placed = (Resource, Option<Place>);

/// The resources, and the names that changed.
pub(super) fn build(
    raw: &ConfigFile,
    config: &Config,
    mode: BgpMode,
    options: &Options,
    findings: &mut Findings<'_>,
) -> Built {
    let naming = &options.names;
    let pools = config.pools.iter().map(|pool| pool.name.as_str());
    let pool_names = names::choose(pools, "pool", naming);
    let profiles = config
        .bfd_profiles
        .iter()
        .map(|profile| profile.name.as_str());
    let profile_names = names::choose(profiles, "profile", naming);
    let mut build = Build {
        raw,
        config,
        mode,
        options,
        findings,
        pools: &pool_names.names,
        profiles: &profile_names.names,
    };
    let kinds = [
        ("IPAddressPool", &pool_names),
        ("BFDProfile", &profile_names),
    ];
    build.unnamed(kinds);
    let renames = build.renames();
    let profiles = build.profiles();
    let pools = build.pools();
    let advertisements = build.advertisements();
    let layer2 = build.layer2();
    let communities = build.communities();
    let (secrets, peers) = build.peers();
    let mut all = secrets;
    all.extend(profiles);
    all.extend(communities);
    all.extend(pools);
    all.extend(advertisements);
    all.extend(layer2);
    all.extend(peers);
    Built {
        resources: all,
        renames,
    }
}

/// New names by old ones.
type Names<'n> = BTreeMap<&'n str, String>;

struct Build<'b, 'f, 'o> {
    raw: &'b ConfigFile,
    config: &'b Config,
    mode: BgpMode,
    options: &'b Options,
    findings: &'f mut Findings<'o>,
    pools: &'b Names<'b>,
    profiles: &'b Names<'b>,
}

/// `peer1`; `peer01` where there are ten or more, so that the order of names is that of the document.
fn numbered(prefix: &str, index: usize, count: usize) -> String {
    let width = count.to_string().len();
    format!("{prefix}{:0width$}", index + 1)
}

/// A resource that has its name from the document.
fn named(names: &Names<'_>, original: &str, spec: Spec) -> Resource {
    let name = names.get(original).map_or(original, String::as_str);
    let mut resource = Resource::new(name, spec);
    if name != original {
        resource
            .annotations
            .insert(ANNOTATION_ORIGINAL_NAME.to_owned(), original.to_owned());
    }
    resource
}

/// A duration in the form of the resources.
fn go_duration(duration: std::time::Duration) -> GoDuration {
    GoDuration::from(duration)
}

impl Build<'_, '_, '_> {
    /// Where the pool or profile of a name stands.
    fn places(&self) -> BTreeMap<(&'static str, &str), Option<Place>> {
        let pools = self.raw.address_pools.value.iter();
        let profiles = self.raw.bfd_profiles.value.iter();
        let pools = pools.map(|pool| ("IPAddressPool", &pool.name));
        let profiles = profiles.map(|profile| ("BFDProfile", &profile.name));
        pools
            .chain(profiles)
            .map(|(kind, name)| ((kind, name.value.as_str()), name.place))
            .collect()
    }

    /// What stands against the names that are wanted, and which of them were those of others at first.
    fn unnamed(&mut self, kinds: [(&'static str, &names::Assigned<'_>); 2]) {
        let places = self.places();
        let mut told = Vec::new();
        for (kind, assigned) in kinds {
            let place = |name: &str| places.get(&(kind, name)).copied().flatten();
            for (name, code, why) in &assigned.refused {
                let help = "give it another with --names map=FILE, or convert without --names";
                told.push((Level::Blocked, *code, place(name), why.clone(), help));
            }
            for name in &assigned.collided {
                let message = format!(
                    "{} becomes the same name as another one: digits of its hash tell them apart",
                    quote(name)
                );
                told.push((Level::Info, "MIG013", place(name), message, ""));
            }
        }
        for (level, code, place, message, help) in told {
            self.findings.add(level, code, "", place, message, help);
        }
    }

    /// The names that changed, with a finding for each.
    fn renames(&mut self) -> Vec<Rename> {
        let mut renames = Vec::new();
        let places = self.places();
        let mut told = Vec::new();
        for (kind, code, names) in [
            ("IPAddressPool", "MIG012", self.pools),
            ("BFDProfile", "MIG016", self.profiles),
        ] {
            for (from, to) in names.iter().filter(|(from, to)| *from != to) {
                let place = places.get(&(kind, *from)).copied().flatten();
                let message = if is_object_name(from) {
                    format!("{} becomes {to}, as is wanted", quote(from))
                } else {
                    format!("{} is no name of a resource: it becomes {to}", quote(from))
                };
                let (level, help) = if kind == "IPAddressPool" {
                    (
                        Level::Warning,
                        "Services that ask for the pool by name must ask for the new one",
                    )
                } else {
                    (Level::Info, "")
                };
                told.push((level, code, place, message, help));
                renames.push(Rename {
                    kind,
                    from: (*from).to_owned(),
                    to: to.clone(),
                });
            }
        }
        for (level, code, place, message, help) in told {
            self.findings.add(level, code, "", place, message, help);
        }
        renames
    }

    /// The name of a resource that has none in the document.
    fn numbered(&self, kind: &str, index: usize, count: usize) -> String {
        numbered(&format!("{}{kind}", self.options.prefix), index, count)
    }

    fn profiles(&self) -> Vec<Placed> {
        let profiles = self.raw.bfd_profiles.value.iter();
        profiles
            .map(|raw| {
                let spec = Spec::BfdProfile(upstream::profile(raw));
                (named(self.profiles, &raw.name.value, spec), raw.place)
            })
            .collect()
    }

    fn communities(&mut self) -> Option<Placed> {
        let advertisements = self.raw.address_pools.value.iter();
        let advertisements = advertisements.flat_map(|pool| &pool.bgp_advertisements.value);
        let used: BTreeSet<&str> = advertisements
            .flat_map(|advertisement| advertisement.communities.value.iter().flatten())
            .map(|text| &*text.0.value)
            .collect();
        let mut aliases = Vec::new();
        for (name, value) in &self.raw.bgp_communities.value {
            if !used.contains(name.as_str()) {
                let path = format!("bgp-communities.{name}");
                let message = "no advertisement uses it";
                self.findings
                    .add(Level::Info, "MIG038", path, value.place, message, "");
                if self.options.prune_unused {
                    continue;
                }
            }
            // One without a name can be used in 0.12 and nowhere else: its value stands where it is used.
            if !name.is_empty() {
                aliases.push((name.clone(), value.value.clone()));
            }
        }
        let name = format!("{}communities", self.options.prefix);
        (!aliases.is_empty()).then(|| {
            (
                Resource::new(name, Spec::Community(aliases)),
                self.raw.bgp_communities.place,
            )
        })
    }

    fn pools(&mut self) -> Vec<Placed> {
        let mut pools = Vec::new();
        for (index, raw) in self.raw.address_pools.value.iter().enumerate() {
            let mut addresses: Vec<String> = raw
                .addresses
                .value
                .iter()
                .map(|text| text.0.value.to_string())
                .collect();
            let mut avoid_buggy_ips = raw.avoid_buggy_ips.value;
            if avoid_buggy_ips && !self.options.target.has_avoid_buggy_ips() {
                avoid_buggy_ips = false;
                addresses = self.without_buggy(index, raw, addresses);
            }
            let spec = Spec::Pool(IpAddressPool {
                addresses,
                auto_assign: raw.auto_assign.value,
                avoid_buggy_ips,
            });
            pools.push((named(self.pools, &raw.name.value, spec), raw.place));
        }
        pools
    }

    /// The lines of a pool for a release that cannot leave out buggy addresses by itself.
    fn without_buggy(
        &mut self,
        index: usize,
        raw: &raw::AddressPool,
        lines: Vec<String>,
    ) -> Vec<String> {
        let path = format!("address-pools[{index}].avoid-buggy-ips");
        let place = raw.avoid_buggy_ips.place;
        let target = self.options.target;
        let help = "convert for 0.13.4 or later";
        let split = match upstream::without_buggy(&raw.name.value, &lines) {
            Ok(split) => split,
            Err(error) => {
                self.findings.add(
                    Level::Blocked,
                    "MIG041",
                    path,
                    place,
                    error.to_string(),
                    help,
                );
                return lines;
            }
        };
        if split == lines {
            return lines;
        }
        let message =
            format!("{target} has no avoidBuggyIPs: the pool is cut into what 0.12 assigns of it");
        self.findings
            .add(Level::Warning, "MIG041", path.clone(), place, message, help);
        // What is cut has single addresses at its ends: only routes of /32 fit.
        let aggregated = self.config.pools.get(index).is_some_and(|pool| {
            pool.bgp_advertisements
                .iter()
                .any(|advertisement| advertisement.aggregation_length < 32)
        });
        if aggregated {
            let message =
                format!("{target} refuses an aggregation of a pool without its buggy addresses");
            self.findings
                .add(Level::Blocked, "MIG041", path, place, message, help);
        }
        split
    }

    fn layer2(&self) -> Vec<Placed> {
        let raws = self.raw.address_pools.value.iter();
        let pools: Vec<_> = self
            .config
            .pools
            .iter()
            .zip(raws)
            .filter(|(pool, _)| pool.protocol == Protocol::Layer2)
            .filter_map(|(pool, raw)| Some((self.pools.get(pool.name.as_str())?, raw.place)))
            .collect();
        pools
            .iter()
            .enumerate()
            .map(|(index, (name, place))| {
                let spec = Spec::L2Advertisement(vec![(*name).clone()]);
                let name = self.numbered("l2advertisement", index, pools.len());
                (Resource::new(name, spec), *place)
            })
            .collect()
    }

    fn advertisements(&mut self) -> Vec<Placed> {
        let mut all = Vec::new();
        let pairs = self.raw.address_pools.value.iter().zip(&self.config.pools);
        for (index, (raw, pool)) in pairs.enumerate() {
            if pool.protocol == Protocol::Bgp {
                let place = raw.bgp_advertisements.place.or(raw.place);
                let specs = self.advertisements_of(index, raw, pool).into_iter();
                all.extend(specs.map(|spec| (spec, place)));
            }
        }
        let count = all.len();
        all.into_iter()
            .enumerate()
            .map(|(index, (spec, place))| {
                let name = self.numbered("bgpadvertisement", index, count);
                (Resource::new(name, Spec::BgpAdvertisement(spec)), place)
            })
            .collect()
    }

    fn advertisements_of(
        &mut self,
        index: usize,
        raw: &raw::AddressPool,
        pool: &config::Pool,
    ) -> Vec<BgpAdvertisement> {
        let name = self.pools.get(pool.name.as_str()).cloned();
        let empty = BgpAdvertisement {
            pools: name.into_iter().collect(),
            ..BgpAdvertisement::default()
        };
        let (v4, v6) = (has_family(pool, false), has_family(pool, true));
        let mut specs: Vec<BgpAdvertisement> = Vec::new();
        for raw in &raw.bgp_advertisements.value {
            let texts = raw.communities.value.iter().flatten();
            specs.push(BgpAdvertisement {
                // A length below 1 is refused; where the pool has no address of the family it means nothing.
                aggregation_length: raw
                    .aggregation_length
                    .value
                    .filter(|length| v4 || *length > 0),
                aggregation_length_v6: raw
                    .aggregation_length_v6
                    .value
                    .filter(|length| v6 || *length > 0),
                local_pref: raw.localpref.value.unwrap_or_default(),
                communities: texts.map(|text| self.community(&text.0.value)).collect(),
                ..empty.clone()
            });
        }
        if specs.is_empty() {
            return vec![empty];
        }
        let path = format!("address-pools[{index}].bgp-advertisements");
        let place = raw.bgp_advertisements.place;
        let specs = self.merge(&path, place, specs, (v4, v6));
        self.local_prefs(&path, place, specs, (v4, v6))
    }

    /// A community as it is written; one without a name by its value.
    fn community(&self, text: &str) -> String {
        let value = self.raw.bgp_communities.value.get(text);
        match value.filter(|_| text.is_empty()) {
            Some(value) => value.value.clone(),
            None => text.to_owned(),
        }
    }

    /// One advertisement for those that make the same routes: native BGP keeps the last, FRR unites them.
    fn merge(
        &mut self,
        path: &str,
        place: Option<Place>,
        specs: Vec<BgpAdvertisement>,
        families: (bool, bool),
    ) -> Vec<BgpAdvertisement> {
        // With the communities that each has, so that uniting many takes no time.
        let mut merged: Vec<(BgpAdvertisement, BTreeSet<String>)> = Vec::new();
        for spec in specs {
            let known = spec.communities.iter().cloned().collect();
            let same = merged
                .iter_mut()
                .find(|(other, _)| same_routes(other, &spec, families));
            let Some((other, united)) = same else {
                merged.push((spec, known));
                continue;
            };
            let (conflict, what) = if self.mode == BgpMode::Native {
                (true, "0.12 announces the last of them")
            } else {
                (
                    other.local_pref != spec.local_pref,
                    "0.12 announces the highest localpref and all communities",
                )
            };
            if self.options.advertisements == Advertisements::OnePerEntry {
                let refused = self.options.target >= Release::new(13, 10)
                    && other.local_pref != spec.local_pref;
                if refused || self.mode == BgpMode::Native {
                    self.findings.add(
                        Level::Blocked,
                        "MIG024",
                        path,
                        place,
                        "two advertisements make the same route, and the target would not do with them what 0.12 does",
                        "convert with --advertisements merge",
                    );
                }
                merged.push((spec, known));
                continue;
            }
            if conflict {
                let message = format!(
                    "two advertisements make the same route: {what}, and one resource says so"
                );
                self.findings
                    .add(Level::Warning, "MIG024", path, place, message, "");
            }
            if self.mode == BgpMode::Native {
                *other = spec;
            } else {
                other.local_pref = other.local_pref.max(spec.local_pref);
                let more = spec.communities.into_iter();
                other
                    .communities
                    .extend(more.filter(|text| united.insert(text.clone())));
            }
        }
        merged.into_iter().map(|(spec, _)| spec).collect()
    }

    /// Different local preferences in one pool, which the releases allow under different conditions.
    fn local_prefs(
        &mut self,
        path: &str,
        place: Option<Place>,
        mut specs: Vec<BgpAdvertisement>,
        (v4, v6): (bool, bool),
    ) -> Vec<BgpAdvertisement> {
        let target = self.options.target;
        let conflict = |specs: &[BgpAdvertisement], both: bool| {
            specs.iter().enumerate().any(|(index, one)| {
                specs.iter().skip(index + 1).any(|other| {
                    let same_v4 = length_v4(one) == length_v4(other);
                    let same_v6 = length_v6(one) == length_v6(other);
                    let clash = if both {
                        same_v4 || same_v6
                    } else {
                        same_v4 && v4 || same_v6 && v6
                    };
                    one.local_pref != other.local_pref && clash
                })
            })
        };
        if target < Release::new(13, 10) {
            return specs;
        }
        let strict = target < Release::new(15, 0);
        if strict && conflict(&specs, true) && v4 != v6 {
            // The length of the family that the pool has not means nothing: it may tell the advertisements apart.
            for (index, spec) in specs.iter_mut().enumerate() {
                let index = i64::try_from(index).unwrap_or(i64::MAX);
                if v4 {
                    spec.aggregation_length_v6 =
                        Some(128_i64.saturating_sub(index)).filter(|length| *length < 128);
                } else {
                    spec.aggregation_length =
                        Some(32_i64.saturating_sub(index)).filter(|length| *length < 32);
                }
            }
            let message = format!(
                "{target} refuses different localprefs unless the lengths of both families differ: the one that the \
                 pool has no address of is set to tell them apart"
            );
            self.findings
                .add(Level::Info, "MIG025", path, place, message, "");
        }
        let too_many = specs.iter().any(|spec| {
            spec.aggregation_length
                .is_some_and(|length| length < 1 && !v4)
                || spec
                    .aggregation_length_v6
                    .is_some_and(|length| length < 1 && !v6)
        });
        if too_many || conflict(&specs, strict) {
            self.findings.add(
                Level::Blocked,
                "MIG024",
                path,
                place,
                format!("{target} refuses these localprefs in one pool"),
                "use one pool for each localpref, or convert for 0.15 or later",
            );
        }
        specs
    }

    /// The Secrets, and the peers.
    fn peers(&mut self) -> (Vec<Placed>, Vec<Placed>) {
        let (mut secrets, mut peers) = (Vec::new(), Vec::new());
        let target = self.options.target;
        let count = self.config.peers.len();
        let carried = settings::Carried::by(self.mode, self.options);
        let carries_restart = carried == settings::Carried::GracefulRestart;
        let pairs = self.raw.peers.value.iter().zip(&self.config.peers);
        for (index, (raw, peer)) in pairs.enumerate() {
            let name = self.numbered("peer", index, count);
            let zeros = target >= Release::new(14, 9);
            let explicit = |text: &str, time| {
                let time = go_duration(time);
                (!text.is_empty() && (zeros || time.0 != 0)).then_some(time)
            };
            let default = std::time::Duration::from_secs(90);
            let hold_time = explicit("set", peer.hold_time).unwrap_or_else(|| go_duration(default));
            let selectors = upstream::selectors(&raw.node_selectors.value, true);
            if selectors != upstream::selectors(&raw.node_selectors.value, false) {
                let message = "selectors or values that are there twice are written once";
                let path = format!("peers[{index}].node-selectors");
                self.findings.add(
                    Level::Info,
                    "MIG017",
                    path,
                    raw.node_selectors.place,
                    message,
                    "",
                );
            }
            let mut spec = BgpPeer {
                my_asn: peer.my_asn,
                peer_asn: peer.peer_asn,
                peer_address: raw.peer_address.value.clone(),
                source_address: raw.source_address.value.clone(),
                peer_port: raw.peer_port.value,
                hold_time: Some(hold_time),
                keepalive_time: explicit(&raw.keepalive_time.value, peer.keepalive_time),
                router_id: raw.router_id.value.clone(),
                node_selectors: selectors,
                bfd_profile: match self.profiles.get(raw.bfd_profile.value.as_str()) {
                    Some(name) => name.clone(),
                    None => raw.bfd_profile.value.clone(),
                },
                ebgp_multihop: raw.ebgp_multihop.value,
                dual_stack: needs_dual_stack(self.mode, target)
                    && is_dual_stack(self.config, peer.peer_address),
                graceful_restart: carries_restart && settings::restarts(self.config, peer),
                ..BgpPeer::default()
            };
            let password = Password(raw.password.value.clone());
            match self.options.passwords {
                _ if password.0.is_empty() => {}
                Passwords::Inline => spec.password = password,
                Passwords::Secret | Passwords::Redact | Passwords::External(_) => {
                    let secret = format!("{name}-password");
                    spec.password_secret.clone_from(&secret);
                    let secret = Resource::new(secret, Spec::Secret(password));
                    secrets.push((secret, raw.password.place));
                }
            }
            peers.push((Resource::new(name, Spec::Peer(spec)), raw.place));
        }
        (secrets, peers)
    }
}

/// The length of IPv4 routes.
fn length_v4(spec: &BgpAdvertisement) -> i64 {
    spec.aggregation_length.unwrap_or(32)
}

/// The length of IPv6 routes.
fn length_v6(spec: &BgpAdvertisement) -> i64 {
    spec.aggregation_length_v6.unwrap_or(128)
}

/// Whether two advertisements of a pool make the same routes, as far as the pool has addresses of the families.
fn same_routes(one: &BgpAdvertisement, other: &BgpAdvertisement, (v4, v6): (bool, bool)) -> bool {
    (!v4 || length_v4(one) == length_v4(other)) && (!v6 || length_v6(one) == length_v6(other))
}
