//! The thread's main task: the machine between its sockets.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pnet_base::MacAddr;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::figures::Machine as MachineFigures;
use super::streams::{self, Events, StreamEvent};
use super::{Figures, Journal, Peers, STREAMS_OUT, Wrapping};
use crate::journal::{Level, Record};
use crate::machine::Machine as _;
use crate::memberlist::directory::Directory;
use crate::memberlist::standing::{Roster, Standing};
use crate::memberlist::swim::{
    self, Departure, Event, Input, Output, Packet, Random, RequestId, Swim,
};
use crate::memberlist::wire::{Dropped, Encoder, MAX_DATAGRAM, Message, decode_datagram};

/// Datagrams that are read before anything else has its turn.
const BATCH: usize = 64;

/// Stream events that may wait.
const EVENTS: usize = 64;

/// Shortest time between two lines about the same cause.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// What the thread is given.
pub(super) struct SetUp {
    pub(super) swim: swim::Params,
    pub(super) seed: u64,
    pub(super) wrapping: Wrapping,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) directory: Arc<ArcSwap<Directory>>,
    pub(super) figures: Arc<Figures>,
    pub(super) journal: Journal,
}

/// What the thread is told while it runs.
pub(super) struct Told {
    pub(super) peers: watch::Receiver<Peers>,
    pub(super) leaves: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) fast: watch::Receiver<bool>,
    pub(super) stations: watch::Receiver<Vec<MacAddr>>,
}

/// Runs a member from when it is told its peers until nobody holds it any more.
pub(super) async fn run(
    set_up: SetUp,
    datagrams: std::net::UdpSocket,
    streams: std::net::TcpListener,
    told: Told,
) {
    let Told {
        mut peers,
        mut leaves,
        mut fast,
        mut stations,
    } = told;
    let journal = set_up.journal.clone();
    let adopted = UdpSocket::from_std(datagrams)
        .and_then(|datagrams| Ok((datagrams, TcpListener::from_std(streams)?)));
    let (datagrams, listener) = match adopted {
        Ok(sockets) => sockets,
        Err(error) => {
            let text = "gossip cannot begin: other speakers hold this one for dead";
            return journal(Record::failed("gossip", error, text));
        }
    };
    // Nobody knows us yet: nothing to say, nothing to leave.
    loop {
        tokio::select! {
            told = peers.changed() => match told {
                Ok(()) => break,
                Err(_) => return,
            },
            leave = leaves.recv() => match leave {
                Some(done) => drop(done.send(())),
                None => return,
            },
        }
    }
    let (events, mut happened) = mpsc::channel(EVENTS);
    // Ends with the runtime, as all streams do.
    tokio::spawn(streams::accept(
        listener,
        set_up.wrapping.clone(),
        set_up.figures.clone(),
        events.clone(),
    ));
    let first = peers.borrow_and_update().clone();
    let on = *fast.borrow_and_update();
    let mut member = Member::begin(set_up, datagrams, events, first, on);
    // Also what was told before.
    stations.mark_changed();
    loop {
        let deadline = member.next_deadline();
        tokio::select! {
            told = peers.changed() => match told {
                Ok(()) => {
                    let told = peers.borrow_and_update().clone();
                    member.peers(told);
                }
                Err(_) => return,
            },
            Some(done) = leaves.recv() => member.leave(done),
            // Its sender goes with that of the peers.
            Ok(()) = fast.changed() => {
                let on = *fast.borrow_and_update();
                member.handle(Input::FastDetection(on));
            }
            Ok(()) = stations.changed() => {
                let told = stations.borrow_and_update().clone();
                member.handle(Input::Stations(told));
            }
            readable = member.datagrams.readable() => match readable {
                Ok(()) => {}
                Err(error) => member.cannot_receive(&error),
            },
            Some(event) = happened.recv() => member.stream_event(event),
            () = sleep_until(deadline) => {}
        }
        // Also before a deadline is served: what waits may be the answer that it is about.
        member.receive();
        while let Ok(event) = happened.try_recv() {
            member.stream_event(event);
        }
        member.serve_deadline();
        member.settle();
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// What is said at most every [`QUIET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cause {
    Dropped(Dropped),
    Send(io::ErrorKind),
    Receive,
    Randomness,
}

struct Member {
    swim: Swim,
    roster: Roster,
    datagrams: UdpSocket,
    buffer: Vec<u8>,
    wrapping: Wrapping,
    /// The same without compression.
    brief: Encoder,
    events: Events,
    dials: Arc<Semaphore>,
    /// Who waits for an answer of ours.
    requests: BTreeMap<RequestId, oneshot::Sender<Message>>,
    requested: u64,
    /// What went wrong while outputs were served.
    mishaps: VecDeque<Input>,
    /// Who waits for the end of our leave; it is over if `left`.
    leaving: Vec<oneshot::Sender<()>>,
    left: bool,
    said: Vec<(Cause, Instant)>,
    /// Whether there may be other conclusions than before.
    news: bool,
    standing: watch::Sender<Standing>,
    directory: Arc<ArcSwap<Directory>>,
    figures: Arc<Figures>,
    journal: Journal,
}

impl Member {
    fn begin(
        mut set_up: SetUp,
        datagrams: UdpSocket,
        events: Events,
        peers: Peers,
        fast: bool,
    ) -> Self {
        let now = Instant::now();
        let can_ask = matches!(peers, Peers::These(_));
        if let Some(kin) = &mut set_up.swim.kin {
            kin.fast &= fast;
        }
        (set_up.journal)(
            Record::event("gossipBegins", "joining the other speakers")
                .with("node", &set_up.swim.name)
                .with("address", set_up.swim.advertise)
                .with("encrypted", set_up.swim.encrypted)
                .with(
                    "peers",
                    match &peers {
                        Peers::These(peers) => peers.len().to_string(),
                        Peers::Unsaid | Peers::Unknown => "unknown".to_owned(),
                    },
                ),
        );
        let mut member = Self {
            roster: Roster::new(set_up.swim.name.clone(), can_ask, now),
            swim: Swim::new(now, set_up.swim, Random::seeded(set_up.seed)),
            datagrams,
            buffer: vec![0; MAX_DATAGRAM],
            brief: Encoder {
                compress: false,
                ..set_up.wrapping.encoder.clone()
            },
            wrapping: set_up.wrapping,
            events,
            dials: Arc::new(Semaphore::new(STREAMS_OUT)),
            requests: BTreeMap::new(),
            requested: 0,
            mishaps: VecDeque::new(),
            leaving: Vec::new(),
            left: false,
            said: Vec::new(),
            news: true,
            standing: set_up.standing,
            directory: set_up.directory,
            figures: set_up.figures,
            journal: set_up.journal,
        };
        if let Peers::These(peers) = peers {
            // Answered also where there is nobody to join.
            member.handle(Input::Join(peers.iter().copied().collect()));
            member.handle(Input::Peers(peers.into_iter().collect()));
        }
        member.settle();
        member
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.swim.next_deadline(), self.roster.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn peers(&mut self, peers: Peers) {
        if let Peers::These(peers) = peers {
            self.handle(Input::Peers(peers.into_iter().collect()));
        }
    }

    fn leave(&mut self, done: oneshot::Sender<()>) {
        if self.left {
            // Nobody waits any more: as good.
            let _ = done.send(());
            return;
        }
        self.leaving.push(done);
        self.handle(Input::Leave);
    }

    /// Reads what waits in the socket.
    fn receive(&mut self) {
        for _ in 0..BATCH {
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = self.datagrams.try_recv_from(&mut buffer);
            match read {
                Ok((length, from)) => {
                    self.datagram(buffer.get(..length).unwrap_or_default(), from);
                    self.buffer = buffer;
                }
                Err(error) => {
                    self.buffer = buffer;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.cannot_receive(&error);
                    }
                    return;
                }
            }
        }
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr) {
        self.figures.received.add();
        let keyring = self.wrapping.encoder.keyring.as_ref();
        match decode_datagram(bytes, keyring, &self.wrapping.limits) {
            Ok(datagram) => {
                for reason in datagram.dropped {
                    self.dropped(reason, from);
                }
                if !datagram.messages.is_empty() {
                    let messages = datagram.messages;
                    self.handle(Input::Datagram { from, messages });
                }
            }
            Err(reason) => self.dropped(reason, from),
        }
    }

    fn stream_event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Request {
                from,
                message,
                reply,
            } => {
                self.requested += 1;
                let id = RequestId(self.requested);
                self.requests.insert(id, reply);
                self.handle(Input::StreamRequest { id, from, message });
                // Invariant: answered at once; should that ever not be so, the stream is closed and nothing kept.
                self.requests.remove(&id);
            }
            StreamEvent::Dropped { from, reason } => self.dropped(reason, from),
            StreamEvent::Dialled { id, answer } => self.handle(match answer {
                Ok(message) => Input::StreamReply { id, message },
                Err(reason) => Input::StreamFailed { id, reason },
            }),
        }
    }

    fn serve_deadline(&mut self) {
        if self
            .swim
            .next_deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.handle(Input::Tick);
        }
    }

    /// One input, and all that comes of it.
    fn handle(&mut self, input: Input) {
        self.swim.handle(Instant::now(), input);
        self.drain();
        // A mishap changes the machine, and may be followed by one more output; but by no mishap without end, because each
        // one ends a probe or a dial.
        for _ in 0..STREAMS_OUT {
            let Some(mishap) = self.mishaps.pop_front() else {
                return;
            };
            self.swim.handle(Instant::now(), mishap);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.swim.poll_output() {
            match output {
                Output::Send(packet) => self.send(&packet),
                Output::Dial {
                    id,
                    to,
                    request,
                    deadline,
                } => {
                    self.figures.streams_out.add();
                    let Ok(permit) = self.dials.clone().try_acquire_owned() else {
                        let reason = "too many streams are open".to_owned();
                        self.mishaps.push_back(Input::StreamFailed { id, reason });
                        continue;
                    };
                    let wrapping = self.wrapping.clone();
                    let events = self.events.clone();
                    tokio::spawn(streams::dial(
                        id, to, request, deadline, wrapping, events, permit,
                    ));
                }
                Output::Reply { id, message } => {
                    if let (Some(reply), Some(message)) = (self.requests.remove(&id), message) {
                        // The stream is gone: so is the one who asked.
                        let _ = reply.send(message);
                    }
                }
                Output::Stations { name, stations } => {
                    self.write_down(|directory| directory.announces_from(&name, stations));
                }
                Output::Event(event) => {
                    self.news = true;
                    if let Event::Joined { name, addr } = &event {
                        self.write_down(|directory| directory.is_at(name, addr.ip()));
                    }
                    (self.journal)(told(&event));
                }
                Output::Joined { reached, failed } => {
                    self.news = true;
                    self.roster.joined(reached, failed);
                }
                Output::LeaveDone => {
                    self.left = true;
                    for done in self.leaving.drain(..) {
                        let _ = done.send(());
                    }
                }
                Output::Log(record) => (self.journal)(record),
            }
        }
    }

    fn write_down(&self, what: impl FnOnce(&mut Directory)) {
        let mut directory = Directory::clone(&self.directory.load());
        what(&mut directory);
        self.directory.store(Arc::new(directory));
    }

    fn send(&mut self, packet: &Packet) {
        let Some(nonce) = self.wrapping.nonce() else {
            self.figures.send_failures.add();
            self.say_seldom(Cause::Randomness, || {
                Record::failed(
                    "gossipSend",
                    "the system gives no randomness",
                    "nothing can be encrypted: other speakers will hold this one for dead",
                )
            });
            return;
        };
        let encoder = if packet.brief {
            &self.brief
        } else {
            &self.wrapping.encoder
        };
        let Ok(bytes) = encoder.datagram(&packet.parts, packet.crc, nonce) else {
            // The machine keeps its packets' budget: there is none that cannot be encoded.
            return self.figures.send_failures.add();
        };
        match self.datagrams.try_send_to(&bytes, packet.to) {
            Ok(_) => self.figures.sent.add(),
            // The kernel's queue is full: lost, as if on the way.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.figures.send_failures.add();
            }
            Err(error) => {
                self.figures.send_failures.add();
                let to = packet.to;
                self.mishaps.push_back(Input::SendFailed { to });
                self.say_seldom(Cause::Send(error.kind()), || {
                    Record::failed(
                        "gossipSend",
                        &error,
                        format!(
                            "cannot send to {to}: is this host cut off, or a firewall in the way?"
                        ),
                    )
                    .at(Level::Warn)
                });
            }
        }
    }

    /// Puts the figures down, and tells who lives, if that changed.
    fn settle(&mut self) {
        self.figures.put(MachineFigures {
            members: self.swim.active().count(),
            health: self.swim.health(),
            queued: self.swim.queued(),
            counters: *self.swim.counters(),
            heartbeat: *self.swim.heartbeat().counters(),
            watched: self.swim.heartbeat().watched().count(),
            judged: self
                .swim
                .heartbeat()
                .watched()
                .filter(|(_, good)| *good)
                .count(),
        });
        let now = Instant::now();
        let due = self.roster.next_deadline().is_some_and(|at| at <= now);
        if (std::mem::take(&mut self.news) || due)
            && let Some(standing) = self.roster.look(now, self.swim.active())
        {
            if standing == Standing::Unheard {
                (self.journal)(
                    Record::event(
                        "gossipUnheard",
                        "no other speaker answers: are UDP and TCP to this port open between all nodes, and is \
                         METALLB_ML_SECRET_KEY the same everywhere? Until one answers, the speaker pods that are Ready count",
                    )
                    .at(Level::Warn),
                );
            }
            self.standing.send_replace(standing);
        }
    }

    fn dropped(&mut self, reason: Dropped, from: SocketAddr) {
        self.figures.drop_for(reason);
        self.say_seldom(Cause::Dropped(reason), || {
            let advice = match reason {
                Dropped::Undecryptable => {
                    "sealed with another key, or not at all: if it is a speaker, restart it so that it reads the secret anew"
                }
                Dropped::NoKey => {
                    "it encrypts, and this speaker has no METALLB_ML_SECRET_KEY: give it the same secret"
                }
                Dropped::Plaintext => {
                    "it does not encrypt, and this speaker does: if it is a speaker, it has no METALLB_ML_SECRET_KEY"
                }
                Dropped::Empty
                | Dropped::Truncated
                | Dropped::Kind
                | Dropped::Malformed
                | Dropped::Limit
                | Dropped::Name
                | Dropped::Address
                | Dropped::Versions
                | Dropped::Meta
                | Dropped::Checksum
                | Dropped::Compression => "no speaker sends that: look for who does",
            };
            Record::event("gossipDropped", format!("dropped what came from {from}: {advice}"))
                .at(Level::Warn)
                .with("reason", reason)
        });
    }

    fn cannot_receive(&mut self, error: &io::Error) {
        self.say_seldom(Cause::Receive, || {
            Record::failed("gossipReceive", error, "cannot read datagrams")
        });
    }

    fn say_seldom(&mut self, cause: Cause, record: impl FnOnce() -> Record) {
        let now = Instant::now();
        self.said.retain(|(_, at)| now.duration_since(*at) < QUIET);
        // Invariant: as many as there are causes.
        if self.said.iter().all(|(said, _)| *said != cause) {
            self.said.push((cause, now));
            (self.journal)(record());
        }
    }
}

fn told(event: &Event) -> Record {
    match event {
        Event::Joined { name, addr } => {
            Record::event("memberJoined", format!("{name} is a member"))
                .with("member", name)
                .with("address", addr)
        }
        Event::Left { name, how } => {
            let (text, how) = match how {
                Departure::Left => ("has left", "left"),
                Departure::Dead => ("does not answer any more", "dead"),
            };
            Record::event("memberLeft", format!("{name} {text}"))
                .with("member", name)
                .with("how", how)
        }
        Event::Updated { name } => Record::event(
            "memberUpdated",
            format!("{name} says other things about itself"),
        )
        .at(Level::Debug)
        .with("member", name),
    }
}
