//! Conflicts: another station claims an address that this node announces.
//!
//! A claim is an ARP packet with the address as its sender, or a neighbour advertisement of it (RFC 5227 §2.4, RFC 4862
//! §5.4.4), from a station that is none of this host's. While an address moves from one speaker to another both claim it for a
//! moment; so a claim is asked after before anybody hears of it:
//!
//! ```text
//!            a claim                        claimed again, 2.5 s and more after the first
//!   (quiet) ----------> Asked: probes at 1, 2, ------------------------------------> Disputed: told, once
//!      ^                3 and 4 s                                                    a probe every 10 s
//!      |                    | nothing more for 5 s                                       | no claim for 25 s
//!      +--------------------+------------------------------------------------------------+ Settled: told
//!
//!   Yield(ip): this node is silent about it, and asks every 2 s; no claim for 6 s: Settled, told
//! ```
//!
//! The probe is RFC 5227's (sender 0.0.0.0; for IPv6 a solicitation as of duplicate address detection): whoever has the address
//! answers it, also a host that did not say a word when we announced. One is sent with the third round of each address's
//! first burst as well (`gratuitous`), so that a holder that was there before us is found.
//!
//! Not here: who the other is, and who gives way (`speaker`). Bounds: [`DISPUTES`] addresses; further claims are counted alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

use super::wire::arp::Arp;
use super::wire::ndp::Advertised;
use super::wire::{Error, is_station};
use super::{Kind, Port};
use crate::machine::Machine;

#[cfg(test)]
mod tests;

/// Addresses in conflict at once. More means that somebody claims whole networks, and the first ones say enough.
pub const DISPUTES: usize = 1024;

/// Between two probes while it is not yet said.
const ASK: Duration = Duration::from_secs(1);

/// A claim this long after the first is no handover any more: that takes a quarter of a second, and its burst, five packets
/// 1.1 s apart, ends when the address is withdrawn.
const LASTING: Duration = Duration::from_millis(2_500);

/// Quiet after which a claim is forgotten that was not repeated.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// Between two probes of one that was told.
const WATCH: Duration = Duration::from_secs(10);

/// Quiet after which a conflict is over: two probes unanswered.
const SETTLED: Duration = Duration::from_secs(25);

/// Between two probes while we are silent ourselves.
const YIELDED: Duration = Duration::from_secs(2);

/// Quiet after which we need not be silent any more: two probes unanswered, and the half of the time for a third.
const FREE: Duration = Duration::from_secs(5);

/// What a frame claims: which address, and for which station.
///
/// # Errors
/// Nothing: it is no claim, or breaks a rule of its protocol.
pub fn claim(kind: Kind, frame: &[u8]) -> Result<(IpAddr, MacAddr), Error> {
    let (ip, mac) = match kind {
        // RFC 5227 §2.4: any ARP packet (request or reply) whose sender IP address is the host's own.
        Kind::Arp => {
            let packet = Arp::decode(frame)?;
            let ip = packet.sender_protocol_address;
            (IpAddr::V4(ip), packet.sender_hardware_address)
        }
        Kind::Ndp => {
            let advertised = Advertised::decode(frame)?;
            (IpAddr::V6(advertised.target), advertised.mac)
        }
    };
    if ip.is_unspecified() || !is_station(mac) {
        return Err(Error::OtherMessage);
    }
    Ok((ip, mac))
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The address is announced from now on.
    Announce(IpAddr),
    /// It is not any more, and nobody wants to know about it.
    Withdraw(IpAddr),
    /// It is not any more, because another claims it: say when that is over.
    Yield(IpAddr),
    /// A station that is not of this host claims it.
    Claim {
        /// The address.
        ip: IpAddr,
        /// Where it was heard.
        port: Port,
        /// The station.
        mac: MacAddr,
    },
    /// Time passed.
    Tick,
}

/// What is wanted done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Ask who has the address.
    Probe {
        /// The address.
        ip: IpAddr,
        /// Where.
        port: Port,
    },
    /// Another has it, and keeps it.
    Disputed {
        /// The address.
        ip: IpAddr,
        /// Where.
        port: Port,
        /// The other station.
        mac: MacAddr,
    },
    /// Nobody else claims it any more.
    Settled {
        /// The address.
        ip: IpAddr,
        /// The station that did.
        mac: MacAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Disputed,
    Yielded,
}

#[derive(Debug)]
struct Dispute {
    stage: Stage,
    port: Port,
    mac: MacAddr,
    first: Instant,
    last: Instant,
    probe_at: Instant,
}

impl Dispute {
    /// When it is over if nothing more is heard.
    fn end(&self) -> Instant {
        self.last
            + match self.stage {
                Stage::Asked => FORGOTTEN,
                Stage::Disputed => SETTLED,
                Stage::Yielded => FREE,
            }
    }

    /// When something is to be done about it.
    fn due(&self) -> Instant {
        self.probe_at.min(self.end())
    }

    fn interval(&self) -> Duration {
        match self.stage {
            Stage::Asked => ASK,
            Stage::Disputed => WATCH,
            Stage::Yielded => YIELDED,
        }
    }
}

/// The machine.
#[derive(Debug, Default)]
pub struct Conflicts {
    announced: BTreeSet<IpAddr>,
    disputes: BTreeMap<IpAddr, Dispute>,
    /// Nothing is due before; a thousand claims at once are not a thousand looks at all disputes.
    quiet_until: Option<Instant>,
    outputs: VecDeque<Output>,
    overlooked: u64,
}

impl Conflicts {
    /// Claims beyond [`DISPUTES`].
    #[must_use]
    pub const fn overlooked(&self) -> u64 {
        self.overlooked
    }

    /// The addresses whose claims matter: announced, or given way about.
    pub fn watched(&self) -> impl Iterator<Item = IpAddr> {
        let yielded = self
            .disputes
            .iter()
            .filter(|(_, dispute)| dispute.stage == Stage::Yielded)
            .map(|(ip, _)| *ip);
        self.announced.iter().copied().chain(yielded)
    }

    fn claim(&mut self, now: Instant, ip: IpAddr, port: Port, mac: MacAddr) {
        if let Some(dispute) = self.disputes.get_mut(&ip) {
            if dispute.mac != mac {
                if dispute.stage != Stage::Yielded && now < dispute.last + ASK {
                    // A third one: the other is heard in its turn when the first is quiet.
                    return;
                }
                dispute.mac = mac;
                if dispute.stage == Stage::Disputed {
                    dispute.stage = Stage::Asked;
                    dispute.first = now;
                    dispute.probe_at = now + ASK;
                }
            }
            dispute.last = now;
            dispute.port = port;
            if dispute.stage == Stage::Asked && now >= dispute.first + LASTING {
                dispute.stage = Stage::Disputed;
                dispute.probe_at = now + WATCH;
                self.outputs.push_back(Output::Disputed { ip, port, mac });
            }
            let due = dispute.due();
            return self.wake_at(due);
        }
        if !self.announced.contains(&ip) {
            return;
        }
        if self.disputes.len() >= DISPUTES {
            self.overlooked = self.overlooked.saturating_add(1);
            return;
        }
        let dispute = Dispute {
            stage: Stage::Asked,
            port,
            mac,
            first: now,
            last: now,
            probe_at: now + ASK,
        };
        self.wake_at(dispute.due());
        self.disputes.insert(ip, dispute);
    }

    fn wake_at(&mut self, due: Instant) {
        self.quiet_until = Some(self.quiet_until.map_or(due, |at| at.min(due)));
    }

    fn serve(&mut self, now: Instant) {
        if self.quiet_until.is_none_or(|at| at > now) {
            return;
        }
        let Self {
            disputes, outputs, ..
        } = self;
        disputes.retain(|ip, dispute| {
            if dispute.end() <= now {
                if dispute.stage != Stage::Asked {
                    let (ip, mac) = (*ip, dispute.mac);
                    outputs.push_back(Output::Settled { ip, mac });
                }
                return false;
            }
            if dispute.probe_at <= now {
                dispute.probe_at = now + dispute.interval();
                let (ip, port) = (*ip, dispute.port);
                outputs.push_back(Output::Probe { ip, port });
            }
            true
        });
        self.quiet_until = self.next_deadline();
    }
}

impl Machine for Conflicts {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Announce(ip) => {
                self.announced.insert(ip);
                // What we gave way about is ours again: claims begin to count anew.
                self.disputes.remove(&ip);
            }
            Input::Withdraw(ip) => {
                self.announced.remove(&ip);
                self.disputes.remove(&ip);
            }
            Input::Yield(ip) => {
                self.announced.remove(&ip);
                if let Some(dispute) = self.disputes.get_mut(&ip) {
                    dispute.stage = Stage::Yielded;
                    dispute.last = now;
                    dispute.probe_at = now + YIELDED;
                    let due = dispute.due();
                    self.wake_at(due);
                } else {
                    // Whoever it was is gone already.
                    let mac = MacAddr::zero();
                    self.outputs.push_back(Output::Settled { ip, mac });
                }
            }
            Input::Claim { ip, port, mac } => self.claim(now, ip, port, mac),
            Input::Tick => {}
        }
        self.serve(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.disputes.values().map(Dispute::due).min()
    }
}
