//! What another asks: do we hear the one that it does not hear?

use std::net::SocketAddr;
use std::time::Instant;

use super::{Heartbeat, INQUIRIES};
use crate::memberlist::wire::Name;
use crate::memberlist::wire::kin::Kin;

/// Those who wait for one answer: more than watch anybody. Further ones ask again.
const ASKERS: usize = 8;

/// One in question. It is pinged until it answers, or the time is over.
#[derive(Debug)]
pub(super) struct Inquiry {
    to: SocketAddr,
    /// Numbers of its pings; as many as fit into the time.
    sent: Vec<u32>,
    next_ping: Instant,
    until: Instant,
    askers: Vec<(SocketAddr, u64)>,
}

impl Inquiry {
    pub(super) fn deadline(&self) -> Instant {
        self.next_ping.min(self.until)
    }
}

impl Heartbeat {
    /// `from` asks whether we hear `name`.
    pub(super) fn question(&mut self, from: SocketAddr, nonce: u64, name: &Name) {
        if !self.kin.values().any(|peer| peer.addr == from) {
            self.counters.questions_refused += 1;
            return;
        }
        if *name == self.own {
            let heard = true;
            return self.say(from, Kin::Answer { nonce, heard });
        }
        if let Some(inquiry) = self.inquiries.get_mut(name) {
            let asker = (from, nonce);
            if !inquiry.askers.contains(&asker) && inquiry.askers.len() < ASKERS {
                inquiry.askers.push(asker);
            }
            return;
        }
        let room = self.inquiries.len() < INQUIRIES;
        let Some(to) = self.kin.get(name).map(|peer| peer.addr).filter(|_| room) else {
            self.counters.questions_refused += 1;
            return;
        };
        self.counters.questions += 1;
        let inquiry = Inquiry {
            to,
            sent: Vec::new(),
            next_ping: self.now,
            until: self.now + self.params.inquiry,
            askers: vec![(from, nonce)],
        };
        self.inquiries.insert(name.clone(), inquiry);
    }

    /// An ack: whether it was for one in question.
    pub(super) fn inquiry_acked(&mut self, from: SocketAddr, seq_no: u32) -> bool {
        let found = self
            .inquiries
            .iter()
            .find(|(_, inquiry)| inquiry.to == from && inquiry.sent.contains(&seq_no))
            .map(|(name, _)| name.clone());
        let Some(name) = found else {
            return false;
        };
        self.conclude(&name, true);
        true
    }

    fn conclude(&mut self, name: &Name, heard: bool) {
        let Some(inquiry) = self.inquiries.remove(name) else {
            return;
        };
        for (to, nonce) in inquiry.askers {
            self.say(to, Kin::Answer { nonce, heard });
        }
    }

    pub(super) fn serve_inquiries(&mut self) {
        if self.inquiries.is_empty() {
            return;
        }
        let now = self.now;
        let due: Vec<Name> = self
            .inquiries
            .iter()
            .filter(|(_, inquiry)| inquiry.deadline() <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let Some(inquiry) = self.inquiries.get(&name) else {
                continue;
            };
            if inquiry.until <= now {
                self.conclude(&name, false);
                continue;
            }
            let seq_no = self.ping(inquiry.to, &name);
            if let Some(inquiry) = self.inquiries.get_mut(&name) {
                inquiry.sent.push(seq_no);
                inquiry.next_ping = now + self.params.urgent;
            }
        }
    }
}
