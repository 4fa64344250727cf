//! The sections `bgp-communities` and `address-pools`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use ferrolb_compat::go::ip::{parse_cidr, parse_ip};
use ferrolb_compat::go::quote::quote;
use ferrolb_compat::raw::{self, ConfigFile};
use ferrolb_compat::yaml::Place;
use ferrolb_compat::yaml::decode::Text;
use ferrolb_compat::yaml::fault::push_key;
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::Findings;
use crate::config::{BgpAdvertisement, Pool, Protocol};

/// The most CIDRs of a configuration: a range becomes up to 254 of them.
const MAX_CIDRS: usize = 1 << 18;

/// Checks and takes the communities and the pools.
pub(super) fn parse(raw: &ConfigFile, findings: &mut Findings) -> Vec<Pool> {
    let communities = parse_communities(raw, findings);
    let mut names = HashSet::new();
    let mut taken = Taken::default();
    let mut pools = Vec::new();
    for (index, pool) in raw.address_pools.value.iter().enumerate() {
        let mut check = Check {
            pool,
            path: format!("address-pools[{index}]"),
            communities: &communities,
            findings,
        };
        let entries = check.entries();
        let parsed = check.parse(&entries);
        let name = &pool.name.value;
        // Nameless pools are reported as such.
        if !name.is_empty() && !names.insert(name.as_str()) {
            check.refuse(
                "duplicate-pool",
                "name",
                pool.name.place,
                format!("duplicate definition of pool {}", quote(name)),
                Some("give each pool a name of its own".to_owned()),
            );
        }
        check.overlaps(&entries, &mut taken);
        if taken.count > MAX_CIDRS {
            let message = format!("the pools have more than {MAX_CIDRS} CIDRs");
            let help = "write whole networks instead of ranges where possible".to_owned();
            check.refuse("too-large", "addresses", None, message, Some(help));
            break;
        }
        pools.extend(parsed);
    }
    pools
}

/// The names of communities and their numbers.
fn parse_communities(raw: &ConfigFile, findings: &mut Findings) -> HashMap<String, u32> {
    let mut entries: Vec<_> = raw.bgp_communities.value.iter().collect();
    entries.sort_by_key(|(_, field)| field.place.map(|place| place.start));
    let mut communities = HashMap::new();
    for (name, field) in entries {
        // One that is wrong is known all the same: its users are not to blame.
        let number = parse_community(&field.value).unwrap_or_else(|fault| {
            if !field.faulty {
                let mut path = "bgp-communities".to_owned();
                push_key(&mut path, name);
                findings.add(
                    "invalid-community",
                    path,
                    field.place.unwrap_or(Place::BEGIN),
                    fault,
                    None,
                );
            }
            0
        });
        communities.insert(name.clone(), number);
    }
    communities
}

/// Two decimal numbers of 16 bits: RFC 1997.
fn parse_community(text: &str) -> Result<u32, String> {
    let section = |part: &str| -> Option<u32> {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| part.parse::<u16>().ok())
            .flatten()
            .map(u32::from)
    };
    text.split_once(':')
        .and_then(|(high, low)| Some(section(high)? << 16 | section(low)?))
        .ok_or_else(|| {
            format!(
                "invalid community string {}: must be two numbers from 0 to 65535, `a:b`",
                quote(text)
            )
        })
}

/// What an entry of `addresses` means.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// A CIDR; `written_len` is the prefix length as written, which is 96 more for an IPv4-mapped network.
    Cidr {
        /// The network.
        net: IpNet,
        /// As written.
        written_len: u8,
    },
    /// A range of one family.
    Range(IpAddr, IpAddr),
    /// A range from one family to the other, which has no addresses (`Compat:` upstream accepts it).
    Nothing,
}

impl Entry {
    /// The fewest CIDRs that cover it, in order.
    pub(super) fn cidrs(&self) -> Box<dyn Iterator<Item = IpNet> + '_> {
        match self {
            Self::Cidr { net, .. } => Box::new(std::iter::once(*net)),
            Self::Range(IpAddr::V4(start), IpAddr::V4(end)) => {
                Box::new(Ipv4Subnets::new(*start, *end, 0).map(IpNet::V4))
            }
            Self::Range(IpAddr::V6(start), IpAddr::V6(end)) => {
                Box::new(Ipv6Subnets::new(*start, *end, 0).map(IpNet::V6))
            }
            Self::Range(..) | Self::Nothing => Box::new(std::iter::empty()),
        }
    }

    /// Whether it is IPv4, and its shortest prefix as upstream sees it; `None` without addresses.
    fn shortest_prefix(&self) -> Option<(bool, u8)> {
        match self {
            // Upstream: an IPv4-mapped network is IPv4 with a prefix length of 96 and more.
            Self::Cidr { net, written_len } => Some((net.addr().is_ipv4(), *written_len)),
            Self::Range(start, _) => {
                let shortest = self.cidrs().map(|cidr| cidr.prefix_len()).min()?;
                Some((start.is_ipv4(), shortest))
            }
            Self::Nothing => None,
        }
    }
}

/// Parses an entry of `addresses`; `None` with the error reported.
pub(super) fn parse_entry(
    entry: &Text,
    path: &str,
    pool: &str,
    findings: &mut Findings,
) -> Option<Entry> {
    let text = &*entry.0.value;
    match parse_addresses(text) {
        Ok(parsed) => Some(parsed),
        Err((fault, help)) => {
            if !entry.0.faulty {
                findings.add(
                    "invalid-cidr",
                    path.to_owned(),
                    entry.0.place.unwrap_or(Place::BEGIN),
                    format!(
                        "invalid CIDR {} in pool {}: {fault}",
                        quote(text),
                        quote(pool)
                    ),
                    help,
                );
            }
            None
        }
    }
}

/// A CIDR, or two addresses with `-` between them.
fn parse_addresses(text: &str) -> Result<Entry, (String, Option<String>)> {
    let Some((start, end)) = text.split_once('-') else {
        let Some(cidr) = parse_cidr(text) else {
            let help = parse_ip(text.trim()).map(|ip| {
                let length = if ip.is_ipv4() { 32 } else { 128 };
                format!("write a single address as `{ip}/{length}`")
            });
            return Err(("neither a CIDR nor a range `start-end`".to_owned(), help));
        };
        let net = IpNet::new(cidr.network, cidr.prefix_len)
            .map_err(|_| ("invalid prefix length".to_owned(), None))?;
        return Ok(Entry::Cidr {
            net,
            written_len: cidr.written_len,
        });
    };
    let side = |name: &str, text: &str| {
        parse_ip(go_trim(text)).ok_or_else(|| (format!("invalid {name} IP {}", quote(text)), None))
    };
    let (first, last) = (side("start", start)?, side("end", end)?);
    // Upstream compares the sixteen bytes, where IPv4 is mapped.
    if as_v6(first) > as_v6(last) {
        let fault = format!(
            "start IP {} is after the end IP {}",
            quote(start),
            quote(end)
        );
        return Err((fault, Some("swap them".to_owned())));
    }
    Ok(if first.is_ipv4() == last.is_ipv4() {
        Entry::Range(first, last)
    } else {
        Entry::Nothing
    })
}

/// Go's `strings.TrimSpace`.
fn go_trim(text: &str) -> &str {
    text.trim_matches(char::is_whitespace)
}

/// The address as a number of 128 bits, IPv4 mapped.
fn as_v6(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The CIDRs so far: disjoint, by family and first address.
#[derive(Debug, Default)]
struct Taken {
    /// (IPv6, first address) → (last address, number in the order of the document, CIDR).
    by_start: BTreeMap<(bool, u128), (u128, usize, IpNet)>,
    /// How many CIDRs were looked at.
    count: usize,
}

impl Taken {
    /// Takes a CIDR, or gives the first of the document's that it overlaps.
    fn take(&mut self, cidr: IpNet) -> Option<IpNet> {
        let is_v6 = cidr.addr().is_ipv6();
        let number = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let (start, end) = (number(cidr.network()), number(cidr.broadcast()));
        // CIDRs overlap only if one contains the other: one that begins before, or some that begin inside.
        let before = self.by_start.range((is_v6, 0)..(is_v6, start)).next_back();
        let inside = self.by_start.range((is_v6, start)..=(is_v6, end));
        let first = before
            .filter(|(_, (last, _, _))| *last >= start)
            .into_iter()
            .chain(inside)
            .min_by_key(|(_, (_, number, _))| *number)
            .map(|(_, (_, _, other))| *other);
        if first.is_none() {
            self.by_start
                .insert((is_v6, start), (end, self.count, cidr));
        }
        self.count += 1;
        first
    }
}

/// The checks of one pool.
struct Check<'a> {
    /// As decoded.
    pool: &'a raw::AddressPool,
    /// `address-pools[0]`
    path: String,
    /// The names of communities.
    communities: &'a HashMap<String, u32>,
    /// Where errors go.
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// Adds an error about a field; an empty name is the pool itself.
    fn refuse(
        &mut self,
        code: &'static str,
        field: &str,
        place: Option<Place>,
        message: String,
        help: Option<String>,
    ) {
        let path = match field {
            "" => self.path.clone(),
            field => format!("{}.{field}", self.path),
        };
        let place = place.or(self.pool.place).unwrap_or(Place::BEGIN);
        self.findings.add(code, path, place, message, help);
    }

    /// The name, and the entries of `addresses`, those that are wrong left out.
    fn entries(&mut self) -> Vec<(usize, Entry)> {
        let pool = self.pool;
        if pool.name.value.is_empty() && !pool.name.faulty {
            self.refuse(
                "missing-name",
                "",
                pool.name.place,
                "missing pool name".to_owned(),
                Some("give the pool a `name`".to_owned()),
            );
        }
        if pool.addresses.value.is_empty() && !pool.addresses.faulty {
            self.refuse(
                "no-addresses",
                "addresses",
                pool.addresses.place,
                "pool has no prefixes defined".to_owned(),
                Some("list CIDRs or ranges under `addresses`".to_owned()),
            );
        }
        let mut entries = Vec::new();
        for (number, entry) in pool.addresses.value.iter().enumerate() {
            let path = format!("{}.addresses[{number}]", self.path);
            let parsed = parse_entry(entry, &path, &pool.name.value, self.findings);
            entries.extend(parsed.map(|parsed| (number, parsed)));
        }
        entries
    }

    /// Protocol and advertisements; `None` if something is wrong.
    fn parse(&mut self, entries: &[(usize, Entry)]) -> Option<Pool> {
        let pool = self.pool;
        let protocol = &pool.protocol;
        let (protocol, bgp_advertisements) = match protocol.value.as_str() {
            "layer2" => {
                if !pool.bgp_advertisements.value.is_empty() {
                    self.refuse(
                        "layer2-advertisements",
                        "bgp-advertisements",
                        pool.bgp_advertisements.place,
                        "cannot have bgp-advertisements in a layer2 address pool".to_owned(),
                        Some("remove them, or make it `protocol: bgp`".to_owned()),
                    );
                }
                (Protocol::Layer2, Vec::new())
            }
            "bgp" => (Protocol::Bgp, self.advertisements(entries)),
            "" => {
                if !protocol.faulty {
                    self.refuse(
                        "missing-protocol",
                        "protocol",
                        protocol.place,
                        "address pool is missing the protocol field".to_owned(),
                        Some("add `protocol: layer2` or `protocol: bgp`".to_owned()),
                    );
                }
                return None;
            }
            other => {
                self.refuse(
                    "unknown-protocol",
                    "protocol",
                    protocol.place,
                    format!("unknown protocol {}: must be layer2 or bgp", quote(other)),
                    None,
                );
                return None;
            }
        };
        Some(Pool {
            name: pool.name.value.clone(),
            protocol,
            auto_assign: pool.auto_assign.value.unwrap_or(true),
            avoid_buggy_ips: pool.avoid_buggy_ips.value,
            cidrs: entries
                .iter()
                .flat_map(|(_, entry)| entry.cidrs())
                .take(MAX_CIDRS)
                .collect(),
            bgp_advertisements,
        })
    }

    /// No CIDR may overlap one before it.
    fn overlaps(&mut self, entries: &[(usize, Entry)], taken: &mut Taken) {
        for (number, entry) in entries {
            for cidr in entry.cidrs() {
                if taken.count > MAX_CIDRS {
                    return;
                }
                let Some(other) = taken.take(cidr) else {
                    continue;
                };
                let text = self.pool.addresses.value.get(*number);
                self.refuse(
                    "cidr-overlap",
                    &format!("addresses[{number}]"),
                    text.and_then(|text| text.0.place),
                    format!(
                        "CIDR \"{cidr}\" in pool {} overlaps with already defined CIDR \"{other}\"",
                        quote(&self.pool.name.value)
                    ),
                    None,
                );
            }
        }
    }

    /// The advertisements of a bgp pool; without any, one with all defaults.
    fn advertisements(&mut self, entries: &[(usize, Entry)]) -> Vec<BgpAdvertisement> {
        let advertisements = &self.pool.bgp_advertisements.value;
        if advertisements.is_empty() {
            return vec![BgpAdvertisement {
                aggregation_length: 32,
                aggregation_length_v6: 128,
                local_pref: 0,
                communities: Vec::new(),
            }];
        }
        if let Some((first, second)) = first_equal_pair(advertisements) {
            let place = advertisements.get(second - 1).and_then(|ad| ad.place);
            self.refuse(
                "duplicate-advertisement",
                &format!("bgp-advertisements[{}]", second - 1),
                place,
                format!(
                    "duplicate definition of bgp-advertisements: advertisement {first} and {second} are equal"
                ),
                Some("remove one of them".to_owned()),
            );
        }
        let steps = prefix_steps(entries);
        advertisements
            .iter()
            .enumerate()
            .map(|(index, advertisement)| self.advertisement(index, advertisement, &steps))
            .collect()
    }

    /// One advertisement.
    fn advertisement(
        &mut self,
        index: usize,
        advertisement: &raw::BgpAdvertisement,
        steps: &[(usize, bool, u8)],
    ) -> BgpAdvertisement {
        let path = format!("bgp-advertisements[{index}]");
        let place = |field: Option<Place>| field.or(advertisement.place);
        let communities = advertisement.communities.value.as_deref().unwrap_or(&[]);
        let mut seen = HashSet::new();
        for (number, community) in communities.iter().enumerate() {
            if !seen.insert(&*community.0.value) && !community.0.faulty {
                self.refuse(
                    "duplicate-community",
                    &format!("{path}.communities[{number}]"),
                    place(community.0.place),
                    format!(
                        "duplicate definition of community {}",
                        quote(&community.0.value)
                    ),
                    Some("remove one of them".to_owned()),
                );
            }
        }
        let v4 = advertisement.aggregation_length.value.unwrap_or(32);
        let v6 = advertisement.aggregation_length_v6.value.unwrap_or(128);
        let lengths = [
            (
                false,
                v4,
                32,
                "aggregation-length",
                &advertisement.aggregation_length,
            ),
            (
                true,
                v6,
                128,
                "aggregation-length-v6",
                &advertisement.aggregation_length_v6,
            ),
        ];
        for (is_v6, length, limit, name, field) in lengths {
            if length > limit {
                let family = if is_v6 { "IPv6" } else { "IPv4" };
                self.refuse(
                    "invalid-aggregation-length",
                    &format!("{path}.{name}"),
                    place(field.place),
                    format!(
                        "invalid aggregation length {length} for {family}: must be 0 to {limit}"
                    ),
                    None,
                );
            }
        }
        // The first entry of the document that does not fit.
        let too_specific = steps
            .iter()
            .find(|(_, is_v4, shortest)| i64::from(*shortest) > if *is_v4 { v4 } else { v6 });
        if let Some((number, is_v4, shortest)) = too_specific {
            let (length, name, field) = if *is_v4 {
                (v4, "aggregation-length", &advertisement.aggregation_length)
            } else {
                (
                    v6,
                    "aggregation-length-v6",
                    &advertisement.aggregation_length_v6,
                )
            };
            let text = self.pool.addresses.value.get(*number);
            let text = text.map_or("", |text| &*text.0.value);
            if !field.faulty {
                self.refuse(
                    "aggregation-too-short",
                    &format!("{path}.{name}"),
                    place(field.place),
                    format!(
                        "invalid aggregation length {length}: prefix {shortest} in this pool is more specific than the aggregation length for addresses {}",
                        quote(text)
                    ),
                    Some("the routes would cover addresses that are not the pool's: use a longer length or a larger pool".to_owned()),
                );
            }
        }
        let mut numbers: Vec<u32> = Vec::with_capacity(communities.len());
        for (number, community) in communities.iter().enumerate() {
            let text = &*community.0.value;
            let parsed = match self.communities.get(text) {
                Some(known) => Ok(*known),
                None => parse_community(text),
            };
            match parsed {
                Ok(community) => numbers.push(community),
                Err(_) if community.0.faulty => {}
                Err(fault) => self.refuse(
                    "invalid-community",
                    &format!("{path}.communities[{number}]"),
                    place(community.0.place),
                    fault,
                    Some("or a name defined under `bgp-communities`".to_owned()),
                ),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        BgpAdvertisement {
            aggregation_length: clamp(v4),
            aggregation_length_v6: clamp(v6),
            local_pref: advertisement.localpref.value.unwrap_or(0),
            communities: numbers,
        }
    }
}

/// Compat: upstream accepts a negative length where no entry is of that family; nothing is ever announced with it.
fn clamp(length: i64) -> u8 {
    u8::try_from(length.max(0)).unwrap_or(u8::MAX)
}

/// The entries at which the longest of the shortest prefixes grows, per family: the first entry that is longer than some
/// length is one of these.
fn prefix_steps(entries: &[(usize, Entry)]) -> Vec<(usize, bool, u8)> {
    let mut longest: [Option<u8>; 2] = [None, None];
    let mut steps = Vec::new();
    for (number, entry) in entries {
        let Some((is_v4, shortest)) = entry.shortest_prefix() else {
            continue;
        };
        if let Some(longest) = longest.get_mut(usize::from(is_v4))
            && longest.is_none_or(|longest| shortest > longest)
        {
            *longest = Some(shortest);
            steps.push((*number, is_v4, shortest));
        }
    }
    steps
}

/// The numbers, from 1, of the first two advertisements that are equal as they are written.
fn first_equal_pair(advertisements: &[raw::BgpAdvertisement]) -> Option<(usize, usize)> {
    // Upstream compares pointers by what they point to: an absent value is not its default written out.
    let mut first_with = HashMap::new();
    let mut best: Option<(usize, usize)> = None;
    for (index, advertisement) in advertisements.iter().enumerate() {
        let communities = advertisement.communities.value.as_ref().map(|communities| {
            let texts = communities.iter().map(|community| &*community.0.value);
            texts.collect::<Vec<_>>()
        });
        let written = (
            advertisement.aggregation_length.value,
            advertisement.aggregation_length_v6.value,
            advertisement.localpref.value,
            communities,
        );
        let faulty = advertisement.aggregation_length.faulty
            || advertisement.aggregation_length_v6.faulty
            || advertisement.localpref.faulty
            || advertisement.communities.faulty;
        if faulty {
            continue;
        }
        let first = *first_with.entry(written).or_insert(index);
        if first != index && best.is_none_or(|(best, _)| first + 1 < best) {
            best = Some((first + 1, index + 1));
        }
    }
    best
}
