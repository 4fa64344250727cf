//! Back again: from custom resources to the configuration of 0.12 that means the same.
//!
//! 0.12 can say less: a pool has one protocol, advertisements are for everything, communities are small. What it cannot say stops it,
//! each with its place; with [`ReverseOptions::lossy`] it is left out, with a comment where it was.
//!
//! What comes out was compared with what went in, by [`verify`].
//!
//! What it is not: no file, no cluster. In: documents. Out: the text of the ConfigMap's `config`.
//!
//! Invariant: no finding holds a password; the text does, since that is where 0.12 has them.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::read::{Foreign, Found, read_all};
use ferrolb_compat::crd::schema::{Judge, Schemas};
use ferrolb_compat::crd::{BfdProfile, BgpAdvertisement, BgpPeer, NodeSelector, Resource, Spec};
use ferrolb_compat::go::duration::GoDuration;
use ferrolb_compat::go::ip::parse_ip;
use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::emit::{self, Value};
use ferrolb_compat::yaml::{Document, Place};

use super::{
    ANNOTATION_ORIGINAL_NAME, BgpMode, Finding, Level, Rename, finding, resources, verify,
};
use crate::config::Config;
use crate::config::mode::Mode;
use crate::config::parse::examine;

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct ReverseOptions {
    /// The release that reads the resources; `None`: the newest.
    pub target: Option<Release>,
    /// Its BGP implementation; `None`: native if 0.12's native mode takes the configuration, else FRR.
    pub mode: Option<BgpMode>,
    /// Whether what 0.12 cannot say is left out.
    pub lossy: bool,
    /// Whether renamed resources keep their new names.
    pub keep_names: bool,
    /// Of resources of several namespaces, those of this one.
    pub namespace: Option<String>,
}

/// What became of resources.
#[derive(Debug, Clone, Default)]
pub struct Reversed {
    /// The text of the ConfigMap's `config`; `None`: 0.12 cannot say it.
    pub text: Option<String>,
    /// The namespace of the resources, if they name one.
    pub namespace: Option<String>,
    /// The names that were given back.
    pub renames: Vec<Rename>,
    /// What is to say, the worst first, then by place.
    pub findings: Vec<Finding>,
    /// What 0.12 runs with it.
    pub config: Option<Config>,
    /// The BGP implementation that it was compared for.
    pub mode: Option<BgpMode>,
}

/// Where a resource stands: its file, and its place there.
type At = (usize, Place);

/// Makes a configuration of the resources of some files.
#[must_use]
pub fn reverse(files: &[Vec<Document>], options: &ReverseOptions) -> Reversed {
    let target = options.target.unwrap_or(Release::NEWEST);
    let mut findings = Vec::new();
    let (all, mut lost) = read(files, target, options, &mut findings);
    let (items, namespace) = of_one_namespace(&all, options, &mut findings);
    let mut names = BTreeSet::new();
    for (file, found) in &items {
        let resource = &found.resource;
        if !names.insert((resource.spec.kind(), resource.name.as_str())) {
            let message = "it is there twice";
            findings.push(say(
                Level::Blocked,
                "MIG049",
                resource,
                "",
                (*file, found.place),
                message,
            ));
        }
    }
    let found: Vec<&Found> = items.iter().map(|(_, found)| *found).collect();
    let resolved = resources::resolve(&found);
    let modes = match options.mode {
        Some(mode) => vec![mode],
        None => vec![BgpMode::Native, BgpMode::Frr],
    };
    let mut built = None;
    for mode in modes {
        let mut build = Build {
            target,
            mode,
            options,
            resources: resolved
                .iter()
                .filter_map(|(index, resource)| {
                    let (file, found) = items.get(*index)?;
                    Some((resource, (*file, found.place)))
                })
                .collect(),
            lost: std::mem::take(&mut lost),
            findings: Vec::new(),
            renames: Vec::new(),
            origins: BTreeMap::new(),
        };
        let text = build.text();
        let of_mode = if mode.is_frr() {
            Mode::Frr
        } else {
            Mode::Native
        };
        let fits = options.mode.is_some() || examine(&text, of_mode).config.is_some();
        lost = std::mem::take(&mut build.lost);
        built = Some((text, mode, build.findings, build.renames, build.origins));
        if fits {
            break;
        }
    }
    let (text, mode, more, renames, origins) = built.unwrap_or_default();
    let is_lossy = options.lossy && !(lost.is_empty() && more.is_empty());
    findings.extend(more);
    // What follows from a resource that no API server takes is not worth saying.
    let is_refused = findings
        .iter()
        .any(|finding| finding.diagnostic.code == "MIG049");
    let examined = examine(&text, Mode::FerroLb);
    let errors = examined.errors.into_iter().filter(|_| !is_refused);
    for error in errors {
        let at = origins
            .get(error.path.split_inclusive(']').next().unwrap_or_default())
            .copied();
        let (file, place) = at.unwrap_or((0, Place::BEGIN));
        let message = format!("0.12 refuses {}: {}", error.path, error.message);
        let help = error.help.unwrap_or_default();
        let mut finding = finding(
            Level::Blocked,
            "MIG068",
            error.path,
            at.map(|_| place),
            message,
            &help,
        );
        finding.file = file;
        findings.push(finding);
    }
    let stopped = |findings: &[Finding]| {
        findings
            .iter()
            .any(|finding| finding.level >= Level::Blocked)
    };
    if !stopped(&findings)
        && let Some(config) = &examined.config
        && !is_lossy
    {
        let resources: Vec<Resource> = resolved
            .iter()
            .map(|(_, resource)| resource.clone())
            .collect();
        for difference in verify::compare(config, &resources, &renames, target, mode) {
            let message = difference.to_string();
            findings.push(finding(Level::Blocked, "MIG070", "", None, message, ""));
        }
    }
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.file, finding.diagnostic.span.start);
        b.level.cmp(&a.level).then(key(a).cmp(&key(b)))
    });
    let stopped = stopped(&findings);
    Reversed {
        text: (!stopped).then_some(text),
        namespace,
        renames,
        findings,
        config: examined.config.filter(|_| !stopped),
        mode: Some(mode),
    }
}

impl Default for BgpMode {
    /// What needs no other program.
    fn default() -> Self {
        Self::Native
    }
}

/// A finding about a resource.
fn say(
    level: Level,
    code: &'static str,
    resource: &Resource,
    path: &str,
    at: At,
    message: impl Into<String>,
) -> Finding {
    told(
        level,
        code,
        (resource.spec.kind(), &resource.name),
        path,
        at,
        message,
    )
}

/// The same where there is no more than its kind and name.
fn told(
    level: Level,
    code: &'static str,
    (kind, name): (&str, &str),
    path: &str,
    (file, place): At,
    message: impl Into<String>,
) -> Finding {
    let path = if path.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {name}: {path}")
    };
    super::at(level, code, path, (file, place), message.into())
}

/// What is left out, by the kind and name of the resource.
type Lost = BTreeMap<(String, String), BTreeSet<String>>;

/// Everything that is in the files, and what cannot be taken of it.
fn read(
    files: &[Vec<Document>],
    target: Release,
    options: &ReverseOptions,
    findings: &mut Vec<Finding>,
) -> (Vec<(usize, Found)>, Lost) {
    let schemas = Schemas::of(target);
    let judge = Judge {
        schemas: &schemas,
        kubernetes: None,
    };
    let (mut all, mut lost) = (Vec::new(), Lost::new());
    for (file, documents) in files.iter().enumerate() {
        let mut refused = BTreeSet::new();
        for fault in documents.iter().flat_map(|document| judge.check(document)) {
            refused.insert((fault.place.line, fault.place.column));
            let mut finding = finding(
                Level::Blocked,
                "MIG049",
                format!("{}: {}", fault.resource, fault.path),
                Some(fault.place),
                fault.message,
                "",
            );
            finding.file = file;
            findings.push(finding);
        }
        let read = read_all(documents);
        all.extend(read.found.into_iter().map(|found| (file, found)));
        for rest in read.rest {
            let (code, lossy) = match rest.what {
                Foreign::PeerField => ("MIG060", true),
                Foreign::LimitedAdvertisement => ("MIG062", true),
                Foreign::LimitedPool => ("MIG063", true),
                Foreign::Kind => ("MIG067", false),
                Foreign::Password => ("MIG065", false),
                Foreign::Fault => ("MIG049", false),
            };
            // The schema has refused it already.
            let known = refused.contains(&(rest.place.line, rest.place.column));
            if known && matches!(rest.what, Foreign::Fault | Foreign::Kind) {
                continue;
            }
            let level = if lossy && options.lossy {
                let comment = format!("{code}: {} is left out", rest.path);
                let resource = rest.resource.clone();
                lost.entry(resource).or_default().insert(comment);
                Level::Warning
            } else {
                Level::Blocked
            };
            let (kind, name) = &rest.resource;
            findings.push(told(
                level,
                code,
                (kind, name),
                &rest.path,
                (file, rest.place),
                rest.message,
            ));
        }
    }
    (all, lost)
}

/// The resources of one namespace, and its name.
fn of_one_namespace<'f>(
    all: &'f [(usize, Found)],
    options: &ReverseOptions,
    findings: &mut Vec<Finding>,
) -> (Vec<(usize, &'f Found)>, Option<String>) {
    let mut namespaces: BTreeMap<&str, At> = BTreeMap::new();
    for (file, found) in all {
        // Secrets may come from a listing of everything.
        if !matches!(found.resource.spec, Spec::Secret(_)) && !found.namespace.is_empty() {
            namespaces
                .entry(&found.namespace)
                .or_insert((*file, found.place));
        }
    }
    let wanted = options.namespace.as_deref();
    if wanted.is_none()
        && let Some(((file, place), names)) = namespaces
            .values()
            .nth(1)
            .map(|at| (*at, namespaces.keys().copied().collect::<Vec<_>>()))
    {
        let message = format!(
            "the resources are of several namespaces: {}",
            names.join(", ")
        );
        let help = "say with --namespace which one is meant";
        let mut finding = finding(Level::Blocked, "MIG073", "", Some(place), message, help);
        finding.file = file;
        findings.push(finding);
    }
    let wanted = wanted.or_else(|| namespaces.keys().next().copied());
    let items = all
        .iter()
        .filter(|(_, found)| {
            found.namespace.is_empty() || wanted.is_none_or(|wanted| found.namespace == wanted)
        })
        .map(|(file, found)| (*file, found))
        .collect();
    (items, wanted.map(str::to_owned))
}

/// The text in the making.
struct Build<'b> {
    target: Release,
    mode: BgpMode,
    options: &'b ReverseOptions,
    resources: Vec<(&'b Resource, At)>,
    lost: Lost,
    findings: Vec<Finding>,
    renames: Vec<Rename>,
    /// The resources by the beginning of their paths in the text: `peers[0]`.
    origins: BTreeMap<String, At>,
}

/// How a pool is announced.
#[derive(Default)]
struct Announced<'b> {
    layer2: bool,
    /// By the names of the advertisements: of those that make the same route the last counts.
    bgp: BTreeMap<&'b str, (&'b BgpAdvertisement, At)>,
}

impl<'b> Build<'b> {
    /// Says what 0.12 cannot say, or leaves it out.
    fn lose(
        &mut self,
        code: &'static str,
        resource: &Resource,
        path: &str,
        at: At,
        message: String,
    ) {
        let level = if self.options.lossy {
            let key = (resource.spec.kind().to_owned(), resource.name.clone());
            let comment = format!("{code}: {message}");
            self.lost.entry(key).or_default().insert(comment);
            Level::Warning
        } else {
            Level::Blocked
        };
        self.findings
            .push(say(level, code, resource, path, at, message));
    }

    /// The name in the ConfigMap.
    fn original<'r>(&self, resource: &'r Resource) -> &'r str {
        let original = resource.annotations.get(ANNOTATION_ORIGINAL_NAME);
        match original {
            Some(original) if !self.options.keep_names => original,
            _ => &resource.name,
        }
    }

    /// Tells of a name that is given back.
    fn give_back(&mut self, resource: &Resource, at: At) {
        let name = self.original(resource);
        if name == resource.name {
            return;
        }
        let message = format!("it gets back the name {name:?}");
        self.findings
            .push(say(Level::Info, "MIG071", resource, "", at, message));
        self.renames.push(Rename {
            kind: resource.spec.kind(),
            from: name.to_owned(),
            to: resource.name.clone(),
        });
    }

    fn text(&mut self) -> String {
        let resources = self.resources.clone();
        let mut out = String::new();
        let aliases = self.aliases();
        let announced = self.announced();
        let mut sections: [(&str, Vec<String>); 3] = [
            ("peers", Vec::new()),
            ("bfd-profiles", Vec::new()),
            ("address-pools", Vec::new()),
        ];
        let families = families(&resources, &announced);
        let profiles: BTreeMap<&str, &str> = resources
            .iter()
            .filter(|(resource, _)| matches!(resource.spec, Spec::BfdProfile(_)))
            .map(|(resource, _)| (resource.name.as_str(), self.original(resource)))
            .collect();
        let secrets: BTreeMap<&str, &str> = resources
            .iter()
            .filter_map(|(resource, _)| match &resource.spec {
                Spec::Secret(password) => Some((resource.name.as_str(), password.0.as_str())),
                _ => None,
            })
            .collect();
        for (resource, at) in resources {
            let (section, value) = match &resource.spec {
                Spec::Peer(peer) => (
                    0,
                    self.peer(resource, peer, at, &profiles, &secrets, families),
                ),
                Spec::BfdProfile(profile) => {
                    self.give_back(resource, at);
                    (1, profile_value(self.original(resource), profile))
                }
                Spec::Pool(_) => {
                    self.give_back(resource, at);
                    let ways = announced.get(resource.name.as_str());
                    (2, self.pool(resource, at, ways, &aliases))
                }
                Spec::BgpAdvertisement(_)
                | Spec::L2Advertisement(_)
                | Spec::Community(_)
                | Spec::Secret(_) => continue,
            };
            let Some((name, items)) = sections.get_mut(section) else {
                continue;
            };
            self.origins.insert(format!("{name}[{}]", items.len()), at);
            let mut item = String::new();
            let key = (resource.spec.kind().to_owned(), resource.name.clone());
            for comment in self.lost.get(&key).into_iter().flatten() {
                item.push_str(&comment_line(comment));
            }
            emit::write(&mut item, &Value::List(vec![value]));
            items.push(item);
        }
        // What is no part of an item stands at the top.
        for ((kind, name), comments) in &self.lost {
            if matches!(
                kind.as_str(),
                "BGPAdvertisement" | "L2Advertisement" | "Community"
            ) {
                for comment in comments {
                    out.push_str(&comment_line(&format!("{kind} {name}: {comment}")));
                }
            }
        }
        let [peers, profiles, pools] = sections;
        section(&mut out, peers);
        section(&mut out, profiles);
        if !aliases.is_empty() {
            let pairs = aliases
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::text(*value)));
            let communities = Value::Map(pairs.collect());
            emit::write(&mut out, &Value::map([("bgp-communities", communities)]));
        }
        section(&mut out, pools);
        out
    }

    /// The names of communities.
    fn aliases(&mut self) -> BTreeMap<&'b str, &'b str> {
        let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
        for (resource, at) in self.resources.clone() {
            let Spec::Community(pairs) = &resource.spec else {
                continue;
            };
            for (name, value) in pairs {
                if is_large(value) {
                    let message = format!("{name:?} is a large community: {value}");
                    self.lose("MIG064", resource, "spec.communities", at, message);
                } else if aliases.insert(name, value).is_some_and(|old| old != value) {
                    let message = format!("{name:?} has two values");
                    self.findings.push(say(
                        Level::Blocked,
                        "MIG068",
                        resource,
                        "spec.communities",
                        at,
                        message,
                    ));
                }
            }
        }
        aliases
    }

    /// How each pool is announced.
    fn announced(&mut self) -> BTreeMap<&'b str, Announced<'b>> {
        let mut announced: BTreeMap<&str, Announced<'_>> = self
            .resources
            .iter()
            .filter(|(resource, _)| matches!(resource.spec, Spec::Pool(_)))
            .map(|(resource, _)| (resource.name.as_str(), Announced::default()))
            .collect();
        for (resource, at) in self.resources.clone() {
            let names = match &resource.spec {
                Spec::BgpAdvertisement(advertisement) => &advertisement.pools,
                Spec::L2Advertisement(names) => names,
                _ => continue,
            };
            let announce = |ways: &mut Announced<'b>| match &resource.spec {
                Spec::BgpAdvertisement(advertisement) => {
                    ways.bgp.insert(&resource.name, (advertisement, at));
                }
                _ => ways.layer2 = true,
            };
            // One that names no pool is for all of them.
            if names.is_empty() {
                announced.values_mut().for_each(announce);
                continue;
            }
            for name in names {
                if let Some(ways) = announced.get_mut(name.as_str()) {
                    announce(ways);
                } else {
                    let message = format!("the pool {name} is not there");
                    let path = "spec.ipAddressPools";
                    self.findings
                        .push(say(Level::Blocked, "MIG069", resource, path, at, message));
                }
            }
        }
        announced
    }

    fn pool(
        &mut self,
        resource: &Resource,
        at: At,
        ways: Option<&Announced<'_>>,
        aliases: &BTreeMap<&str, &str>,
    ) -> Value {
        let Spec::Pool(pool) = &resource.spec else {
            return Value::Null;
        };
        let nothing = Announced::default();
        let ways = ways.unwrap_or(&nothing);
        let bgp = !ways.bgp.is_empty();
        match (ways.layer2, bgp) {
            (true, true) => {
                let message = "the pool is announced by layer2 and by BGP".to_owned();
                self.lose("MIG061", resource, "", at, message);
            }
            (false, false) => {
                let message = "the pool is announced by no protocol".to_owned();
                self.lose("MIG061", resource, "", at, message);
            }
            _ => {}
        }
        let mut pairs = vec![
            ("name".to_owned(), Value::text(self.original(resource))),
            (
                "protocol".to_owned(),
                Value::text(if bgp { "bgp" } else { "layer2" }),
            ),
            ("addresses".to_owned(), Value::texts(&pool.addresses)),
        ];
        if let Some(auto_assign) = pool.auto_assign {
            pairs.push(("auto-assign".to_owned(), Value::Bool(auto_assign)));
        }
        if pool.avoid_buggy_ips {
            pairs.push(("avoid-buggy-ips".to_owned(), Value::Bool(true)));
        }
        let mut advertisements: Vec<Value> = Vec::new();
        for (name, (advertisement, at)) in &ways.bgp {
            let value = self.advertisement(name, advertisement, *at, aliases);
            // Equal ones are one; 0.12 refuses the second.
            if !advertisements.contains(&value) {
                advertisements.push(value);
            }
        }
        let says_nothing =
            matches!(advertisements.as_slice(), [Value::Map(pairs)] if pairs.is_empty());
        if !advertisements.is_empty() && !says_nothing {
            pairs.push(("bgp-advertisements".to_owned(), Value::List(advertisements)));
        }
        Value::Map(pairs)
    }

    fn advertisement(
        &mut self,
        name: &str,
        advertisement: &BgpAdvertisement,
        at: At,
        aliases: &BTreeMap<&str, &str>,
    ) -> Value {
        let mut pairs = Vec::new();
        for (key, length, default) in [
            ("aggregation-length", advertisement.aggregation_length, 32),
            (
                "aggregation-length-v6",
                advertisement.aggregation_length_v6,
                128,
            ),
        ] {
            if let Some(length) = length.filter(|length| *length != default) {
                pairs.push((key.to_owned(), Value::Int(length)));
            }
        }
        if advertisement.local_pref != 0 {
            let value = Value::Int(advertisement.local_pref.into());
            pairs.push(("localpref".to_owned(), value));
        }
        let resource = Resource::new(name, Spec::BgpAdvertisement(advertisement.clone()));
        let mut communities: Vec<&str> = Vec::new();
        for text in &advertisement.communities {
            let path = "spec.communities";
            let known = aliases.contains_key(text.as_str());
            if !known && is_large(text) {
                let message = format!("{text} is a large community");
                self.lose("MIG064", &resource, path, at, message);
            } else if !known && !text.contains(':') {
                // The alias of a large community was told of already.
                let told = self.lost_alias(text);
                if !told {
                    let message = format!("the community {text:?} is not there");
                    self.findings
                        .push(say(Level::Blocked, "MIG069", &resource, path, at, message));
                }
            } else if !communities.contains(&text.as_str()) {
                communities.push(text);
            }
        }
        if !communities.is_empty() {
            pairs.push(("communities".to_owned(), Value::texts(communities)));
        }
        Value::Map(pairs)
    }

    /// Whether a Community has the name, with a value that 0.12 cannot say.
    fn lost_alias(&self, text: &str) -> bool {
        self.resources
            .iter()
            .any(|(resource, _)| match &resource.spec {
                Spec::Community(pairs) => pairs.iter().any(|(name, _)| name == text),
                _ => false,
            })
    }

    fn peer(
        &mut self,
        resource: &Resource,
        peer: &BgpPeer,
        at: At,
        profiles: &BTreeMap<&str, &str>,
        secrets: &BTreeMap<&str, &str>,
        (v4, v6): (bool, bool),
    ) -> Value {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut put = |key: &str, value: Value| pairs.push((key.to_owned(), value));
        put("my-asn", Value::Int(peer.my_asn.into()));
        put("peer-asn", Value::Int(peer.peer_asn.into()));
        put("peer-address", Value::text(&peer.peer_address));
        for (key, text) in [
            ("source-address", &peer.source_address),
            ("router-id", &peer.router_id),
        ] {
            if !text.is_empty() {
                put(key, Value::text(text));
            }
        }
        if !matches!(peer.peer_port, 0 | 179) {
            put("peer-port", Value::Int(peer.peer_port.into()));
        }
        let (hold_time, keepalive_time) = self.times(peer);
        for (key, path, time) in [
            ("hold-time", "spec.holdTime", Some(hold_time)),
            ("keepalive-time", "spec.keepaliveTime", keepalive_time),
        ] {
            let Some(time) = time else {
                continue;
            };
            let whole = GoDuration(time.whole_seconds().saturating_mul(1_000_000_000));
            if whole != time {
                let message = format!("{time} becomes {whole}");
                self.findings
                    .push(say(Level::Info, "MIG072", resource, path, at, message));
            }
            put(key, Value::text(whole.to_string()));
        }
        if peer.ebgp_multihop {
            put("ebgp-multihop", Value::Bool(true));
        }
        if !peer.node_selectors.is_empty() {
            let selectors = peer.node_selectors.iter().map(selector_value);
            put("node-selectors", Value::List(selectors.collect()));
        }
        let password = if peer.password_secret.is_empty() {
            Some(peer.password.0.as_str())
        } else {
            secrets.get(peer.password_secret.as_str()).copied()
        };
        match password {
            Some("") => {}
            Some(password) => put("password", Value::text(password)),
            None => {
                let message = format!("the Secret {} is not there", peer.password_secret);
                let path = "spec.passwordSecret";
                let mut finding = say(Level::Blocked, "MIG065", resource, path, at, message);
                finding.diagnostic.help =
                    Some("give the file that has it as well, or --secrets FILE".to_owned());
                self.findings.push(finding);
            }
        }
        if !peer.bfd_profile.is_empty() {
            match profiles.get(peer.bfd_profile.as_str()) {
                Some(name) => put("bfd-profile", Value::text(*name)),
                None => {
                    let message = format!("the profile {} is not there", peer.bfd_profile);
                    let path = "spec.bfdProfile";
                    self.findings
                        .push(say(Level::Blocked, "MIG069", resource, path, at, message));
                }
            }
        }
        let own_only = self.mode.is_frr() && self.target >= Release::new(15, 0) && !peer.dual_stack;
        if own_only && let Some(address) = parse_ip(&peer.peer_address) {
            let other = if address.is_ipv4() { v6 } else { v4 };
            if other {
                let message = "routes of the other family do not go over this session".to_owned();
                let path = "spec.dualStackAddressFamily";
                self.lose("MIG066", resource, path, at, message);
            }
        }
        Value::Map(pairs)
    }

    /// The hold time, and the keepalive time where it is not a third of it.
    fn times(&self, peer: &BgpPeer) -> (GoDuration, Option<GoDuration>) {
        let seconds = |seconds: i64| GoDuration(seconds * 1_000_000_000);
        if self.target < Release::new(14, 9) {
            // A time of 0 is none.
            let given = |time: Option<GoDuration>| time.filter(|time| time.0 != 0);
            let hold_time = given(peer.hold_time).unwrap_or(seconds(90));
            return (hold_time, given(peer.keepalive_time));
        }
        match peer.hold_time {
            Some(hold_time) => (hold_time, peer.keepalive_time),
            // FRR's own defaults.
            None if self.mode.is_frr() => (seconds(180), peer.keepalive_time.or(Some(seconds(60)))),
            None => (seconds(90), peer.keepalive_time),
        }
    }
}

/// A list of the text.
fn section(out: &mut String, (name, items): (&str, Vec<String>)) {
    if !items.is_empty() {
        out.push_str(name);
        out.push_str(":\n");
        out.extend(items);
    }
}

/// A line of a comment: one line whatever the text is.
fn comment_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("# {text}\n")
}

/// Whether it is a large community (RFC 8092).
fn is_large(text: &str) -> bool {
    text.starts_with("large:")
}

/// Whether routes of IPv4 and of IPv6 are announced.
fn families(
    resources: &[(&Resource, At)],
    announced: &BTreeMap<&str, Announced<'_>>,
) -> (bool, bool) {
    let (mut v4, mut v6) = (false, false);
    for (resource, _) in resources {
        let Spec::Pool(pool) = &resource.spec else {
            continue;
        };
        let ways = announced.get(resource.name.as_str());
        if ways.is_some_and(|ways| !ways.bgp.is_empty()) {
            for line in &pool.addresses {
                let is_v6 = line.contains(':');
                v6 |= is_v6;
                v4 |= !is_v6;
            }
        }
    }
    (v4, v6)
}

fn profile_value(name: &str, profile: &BfdProfile) -> Value {
    let mut pairs = vec![("name".to_owned(), Value::text(name))];
    for (key, number) in [
        ("receive-interval", profile.receive_interval),
        ("transmit-interval", profile.transmit_interval),
        ("detect-multiplier", profile.detect_multiplier),
        ("echo-interval", profile.echo_interval),
        ("minimum-ttl", profile.minimum_ttl),
    ] {
        if let Some(number) = number {
            pairs.push((key.to_owned(), Value::Int(number.into())));
        }
    }
    for (key, flag) in [
        ("echo-mode", profile.echo_mode),
        ("passive-mode", profile.passive_mode),
    ] {
        if flag {
            pairs.push((key.to_owned(), Value::Bool(true)));
        }
    }
    Value::Map(pairs)
}

fn selector_value(selector: &NodeSelector) -> Value {
    let mut pairs = Vec::new();
    if !selector.match_labels.is_empty() {
        let labels = selector
            .match_labels
            .iter()
            .map(|(key, value)| (key.clone(), Value::text(value)));
        pairs.push(("match-labels".to_owned(), Value::Map(labels.collect())));
    }
    if !selector.match_expressions.is_empty() {
        let expressions = selector.match_expressions.iter().map(|expression| {
            let mut pairs = vec![
                ("key".to_owned(), Value::text(&expression.key)),
                ("operator".to_owned(), Value::text(&expression.operator)),
            ];
            if !expression.values.is_empty() {
                pairs.push(("values".to_owned(), Value::texts(&expression.values)));
            }
            Value::Map(pairs)
        });
        pairs.push((
            "match-expressions".to_owned(),
            Value::List(expressions.collect()),
        ));
    }
    Value::Map(pairs)
}
