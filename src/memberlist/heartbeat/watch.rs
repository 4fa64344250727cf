//! The watch over one other: pings, answers, doubt, verdict.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Heartbeat, Output, Params, Peer, told};
use crate::journal::Level;
use crate::memberlist::wire::Name;
use crate::memberlist::wire::kin::Kin;

/// Pings whose answer may still come. At one each 50 ms, more than a second's.
const OUTSTANDING: usize = 32;

/// An answer is none after this.
const MEMORY: Duration = Duration::from_secs(1);

/// Answers before anybody is doubted.
const ACQUAINTED: u32 = 10;

/// Of a thousand pings so many must have been answered promptly of late (a moving average over about 16). With 5 % loss each
/// way it is 900, with 20 % 640: then each second ping in doubt would be lost, too.
const GOOD: u32 = 600;

/// How much slower each doubt follows the one before that others allayed.
const ALLAYED: Duration = Duration::from_millis(500);

/// Doublings of it: up to 32 s.
const DOUBLINGS: u32 = 6;

/// One whom we watch.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) peer: Peer,
    next_ping: Instant,
    /// Numbers and times of pings without an answer, oldest first.
    sent: VecDeque<(u32, Instant)>,
    /// The last sign of life, or when we began to listen.
    heard: Instant,
    answers: u32,
    /// Of a thousand.
    quality: u32,
    /// No doubt before.
    trusted_until: Instant,
    allayed: u32,
    doubt: Option<Doubt>,
}

/// It is silent.
#[derive(Debug)]
struct Doubt {
    since: Instant,
    nonce: u64,
    /// Whom we asked, and what it said.
    asked: Vec<(SocketAddr, Option<bool>)>,
    ask_at: Instant,
}

impl Doubt {
    fn allayed(&self) -> bool {
        self.asked.iter().any(|(_, heard)| *heard == Some(true))
    }

    fn denials(&self) -> usize {
        let denied = self.asked.iter().filter(|(_, heard)| *heard == Some(false));
        denied.count()
    }
}

/// What is to be done about a watch.
enum Step {
    Nothing,
    Doubt,
    AskAgain(u64, Vec<SocketAddr>),
    Condemn,
}

impl Watch {
    pub(super) fn new(peer: Peer, first: Instant, leniency: Duration) -> Self {
        Self {
            peer,
            next_ping: first,
            sent: VecDeque::new(),
            heard: first,
            answers: 0,
            quality: 1000,
            trusted_until: first + leniency,
            allayed: 0,
            doubt: None,
        }
    }

    /// Whether it may be doubted: we know that the path is good.
    pub(super) fn is_good(&self) -> bool {
        self.answers >= ACQUAINTED && self.quality >= GOOD
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// What memberlist knows of it now. A newer claim of its own is a sign of life.
    pub(super) fn is_told(&mut self, peer: &Peer, now: Instant) {
        if peer.incarnation != self.peer.incarnation {
            self.alive(now);
        }
        self.peer = peer.clone();
    }

    fn alive(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
        self.doubt = None;
    }

    /// We did not run for so long: that time was no silence. After a long one nothing is known any more.
    pub(super) fn forgive(&mut self, late: Duration, now: Instant) {
        if late > MEMORY {
            self.alive(now);
            self.sent.clear();
        } else {
            self.heard = (self.heard + late).min(now);
            if let Some(doubt) = &mut self.doubt {
                doubt.since = (doubt.since + late).min(now);
            }
        }
        self.next_ping = self.next_ping.min(now);
    }

    /// An ack: whether it was for a ping of this watch.
    pub(super) fn acked(
        &mut self,
        from: SocketAddr,
        seq_no: u32,
        now: Instant,
        prompt: Duration,
    ) -> bool {
        if from != self.peer.addr {
            return false;
        }
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == seq_no) else {
            return false;
        };
        let Some((_, at)) = self.sent.remove(place) else {
            return false;
        };
        self.rate(now.saturating_duration_since(at) <= prompt);
        self.answers = self.answers.saturating_add(1);
        if self.allayed > 0 {
            // We hear it ourselves again.
            self.allayed = 0;
            self.trusted_until = self.trusted_until.min(now);
        }
        self.alive(now);
        true
    }

    fn rate(&mut self, good: bool) {
        let goal = if good { 1000 } else { 0 };
        self.quality = (self.quality * 15 + goal) / 16;
    }

    /// One whom we asked has answered.
    pub(super) fn answered(&mut self, from: SocketAddr, nonce: u64, heard: bool) {
        if let Some(doubt) = &mut self.doubt
            && doubt.nonce == nonce
            && let Some((_, answer)) = doubt.asked.iter_mut().find(|(asked, _)| *asked == from)
        {
            // The last word counts: it was asked again.
            *answer = Some(heard);
        }
    }

    pub(super) fn deadline(&self, params: &Params) -> Instant {
        match &self.doubt {
            None => {
                let doubt = (self.heard + params.silence).max(self.trusted_until);
                if self.is_good() {
                    self.next_ping.min(doubt)
                } else {
                    self.next_ping
                }
            }
            // A verdict falls with a ping: the times of it are multiples of the pings' own.
            Some(doubt) if doubt.asked.is_empty() => self.next_ping,
            Some(doubt) => self.next_ping.min(doubt.ask_at),
        }
    }

    /// What is due, apart from pings.
    fn step(&mut self, now: Instant, params: &Params) -> Step {
        let silent = self.silent_for(now);
        let Some(doubt) = &mut self.doubt else {
            let due = silent >= params.silence && now >= self.trusted_until && self.is_good();
            return if due { Step::Doubt } else { Step::Nothing };
        };
        if doubt.allayed() {
            self.doubt = None;
            self.allayed = self.allayed.saturating_add(1);
            self.trusted_until = now + ALLAYED * 2_u32.pow(self.allayed.min(DOUBLINGS + 1) - 1);
            return Step::Nothing;
        }
        if doubt.asked.is_empty() {
            return if silent >= params.alone {
                Step::Condemn
            } else {
                Step::Nothing
            };
        }
        let waited = now.saturating_duration_since(doubt.since);
        if waited >= params.patience && doubt.denials() >= doubt.asked.len().div_ceil(2) {
            return Step::Condemn;
        }
        if waited >= params.give_up {
            // Whom we asked may be gone as well: ask others, soon. (Not at a time that is past: that would look like a late tick.)
            self.doubt = None;
            self.trusted_until = self.trusted_until.max(now + params.interval);
            return Step::Nothing;
        }
        if now >= doubt.ask_at {
            doubt.ask_at = now + params.ask_again;
            let silent = doubt.asked.iter().filter(|(_, heard)| heard.is_none());
            return Step::AskAgain(doubt.nonce, silent.map(|(to, _)| *to).collect());
        }
        Step::Nothing
    }
}

impl Heartbeat {
    pub(super) fn serve_watches(&mut self) {
        let names: Vec<Name> = self.watches.keys().cloned().collect();
        for name in names {
            self.beat(&name);
            let step = match self.watches.get_mut(&name) {
                Some(watch) => watch.step(self.now, &self.params),
                None => Step::Nothing,
            };
            match step {
                Step::Nothing => {}
                Step::Doubt => self.doubt(&name),
                Step::AskAgain(nonce, silent) => self.ask(&name, nonce, silent),
                Step::Condemn => self.condemn(&name),
            }
        }
    }

    /// A ping, if it is time.
    fn beat(&mut self, name: &Name) {
        let now = self.now;
        let Some(watch) = self.watches.get(name) else {
            return;
        };
        if watch.next_ping > now {
            return;
        }
        let seq_no = self.ping(watch.peer.addr, name);
        let (interval, urgent) = (self.params.interval, self.params.urgent);
        let silence = self.params.silence;
        let Some(watch) = self.watches.get_mut(name) else {
            return;
        };
        let gap = if watch.doubt.is_some() {
            urgent
        } else {
            interval
        };
        // Not made up for, if we were late.
        watch.next_ping = (watch.next_ping + gap).max(now + gap / 2);
        while let Some((_, sent)) = watch.sent.front().copied()
            && (watch.sent.len() >= OUTSTANDING || now.duration_since(sent) > MEMORY)
        {
            watch.sent.pop_front();
            // While it is doubted the fault may be its own, and no matter of the path.
            if watch.silent_for(now) < silence {
                watch.rate(false);
            }
        }
        watch.sent.push_back((seq_no, now));
    }

    /// It is silent: asks others.
    fn doubt(&mut self, name: &Name) {
        let now = self.now;
        let silence = self.params.silence;
        let mut others: Vec<SocketAddr> = self
            .kin
            .values()
            .filter(|peer| peer.name != *name)
            // Who is silent, too, cannot help.
            .filter(|peer| {
                let watch = self.watches.get(&peer.name);
                watch.is_none_or(|watch| watch.silent_for(now) < silence)
            })
            .map(|peer| peer.addr)
            .collect();
        let alone = self.kin.len() == 1 && self.strangers == 0;
        if others.is_empty() && !alone {
            // Nobody to ask: the others are Go's, or it is we who are cut off.
            if let Some(watch) = self.watches.get_mut(name) {
                watch.trusted_until = now + self.params.interval;
            }
            return;
        }
        self.random.shuffle_front(&mut others, self.params.asked);
        others.truncate(self.params.asked);
        let nonce = self.random.bits();
        self.counters.doubts += 1;
        if let Some(watch) = self.watches.get_mut(name) {
            watch.doubt = Some(Doubt {
                since: now,
                nonce,
                asked: others.iter().map(|to| (*to, None)).collect(),
                ask_at: now + self.params.ask_again,
            });
            watch.next_ping = now;
        }
        self.beat(name);
        self.ask(name, nonce, others);
    }

    fn ask(&mut self, name: &Name, nonce: u64, whom: Vec<SocketAddr>) {
        let Some(incarnation) = self.watches.get(name).map(|watch| watch.peer.incarnation) else {
            return;
        };
        for to in whom {
            let message = Kin::Question {
                nonce,
                incarnation,
                name: name.clone(),
            };
            self.say(to, message);
        }
    }

    /// Nobody hears it.
    fn condemn(&mut self, name: &Name) {
        let now = self.now;
        let Some(watch) = self.watches.get_mut(name) else {
            return;
        };
        let silent = watch.silent_for(now).as_millis();
        let agree = watch.doubt.as_ref().map_or(0, Doubt::denials);
        let incarnation = watch.peer.incarnation;
        // It leaves the ring with the next census. If it does not, somebody knows better.
        watch.alive(now);
        watch.trusted_until = now + MEMORY;
        self.counters.verdicts += 1;
        self.outputs.push_back(Output::Dead {
            name: name.clone(),
            incarnation,
        });
        self.outputs.push_back(told(
            "memberSilent",
            format!("{name} has not answered for {silent} ms, and {agree} others who were asked do not hear it either"),
            Level::Info,
        ));
    }
}
