//! Against a plain model: whatever is asked for in whatever order, the peer ends up knowing exactly what is wanted and can be
//! sent, and is told nothing twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What may happen.
#[derive(Debug, Clone)]
enum Step {
    /// Prefix and attributes, by number.
    Set(usize, Option<usize>),
    Poll,
    Drain,
    Start(Session),
    Stop,
    Refresh(Family),
    GracefulShutdown,
}

const PREFIXES: usize = 24;

fn prefix(number: usize) -> IpNet {
    let low = u32::try_from(number).unwrap();
    if number.is_multiple_of(2) {
        let length = [32, 24, 25, 0][number % 8 / 2];
        IpNet::new(Ipv4Addr::from_bits(0xcb00_7100 + (low << 8)).into(), length)
            .unwrap()
            .trunc()
    } else {
        let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(low));
        IpNet::new(address.into(), 128).unwrap()
    }
}

/// Small ones, one that leaves room for IPv4 alone, one that fills a message.
fn set_of(number: usize) -> Arc<Attributes> {
    let count = [0, 1, 2, 900, 1_008, 1_100][number];
    let communities: Vec<u32> = (0..count).collect();
    attributes(&communities)
}

fn sessions() -> impl Strategy<Value = Session> {
    (any::<[bool; 6]>(), any::<[bool; 3]>()).prop_map(
        |([internal, four_octet, extended, enhanced_refresh, ipv4, ipv6], [v4, v6, next_hop])| {
            with(|session| {
                session.context.internal = internal;
                session.context.four_octet = four_octet;
                session.context.extended = extended;
                session.context.enhanced_refresh = enhanced_refresh;
                session.context.ipv4 = ipv4;
                session.context.ipv6 = ipv6;
                session.context.extended_next_hop = next_hop;
                session.my_asn = 4_200_000_000;
                session.next_hop_v4 = session.next_hop_v4.filter(|_| v4);
                session.next_hop_v6 = session.next_hop_v6.filter(|_| v6);
            })
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..PREFIXES, prop::option::weighted(0.7, 0_usize..6)).prop_map(|(p, a)| Step::Set(p, a)),
        8 => Just(Step::Poll),
        2 => Just(Step::Drain),
        1 => Just(Step::Start(session())),
        1 => sessions().prop_map(Step::Start),
        1 => Just(Step::Stop),
        2 => prop_oneof![
            Just(Family::IPV4_UNICAST),
            Just(Family::IPV6_UNICAST),
            Just(Family { afi: 1, safi: 128 }),
        ].prop_map(Step::Refresh),
    ];
    let leave = prop_oneof![4 => Just(None), 1 => (0_usize..80).prop_map(Some)];
    (prop::collection::vec(step, 0..80), leave).prop_map(|(mut steps, leave)| {
        if let Some(place) = leave {
            steps.insert(place.min(steps.len()), Step::GracefulShutdown);
        }
        steps
    })
}

/// What a family's peer is owed besides routes.
#[derive(Debug, Default, Clone, Copy)]
struct Owed {
    end_of_rib: bool,
    /// BoRR was said, EoRR was not.
    refreshing: bool,
    /// A refresh was asked for and has not begun.
    asked: bool,
}

/// The peer, and what it should know: plain maps.
#[derive(Default)]
struct Model {
    wanted: BTreeMap<IpNet, Arc<Attributes>>,
    known: BTreeMap<IpNet, (Vec<u32>, Option<u32>)>,
    /// Told since BoRR, or since the start.
    fresh: BTreeMap<IpNet, ()>,
    /// What the peer may be told again: a refresh or a graceful shutdown was asked for.
    again: BTreeMap<IpNet, ()>,
    session: Option<Session>,
    leaving: bool,
    owed: BTreeMap<Family, Owed>,
}

impl Model {
    /// Communities and LOCAL_PREF that the peer should see.
    fn expected(&self, prefix: &IpNet) -> Option<(Vec<u32>, Option<u32>)> {
        let session = self.session?;
        let attributes = self.wanted.get(prefix)?;
        let v4 = matches!(prefix, IpNet::V4(_));
        let context = session.context;
        let classic = v4 && session.next_hop_v4.is_some();
        let sendable = if v4 {
            context.ipv4
                && (classic || (session.next_hop_v6.is_some() && context.extended_next_hop))
        } else {
            context.ipv6 && session.next_hop_v6.is_some()
        };
        let mut communities = attributes.communities.to_vec();
        if self.leaving {
            communities.push(GRACEFUL_SHUTDOWN);
        }
        let local_pref = context.internal.then_some(if self.leaving {
            0
        } else {
            attributes.local_pref
        });
        let mut size = 23 + 4;
        size += match (context.internal, context.four_octet) {
            (true, _) => 3 + 7,
            (false, true) => 9,
            (false, false) => 7 + 9,
        };
        let octets = communities.len() * 4;
        size += match octets {
            0 => 0,
            1..=255 => 3 + octets,
            _ => 4 + octets,
        };
        size += match (v4, classic) {
            (true, true) => 7 + 5,
            (true, false) => 3 + 21 + 5,
            (false, _) => 3 + 21 + 17,
        };
        (sendable && size <= context.max_message()).then_some((communities, local_pref))
    }

    fn owed(&mut self, family: Family) -> &mut Owed {
        self.owed.entry(family).or_default()
    }

    /// Nothing of the family is left to say.
    fn settled(&self, family: Family) -> bool {
        (0..PREFIXES).map(prefix).all(|prefix| {
            Family::unicast(&prefix.addr()) != family
                || (self.known.get(&prefix) == self.expected(&prefix).as_ref()
                    && !self.again.contains_key(&prefix))
        })
    }

    /// The peer is told.
    fn hear(&mut self, said: Said) {
        match said {
            Said::Announced {
                prefixes,
                communities,
                local_pref,
            } => {
                assert!(prefixes.is_sorted());
                for prefix in prefixes {
                    let told = (communities.clone(), local_pref);
                    assert_eq!(self.expected(&prefix).as_ref(), Some(&told), "{prefix}");
                    let again = self.again.remove(&prefix).is_some();
                    let before = self.known.insert(prefix, told.clone());
                    assert!(again || before != Some(told), "{prefix} twice");
                    self.fresh.insert(prefix, ());
                }
            }
            Said::Withdrawn(prefixes) => {
                assert!(prefixes.is_sorted());
                for prefix in prefixes {
                    assert_eq!(self.expected(&prefix), None, "{prefix} withdrawn");
                    assert!(self.known.remove(&prefix).is_some(), "{prefix} unknown");
                    self.again.remove(&prefix);
                }
            }
            Said::EndOfRib(family) => {
                assert!(self.settled(family));
                assert!(std::mem::take(&mut self.owed(family).end_of_rib));
                self.begin_again(family, false);
            }
            Said::Begin(family) => {
                self.fresh
                    .retain(|prefix, ()| Family::unicast(&prefix.addr()) != family);
                let owed = self.owed(family);
                assert!(!owed.end_of_rib && !owed.refreshing);
                assert!(std::mem::take(&mut owed.asked));
                owed.refreshing = true;
            }
            Said::End(family) => {
                assert!(self.settled(family));
                assert!(std::mem::take(&mut self.owed(family).refreshing));
                // RFC 7313 §4: what was not told since BoRR is forgotten.
                for prefix in self.known.keys() {
                    assert!(
                        Family::unicast(&prefix.addr()) != family
                            || self.fresh.contains_key(prefix),
                        "{prefix} would be forgotten"
                    );
                }
                self.begin_again(family, false);
            }
        }
    }

    /// A refresh is asked for, or one that was asked for can begin.
    fn begin_again(&mut self, family: Family, asked: bool) {
        let Some(session) = self
            .session
            .filter(|session| session.context.exchanges(family))
        else {
            return;
        };
        let owed = self.owed(family);
        owed.asked |= asked;
        if !owed.asked || owed.end_of_rib || owed.refreshing {
            return;
        }
        for prefix in self.known.keys() {
            if Family::unicast(&prefix.addr()) == family {
                self.again.insert(*prefix, ());
            }
        }
        // Without RFC 7313 nothing says where it begins.
        if !session.context.enhanced_refresh {
            *self.owed(family) = Owed {
                refreshing: true,
                ..Owed::default()
            };
        }
    }

    /// Without RFC 7313 nothing says where a refresh ends either.
    fn silent_end(&mut self) {
        let Some(session) = self.session else {
            return;
        };
        for family in FAMILIES {
            while !session.context.enhanced_refresh
                && self.owed(family).refreshing
                && self.settled(family)
            {
                self.owed(family).refreshing = false;
                self.begin_again(family, false);
            }
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut rib = RibOut::new();
    let mut model = Model::default();
    let poll = |rib: &mut RibOut, model: &mut Model| {
        let idle = rib.is_idle();
        let message = rib.poll_message();
        assert_eq!(idle, message.is_none());
        let said = message.map(|message| read(&message, &model.session.unwrap().context));
        let spoke = said.is_some();
        said.into_iter().for_each(|said| model.hear(said));
        model.silent_end();
        spoke
    };
    for step in steps.into_iter().chain([Step::Drain]) {
        match step {
            Step::Set(number, attributes) => {
                let attributes = attributes.map(set_of);
                rib.set(prefix(number), attributes.clone());
                match attributes {
                    Some(attributes) => model.wanted.insert(prefix(number), attributes),
                    None => model.wanted.remove(&prefix(number)),
                };
            }
            Step::Poll => {
                poll(&mut rib, &mut model);
            }
            Step::Drain => {
                while poll(&mut rib, &mut model) {}
                assert_eq!(rib.pending(), 0);
                for family in FAMILIES {
                    assert!(model.settled(family), "{family}: {:?} {rib:?}", model.known);
                    let Owed {
                        end_of_rib,
                        refreshing,
                        asked,
                    } = *model.owed(family);
                    assert!(!end_of_rib && !refreshing && !asked, "{family}");
                }
            }
            Step::Start(session) => {
                rib.start(session);
                model = Model {
                    wanted: model.wanted,
                    leaving: model.leaving,
                    session: Some(session),
                    ..Model::default()
                };
                for family in FAMILIES {
                    model.owed(family).end_of_rib = session.context.exchanges(family);
                }
            }
            Step::Stop => {
                rib.stop();
                model = Model {
                    wanted: model.wanted,
                    leaving: model.leaving,
                    ..Model::default()
                };
            }
            Step::Refresh(family) => {
                rib.refresh(family);
                model.begin_again(family, true);
            }
            Step::GracefulShutdown => {
                rib.graceful_shutdown();
                model.leaving = true;
                model
                    .again
                    .extend(model.known.keys().map(|prefix| (*prefix, ())));
            }
        }
        model.silent_end();
        assert_eq!(rib.wanted(), model.wanted.len());
        assert_eq!(rib.advertised(), model.known.len());
        let cannot = model
            .wanted
            .keys()
            .filter(|prefix| model.expected(prefix).is_none());
        if model.session.is_some() {
            assert_eq!(rib.unsendable().total(), cannot.count());
        }
        // Every group has a user.
        assert!(rib.groups.len() <= 2 * rib.routes.len());
    }
    // Nothing is kept of what is not wanted any more.
    rib.stop();
    for number in 0..PREFIXES {
        rib.set(prefix(number), None);
    }
    assert_eq!(
        (rib.routes.len(), rib.groups.len(), rib.wanted()),
        (0, 0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(400),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_peer_ends_up_knowing_exactly_what_is_wanted(steps in steps()) {
        run(steps);
    }
}
