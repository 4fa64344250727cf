//! The responder thread: sleeps until a socket has a frame, answers, and does nothing else.
//!
//! No lock, no allocation, no log line, no system call but waiting, receiving and sending. Whatever comes in, it goes on.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::port::{OpenPort, Shared};
use super::sys::{self, BATCH, Events, Received};
use crate::layer2::announced::{Announced, Tally};
use crate::layer2::responder::answer;
use crate::layer2::wire::Frame;
use crate::turns::ask_for_short_turns;

/// The token of the waker among those of the ports, which count from 1.
pub(super) const WAKER: u64 = 0;

/// After a request it looks again for so long before it sleeps: the next one of a flock is answered without waking a
/// sleeping processor, which takes longer than everything else here. At 1,000 requests a second that is a twentieth of
/// one processor, and a thread that waits for it goes first.
const LINGER: Duration = Duration::from_micros(50);

/// A socket that gives so many errors in a row is handed back to be opened anew.
const ERRORS: u32 = 16;

/// While it lingers it looks at the port of the last request; at the others every so many looks.
const LOOKS: u32 = 8;

struct Responder<'a> {
    shared: &'a Shared,
    received: Received,
    errors: u32,
    /// The last look found a frame: there may be many.
    crowded: bool,
}

/// Runs until [`Shared::stop`].
pub(super) fn run(shared: &Shared) {
    // Without it everything works, only later on a busy processor.
    let _ = ask_for_short_turns();
    let mut responder = Responder {
        shared,
        received: Received::new(),
        errors: 0,
        crowded: false,
    };
    let mut events = Events::new();
    loop {
        // An interrupted wait has no events.
        let waited = shared.epoll.wait(&mut events, true);
        if shared.is_stopping() {
            return;
        }
        if waited.is_ok()
            && let Some(token) = responder.serve_all(&events)
        {
            responder.linger(&mut events, token);
        }
    }
}

impl Responder<'_> {
    /// Serves what is ready; the last port that had a frame.
    fn serve_all(&mut self, events: &Events) -> Option<u64> {
        let mut last = None;
        for token in events.tokens() {
            if token == WAKER {
                self.shared.responder.clear();
            } else if self.serve(token) {
                last = Some(token);
            }
        }
        last
    }

    /// Looks again for [`LINGER`] after each request.
    fn linger(&mut self, events: &mut Events, mut token: u64) {
        let mut until = Instant::now() + LINGER;
        let mut looks = 0;
        while !self.shared.is_stopping() {
            looks += 1;
            // Who waits for the answer may wait for this very processor.
            if !self.crowded {
                sys::give_way();
            }
            let busy = if looks % LOOKS == 0 {
                match self.shared.epoll.wait(events, false) {
                    Ok(()) => self.serve_all(events),
                    Err(_) => None,
                }
            } else {
                self.serve(token).then_some(token)
            };
            match busy {
                Some(served) => {
                    token = served;
                    until = Instant::now() + LINGER;
                }
                None if Instant::now() >= until => return,
                None => {}
            }
        }
    }

    /// Answers one frame of a port, or one batch if there seem to be many; whether there was any.
    fn serve(&mut self, token: u64) -> bool {
        let snapshot = self.shared.snapshot.load();
        let Some(port) = snapshot.ports.get(&token) else {
            self.crowded = false;
            return false;
        };
        let result = if self.crowded {
            sys::receive(port.as_raw_fd(), &mut self.received)
                .map(|_| self.answer_all(port, &snapshot.announced))
        } else {
            sys::receive_one(port.as_raw_fd(), &mut self.received)
                .map(|()| self.answer_one(port, &snapshot.announced))
        };
        self.crowded = result.is_ok();
        match result {
            Ok(()) => {
                self.errors = 0;
                true
            }
            Err(error) if is_nothing(&error) => false,
            Err(_) => {
                self.failed(port);
                false
            }
        }
    }

    /// ENETDOWN once when the interface goes down, ENODEV once when it is gone; the control thread hears of both by
    /// netlink. A socket that does not stop is taken out, or this thread would never sleep again.
    fn failed(&mut self, port: &OpenPort) {
        self.errors += 1;
        if self.errors >= ERRORS {
            self.errors = 0;
            let _ = self.shared.epoll.remove(port.as_raw_fd());
            port.broken.store(true, Ordering::Release);
            self.shared.control.wake();
        }
    }

    fn answer_one(&self, port: &OpenPort, announced: &Announced) {
        for frame in self.received.iter() {
            match answer(port.port.kind, frame, &port.interface, announced) {
                Ok(answer) => {
                    answer.tally.request_received();
                    match sys::send_one(port.as_raw_fd(), answer.frame.as_bytes()) {
                        Ok(()) => answer.tally.response_sent(),
                        // No room, or the interface just went: the asker asks again. Never wait here.
                        Err(_) => self.unsent(),
                    }
                }
                Err(reason) => self.shared.dropped(reason),
            }
        }
    }

    fn answer_all(&self, port: &OpenPort, announced: &Announced) {
        let mut answers: [Option<(Frame, &Tally)>; BATCH] = [None; BATCH];
        let mut places = answers.iter_mut();
        for frame in self.received.iter() {
            match answer(port.port.kind, frame, &port.interface, announced) {
                Ok(answer) => {
                    answer.tally.request_received();
                    if let Some(place) = places.next() {
                        *place = Some((answer.frame, answer.tally));
                    }
                }
                Err(reason) => self.shared.dropped(reason),
            }
        }
        let mut left: &[Option<(Frame, &Tally)>] = &answers;
        while let Some(Some(_)) = left.first() {
            let frames = left
                .iter()
                .map_while(|answer| answer.as_ref().map(|(frame, _)| frame.as_bytes()));
            let sent = sys::send(port.as_raw_fd(), frames).unwrap_or(0);
            for (_, tally) in left.iter().take(sent).flatten() {
                tally.response_sent();
            }
            if sent == 0 {
                self.unsent();
            }
            // At least one, so that this ends whatever the kernel says.
            left = left.get(sent.max(1)..).unwrap_or_default();
        }
    }

    fn unsent(&self) {
        self.shared.unsent.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
