//! The task of one peer: its session between its mailbox and its socket.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::figures::Slate;
use super::link::{Happening, Link, Read};
use super::mailbox::{End, Mail, Mailbox};
use crate::bgp::session::{Input, Output, Session};
use crate::bgp::{Params, PeerId, Report};
use crate::machine::Machine as _;
use crate::random::Random;

/// What the task is given.
pub(super) struct SetUp {
    pub(super) id: PeerId,
    pub(super) params: Arc<Params>,
    pub(super) seed: u64,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) figures: Slate,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

struct Peer {
    id: PeerId,
    session: Session,
    link: Link,
    figures: Slate,
    reports: mpsc::Sender<Report>,
    tasks: TaskTracker,
    ended: bool,
}

/// Keeps a session until its end.
pub(super) async fn run(set_up: SetUp) {
    let SetUp {
        id,
        params,
        seed,
        mailbox,
        figures,
        reports,
        tasks,
        stop,
    } = set_up;
    let mut peer = Peer {
        id,
        session: Session::new(params, Random::seeded(seed)),
        link: Link::new(),
        figures,
        reports,
        tasks,
        ended: false,
    };
    peer.mail(mailbox.take());
    peer.handle(Input::Start);
    while !peer.ended {
        peer.figures.put(peer.session.figures());
        let deadline = peer.session.next_deadline();
        tokio::select! {
            () = stop.cancelled() => return,
            () = mailbox.arrived() => peer.mail(mailbox.take()),
            happening = peer.link.happening() => match happening {
                Happening::Dialled(Ok((stream, local))) => {
                    peer.link.up(stream);
                    peer.handle(Input::Connected(local));
                }
                Happening::Dialled(Err(error)) => {
                    peer.handle(Input::ConnectFailed(error.to_string()));
                }
                Happening::Ready => peer.read(),
            },
            // What waits to be read may be what the deadline is about.
            () = sleep_until(deadline) => peer.read(),
        }
        if peer
            .session
            .next_deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            peer.handle(Input::Tick);
        }
        peer.write();
    }
    peer.figures.put(peer.session.figures());
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

impl Peer {
    fn mail(&mut self, mail: Mail) {
        let Mail {
            bfd_down,
            params,
            routes,
            end,
        } = mail;
        if bfd_down {
            self.handle(Input::BfdDown);
        }
        if let Some(params) = params {
            self.handle(Input::Reconfigure(params));
            self.left();
        }
        let now = Instant::now();
        for (prefix, attributes) in routes {
            self.session.handle(now, Input::Route(prefix, attributes));
        }
        self.drain();
        match end {
            None => {}
            Some(End::Gone) => {
                self.handle(Input::Stop);
                self.left();
            }
            Some(End::Shutdown) => self.handle(Input::Shutdown),
        }
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(Instant::now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial(params) => self.link.dial(params),
                Output::Transmit(octets) => {
                    if let Some(connection) = self.link.connection() {
                        connection.transmit(&octets);
                    }
                }
                Output::Close(how) => self.link.close(how, &self.tasks),
                Output::Up => self.report(Report::Up(self.id)),
                Output::Down(reason) => self.report(Report::Down(self.id, reason)),
                Output::Log(record) => self.report(Report::Log(record)),
                Output::Ended => self.ended = true,
            }
        }
    }

    /// Reports that the last connection has ended, when it has. Who waits for it waits for ever if it is lost.
    fn left(&self) {
        let (id, farewell, reports) = (self.id, self.link.farewell(), self.reports.clone());
        self.tasks.spawn(async move {
            farewell.cancelled().await;
            // An error: nobody wants to hear it any more.
            let _ = reports.send(Report::Left(id)).await;
        });
    }

    fn report(&self, report: Report) {
        if self.reports.try_send(report).is_err() {
            self.figures.report_dropped();
        }
    }

    fn read(&mut self) {
        let Some(connection) = self.link.connection() else {
            return;
        };
        match connection.read() {
            Ok(Read::Nothing) => {}
            Ok(Read::Octets(octets)) => self.handle(Input::Received(octets)),
            Ok(Read::End) => self.handle(Input::Closed),
            Err(error) => self.handle(Input::Broken(broken(&error))),
        }
    }

    /// Writes until nothing waits or the kernel takes no more; what is written makes room for more.
    fn write(&mut self) {
        while let Some(connection) = self.link.connection() {
            match connection.write() {
                Ok(0) => return,
                Ok(count) => self.handle(Input::Written(count)),
                Err(error) => return self.broken(&error),
            }
        }
    }

    /// It cannot be written any more; what the peer said last may still be there to be read.
    fn broken(&mut self, error: &io::Error) {
        while let Some(connection) = self.link.connection() {
            match connection.read() {
                Ok(Read::Octets(octets)) => self.handle(Input::Received(octets)),
                Ok(Read::Nothing | Read::End) | Err(_) => {
                    self.handle(Input::Broken(broken(error)));
                }
            }
        }
    }
}

/// Says how a connection broke.
fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the peer reset the connection".to_owned()
        }
        io::ErrorKind::TimedOut => "the peer does not answer any more".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to the peer any more".to_owned()
        }
        _ => format!("the connection broke: {error}"),
    }
}
