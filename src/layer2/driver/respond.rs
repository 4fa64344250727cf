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

/// The token of the waker among those of the ports, which count from 1.
pub(super) const WAKER: u64 = 0;

/// After a request it looks again for so long before it sleeps: the next one of a flock is answered without waking a
/// sleeping processor, which takes longer than everything else here. At 1,000 requests a second that is a twentieth of
/// one processor, and a thread that waits for it goes first.
const LINGER: Duration = Duration::from_micros(50);

/// A socket that gives so many errors in a row is handed back to be opened anew.
const ERRORS: u32 = 16;

struct Responder<'a> {
    shared: &'a Shared,
    received: Received,
    errors: u32,
}

/// Runs until [`Shared::stop`].
pub(super) fn run(shared: &Shared) {
    let mut responder = Responder {
        shared,
        received: Received::new(),
        errors: 0,
    };
    let mut events = Events::new();
    let mut linger_until: Option<Instant> = None;
    loop {
        // An interrupted wait has no events.
        let waited = shared.epoll.wait(&mut events, linger_until.is_none());
        if shared.is_stopping() {
            return;
        }
        let mut busy = false;
        if waited.is_ok() {
            for token in events.tokens() {
                if token == WAKER {
                    shared.responder.clear();
                } else {
                    busy |= responder.serve(token);
                }
            }
        }
        if busy {
            linger_until = Some(Instant::now() + LINGER);
        } else if linger_until.is_some_and(|until| Instant::now() >= until) {
            linger_until = None;
        } else if linger_until.is_some() {
            sys::give_way();
        }
    }
}

impl Responder<'_> {
    /// Answers one batch of a port; whether there was any.
    fn serve(&mut self, token: u64) -> bool {
        let snapshot = self.shared.snapshot.load();
        let Some(port) = snapshot.ports.get(&token) else {
            return false;
        };
        match sys::receive(port.as_raw_fd(), &mut self.received) {
            Ok(count) => {
                self.errors = 0;
                self.answer(port, &snapshot.announced);
                count > 0
            }
            Err(error) if is_nothing(&error) => false,
            Err(_) => {
                // ENETDOWN once when the interface goes down, ENODEV once when it is gone; the control thread hears of
                // both by netlink. A socket that does not stop is taken out, or this thread would never sleep again.
                self.errors += 1;
                if self.errors >= ERRORS {
                    self.errors = 0;
                    let _ = self.shared.epoll.remove(port.as_raw_fd());
                    port.broken.store(true, Ordering::Release);
                    self.shared.control.wake();
                }
                false
            }
        }
    }

    fn answer(&self, port: &OpenPort, announced: &Announced) {
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
            let (sent, failed) = match sys::send(port.as_raw_fd(), frames) {
                Ok(sent) => (sent, 0),
                // No room, or the interface just went: the asker asks again. Never wait here.
                Err(_) => (0, 1),
            };
            for (_, tally) in left.iter().take(sent).flatten() {
                tally.response_sent();
            }
            if failed > 0 {
                self.shared.unsent.fetch_add(1, Ordering::Relaxed);
            }
            // At least one, so that this ends whatever the kernel says.
            left = left.get((sent + failed).max(1)..).unwrap_or_default();
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
