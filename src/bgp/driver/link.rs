//! A connection, or the attempt to have one: what is read, what is to be written, and its end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::{ConnectError, dial};
use crate::bgp::Params;
use crate::bgp::session::{How, Local};

/// Octets that are read before anything else has its turn: some of the largest usual messages (4 KiB).
const READ: usize = 16 * 1024;

/// How long the end of a connection may take: for the peer to read what was said last. Below the time that a Pod is
/// given.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

type Dialling = Pin<Box<dyn Future<Output = Result<(TcpStream, Local), ConnectError>> + Send>>;

/// The way to the peer.
pub(super) struct Link {
    way: Way,
    /// The last connection's end, which the next one waits for: one at a time.
    farewell: Farewell,
}

/// Cancelled when a connection has ended.
pub(super) type Farewell = CancellationToken;

enum Way {
    None,
    Dialling(Dialling),
    Up(Connection),
}

/// What happened to it.
#[derive(Debug)]
pub(super) enum Happening {
    Dialled(Result<(TcpStream, Local), ConnectError>),
    /// It can be read or written, or both.
    Ready,
}

/// What a read brought.
#[derive(Debug)]
pub(super) enum Read {
    Nothing,
    Octets(Vec<u8>),
    End,
}

/// An open connection, and what is to be written to it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    /// So much of `out` is written.
    written: usize,
}

impl Link {
    pub(super) fn new() -> Self {
        let none = Farewell::new();
        none.cancel();
        Self {
            way: Way::None,
            farewell: none,
        }
    }

    /// The end of the last connection that was closed.
    pub(super) fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }

    /// Begins to dial, when the last connection has ended.
    pub(super) fn dial(&mut self, params: Arc<Params>) {
        let farewell = self.farewell();
        self.way = Way::Dialling(Box::pin(async move {
            farewell.cancelled().await;
            dial(params).await
        }));
    }

    /// The dial was answered.
    pub(super) fn up(&mut self, stream: TcpStream) {
        self.way = Way::Up(Connection::new(stream));
    }

    /// Waits until something happens to it. Cancel-safety: nothing is read or written here.
    pub(super) async fn happening(&mut self) -> Happening {
        match &mut self.way {
            Way::None => std::future::pending().await,
            Way::Dialling(dialling) => {
                let dialled = dialling.as_mut().await;
                self.way = Way::None;
                Happening::Dialled(dialled)
            }
            Way::Up(connection) => {
                let interest = if connection.waiting().is_empty() {
                    Interest::READABLE
                } else {
                    Interest::READABLE | Interest::WRITABLE
                };
                // An error comes again where it is read.
                let _ = connection.stream.ready(interest).await;
                Happening::Ready
            }
        }
    }

    pub(super) const fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.way {
            Way::Up(connection) => Some(connection),
            Way::None | Way::Dialling(_) => None,
        }
    }

    /// Ends it.
    pub(super) fn close(&mut self, how: How, tasks: &TaskTracker) {
        let Way::Up(connection) = std::mem::replace(&mut self.way, Way::None) else {
            return;
        };
        match how {
            How::Written => {
                self.farewell = Farewell::new();
                // However it ends.
                let over = self.farewell.clone().drop_guard();
                tasks.spawn(async move {
                    // What is not read by then is not read.
                    let _ = tokio::time::timeout(FAREWELL, connection.farewell()).await;
                    drop(over);
                });
            }
            How::Silently => connection.abort(),
        }
    }
}

impl Connection {
    const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            out: Vec::new(),
            written: 0,
        }
    }

    fn waiting(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }

    /// Puts octets behind those that wait. The session bounds them.
    pub(super) fn transmit(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    /// Writes what the kernel takes; says how much.
    pub(super) fn write(&mut self) -> io::Result<usize> {
        if self.waiting().is_empty() {
            return Ok(0);
        }
        match self.stream.try_write(self.waiting()) {
            Ok(count) => {
                self.written += count;
                if self.waiting().is_empty() {
                    self.out.clear();
                    self.written = 0;
                    // A first table is large, the rest is small.
                    self.out.shrink_to(READ);
                } else if self.written > self.out.len() / 2 {
                    self.out.drain(..self.written);
                    self.written = 0;
                }
                Ok(count)
            }
            Err(error) if is_momentary(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there, at most [`READ`] octets.
    pub(super) fn read(&mut self) -> io::Result<Read> {
        let mut buffer = vec![0; READ];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Ok(Read::End),
            Ok(count) => {
                buffer.truncate(count);
                Ok(Read::Octets(buffer))
            }
            Err(error) if is_momentary(&error) => Ok(Read::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Writes what waits, says that nothing follows, and reads until the peer has closed: closing before would let the
    /// kernel send a reset, which may overtake a NOTIFICATION.
    async fn farewell(mut self) {
        let waiting = self.out.split_off(self.written);
        if self.stream.write_all(&waiting).await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        let mut buffer = vec![0; READ];
        while let Ok(1..) = self.stream.read(&mut buffer).await {}
    }

    /// Drops what waits here and in the kernel.
    fn abort(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// Whether it is no error but "not now".
fn is_momentary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
