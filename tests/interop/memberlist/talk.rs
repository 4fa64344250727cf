//! Speaking by hand: a stranger who knows the key, asks both kinds the same, and reads what they answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use ferrolb::memberlist::keyring::{Keyring, NonceBytes};
use ferrolb::memberlist::wire::{
    Encoder, Limits, Message, Name, NodeState, PushPull, StreamDecoder, decode_datagram,
    encode_message,
};

use super::nodes::Mode;
use super::{Duration, Instant};

pub(crate) fn limits() -> Limits {
    Limits {
        loopback: true,
        ..Limits::default()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Never the same.
fn nonce() -> NonceBytes {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut nonce = NonceBytes::default();
    nonce[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    nonce
}

/// Somebody who is no member.
pub(crate) struct Stranger {
    socket: UdpSocket,
    encoder: Encoder,
}

impl Stranger {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            encoder: Encoder {
                keyring: mode.key(),
                compress: mode.compress,
            },
        }
    }

    fn keyring(&self) -> Option<&Keyring> {
        self.encoder.keyring.as_ref()
    }

    pub(crate) fn send(&self, message: &Message, to: SocketAddr) {
        let mut bytes = Vec::new();
        encode_message(message, &mut bytes);
        let bytes = self.encoder.datagram(&[bytes], false, nonce()).unwrap();
        self.socket.send_to(&bytes, to).unwrap();
    }

    /// The messages of the first datagram that has one that is wanted; others are passed over.
    pub(crate) fn hear(
        &self,
        patience: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<Vec<Message>> {
        let end = Instant::now() + patience;
        let mut buffer = [0; 2048];
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let datagram = decode_datagram(&buffer[..length], self.keyring(), &limits()).unwrap();
            assert_eq!(datagram.dropped, []);
            if datagram.messages.iter().any(&wanted) {
                return Some(datagram.messages);
            }
        }
    }

    /// What it answers on a stream, and how many bytes that is; `None` if it closes without a word.
    pub(crate) fn ask_on_stream(
        &self,
        request: &Message,
        at: SocketAddr,
    ) -> Option<(Message, usize)> {
        let mut stream = TcpStream::connect(at).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        let bytes = self.encoder.stream(request, nonce()).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        if answer.is_empty() {
            return None;
        }
        let mut decoder = StreamDecoder::new(self.encoder.keyring.clone(), limits());
        let message = decoder.feed(&answer).unwrap();
        Some((message.unwrap(), answer.len()))
    }

    /// All that it holds, itself included, and the length of the answer.
    pub(crate) fn records(&self, at: SocketAddr) -> (Vec<NodeState>, usize) {
        let request = Message::PushPull(PushPull {
            join: false,
            nodes: Vec::new(),
            refused: 0,
        });
        let (answer, length) = self.ask_on_stream(&request, at).unwrap();
        let Message::PushPull(answer) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((answer.refused, answer.join), (0, false));
        (answer.nodes, length)
    }
}

/// What the one there holds of `name`.
pub(crate) fn record(mode: Mode, at: SocketAddr, name: &str) -> Option<NodeState> {
    let (records, _) = Stranger::new(mode).records(at);
    records.into_iter().find(|record| &*record.name == name)
}
