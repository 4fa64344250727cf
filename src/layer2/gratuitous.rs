//! When gratuitous packets leave: at announcing, at once and then every 1.1 s for 5 s, on every interface.
//!
//! ```text
//! Announce(ip), new      --> a burst of ip on all ports that are up
//! Announce(ip), again    --> nothing: a repeated announcement does not restart the burst
//! Withdraw(ip)           --> the rest of its bursts is not sent
//! PortUp(port)           --> a burst of all announced addresses on that port; what was left for it is forgotten
//! PortDown(port)         --> the rest for that port is not sent
//! a burst, round n sent  --> round n + 1 waits for its time; after the last it is gone
//! ```
//!
//! Thousands of addresses leave at a bounded pace (a token bucket): every address's first announcement before any ARP reply, and
//! both before the repetitions of any. Invariant: what is queued is bounded by the announced addresses and the ports, because a burst
//! holds each pair once and a stale pair is skipped when its turn comes.
//! `Upstream:` layer 2 announcer of 0.12.1, which sends an address's request and reply one after the other. RFC 5227 §2.3 and RFC 4861 §7.2.6
//! say why and how often.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Kind, Port};
use crate::machine::Machine;

/// `Upstream:` every 1.1 s: RFC 4861 §10 asks for a second between gratuitous advertisements at least.
pub const INTERVAL: Duration = Duration::from_millis(1100);

/// Rounds of a burst: at 0, 1.1, 2.2, 3.3 and 4.4 s, the last before the 5 s are over.
pub const ROUNDS: u8 = 5;

/// With this round (from 0) it is asked as well whether another station has the address: an old owner has given it up by then.
pub const PROBED: u8 = 2;

/// Frames that may leave at once after a pause: what a small card's transmit ring takes.
const BUCKET: u32 = 256;

/// Frames that may leave per [`REFILL`] when thousands wait: 100,000 a second are 50 Mbit/s of the smallest frames,
/// so that 10,000 addresses are announced within a tenth of a second (their ARP replies take another), and a slow switch still breathes.
const FRAMES_PER_REFILL: u32 = 100;

/// The grain of the pace.
const REFILL: Duration = Duration::from_millis(1);

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The address is announced from now on.
    Announce(IpAddr),
    /// It is not any more.
    Withdraw(IpAddr),
    /// A responder can send from now on, or its Ethernet address changed, or its cable is plugged in again.
    PortUp(Port),
    /// A responder is gone.
    PortDown(Port),
    /// Time passed.
    Tick,
}

/// A frame about `ip` leaves on `port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// The address.
    pub ip: IpAddr,
    /// Where.
    pub port: Port,
    /// What.
    pub form: Form,
}

/// What such a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Asks whether another station has the address.
    Probe,
    /// ARP: an announcement as RFC 5227 defines it, which is a request. NDP: an advertisement.
    Announcement,
    /// ARP: a reply that nobody asked for. `Upstream:` some stations learn from the one, some from the other.
    Reply,
}

impl Form {
    fn fits(self, kind: Kind) -> bool {
        kind == Kind::Arp || self != Self::Reply
    }
}

/// Tells one life of an address or port from the next.
type Life = u64;

#[derive(Debug)]
struct Burst {
    addresses: Arc<[(IpAddr, Life)]>,
    ports: Arc<[(Port, Life)]>,
    due: Instant,
    round: u8,
    /// How many frames of this round had their turn.
    turn: usize,
}

impl Burst {
    fn new(due: Instant, addresses: Arc<[(IpAddr, Life)]>, ports: Arc<[(Port, Life)]>) -> Self {
        Self {
            addresses,
            ports,
            due,
            round: 0,
            turn: 0,
        }
    }

    /// What this round consists of, one after the other, each for all addresses.
    fn forms(&self) -> &'static [Form] {
        if self.round == PROBED {
            &[Form::Probe, Form::Announcement, Form::Reply]
        } else {
            &[Form::Announcement, Form::Reply]
        }
    }

    /// The frame whose turn it is, whether it is still wanted or not, and which lives of the address and the port it is about.
    fn current(&self) -> Option<(Send, [Life; 2])> {
        let pair = self.turn.checked_div(self.ports.len())?;
        let address = pair.checked_rem(self.addresses.len())?;
        let form = *self.forms().get(pair.checked_div(self.addresses.len())?)?;
        let (ip, ip_life) = *self.addresses.get(address)?;
        let (port, port_life) = *self.ports.get(self.turn % self.ports.len())?;
        Some((Send { ip, port, form }, [ip_life, port_life]))
    }

    /// Whether every address has been announced once.
    fn has_announced(&self) -> bool {
        self.round > 0 || self.turn >= self.addresses.len().saturating_mul(self.ports.len())
    }

    fn next_round(mut self) -> Option<Self> {
        self.round += 1;
        self.due += INTERVAL;
        self.turn = 0;
        (self.round < ROUNDS).then_some(self)
    }
}

/// The machine.
#[derive(Debug)]
pub struct Gratuitous {
    now: Instant,
    next_life: Life,
    announced: BTreeMap<IpAddr, Life>,
    ports: BTreeMap<Port, Life>,
    /// Announced since the last output was asked for: one burst together.
    fresh: BTreeSet<IpAddr>,
    first: VecDeque<Burst>,
    /// Announced once, their replies are next.
    second: VecDeque<Burst>,
    repeats: VecDeque<Burst>,
    /// By time, then by age.
    waiting: BTreeMap<(Instant, u64), Burst>,
    waited: u64,
    tokens: u32,
    refilled: Instant,
}

impl Gratuitous {
    /// Nothing announced, no port.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            now,
            next_life: 0,
            announced: BTreeMap::new(),
            ports: BTreeMap::new(),
            fresh: BTreeSet::new(),
            first: VecDeque::new(),
            second: VecDeque::new(),
            repeats: VecDeque::new(),
            waiting: BTreeMap::new(),
            waited: 0,
            tokens: BUCKET,
            refilled: now,
        }
    }

    fn life(&mut self) -> Life {
        self.next_life += 1;
        self.next_life
    }

    /// Addresses that were announced together burst together.
    fn seal(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let addresses = std::mem::take(&mut self.fresh)
            .into_iter()
            .filter_map(|ip| Some((ip, *self.announced.get(&ip)?)))
            .collect();
        let ports: Arc<[_]> = self
            .ports
            .iter()
            .map(|(port, life)| (*port, *life))
            .collect();
        if !ports.is_empty() {
            self.first.push_back(Burst::new(self.now, addresses, ports));
        }
    }

    fn port_up(&mut self, port: Port) {
        // What was announced before this moment bursts where it could; the new port gets everything of its own.
        self.seal();
        let life = self.life();
        self.ports.insert(port, life);
        let addresses: Arc<[_]> = self
            .announced
            .iter()
            .filter(|(ip, _)| port.kind.serves(**ip))
            .map(|(ip, life)| (*ip, *life))
            .collect();
        if !addresses.is_empty() {
            self.first
                .push_back(Burst::new(self.now, addresses, Arc::new([(port, life)])));
        }
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        let grains = now.saturating_duration_since(self.refilled).as_nanos() / REFILL.as_nanos();
        if grains > 0 {
            let grains = u32::try_from(grains).unwrap_or(u32::MAX);
            self.tokens = grains
                .saturating_mul(FRAMES_PER_REFILL)
                .saturating_add(self.tokens)
                .min(BUCKET);
            self.refilled = now;
        }
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let burst = entry.remove();
            self.repeats.push_back(burst);
        }
    }

    fn finish(&mut self, burst: Burst) {
        let wanted = burst
            .addresses
            .iter()
            .any(|(ip, life)| self.announced.get(ip) == Some(life));
        if wanted && let Some(burst) = burst.next_round() {
            self.waited += 1;
            self.waiting.insert((burst.due, self.waited), burst);
        }
    }
}

impl Machine for Gratuitous {
    type Input = Input;
    type Output = Send;

    fn handle(&mut self, now: Instant, input: Input) {
        if now > self.now {
            self.seal();
        }
        self.advance(now);
        match input {
            Input::Announce(ip) => {
                if !self.announced.contains_key(&ip) {
                    let life = self.life();
                    self.announced.insert(ip, life);
                    self.fresh.insert(ip);
                }
            }
            Input::Withdraw(ip) => {
                self.announced.remove(&ip);
                self.fresh.remove(&ip);
            }
            Input::PortUp(port) => self.port_up(port),
            Input::PortDown(port) => {
                self.ports.remove(&port);
            }
            Input::Tick => {}
        }
    }

    fn poll_output(&mut self) -> Option<Send> {
        self.seal();
        loop {
            if let Some(burst) = self.first.pop_front_if(|burst| burst.has_announced()) {
                self.second.push_back(burst);
                continue;
            }
            let queue = [&mut self.first, &mut self.second, &mut self.repeats]
                .into_iter()
                .find(|queue| !queue.is_empty())?;
            let burst = queue.front_mut()?;
            let Some((send, lives)) = burst.current() else {
                if let Some(burst) = queue.pop_front() {
                    self.finish(burst);
                }
                continue;
            };
            let living = [self.announced.get(&send.ip), self.ports.get(&send.port)];
            let wanted = send.port.kind.serves(send.ip)
                && send.form.fits(send.port.kind)
                && living == lives.each_ref().map(Some);
            if wanted {
                self.tokens = self.tokens.checked_sub(1)?;
            }
            burst.turn += 1;
            if wanted {
                return Some(send);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.first.is_empty() && self.second.is_empty() && self.repeats.is_empty() {
            self.waiting.first_key_value().map(|((due, _), _)| *due)
        } else {
            Some(self.refilled + REFILL)
        }
    }
}

#[cfg(test)]
mod tests;
