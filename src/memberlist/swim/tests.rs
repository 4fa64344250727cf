//! One member on the bench: what comes in, what goes out, at which time.

mod claims;

mod dissemination;

mod exchange;

mod probe;

mod property;

mod timing;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{DialId, Event, Input, Member, Output, Params, Random, RequestId, Swim};
use crate::machine::Machine;
use crate::memberlist::wire::{
    Alive, Dead, Encoder, Limits, Message, Name, NodeState, PushPull, State, Suspect, Versions,
    decode_datagram,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn addr(text: &str) -> SocketAddr {
    format!("{text}:7946").parse().unwrap()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `node-a` at 10.0.0.1, and what it did.
struct Bench {
    swim: Swim,
    start: Instant,
    now: Instant,
    outputs: Vec<Output>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the origin of virtual time: an Instant cannot be made otherwise"
    )]
    fn with(change: impl FnOnce(&mut Params)) -> Self {
        let mut params = Params::lan(name("node-a"), addr("10.0.0.1"), false);
        // As a Go node; heartbeats have tests of their own.
        params.kin = None;
        change(&mut params);
        let start = Instant::now();
        let mut bench = Self {
            swim: Swim::new(start, params, Random::seeded(1)),
            start,
            now: start,
            outputs: Vec::new(),
        };
        bench.drain();
        bench
    }

    /// One that knows `node-b` at 10.0.0.2 and so on, and has nothing left to say.
    fn among(others: &[&str]) -> Self {
        Self::among_with(others, |_| {})
    }

    fn among_with(others: &[&str], change: impl FnOnce(&mut Params)) -> Self {
        let mut bench = Self::with(change);
        for (other, last) in others.iter().zip(2..) {
            bench.hear(alive(other, &format!("10.0.0.{last}"), 1));
        }
        while bench.swim.queued() > 0 {
            bench.run_for(millis(10));
            bench.answer_pings();
        }
        bench.outputs.clear();
        bench
    }

    fn input(&mut self, input: Input) {
        self.swim.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swim.poll_output() {
            self.outputs.push(output);
        }
    }

    fn hear(&mut self, message: Message) {
        self.hear_from("10.0.0.9", message);
    }

    fn hear_from(&mut self, from: &str, message: Message) {
        let from = addr(from);
        let messages = vec![message];
        self.input(Input::Datagram { from, messages });
    }

    /// Lets time pass, serving each deadline.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.swim.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    /// Lets time pass until that is sent, at most ten seconds. What was said before is gone.
    fn run_until_sent(&mut self, wanted: impl Fn(&Message) -> bool) -> (SocketAddr, Message) {
        let end = self.now + secs(10);
        loop {
            let found = self
                .sent()
                .into_iter()
                .flat_map(|(to, messages)| messages.into_iter().map(move |one| (to, one)))
                .find(|(_, message)| wanted(message));
            if let Some(found) = found {
                self.outputs.clear();
                return found;
            }
            let due = self.swim.next_deadline().unwrap();
            assert!(due <= end, "not sent");
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
    }

    /// Lets all whom it pinged answer.
    fn answer_pings(&mut self) {
        for (to, messages) in self.sent() {
            for message in messages {
                if let Message::Ping(ping) = message {
                    self.hear_from(&to.ip().to_string(), ack(ping.seq_no));
                }
            }
        }
        self.outputs
            .retain(|output| !matches!(output, Output::Send(_)));
    }

    /// Lets time pass while all whom it pings answer.
    fn live_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.run_for(millis(10).min(end - self.now));
            self.answer_pings();
        }
    }

    /// What was sent so far: to whom, and the messages of the packet.
    fn sent(&self) -> Vec<(SocketAddr, Vec<Message>)> {
        let packets = self.outputs.iter().filter_map(|output| match output {
            Output::Send(packet) => Some(packet),
            _ => None,
        });
        packets
            .map(|packet| {
                let bytes = Encoder::default().datagram(&packet.parts, packet.crc, [0; 12]);
                let limits = Limits::default();
                let datagram = decode_datagram(&bytes.unwrap(), None, &limits).unwrap();
                assert!(datagram.dropped.is_empty());
                (packet.to, datagram.messages)
            })
            .collect()
    }

    fn sent_messages(&self) -> Vec<Message> {
        self.sent().into_iter().flat_map(|(_, all)| all).collect()
    }

    fn events(&self) -> Vec<Event> {
        let events = self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event.clone()),
            _ => None,
        });
        events.collect()
    }

    fn dials(&self) -> Vec<(DialId, SocketAddr, Message)> {
        let dials = self.outputs.iter().filter_map(|output| match output {
            Output::Dial {
                id, to, request, ..
            } => Some((*id, *to, request.clone())),
            _ => None,
        });
        dials.collect()
    }

    fn member(&self, text: &str) -> &Member {
        self.swim.member(&name(text)).unwrap()
    }

    fn state(&self, text: &str) -> State {
        self.member(text).state
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

fn alive_claim(node: &str, at: &str, incarnation: u32) -> Alive {
    Alive {
        incarnation,
        node: name(node),
        addr: at.parse().unwrap(),
        port: 7946,
        meta: Vec::new(),
        vsn: Versions::OURS,
    }
}

fn alive(node: &str, at: &str, incarnation: u32) -> Message {
    Message::Alive(alive_claim(node, at, incarnation))
}

fn suspect(node: &str, incarnation: u32, from: &str) -> Message {
    Message::Suspect(Suspect {
        incarnation,
        node: name(node),
        from: name(from),
    })
}

fn dead(node: &str, incarnation: u32, from: &str) -> Message {
    Message::Dead(Dead {
        incarnation,
        node: name(node),
        from: name(from),
    })
}

fn ack(seq_no: u32) -> Message {
    Message::Ack(crate::memberlist::wire::Ack {
        seq_no,
        payload: Vec::new(),
    })
}

fn entry(node: &str, at: &str, incarnation: u32, state: State) -> NodeState {
    NodeState {
        name: name(node),
        addr: at.parse().unwrap(),
        port: 7946,
        meta: Vec::new(),
        incarnation,
        state,
        vsn: Versions::OURS,
    }
}

fn push_pull(join: bool, nodes: Vec<NodeState>) -> Message {
    Message::PushPull(PushPull {
        join,
        nodes,
        refused: 0,
    })
}

fn request(bench: &mut Bench, message: Message) -> Option<Message> {
    bench.outputs.clear();
    let id = RequestId(77);
    let from = addr("10.0.0.9");
    bench.input(Input::StreamRequest { id, from, message });
    match bench.outputs.first() {
        Some(Output::Reply { id, message }) => {
            assert_eq!(*id, RequestId(77));
            message.clone()
        }
        other => panic!("no reply first: {other:?}"),
    }
}
