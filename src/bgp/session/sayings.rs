//! What people read about a session. Events and field names are upstream's.

use std::time::Instant;

use super::{CONNECT_TIME, LETTING_GO, Output, QUIET, Session};
use crate::bgp::Params;
use crate::bgp::wire::Family;
use crate::journal::{Level, Record};

/// Why a session ends with the program.
pub(super) const SHUTDOWN: &str = "the program ends";

/// How a loss is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// We wanted it.
    AsWished,
    /// Somebody should look.
    Trouble,
}

/// Nobody answered a dial.
pub(super) fn no_answer(params: &Params) -> String {
    let mut why = format!("no answer within {} s", CONNECT_TIME.as_secs());
    if !params.password.0.is_empty() {
        why.push_str(" (a wrong password looks like this)");
    }
    if let Some(hops) = params.ttl_security {
        why.push_str(&format!(
            " (a peer that does not send with TTL 255, or is more than {hops} hops away, looks like this)"
        ));
    }
    why
}

/// The peer accepted the connection, and nothing more was heard: so it is where its packets do not come through. FRR sends to
/// an external peer with TTL 1 unless it is told otherwise.
pub(super) fn no_open(params: &Params) -> String {
    let far = "is not told ebgp-multihop where routers are between";
    let near = "wants ttl-security";
    let one_that = match (params.is_internal(), params.ttl_security) {
        (false, None) => format!("{far}, or {near},"),
        (false, Some(_)) => far.to_owned(),
        (true, None) => near.to_owned(),
        (true, Some(_)) => String::new(),
    };
    silent(
        "the peer took the connection, but its OPEN has not come for",
        &one_that,
    )
}

/// The peer said its OPEN, and nothing more was heard: so it is where our packets do not come through.
pub(super) fn no_keepalive(params: &Params) -> String {
    let one_that = match params.ttl_security {
        None => "wants ttl-security",
        Some(_) => "",
    };
    silent("the peer has not answered our OPEN for", one_that)
}

fn silent(what: &str, one_that: &str) -> String {
    let mut why = format!("{what} {} s", CONNECT_TIME.as_secs());
    if !one_that.is_empty() {
        why.push_str(&format!(" (one that {one_that} looks like this)"));
    }
    why
}

/// The peer accepted the connection and closed it without a word.
pub(super) fn closed_before_open(params: &Params) -> String {
    format!(
        "the peer closed the connection before it said who it is: does it expect a peer of AS {} from this node's address?",
        params.my_asn
    )
}

impl Session {
    fn about(&self, record: Record) -> Record {
        record
            .with("peer", self.params.name())
            .with("localASN", self.params.my_asn)
            .with("peerASN", self.params.peer_asn)
    }

    fn say(&mut self, record: Record) {
        let record = self.about(record);
        self.outputs.push_back(Output::Log(record));
    }

    /// The level of a line about trouble: the same again within [`QUIET`] is for those who look for a fault.
    fn level(&mut self, now: Instant, why: &str, level: Level) -> Level {
        match &self.said {
            Some((said, at)) if said == why && now.duration_since(*at) < QUIET => Level::Debug,
            Some(_) | None => {
                self.said = Some((why.to_owned(), now));
                level
            }
        }
    }

    /// Upstream: `op` connect, "failed to connect to peer".
    pub(super) fn say_failure(&mut self, now: Instant, why: &str) {
        let letting_go = self
            .down_at
            .is_some_and(|at| now.duration_since(at) < LETTING_GO);
        let level = if letting_go {
            Level::Debug
        } else {
            self.level(now, why, Level::Error)
        };
        self.say(Record::failed("connect", why, "failed to connect to peer").at(level));
    }

    pub(super) fn say_up(&mut self) {
        let Some(agreement) = self.agreement() else {
            return;
        };
        let context = agreement.context;
        let families: Vec<String> = [Family::IPV4_UNICAST, Family::IPV6_UNICAST]
            .into_iter()
            .filter(|family| context.exchanges(*family))
            .map(|family| family.to_string())
            .collect();
        let record = Record::event("sessionUp", "BGP session established")
            .with("families", families.join(", "))
            .with("holdTime", format!("{}s", agreement.hold_time.as_secs()))
            .with(
                "keepaliveTime",
                format!("{}s", agreement.keepalive_time.as_secs_f64()),
            );
        self.say(record);
    }

    pub(super) fn say_down(&mut self, now: Instant, why: &str, loudness: Loudness) {
        let level = match loudness {
            Loudness::AsWished => Level::Info,
            Loudness::Trouble => self.level(now, why, Level::Warn),
        };
        self.say(
            Record::event("sessionDown", "BGP session down")
                .at(level)
                .with("reason", why),
        );
    }

    /// Says why there are routes that this session cannot carry.
    pub(super) fn say_unsendable(&mut self, now: Instant) {
        let unsendable = self.rib.unsendable();
        if unsendable.total() == 0
            || self
                .said_unsendable
                .is_some_and(|said| now.duration_since(said) < QUIET)
        {
            return;
        }
        self.said_unsendable = Some(now);
        let mut why = Vec::new();
        if unsendable.family_not_negotiated > 0 {
            why.push("the peer does not take that address family");
        }
        if unsendable.no_next_hop > 0 {
            why.push("this node's interface has no address of that family to be the next hop");
        }
        if unsendable.too_large > 0 {
            why.push("there are too many communities for a message");
        }
        let record = Record::event(
            "routesNotAdvertised",
            "some routes cannot be advertised to this peer",
        )
        .at(Level::Warn)
        .with("reason", why.join("; "));
        self.say(record);
    }
}
