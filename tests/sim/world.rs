//! Many members, one virtual clock: a network with loss, delay, partitions and one-way faults; nodes that are killed,
//! paused and started again. All messages go through the real encoders and decoders. The same seed gives the same run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ferrolb::machine::Machine;
use ferrolb::memberlist::keyring::Keyring;
use ferrolb::memberlist::swim::{
    Departure, DialId, Event, Input, Output, Params, Random, RequestId, Swim,
};
use ferrolb::memberlist::wire::kin::Abilities;
use ferrolb::memberlist::wire::{
    Encoder, Limits, Message, Name, State, StreamDecoder, decode_datagram,
};

const PORT: u16 = 7946;

/// Datagrams that a paused process's socket holds.
const SOCKET_BUFFER: usize = 256;

/// A machine and what surrounds it.
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) addr: SocketAddr,
    /// `None` while it is not running.
    pub(crate) swim: Option<Swim>,
    /// Counts starts: what was meant for an earlier process does not reach a later one.
    life: u32,
    armed: Option<Instant>,
    paused: bool,
    waiting: VecDeque<Happening>,
    /// Requests that it has to answer: who dialled.
    requests: BTreeMap<RequestId, Caller>,
}

#[derive(Clone, Copy)]
struct Caller {
    node: usize,
    life: u32,
    dial: DialId,
    deadline: Instant,
}

/// What comes to a node.
enum Happening {
    Timer,
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    Request { caller: Caller, bytes: Vec<u8> },
    Reply { dial: DialId, bytes: Vec<u8> },
    Failed { dial: DialId, life: u32 },
}

/// An event, who saw it, and when (since the start of the world).
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) at: Duration,
    pub(crate) by: usize,
    pub(crate) event: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Joined(Name),
    Dead(Name),
    Left(Name),
    LeaveDone,
    /// How many.
    Stations(Name, usize),
    JoinRound {
        reached: usize,
        failed: usize,
    },
}

pub(crate) struct World {
    start: Instant,
    now: Instant,
    pub(crate) nodes: Vec<Node>,
    agenda: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    happenings: BTreeMap<u64, Happening>,
    scheduled: u64,
    pub(crate) random: Random,
    /// Datagrams (and segments of streams) lost, in thousandths.
    pub(crate) loss: usize,
    /// Longest delay of one way; the shortest is a tenth.
    pub(crate) delay: Duration,
    /// Nodes reach those with the same number only.
    pub(crate) island: Vec<u32>,
    /// Ways that are cut, from one to another, for datagrams and streams.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Nodes that no datagram reaches.
    pub(crate) deaf: BTreeSet<usize>,
    pub(crate) seen: Vec<Sighting>,
    /// Of what kind each says it is; `None`: as a Go node.
    pub(crate) kin: Vec<Option<Abilities>>,
    /// Somebody had metadata: it may change, and go.
    had_kin: bool,
    /// Whether peers are told of each other, as MetalLB does by its pods.
    peers: bool,
    encoder: Encoder,
    requests: u64,
    pub(crate) datagrams: u64,
    /// Bytes in them.
    pub(crate) octets: u64,
    pub(crate) longest_datagram: usize,
    pub(crate) longest_queue: usize,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the origin of virtual time: an Instant cannot be made otherwise"
)]
fn origin() -> Instant {
    Instant::now()
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    /// A world with `n` nodes, none of them running.
    pub(crate) fn new(n: usize, seed: u64) -> Self {
        let start = origin();
        let nodes = (0..n)
            .map(|i| {
                let [.., high, low] = i.to_be_bytes();
                Node {
                    name: Name::new(&format!("node-{i}")).unwrap(),
                    addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, high, low)), PORT),
                    swim: None,
                    life: 0,
                    armed: None,
                    paused: false,
                    waiting: VecDeque::new(),
                    requests: BTreeMap::new(),
                }
            })
            .collect();
        Self {
            start,
            now: start,
            nodes,
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            scheduled: 0,
            random: Random::seeded(seed),
            loss: 0,
            delay: millis(2),
            island: vec![0; n],
            cut: BTreeSet::new(),
            deaf: BTreeSet::new(),
            seen: Vec::new(),
            kin: vec![None; n],
            had_kin: false,
            peers: true,
            encoder: Encoder::default(),
            requests: 0,
            datagrams: 0,
            octets: 0,
            longest_datagram: 0,
            longest_queue: 0,
        }
    }

    /// The same with encryption and compression, as MetalLB has them.
    pub(crate) fn sealed(mut self) -> Self {
        self.encoder = Encoder {
            keyring: Keyring::from_secret(b"AAECAwQFBgcICQoLDA0ODw"),
            compress: true,
        };
        self
    }

    /// A world in which all nodes run and know each other.
    pub(crate) fn settled(n: usize, seed: u64) -> Self {
        Self::new(n, seed).settle()
    }

    /// All of our kind, with fast detection.
    pub(crate) fn fast(mut self) -> Self {
        self.kin.fill(Some(Abilities { fast: true }));
        self.had_kin = true;
        self
    }

    /// All run and know each other, and their heartbeats have found the ways good.
    pub(crate) fn settle(mut self) -> Self {
        self.start_all();
        self.run_until(secs(60), World::agrees);
        if self.kin.iter().any(Option::is_some) {
            self.run_for(secs(2));
        }
        self.seen.clear();
        self
    }

    pub(crate) fn start_all(&mut self) {
        for i in 0..self.nodes.len() {
            self.start_node(i);
            let gap = self.random.within(millis(50));
            self.run_for(gap);
        }
    }

    /// Since the start of the world.
    pub(crate) fn at(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    pub(crate) fn start_node(&mut self, i: usize) {
        let seed = self.random.bits();
        let (now, peers) = (self.now, self.addresses());
        let sealed = self.encoder.keyring.is_some();
        let node = &mut self.nodes[i];
        assert!(node.swim.is_none(), "{} runs already", node.name);
        let mut params = Params::lan(node.name.clone(), node.addr, sealed);
        params.kin = self.kin[i];
        node.life += 1;
        node.armed = None;
        node.paused = false;
        node.swim = Some(Swim::new(now, params, Random::seeded(seed)));
        self.drain(i);
        if self.peers {
            self.input(i, Input::Peers(peers));
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.addr).collect()
    }

    /// Power cut.
    pub(crate) fn kill(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        node.swim = None;
        node.armed = None;
        node.waiting.clear();
        node.requests.clear();
    }

    pub(crate) fn pause(&mut self, i: usize) {
        self.nodes[i].paused = true;
    }

    /// It runs again: its timer first, which is the worst order, then what waited in its socket.
    pub(crate) fn resume(&mut self, i: usize) {
        self.nodes[i].paused = false;
        self.nodes[i].armed = None;
        self.input(i, Input::Tick);
        let waiting = std::mem::take(&mut self.nodes[i].waiting);
        for happening in waiting {
            self.deliver(i, happening);
        }
    }

    pub(crate) fn is_running(&self, i: usize) -> bool {
        self.nodes[i].swim.is_some()
    }

    pub(crate) fn swim(&self, i: usize) -> &Swim {
        self.nodes[i].swim.as_ref().unwrap()
    }

    /// Who is a member, in the eyes of `i`.
    pub(crate) fn view(&self, i: usize) -> BTreeSet<Name> {
        self.swim(i).active().cloned().collect()
    }

    pub(crate) fn running(&self) -> BTreeSet<Name> {
        self.nodes
            .iter()
            .filter(|node| node.swim.is_some())
            .map(|node| node.name.clone())
            .collect()
    }

    /// Whether all that run hold just those who run for members.
    pub(crate) fn agrees(&self) -> bool {
        let running = self.running();
        (0..self.nodes.len())
            .filter(|i| self.is_running(*i))
            .all(|i| {
                let swim = self.swim(i);
                swim.active().eq(running.iter())
            })
    }

    /// Whether they agree and nobody is suspected: what was suspected before may still end in a death.
    pub(crate) fn is_at_peace(&self) -> bool {
        let suspects = |swim: &Swim| swim.members().any(|member| member.state == State::Suspect);
        self.agrees()
            && !self
                .nodes
                .iter()
                .filter_map(|node| node.swim.as_ref())
                .any(suspects)
    }

    pub(crate) fn deaths(&self) -> Vec<&Sighting> {
        self.seen
            .iter()
            .filter(|sighting| matches!(sighting.event, Seen::Dead(_)))
            .collect()
    }

    /// When the last of those that run saw `event`, and how many did.
    pub(crate) fn last_seen(&self, event: &Seen) -> (Duration, usize) {
        let at = self.seen.iter().filter(|sighting| sighting.event == *event);
        let by: BTreeSet<usize> = at.clone().map(|sighting| sighting.by).collect();
        (
            at.map(|sighting| sighting.at).max().unwrap_or_default(),
            by.len(),
        )
    }

    pub(crate) fn first_seen(&self, event: &Seen) -> Option<Duration> {
        let at = self.seen.iter().filter(|sighting| sighting.event == *event);
        at.map(|sighting| sighting.at).min()
    }

    pub(crate) fn input(&mut self, i: usize, input: Input) {
        let now = self.now;
        if let Some(swim) = &mut self.nodes[i].swim {
            swim.handle(now, input);
            self.drain(i);
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until it holds, at most that long. How long it took.
    ///
    /// Panics if it does not come to hold.
    pub(crate) fn run_until(
        &mut self,
        at_most: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Duration {
        let begin = self.now;
        let end = begin + at_most;
        while !holds(self) {
            assert!(
                self.now < end,
                "not within {at_most:?}: {:#?}",
                (0..self.nodes.len())
                    .filter(|i| self.is_running(*i))
                    .map(|i| (i, self.view(i).len()))
                    .collect::<Vec<_>>()
            );
            let tick = (self.now + millis(10)).min(end);
            while self.step(tick) {}
            self.now = tick;
        }
        self.now.duration_since(begin)
    }

    /// The next happening, if it is before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let Some(Reverse((at, id, node))) = self.agenda.peek().copied() else {
            return false;
        };
        if at > end {
            return false;
        }
        self.agenda.pop();
        self.now = at;
        if let Some(happening) = self.happenings.remove(&id) {
            self.deliver(node, happening);
        }
        true
    }

    fn schedule(&mut self, at: Instant, node: usize, happening: Happening) {
        self.scheduled += 1;
        self.agenda.push(Reverse((at, self.scheduled, node)));
        self.happenings.insert(self.scheduled, happening);
    }

    fn deliver(&mut self, i: usize, happening: Happening) {
        let node = &mut self.nodes[i];
        if node.swim.is_none() {
            return;
        }
        if node.paused {
            if !matches!(happening, Happening::Timer) && node.waiting.len() < SOCKET_BUFFER {
                node.waiting.push_back(happening);
            }
            return;
        }
        let limits = Limits::default();
        let keyring = self.encoder.keyring.clone();
        match happening {
            Happening::Timer => {
                if node.armed.is_some_and(|at| at <= self.now) {
                    node.armed = None;
                    let due = node.swim.as_ref().and_then(Machine::next_deadline);
                    if due.is_some_and(|due| due <= self.now) {
                        self.input(i, Input::Tick);
                    } else {
                        self.arm(i);
                    }
                }
            }
            Happening::Datagram { from, bytes } => {
                let datagram = decode_datagram(&bytes, keyring.as_ref(), &limits).unwrap();
                assert!(datagram.dropped.is_empty(), "{:?}", datagram.dropped);
                let messages = datagram.messages;
                self.input(i, Input::Datagram { from, messages });
            }
            Happening::Request { caller, bytes } => {
                self.requests += 1;
                let id = RequestId(self.requests);
                node.requests.insert(id, caller);
                let message = decode_stream(&bytes, keyring, limits);
                let from = self.nodes[caller.node].addr;
                self.input(i, Input::StreamRequest { id, from, message });
            }
            Happening::Reply { dial, bytes } => {
                let message = decode_stream(&bytes, keyring, limits);
                self.input(i, Input::StreamReply { id: dial, message });
            }
            Happening::Failed { dial, life } => {
                if node.life == life {
                    let reason = "timed out".to_owned();
                    self.input(i, Input::StreamFailed { id: dial, reason });
                }
            }
        }
    }

    fn drain(&mut self, i: usize) {
        while let Some(output) = self.nodes[i].swim.as_mut().and_then(Machine::poll_output) {
            match output {
                Output::Send(packet) => {
                    let nonce = self.nonce();
                    let bytes = self
                        .encoder
                        .datagram(&packet.parts, packet.crc, nonce)
                        .unwrap();
                    self.datagrams += 1;
                    self.octets += u64::try_from(bytes.len()).unwrap();
                    self.longest_datagram = self.longest_datagram.max(bytes.len());
                    let from = self.nodes[i].addr;
                    if let Some(to) = self.reached(i, packet.to)
                        && !self.deaf.contains(&to)
                        && !self.is_lost()
                    {
                        let at = self.now + self.one_way();
                        self.schedule(at, to, Happening::Datagram { from, bytes });
                    }
                }
                Output::Dial {
                    id,
                    to,
                    request,
                    deadline,
                } => self.dial(i, id, to, &request, deadline),
                Output::Reply { id, message } => self.reply(i, id, message),
                Output::Event(Event::Joined { name, .. }) => self.note(i, Seen::Joined(name)),
                Output::Event(Event::Left { name, how }) => {
                    let seen = match how {
                        Departure::Dead => Seen::Dead(name),
                        Departure::Left => Seen::Left(name),
                    };
                    self.note(i, seen);
                }
                Output::Event(Event::Updated { name }) => {
                    assert!(self.had_kin, "{name} has no metadata");
                }
                Output::Joined { reached, failed } => {
                    self.note(i, Seen::JoinRound { reached, failed });
                }
                Output::LeaveDone => self.note(i, Seen::LeaveDone),
                Output::Stations { name, stations } => {
                    self.note(i, Seen::Stations(name, stations.len()));
                }
                Output::Log(_) => {}
            }
        }
        if let Some(swim) = &self.nodes[i].swim {
            self.longest_queue = self.longest_queue.max(swim.queued());
        }
        self.arm(i);
    }

    fn arm(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        let due = node.swim.as_ref().and_then(Machine::next_deadline);
        if let Some(due) = due
            && node.armed.is_none_or(|armed| due < armed)
        {
            node.armed = Some(due);
            self.schedule(due, i, Happening::Timer);
        }
    }

    fn note(&mut self, by: usize, event: Seen) {
        let at = self.at();
        self.seen.push(Sighting { at, by, event });
    }

    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.random.bits().to_be_bytes());
        nonce
    }

    fn is_lost(&mut self) -> bool {
        self.random.place(1000) < self.loss
    }

    fn one_way(&mut self) -> Duration {
        self.delay / 10 + self.random.within(self.delay * 9 / 10)
    }

    /// The node with that address, if there is a way to it.
    fn reached(&self, from: usize, to: SocketAddr) -> Option<usize> {
        let IpAddr::V4(ip) = to.ip() else {
            return None;
        };
        let [_, _, high, low] = ip.octets();
        let to = usize::from(u16::from_be_bytes([high, low]));
        self.has_way(from, to).then_some(to)
    }

    fn has_way(&self, from: usize, to: usize) -> bool {
        self.island[from] == self.island[to] && !self.cut.contains(&(from, to))
    }

    /// The time for a segment to pass, with TCP's repetitions: after 1, 2, 4 … s while connecting, else after 0.2, 0.4 … s.
    fn segment(&mut self, first: Duration) -> Duration {
        let mut wait = first;
        let mut time = self.one_way();
        while self.is_lost() {
            time += wait;
            wait *= 2;
        }
        time
    }

    fn dial(
        &mut self,
        i: usize,
        dial: DialId,
        to: SocketAddr,
        request: &Message,
        deadline: Instant,
    ) {
        let life = self.nodes[i].life;
        let nonce = self.nonce();
        let bytes = self.encoder.stream(request, nonce).unwrap();
        let connect = self.segment(secs(1)) + self.segment(secs(1));
        let at = self.now + connect + self.segment(millis(200));
        match self.reached(i, to) {
            Some(to) if at < deadline => {
                let caller = Caller {
                    node: i,
                    life,
                    dial,
                    deadline,
                };
                self.schedule(at, to, Happening::Request { caller, bytes });
            }
            Some(_) | None => {}
        }
        // An answer comes before, and then the machine knows this dial no more.
        self.schedule(deadline, i, Happening::Failed { dial, life });
    }

    fn reply(&mut self, i: usize, id: RequestId, message: Option<Message>) {
        let caller = self.nodes[i].requests.remove(&id).unwrap();
        let Some(message) = message else {
            return;
        };
        let nonce = self.nonce();
        let bytes = self.encoder.stream(&message, nonce).unwrap();
        let at = self.now + self.segment(millis(200));
        let same_life = self.nodes[caller.node].life == caller.life;
        let way = self.has_way(i, caller.node);
        if at < caller.deadline && same_life && way {
            let dial = caller.dial;
            self.schedule(at, caller.node, Happening::Reply { dial, bytes });
        }
    }
}

fn decode_stream(bytes: &[u8], keyring: Option<Keyring>, limits: Limits) -> Message {
    let mut decoder = StreamDecoder::new(keyring, limits);
    decoder.feed(bytes).unwrap().unwrap()
}
