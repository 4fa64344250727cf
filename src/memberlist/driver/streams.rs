//! Streams: one request and one answer each. A task for each of them; what they find goes to the member by a channel.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::{Figures, STREAMS_IN, STREAMS_PER_SOURCE, Wrapping};
use crate::memberlist::swim::DialId;
use crate::memberlist::wire::{Dropped, Message, StreamDecoder};

/// How long a request may take to come, and its answer to go. Upstream: `TCPTimeout`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// What happened on a stream.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// Another asks. The answer goes back by `reply`; dropping that closes the stream.
    Request {
        from: SocketAddr,
        message: Message,
        reply: oneshot::Sender<Message>,
    },
    /// Another sent what is no request.
    Dropped { from: SocketAddr, reason: Dropped },
    /// The one we asked has answered, or not.
    Dialled {
        id: DialId,
        answer: Result<Message, String>,
    },
}

/// Where streams report. A full channel makes them wait.
pub(super) type Events = mpsc::Sender<StreamEvent>;

/// Accepts streams until it is dropped.
pub(super) async fn accept(
    listener: TcpListener,
    wrapping: Wrapping,
    figures: Arc<Figures>,
    events: Events,
) {
    /// Upstream: the pause after an error doubles from 5 ms to 1 s.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
    let mut pause = PAUSES.0;
    let mut open: VecDeque<(IpAddr, AbortHandle)> = VecDeque::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                // No descriptor is left, or the other is gone already: the listener itself stays good.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
        };
        pause = PAUSES.0;
        figures.streams_in.add();
        open.retain(|(_, task)| !task.is_finished());
        let source = from.ip();
        let of_source = || open.iter().filter(|(ip, _)| *ip == source).count();
        let displaced = if of_source() >= STREAMS_PER_SOURCE {
            open.iter().position(|(ip, _)| *ip == source)
        } else {
            (open.len() >= STREAMS_IN).then_some(0)
        };
        if let Some((_, oldest)) = displaced.and_then(|place| open.remove(place)) {
            figures.streams_refused.add();
            oldest.abort();
        }
        let task = tokio::spawn(serve(stream, from, wrapping.clone(), events.clone()));
        open.push_back((source, task.abort_handle()));
    }
}

/// Reads a request, and answers it.
async fn serve(mut stream: TcpStream, from: SocketAddr, wrapping: Wrapping, events: Events) {
    let mut decoder = StreamDecoder::new(wrapping.encoder.keyring.clone(), wrapping.limits);
    let reading = read_message(&mut stream, &mut decoder);
    let answer = match tokio::time::timeout(TIMEOUT, reading).await {
        Ok(Ok(Some(message))) => {
            let (reply, answer) = oneshot::channel();
            let request = StreamEvent::Request {
                from,
                message,
                reply,
            };
            if events.send(request).await.is_err() {
                return;
            }
            answer.await.ok()
        }
        Ok(Err(ReadFault::Dropped { reason, answer })) => {
            let dropped = StreamEvent::Dropped { from, reason };
            if events.send(dropped).await.is_err() {
                return;
            }
            answer
        }
        // Late, gone, or a port scan.
        Err(_) | Ok(Ok(None) | Err(ReadFault::Io(_))) => None,
    };
    if let Some(answer) = answer
        && let Some(bytes) = encode(&wrapping, &answer)
    {
        let writing = async {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        };
        // Whether it arrived concerns the other, who asks again.
        let _ = tokio::time::timeout(TIMEOUT, writing).await;
    }
}

/// Opens a stream, asks, and reports the answer.
pub(super) async fn dial(
    id: DialId,
    to: SocketAddr,
    request: Message,
    deadline: Instant,
    wrapping: Wrapping,
    events: Events,
    _permit: OwnedSemaphorePermit,
) {
    let asking = tokio::time::timeout_at(deadline.into(), ask(to, &request, &wrapping));
    let answer = match asking.await {
        Ok(answer) => answer,
        Err(_) => Err("no answer in time".to_owned()),
    };
    // Nobody waits for it: the member is gone.
    let _ = events.send(StreamEvent::Dialled { id, answer }).await;
}

async fn ask(to: SocketAddr, request: &Message, wrapping: &Wrapping) -> Result<Message, String> {
    let bytes = encode(wrapping, request).ok_or("the request is too long to be sent")?;
    let io_error = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: no speaker gossips there".to_owned()
        }
        _ => error.to_string(),
    };
    let mut stream = TcpStream::connect(to).await.map_err(io_error)?;
    stream.write_all(&bytes).await.map_err(io_error)?;
    let mut decoder = StreamDecoder::new(wrapping.encoder.keyring.clone(), wrapping.limits);
    match read_message(&mut stream, &mut decoder).await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err("closed without an answer".to_owned()),
        Err(ReadFault::Io(error)) => Err(io_error(error)),
        Err(ReadFault::Dropped { reason, .. }) => Err(match reason {
            Dropped::NoKey => "it encrypts, and this speaker has no key".to_owned(),
            Dropped::Plaintext => "it does not encrypt, and this speaker does".to_owned(),
            Dropped::Undecryptable => "it has another key".to_owned(),
            other => format!("its answer cannot be read: {other}"),
        }),
    }
}

fn encode(wrapping: &Wrapping, message: &Message) -> Option<Vec<u8>> {
    let nonce = wrapping.nonce()?;
    wrapping.encoder.stream(message, nonce).ok()
}

/// Why no message was read.
#[derive(Debug)]
enum ReadFault {
    Io(io::Error),
    Dropped {
        reason: Dropped,
        answer: Option<Message>,
    },
}

/// Reads the one message; `None` if the other closes before its first byte.
async fn read_message(
    stream: &mut TcpStream,
    decoder: &mut StreamDecoder,
) -> Result<Option<Message>, ReadFault> {
    let fault = |fault: crate::memberlist::wire::StreamFault| ReadFault::Dropped {
        reason: fault.reason,
        answer: fault.message(),
    };
    let mut piece = vec![0; PIECE];
    loop {
        let read = stream.read(&mut piece).await.map_err(ReadFault::Io)?;
        if read == 0 {
            return decoder.finish().map(|()| None).map_err(fault);
        }
        let bytes = piece.get(..read).unwrap_or_default();
        if let Some(message) = decoder.feed(bytes).map_err(fault)? {
            return Ok(Some(message));
        }
    }
}
