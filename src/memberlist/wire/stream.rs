//! Streams: one message in each direction, found in the bytes as they come.
//!
//! The dialer does not half-close before it waits for the answer, so the end of a message is found from the message alone:
//! the frame's length if it is encrypted, else msgpack. What is kept is one incomplete value; records of a push/pull are
//! taken one by one, also out of a compressed message while it is being decompressed.

use super::body::{
    decode_body, decode_compress, decode_node_state, decode_push_pull_header, decode_user_header,
};
use super::compress::decompress;
use super::msgpack::{Fault, Reader};
use super::{Dropped, Kind, Limits, Message, NodeState, PushPull};
use crate::memberlist::keyring::Keyring;

/// The frame of an encrypted message: type byte and length.
const HEADER: usize = 5;

/// How much is looked at in one go.
const PIECE: usize = 16 << 10;

/// Longest single value of a message (a record of a push/pull, an error text): as much as a datagram could hold. Honest: 1 KiB.
const MAX_VALUE: usize = 64 << 10;

/// Why a stream's message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamFault {
    /// Why.
    pub reason: Dropped,
    /// What a responder answers before it closes, as Go does: some text if not even a plain message was found, `None` to
    /// close without a word.
    pub answer: Option<&'static str>,
}

impl StreamFault {
    /// The answer as a message.
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        self.answer.map(|text| Message::Err(text.to_owned()))
    }

    /// What went wrong before the message itself: Go answers an error, framed by its own rules.
    const fn outer(reason: Dropped) -> Self {
        let answer = match reason {
            Dropped::NoKey => "Remote state is encrypted and encryption is not configured",
            Dropped::Plaintext => "Encryption is configured but remote state is not encrypted",
            Dropped::Limit => "Remote node state is larger than limit",
            Dropped::Compression => "Cannot decompress: not LZW",
            Dropped::Truncated => "unexpected EOF",
            Dropped::Empty => "empty message",
            Dropped::Kind
            | Dropped::Malformed
            | Dropped::Name
            | Dropped::Address
            | Dropped::Versions
            | Dropped::Meta
            | Dropped::Checksum => "malformed message",
            Dropped::Undecryptable => "No installed keys could decrypt the message",
        };
        Self {
            reason,
            answer: Some(answer),
        }
    }

    /// What went wrong in the message itself: Go closes.
    const fn inner(reason: Dropped) -> Self {
        Self {
            reason,
            answer: None,
        }
    }
}

/// Finds the one message of a stream.
#[derive(Debug)]
pub struct StreamDecoder {
    keyring: Option<Keyring>,
    limits: Limits,
    stage: Stage,
    /// Bytes of this stage that are not yet of use.
    pending: Vec<u8>,
    /// It is useless to look at `pending` before it has this many bytes.
    need: usize,
}

#[derive(Debug)]
enum Stage {
    /// Nothing yet, or an encrypted frame's header.
    Start,
    /// An encrypted frame's body.
    Sealed([u8; HEADER]),
    /// A plain, compressed message: its type byte is behind us.
    Compressed,
    /// A plain message.
    Plain(Body),
    /// The message was found; what follows is ignored.
    Done,
    /// Nothing will be found any more.
    Failed(StreamFault),
}

impl StreamDecoder {
    /// For a new stream. With a keyring the message must be encrypted, without one it must not be.
    #[must_use]
    pub const fn new(keyring: Option<Keyring>, limits: Limits) -> Self {
        Self {
            keyring,
            limits,
            stage: Stage::Start,
            pending: Vec::new(),
            need: 1,
        }
    }

    /// Takes the next bytes of the stream. `Ok(Some(_))` once; after that bytes are ignored.
    ///
    /// # Errors
    ///
    /// If there is no message to come; the same fault for all bytes that follow.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Message>, StreamFault> {
        for piece in bytes.chunks(PIECE) {
            match self.advance(piece) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    self.end(Stage::Done);
                    return Ok(Some(message));
                }
                Err(fault) => {
                    self.end(Stage::Failed(fault));
                    return Err(fault);
                }
            }
        }
        Ok(None)
    }

    /// The stream has ended. Right after the message, or before its first byte; else it was cut off.
    ///
    /// # Errors
    ///
    /// If bytes came, but no message.
    pub fn finish(&mut self) -> Result<(), StreamFault> {
        match &self.stage {
            Stage::Done => Ok(()),
            Stage::Start if self.pending.is_empty() => Ok(()),
            Stage::Failed(fault) => Err(*fault),
            Stage::Start | Stage::Sealed(_) | Stage::Compressed => {
                Err(StreamFault::outer(Dropped::Truncated))
            }
            Stage::Plain(_) => Err(StreamFault::inner(Dropped::Truncated)),
        }
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.pending = Vec::new();
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Option<Message>, StreamFault> {
        match &mut self.stage {
            Stage::Done => return Ok(None),
            Stage::Failed(fault) => return Err(*fault),
            Stage::Plain(body) => {
                return body.feed(bytes, &self.limits).map_err(StreamFault::inner);
            }
            Stage::Start | Stage::Sealed(_) | Stage::Compressed => {}
        }
        // Invariant: what is pending is less than `need`, and that is within the limits.
        let len = self.pending.len() + bytes.len();
        if len > self.pending.capacity() {
            // Doubling, but not past what is needed: the largest message costs half as much again while it is copied. What
            // is only declared costs nothing before half of it is there.
            let enough = self.need.saturating_add(PIECE);
            let double = len.saturating_mul(2);
            let capacity = if double >= self.need {
                enough.max(len)
            } else {
                double
            };
            self.pending.reserve_exact(capacity - self.pending.len());
        }
        self.pending.extend_from_slice(bytes);
        self.look()
    }

    /// Looks at what is pending, as long as that brings it further.
    fn look(&mut self) -> Result<Option<Message>, StreamFault> {
        while self.pending.len() >= self.need {
            match self.stage {
                Stage::Start => {
                    let Some(first) = self.pending.first() else {
                        return Ok(None);
                    };
                    match (Kind::from_byte(*first), self.keyring.is_some()) {
                        (Some(Kind::Encrypt), true) => {
                            self.need = HEADER;
                            let Some(header) = self.pending.first_chunk::<HEADER>() else {
                                return Ok(None);
                            };
                            let [_, length @ ..] = *header;
                            let length =
                                usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                            if length > self.limits.stream {
                                return Err(StreamFault::outer(Dropped::Limit));
                            }
                            self.stage = Stage::Sealed(*header);
                            self.pending.drain(..HEADER);
                            self.need = length;
                        }
                        (Some(Kind::Encrypt), false) => {
                            return Err(StreamFault::outer(Dropped::NoKey));
                        }
                        (_, true) => return Err(StreamFault::outer(Dropped::Plaintext)),
                        (Some(Kind::Compress), false) => {
                            self.stage = Stage::Compressed;
                            self.pending.drain(..1);
                            self.need = 1;
                        }
                        (_, false) => {
                            let mut body = Body::new(self.limits.stream);
                            let fed = body.feed(&self.pending, &self.limits);
                            self.stage = Stage::Plain(body);
                            self.pending = Vec::new();
                            return fed.map_err(StreamFault::inner);
                        }
                    }
                }
                Stage::Sealed(header) => {
                    let mut sealed = std::mem::take(&mut self.pending);
                    sealed.truncate(self.need);
                    let Some(keyring) = &self.keyring else {
                        return Err(StreamFault::outer(Dropped::NoKey));
                    };
                    keyring
                        .open(&header, &mut sealed)
                        .map_err(StreamFault::outer)?;
                    return self.opened(&sealed).map(Some);
                }
                Stage::Compressed => {
                    let lzw = match decode_compress(&mut Reader::new(&self.pending)) {
                        Ok(lzw) => lzw,
                        Err(Fault::Need(need)) => {
                            self.need = need;
                            if need > self.limits.stream {
                                return Err(StreamFault::outer(Dropped::Limit));
                            }
                            return Ok(None);
                        }
                        Err(Fault::Dropped(dropped)) => return Err(StreamFault::outer(dropped)),
                    };
                    return unpacked(&lzw, &self.limits).map(Some);
                }
                Stage::Plain(_) | Stage::Done | Stage::Failed(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A decrypted message, all of it.
    fn opened(&self, plain: &[u8]) -> Result<Message, StreamFault> {
        let (first, rest) = plain
            .split_first()
            .ok_or(StreamFault::outer(Dropped::Empty))?;
        if *first == Kind::Compress.byte() {
            let lzw = decode_compress(&mut Reader::new(rest))
                .map_err(|fault| StreamFault::outer(fault.into()))?;
            return unpacked(&lzw, &self.limits);
        }
        let mut body = Body::new(self.limits.stream);
        for piece in plain.chunks(PIECE) {
            if let Some(message) = body.feed(piece, &self.limits).map_err(StreamFault::inner)? {
                return Ok(message);
            }
        }
        Err(StreamFault::inner(Dropped::Truncated))
    }
}

/// A compressed message, all of it: read while it is decompressed, so that it is never there as a whole.
fn unpacked(lzw: &[u8], limits: &Limits) -> Result<Message, StreamFault> {
    let mut body = Body::new(limits.stream_plain);
    let (mut found, mut empty) = (None, true);
    decompress(lzw, limits.stream_plain, |piece| {
        empty = false;
        if found.is_none() {
            found = body.feed(piece, limits).map_err(Unpack::Inner)?;
        }
        Ok(())
    })
    .map_err(|fault| match fault {
        Unpack::Outer(dropped) => StreamFault::outer(dropped),
        Unpack::Inner(dropped) => StreamFault::inner(dropped),
    })?;
    if empty {
        return Err(StreamFault::outer(Dropped::Empty));
    }
    found.ok_or(StreamFault::inner(Dropped::Truncated))
}

/// Where a compressed message went wrong: in the compression, or in what was compressed.
enum Unpack {
    Outer(Dropped),
    Inner(Dropped),
}

impl From<Dropped> for Unpack {
    fn from(dropped: Dropped) -> Self {
        Self::Outer(dropped)
    }
}

/// Finds a plain message in pieces of it.
#[derive(Debug)]
struct Body {
    state: BodyState,
    /// One incomplete value.
    pending: Vec<u8>,
    /// It is useless to look at `pending` before it has this many bytes.
    need: usize,
    /// All bytes so far, and how many there may be.
    total: usize,
    max: usize,
}

#[derive(Debug)]
enum BodyState {
    /// The type byte is to come.
    Start,
    /// One map.
    Single(Kind),
    /// A push/pull's header.
    Header,
    /// A push/pull's records, and then so many bytes of user state.
    Nodes {
        push_pull: PushPull,
        left: usize,
        user: usize,
    },
    /// User data's header.
    UserHeader,
    /// User data.
    User { len: usize },
}

impl Body {
    /// For a message of at most so many bytes.
    fn new(max: usize) -> Self {
        Self {
            state: BodyState::Start,
            pending: Vec::new(),
            need: 1,
            total: 0,
            max,
        }
    }

    fn feed(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Message>, Dropped> {
        self.total = self.total.saturating_add(bytes.len());
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < self.need {
            return self.within(limits);
        }
        let pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        let found = loop {
            match self.step(&mut rest, limits) {
                Ok(Some(message)) => break Some(message),
                Ok(None) => {}
                Err(Fault::Need(need)) => {
                    self.need = need;
                    break None;
                }
                Err(Fault::Dropped(dropped)) => return Err(dropped),
            }
        };
        if found.is_some() {
            return Ok(found);
        }
        self.pending = if rest.len() == pending.len() {
            pending
        } else {
            rest.to_vec()
        };
        self.within(limits)
    }

    /// More is to come: may it?
    fn within(&self, limits: &Limits) -> Result<Option<Message>, Dropped> {
        let missing = self.need.saturating_sub(self.pending.len());
        if self.total.saturating_add(missing) > self.max || self.need > MAX_VALUE.max(limits.user) {
            return Err(Dropped::Limit);
        }
        Ok(None)
    }

    /// Reads the next value off `rest`, if all of it is there.
    fn step(&mut self, rest: &mut &[u8], limits: &Limits) -> Result<Option<Message>, Fault> {
        let mut reader = Reader::new(rest);
        match &mut self.state {
            BodyState::Start => {
                let (first, behind) = rest.split_first().ok_or(Fault::Need(1))?;
                let kind = Kind::from_byte(*first).ok_or(Dropped::Kind)?;
                self.state = match kind {
                    Kind::Ping | Kind::Ack | Kind::Err => BodyState::Single(kind),
                    Kind::PushPull => BodyState::Header,
                    Kind::User => BodyState::UserHeader,
                    Kind::IndirectPing
                    | Kind::Suspect
                    | Kind::Alive
                    | Kind::Dead
                    | Kind::Compound
                    | Kind::Compress
                    | Kind::Encrypt
                    | Kind::Nack
                    | Kind::HasCrc => return Err(Dropped::Kind.into()),
                };
                *rest = behind;
                return Ok(None);
            }
            BodyState::Single(kind) => {
                let message = decode_body(*kind, &mut reader, limits)?;
                *rest = reader.rest();
                return Ok(Some(message));
            }
            BodyState::Header => {
                let (join, left, user) = decode_push_pull_header(&mut reader, limits)?;
                self.state = BodyState::Nodes {
                    push_pull: PushPull {
                        join,
                        nodes: Vec::new(),
                        refused: 0,
                    },
                    left,
                    user,
                };
            }
            BodyState::Nodes {
                push_pull,
                left,
                user,
            } => {
                if *left == 0 {
                    if rest.len() < *user {
                        return Err(Fault::Need(*user));
                    }
                    let push_pull = PushPull {
                        join: push_pull.join,
                        nodes: std::mem::take(&mut push_pull.nodes),
                        refused: push_pull.refused,
                    };
                    return Ok(Some(Message::PushPull(push_pull)));
                }
                let node: Result<NodeState, Dropped> = decode_node_state(&mut reader, limits)?;
                *left -= 1;
                match node {
                    Ok(node) => push_pull.nodes.push(node),
                    Err(_) => push_pull.refused += 1,
                }
            }
            BodyState::UserHeader => {
                let len = decode_user_header(&mut reader, limits)?;
                self.state = BodyState::User { len };
            }
            BodyState::User { len } => {
                let data = rest.get(..*len).ok_or(Fault::Need(*len))?;
                return Ok(Some(Message::User(data.to_vec())));
            }
        }
        *rest = reader.rest();
        Ok(None)
    }
}
