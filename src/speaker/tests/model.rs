//! Any sequence of events ends where a plain recomputation from scratch ends, and speakers that see the same never own
//! an address twice.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

const NODES: [&str; 4] = ["a", "b", "c", "d"];

/// What a pool advertises: lengths for IPv4 and IPv6, LOCAL_PREF.
type Advertised = &'static [(u8, u8, u32)];

/// What the pool `bgp` of each configuration advertises.
const ADVERTISED: [Advertised; 6] = [
    &[],
    &[],
    &[(32, 128, 0)],
    &[],
    &[(32, 128, 7), (25, 127, 5), (32, 126, 9)],
    &[(24, 64, 3)],
];

/// The ports of each configuration's peers, and whether they want a node with the label `edge`.
const PEERS: [&[(u16, bool)]; 6] = [
    &[],
    &[],
    &[(179, false)],
    &[],
    &[(179, false), (1, true)],
    &[(1, true), (2, true)],
];

/// Configurations, with what they hold: the address's prefix and the pool.
const CONFIGS: [(&str, &[(&str, &str)]); 6] = [
    (
        "address-pools:\n- {name: p, protocol: layer2, addresses: [10.0.1.0/24, 'fd00:1::/64']}\n\
         - {name: q, protocol: layer2, addresses: [10.0.2.0/24]}\n",
        &[("10.0.1.", "p"), ("fd00:1::", "p"), ("10.0.2.", "q")],
    ),
    (
        "address-pools:\n- {name: p, protocol: layer2, addresses: [10.0.1.0/24]}\n\
         - {name: r, protocol: layer2, addresses: ['fd00:1::/64']}\n",
        &[("10.0.1.", "p"), ("fd00:1::", "r")],
    ),
    (
        "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1}\n\
         address-pools:\n- {name: p, protocol: bgp, addresses: [10.0.1.0/24]}\n\
         - {name: q, protocol: layer2, addresses: [10.0.2.0/24, 'fd00:1::/64']}\n",
        &[("10.0.1.", "bgp"), ("10.0.2.", "q"), ("fd00:1::", "q")],
    ),
    ("", &[]),
    (
        "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1}\n\
         - {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, peer-port: 1, node-selectors: [{match-labels: {edge: ''}}]}\n\
         address-pools:\n- {name: p, protocol: bgp, addresses: [10.0.1.0/24, 'fd00:1::/64'], bgp-advertisements: \
         [{localpref: 7}, {aggregation-length: 25, aggregation-length-v6: 127, localpref: 5}, \
         {aggregation-length-v6: 126, localpref: 9}]}\n\
         - {name: q, protocol: layer2, addresses: [10.0.2.0/24]}\n",
        &[("10.0.1.", "bgp"), ("fd00:1::", "bgp"), ("10.0.2.", "q")],
    ),
    (
        "peers:\n- {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, peer-port: 1, node-selectors: [{match-labels: {edge: ''}}]}\n\
         - {my-asn: 1, peer-asn: 2, peer-address: 192.0.2.1, peer-port: 2, node-selectors: [{match-labels: {edge: ''}}]}\n\
         address-pools:\n- {name: z, protocol: bgp, addresses: [10.0.1.0/24, 'fd00:1::/64', 10.0.2.0/24], bgp-advertisements: \
         [{aggregation-length: 24, aggregation-length-v6: 64, localpref: 3}]}\n",
        &[("10.0.1.", "bgp"), ("fd00:1::", "bgp"), ("10.0.2.", "bgp")],
    ),
];

/// What a Service's status may hold.
const INGRESS: [&[&str]; 9] = [
    &[],
    &[""],
    &["10.0.1.1"],
    &["10.0.1.2"],
    &["10.0.2.1"],
    &["10.0.1.1", "fd00:1::1"],
    &["fd00:1::1", "10.0.1.1"],
    &["10.0.1.1", "10.0.2.1"],
    &["192.0.2.1"],
];

const NAMES: [&str; 4] = ["s0", "s1", "s2", "s3"];

#[derive(Debug, Clone)]
enum Step {
    Service {
        name: &'static str,
        balancer: bool,
        local: bool,
        ingress: &'static [&'static str],
    },
    ServiceGone(&'static str),
    Endpoints(&'static str, Vec<String>),
    EndpointsGone(&'static str),
    Node(&'static str, bool),
    Edge(bool),
    NodeGone(&'static str),
    Speakers(Option<Vec<&'static str>>),
    Members(Option<Vec<&'static str>>),
    Config(usize),
    BadConfig,
    ConfigGone,
    Synced,
}

fn names() -> impl Strategy<Value = &'static str> {
    select(&NAMES[..])
}

fn nodes() -> impl Strategy<Value = &'static str> {
    select(&NODES[..])
}

fn some_endpoints() -> impl Strategy<Value = Vec<String>> {
    // Few addresses, so that one is ready and not ready at times.
    prop::collection::vec((nodes(), any::<bool>(), 0..4), 0..4).prop_map(|endpoints| {
        endpoints
            .into_iter()
            .map(|(node, ready, number)| {
                let not = if ready { "" } else { "!" };
                format!("{not}{node}@{number}")
            })
            .collect()
    })
}

/// Whether an endpoint is ready on this node.
fn is_on(endpoint: &str, node: &str) -> bool {
    endpoint
        .split_once('@')
        .is_some_and(|(place, _)| place == node)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (names(), prop::bool::weighted(0.9), any::<bool>(), select(&INGRESS[..])).prop_map(
            |(name, balancer, local, ingress)| Step::Service { name, balancer, local, ingress }
        ),
        1 => names().prop_map(Step::ServiceGone),
        6 => (names(), some_endpoints()).prop_map(|(name, nodes)| Step::Endpoints(name, nodes)),
        1 => names().prop_map(Step::EndpointsGone),
        2 => (nodes(), any::<bool>()).prop_map(|(node, ready)| Step::Node(node, ready)),
        1 => any::<bool>().prop_map(Step::Edge),
        1 => nodes().prop_map(Step::NodeGone),
        3 => prop::option::weighted(0.8, subsequence(&NODES[..], 0..=NODES.len())).prop_map(Step::Speakers),
        3 => prop::option::weighted(0.7, subsequence(&NODES[..], 0..=NODES.len())).prop_map(Step::Members),
        2 => (0..CONFIGS.len()).prop_map(Step::Config),
        1 => Just(Step::BadConfig),
        1 => Just(Step::ConfigGone),
        1 => Just(Step::Synced),
    ]
}

impl Step {
    fn event(&self) -> Event {
        match self {
            Self::Service {
                name,
                balancer,
                local,
                ingress,
            } => Event::Service(Box::new(Service {
                is_load_balancer: *balancer,
                local_traffic_policy: *local,
                ..service(name, ingress)
            })),
            Self::ServiceGone(name) => Event::ServiceGone(key(name)),
            Self::Endpoints(name, nodes) => {
                let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
                endpoints(name, &nodes)
            }
            Self::EndpointsGone(name) => Event::EndpointsGone(key(name)),
            Self::Node(name, ready) => node(name, *ready),
            Self::Edge(edge) => Event::Node(Node {
                name: "a".into(),
                labels: edge
                    .then(|| ("edge".to_owned(), String::new()))
                    .into_iter()
                    .collect(),
                ready: true,
            }),
            Self::NodeGone(name) => Event::NodeGone((*name).into()),
            Self::Speakers(None) => Event::Speakers(None),
            Self::Speakers(Some(nodes)) => speakers(nodes),
            Self::Members(None) => Event::Members(None),
            Self::Members(Some(nodes)) => members(nodes),
            Self::Config(number) => config(CONFIGS[*number].0),
            Self::BadConfig => Event::ConfigMap(config_map(None)),
            Self::ConfigGone => Event::ConfigMapGone,
            Self::Synced => Event::Synced,
        }
    }
}

/// Everything that was told, and nothing that was concluded.
#[derive(Debug, Default)]
struct Told {
    services: BTreeMap<&'static str, (bool, &'static [&'static str])>,
    endpoints: BTreeMap<&'static str, Vec<String>>,
    /// Not Ready, or (false) gone with its speaker still listed.
    unready: BTreeMap<&'static str, bool>,
    speakers: Option<Vec<&'static str>>,
    members: Option<Vec<&'static str>>,
    /// Whether node `a` has the label.
    edge: bool,
    in_force: Option<usize>,
    wanted: Option<usize>,
    synced: bool,
}

impl Told {
    /// Whose speakers live, this node's apart; `None`: nobody can tell.
    fn live(&self) -> Option<&Vec<&'static str>> {
        self.members.as_ref().or(self.speakers.as_ref())
    }

    fn take(&mut self, step: &Step, me: &str) {
        let lives = |live: Option<&Vec<&str>>, node: &str| {
            live.is_some_and(|live| node == me || live.contains(&node))
        };
        match step {
            Step::Service {
                name,
                balancer: true,
                local,
                ingress,
            } => {
                self.services.insert(name, (*local, ingress));
            }
            Step::Service { name, .. } | Step::ServiceGone(name) => {
                self.services.remove(name);
            }
            Step::Endpoints(name, nodes) => {
                self.endpoints.insert(name, nodes.clone());
            }
            Step::EndpointsGone(name) => {
                self.endpoints.remove(name);
            }
            Step::Node(node, ready) => {
                if *ready {
                    self.unready.remove(node);
                } else {
                    self.unready.insert(node, true);
                }
                self.edge &= *node != "a";
            }
            Step::Edge(edge) => {
                self.unready.remove("a");
                self.edge = *edge;
            }
            Step::NodeGone(node) if lives(self.live(), node) => {
                self.unready.insert(node, false);
            }
            Step::NodeGone(node) => {
                self.unready.remove(node);
            }
            Step::Speakers(speakers) => {
                // An empty list tells nothing.
                self.speakers = speakers.clone().filter(|nodes| !nodes.is_empty());
            }
            Step::Members(members) => self.members.clone_from(members),
            Step::Config(number) => self.wanted = Some(*number),
            Step::BadConfig | Step::ConfigGone => self.wanted = None,
            Step::Synced => self.synced = true,
        }
        if let Some(live) = self.live().cloned() {
            self.unready
                .retain(|node, told| *told || lives(Some(&live), node));
        }
        if let Some(wanted) = self.wanted {
            let orphans = self.synced
                && self.services.values().any(|(_, ingress)| {
                    self.in_force
                        .is_some_and(|now| pool(now, ingress).is_some())
                        && pool(wanted, ingress).is_none()
                });
            if !orphans {
                self.in_force = Some(wanted);
                self.wanted = None;
            }
        }
    }

    /// Who may announce a Service, best first.
    fn candidates(&self, name: &str, me: &str) -> Vec<&'static str> {
        let Some((local, ingress)) = self.services.get(name) else {
            return Vec::new();
        };
        let endpoints = self.endpoints.get(name).map_or(&[][..], Vec::as_slice);
        let of = |name: &str| self.endpoints.get(name).map_or(&[][..], Vec::as_slice);
        let on = |name: &str, node: &str| of(name).iter().any(|endpoint| is_on(endpoint, node));
        let served = |node: &str| on(name, node);
        // Where nobody can tell, what shares the first address is served wherever one of them is.
        let any_served = |node: &str| {
            self.services
                .iter()
                .any(|(other, (other_local, other_ingress))| {
                    !other_local && other_ingress.first() == ingress.first() && on(other, node)
                })
        };
        let mut candidates: Vec<&str> = NODES
            .into_iter()
            .filter(|node| match self.live() {
                Some(live) => (live.contains(node) || *node == me) && (!local || served(node)),
                None if *local => served(node),
                None => any_served(node),
            })
            .collect();
        if !endpoints.iter().any(|endpoint| !endpoint.starts_with('!'))
            || self
                .in_force
                .and_then(|config| pool(config, ingress))
                .is_none_or(|pool| pool == "bgp")
        {
            candidates.clear();
        }
        candidates.sort_by_key(|node| {
            (
                self.members.is_none() && self.unready.contains_key(node),
                plain_hash(node, ingress[0]),
            )
        });
        candidates
    }

    /// Whether this node announces a Service by BGP.
    fn by_bgp(&self, name: &str, me: &str) -> bool {
        let (local, ingress) = self.services[name];
        let endpoints = self.endpoints.get(name).map_or(&[][..], Vec::as_slice);
        let address = |endpoint: &str| {
            endpoint
                .split_once('@')
                .map(|(_, number)| number.to_owned())
        };
        let bad: BTreeSet<_> = endpoints
            .iter()
            .filter(|endpoint| endpoint.starts_with('!'))
            .map(|endpoint| address(endpoint))
            .collect();
        self.in_force.and_then(|config| pool(config, ingress)) == Some("bgp")
            && endpoints
                .iter()
                .filter(|endpoint| !bad.contains(&address(endpoint)))
                .any(|endpoint| !local || is_on(endpoint, me))
    }

    /// The routes that this node advertises, with their LOCAL_PREF.
    fn routes(&self, me: &str) -> BTreeMap<IpNet, u32> {
        let mut routes = BTreeMap::new();
        let announced = self.services.keys().filter(|name| self.by_bgp(name, me));
        for name in announced.filter(|_| self.synced) {
            for (text, (four, six, pref)) in self.services[name].1.iter().flat_map(|text| {
                let advertised = self.in_force.map_or(&[][..], |config| ADVERTISED[config]);
                advertised
                    .iter()
                    .map(move |advertisement| (text, advertisement))
            }) {
                let ip = ip(text);
                let length = if ip.is_ipv4() { four } else { six };
                routes.insert(IpNet::new(ip, *length).unwrap().trunc(), *pref);
            }
        }
        routes
    }

    /// The ports of this node's peers.
    fn peers(&self) -> Vec<u16> {
        let peers = self.in_force.map_or(&[][..], |config| PEERS[config]);
        let mut ports: Vec<u16> = peers
            .iter()
            .filter(|(_, edge)| self.synced && (self.edge || !edge))
            .map(|(port, _)| *port)
            .collect();
        ports.sort_unstable();
        ports
    }

    /// What this node announces, by Service and address.
    fn announced(&self, me: &str) -> BTreeSet<(ObjectKey, IpAddr)> {
        if !self.synced {
            return BTreeSet::new();
        }
        self.services
            .iter()
            .filter(|(name, _)| {
                self.candidates(name, me).first() == Some(&me) || self.by_bgp(name, me)
            })
            .flat_map(|(name, (_, ingress))| ingress.iter().map(|text| (key(name), ip(text))))
            .collect()
    }
}

/// The pool that has all of these addresses.
fn pool(config: usize, ingress: &[&str]) -> Option<&'static str> {
    let of = |ip: &str| {
        CONFIGS[config]
            .1
            .iter()
            .find(|(prefix, _)| ip.starts_with(prefix))
            .map(|(_, pool)| *pool)
    };
    let first = of(ingress.first()?)?;
    ingress
        .iter()
        .all(|ip| of(ip) == Some(first))
        .then_some(first)
}

fn announced(host: &Host) -> BTreeSet<(ObjectKey, IpAddr)> {
    host.speaker
        .announcements()
        .map(|told| (told.service, told.ip))
        .collect()
}

proptest! {
    #[test]
    fn the_way_there_does_not_matter(
        start in prop::collection::vec(step(), 0..12),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut host = Host::new("a");
        let mut told = Told::default();
        let synced = [Step::Synced];
        for step in start.iter().chain(&synced).chain(&steps) {
            told.take(step, "a");
            host.tell(step.event());
            prop_assert_eq!(announced(&host), told.announced("a"), "after {:?}", step);
            prop_assert_eq!(host.stats().config_loaded, told.in_force.is_some());
            let routes: BTreeMap<IpNet, u32> =
                host.routes.iter().map(|(prefix, route)| (*prefix, route.local_pref)).collect();
            prop_assert_eq!(routes, told.routes("a"), "after {:?}", step);
            let mut ports: Vec<u16> = host.peers.values().map(|peer| peer.peer_port).collect();
            ports.sort_unstable();
            prop_assert_eq!(ports, told.peers(), "after {:?}", step);
        }
    }
}

/// Addresses whose sharing the allocator would allow: a Local Service shares with nobody, and what shares has the same
/// first address.
fn fair_service() -> impl Strategy<Value = Step> {
    (0..NAMES.len(), any::<bool>()).prop_map(|(index, other)| {
        let (local, ingress): (bool, &'static [&'static str]) = match (index, other) {
            (0 | 1, false) => (false, &["10.0.1.1"]),
            (0 | 1, true) => (false, &["10.0.1.2", "fd00:1::2"]),
            (2, false) => (true, &["10.0.1.3"]),
            (2, true) => (true, &["fd00:1::3", "10.0.1.4"]),
            (_, false) => (false, &["10.0.2.1"]),
            (_, true) => (true, &["10.0.2.2"]),
        };
        Step::Service {
            name: NAMES[index],
            balancer: true,
            local,
            ingress,
        }
    })
}

fn fair_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => fair_service(),
        1 => names().prop_map(Step::ServiceGone),
        6 => (names(), some_endpoints()).prop_map(|(name, nodes)| Step::Endpoints(name, nodes)),
        2 => (nodes(), any::<bool>()).prop_map(|(node, ready)| Step::Node(node, ready)),
        1 => nodes().prop_map(Step::NodeGone),
        // The three that are simulated live; `d` comes and goes.
        2 => select(vec![
            Step::Speakers(None),
            Step::Speakers(Some(vec!["a", "b", "c"])),
            Step::Speakers(Some(vec!["a", "b", "c", "d"])),
            Step::Members(None),
            Step::Members(Some(vec!["a", "b", "c"])),
            Step::Members(Some(vec!["a", "b", "c", "d"])),
        ]),
        1 => (0..CONFIGS.len()).prop_map(Step::Config),
    ]
}

proptest! {
    #[test]
    fn speakers_that_see_the_same_own_each_address_once(
        steps in prop::collection::vec(fair_step(), 1..40),
    ) {
        let mut hosts: Vec<(&str, Host)> = ["a", "b", "c"].map(|node| (node, Host::new(node))).into();
        let mut told = Told::default();
        let start = [
            Step::Config(0),
            Step::Speakers(Some(vec!["a", "b", "c"])),
            Step::Synced,
        ];
        for step in start.iter().chain(&steps) {
            told.take(step, "a");
            let mut owners: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
            for (node, host) in &mut hosts {
                host.tell(step.event());
                for ip in &host.addresses {
                    owners.entry(*ip).or_default().push(node);
                }
            }
            if !told.synced {
                continue;
            }
            let mut want: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
            for (name, (_, ingress)) in &told.services {
                // `d` has the word if it is first, and is not simulated.
                if let Some(&first) = told.candidates(name, "a").first() && first != "d" {
                    want.extend(ingress.iter().map(|text| (ip(text), vec![first])));
                }
            }
            prop_assert_eq!(owners, want, "after {:?}", step);
        }
    }
}
