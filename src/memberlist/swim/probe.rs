//! The failure detector: probing one member after the other, asking others for help, and helping them.

use std::net::SocketAddr;
use std::time::Instant;

use super::fast::is_heartbeat;
use super::{DialId, Noise, Swim, exchange};
use crate::journal::{Level, Record};
use crate::memberlist::heartbeat::SEQ_NOS;
use crate::memberlist::wire::{Ack, IndirectPing, Message, Nack, Name, Ping, State, Suspect};

/// Protocol version from which a member answers pings on streams.
const STREAM_PING_SINCE: u8 = 3;

/// Protocol version from which a member sends nacks.
const NACK_SINCE: u8 = 4;

/// The probe under way.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    seq_no: u32,
    pub(super) target: Name,
    to: SocketAddr,
    /// The target's incarnation when the probe began.
    incarnation: u32,
    stream_ping: bool,
    /// The end of the stage, and of all.
    direct_until: Instant,
    until: Instant,
    stage: Stage,
}

/// How far a probe is.
#[derive(Debug, Clone)]
enum Stage {
    /// Asked it.
    Direct,
    /// Asked others too.
    Indirect {
        relays: Vec<SocketAddr>,
        nacks_wanted: usize,
        nacks: usize,
        stream: Option<DialId>,
        connected: bool,
    },
}

impl Probe {
    /// When to go on.
    pub(super) fn deadline(&self) -> Instant {
        match self.stage {
            Stage::Direct => self.direct_until.min(self.until),
            Stage::Indirect { .. } => self.until,
        }
    }

    /// A stream brought an ack: if it is the one tried for this probe, that counts at its end.
    pub(super) fn answered_on(&mut self, id: DialId, ack: u32) {
        if let Stage::Indirect {
            stream, connected, ..
        } = &mut self.stage
            && *stream == Some(id)
        {
            *connected = ack == self.seq_no;
        }
    }
}

/// A ping that we sent for another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relay {
    /// Our number.
    seq_no: u32,
    asked_by: SocketAddr,
    /// The asker's number.
    their_seq_no: u32,
    nack: bool,
    pub(super) until: Instant,
}

impl Swim {
    /// All messages of a datagram, in order.
    pub(super) fn datagram(&mut self, from: SocketAddr, messages: Vec<Message>) {
        for message in messages {
            match message {
                Message::Ping(ping) => self.answer(from, &ping),
                Message::IndirectPing(ping) => self.relay(from, ping),
                Message::Ack(ack) => self.ack(from, &ack),
                Message::Nack(nack) => self.nack(nack),
                Message::Suspect(claim) => self.suspect(claim),
                Message::Alive(claim) => self.alive(claim, false),
                Message::Dead(claim) => self.dead(claim),
                // MetalLB sends none; speakers of our kind do.
                Message::User(data) => self.user_data(from, &data),
                // For streams, and never decoded from datagrams.
                Message::PushPull(_) | Message::Err(_) => {}
            }
        }
    }

    /// Whether a ping is for us. A wrong name gets no answer at all.
    pub(super) fn is_for_us(&self, ping: &Ping) -> bool {
        ping.node.as_ref().is_none_or(|name| self.is_own(name))
    }

    /// Are we there?
    fn answer(&mut self, from: SocketAddr, ping: &Ping) {
        if !self.is_for_us(ping) {
            return;
        }
        let ack = ack(ping.seq_no);
        if is_heartbeat(ping.seq_no) {
            // Gossip does not ride on these: it would go to the same few again and again.
            self.send_brief(from, &ack);
        } else {
            self.send(from, &ack);
        }
    }

    /// A tick of the probe timer.
    pub(super) fn probe_tick(&mut self) {
        if self.probe_at > self.now || self.leaving.is_some() {
            return;
        }
        self.probe_at = self.following(self.probe_at, self.params.probe_interval);
        if self.probe.is_some() {
            // Upstream: a ticker holds one tick for one who is late.
            self.probe_pending = true;
        } else {
            self.begin_probe();
        }
    }

    fn begin_probe(&mut self) {
        self.probe_pending = false;
        let own = self.params.name.clone();
        let (now, dead_for) = (self.now, self.params.gossip_to_the_dead);
        let left_for = self.params.reap_left_after;
        let target = self.members.next_target(
            &mut self.random,
            |member| member.is_active() && member.name != own,
            |member| {
                let since = now.duration_since(member.changed);
                match member.state {
                    State::Alive | State::Suspect => false,
                    State::Dead => since > dead_for,
                    State::Left => since > left_for && member.name != own,
                }
            },
        );
        let Some(target) = target else {
            return;
        };
        self.counters.probes += 1;
        let seq_no = self.next_seq_no();
        let probe = Probe {
            seq_no,
            target: target.name.clone(),
            to: target.socket_addr(),
            incarnation: target.incarnation,
            stream_ping: self.params.stream_pings && target.vsn.protocol_max() >= STREAM_PING_SINCE,
            direct_until: now + self.params.probe_timeout,
            until: now + self.probe_duration(),
            stage: Stage::Direct,
        };
        self.probe = Some(probe);
        let ping = Message::Ping(Ping {
            seq_no,
            node: Some(target.name.clone()),
        });
        if target.state == State::Suspect {
            // It may refute at once.
            let suspect = Message::Suspect(Suspect {
                incarnation: target.incarnation,
                node: target.name.clone(),
                from: own,
            });
            self.send_bare(&target, &[ping, suspect]);
        } else {
            self.send(target.socket_addr(), &ping);
        }
    }

    /// The next stage of the probe, or its end, if it is time.
    pub(super) fn continue_probe(&mut self) {
        let Some(probe) = &self.probe else {
            return;
        };
        if probe.deadline() > self.now {
            return;
        }
        match probe.stage {
            Stage::Direct if probe.until > self.now => self.ask_others(),
            Stage::Direct | Stage::Indirect { .. } => self.end_probe(),
        }
    }

    /// No direct answer: can others reach it, or a stream?
    fn ask_others(&mut self) {
        let Some(mut probe) = self.probe.take() else {
            return;
        };
        let own = self.params.name.clone();
        let helpers =
            self.members
                .choose(self.params.indirect_checks, &mut self.random, |member| {
                    member.state == State::Alive
                        && member.name != own
                        && member.name != probe.target
                });
        let mut relays = Vec::new();
        let mut nacks_wanted = 0;
        // To others its address as it gave it, not as we can reach it.
        let target = self
            .members
            .get(&probe.target)
            .map(|held| (held.addr, held.port));
        if let Some((addr, port)) = target {
            for helper in &helpers {
                let nack = helper.vsn.protocol_max() >= NACK_SINCE;
                nacks_wanted += usize::from(nack);
                let to = helper.socket_addr();
                relays.push(to);
                let request = Message::IndirectPing(IndirectPing {
                    seq_no: probe.seq_no,
                    target: addr,
                    port,
                    node: Some(probe.target.clone()),
                    nack,
                });
                self.send(to, &request);
            }
        }
        let stream = probe.stream_ping.then(|| {
            let ping = Message::Ping(Ping {
                seq_no: probe.seq_no,
                node: Some(probe.target.clone()),
            });
            self.dial(probe.to, ping, probe.until, exchange::Purpose::Probe)
        });
        probe.stage = Stage::Indirect {
            relays,
            nacks_wanted,
            nacks: 0,
            stream,
            connected: false,
        };
        self.probe = Some(probe);
    }

    /// Nobody could say that it is there.
    fn end_probe(&mut self) {
        let Some(probe) = self.probe.take() else {
            return;
        };
        match probe.stage {
            // Upstream: the stream's answer is looked at only now.
            Stage::Indirect {
                connected: true, ..
            } => {
                self.health_changes(-1);
                let target = probe.target;
                self.say_seldom(Noise::OnlyByStream, || {
                    Record::event(
                        "memberOnlyByStream",
                        format!(
                            "{target} answers on TCP but not on UDP: let UDP pass to it as well"
                        ),
                    )
                    .at(Level::Warn)
                });
            }
            stage @ (Stage::Direct | Stage::Indirect { .. }) => {
                self.counters.probes_failed += 1;
                let (wanted, got) = match stage {
                    Stage::Direct => (0, 0),
                    Stage::Indirect {
                        nacks_wanted,
                        nacks,
                        ..
                    } => (nacks_wanted, nacks),
                };
                // Those who were asked and said nothing: then the fault may be ours.
                let silent = if wanted == 0 {
                    1
                } else {
                    wanted.saturating_sub(got)
                };
                self.health_changes(i32::try_from(silent).unwrap_or(i32::MAX));
                let from = self.params.name.clone();
                self.suspect(Suspect {
                    incarnation: probe.incarnation,
                    node: probe.target,
                    from,
                });
            }
        }
        self.probe_over();
    }

    /// The next probe, if it is due already.
    fn probe_over(&mut self) {
        if self.probe_pending && self.leaving.is_none() {
            self.begin_probe();
        }
    }

    /// Somebody answered: the one we probe, or one that we asked for another.
    fn ack(&mut self, from: SocketAddr, answer: &Ack) {
        if is_heartbeat(answer.seq_no) {
            return self.heartbeat_ack(from, answer.seq_no);
        }
        if let Some(probe) = &self.probe
            && probe.seq_no == answer.seq_no
        {
            let asked = match &probe.stage {
                Stage::Direct => from == probe.to,
                Stage::Indirect { relays, .. } => from == probe.to || relays.contains(&from),
            };
            if !asked {
                self.counters.acks_from_elsewhere += 1;
            }
            self.probe = None;
            self.health_changes(-1);
            self.probe_over();
            return;
        }
        let relay = self
            .relays
            .iter()
            .position(|relay| relay.seq_no == answer.seq_no)
            .and_then(|place| self.relays.remove(place));
        if let Some(relay) = relay {
            self.send(relay.asked_by, &ack(relay.their_seq_no));
        }
    }

    /// One whom we asked could not reach it either.
    fn nack(&mut self, answer: Nack) {
        if let Some(probe) = &mut self.probe
            && probe.seq_no == answer.seq_no
            && let Stage::Indirect {
                nacks,
                nacks_wanted,
                ..
            } = &mut probe.stage
        {
            *nacks = nacks.saturating_add(1).min(*nacks_wanted);
        }
    }

    /// Our own sending failed: that is no evidence.
    pub(super) fn send_failed(&mut self, to: SocketAddr) {
        if let Some(probe) = &self.probe
            && probe.to == to
            && matches!(probe.stage, Stage::Direct)
        {
            // Upstream: the round is given up.
            self.probe = None;
            self.probe_over();
        }
    }

    /// Somebody cannot reach another: can we?
    fn relay(&mut self, from: SocketAddr, request: IndirectPing) {
        let port = match request.port {
            0 => self.params.advertise.port(),
            port => port,
        };
        // Deviation: Go sends to whatever address the request names; we only to the member's own.
        let target = request
            .node
            .as_ref()
            .and_then(|name| self.members.get(name))
            .filter(|held| held.addr == request.target && held.port == port)
            .filter(|held| !self.is_own(&held.name))
            .map(|held| (held.name.clone(), held.socket_addr()));
        let Some((name, to)) = target.filter(|_| self.relays.len() < self.params.max_relays) else {
            self.counters.relays_refused += 1;
            if request.nack {
                self.send(
                    from,
                    &Message::Nack(Nack {
                        seq_no: request.seq_no,
                    }),
                );
            }
            return;
        };
        let seq_no = self.next_seq_no();
        self.relays.push_back(Relay {
            seq_no,
            asked_by: from,
            their_seq_no: request.seq_no,
            nack: request.nack,
            until: self.now + self.params.probe_timeout,
        });
        self.send(
            to,
            &Message::Ping(Ping {
                seq_no,
                node: Some(name),
            }),
        );
    }

    /// Those whom we asked for others and who did not answer in time.
    pub(super) fn expire_relays(&mut self) {
        while let Some(relay) = self.relays.front().copied()
            && relay.until <= self.now
        {
            self.relays.pop_front();
            if relay.nack {
                self.send(
                    relay.asked_by,
                    &Message::Nack(Nack {
                        seq_no: relay.their_seq_no,
                    }),
                );
            }
        }
    }

    fn next_seq_no(&mut self) -> u32 {
        // The highest bit is the heartbeats'.
        self.seq_no = self.seq_no.wrapping_add(1) & !SEQ_NOS;
        self.seq_no
    }
}

fn ack(seq_no: u32) -> Message {
    Message::Ack(Ack {
        seq_no,
        payload: Vec::new(),
    })
}
