//! The messages' bodies: a type byte and one msgpack map (push/pull: several).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::msgpack::{self, Fault, Reader};
use super::{
    Ack, Alive, Dead, Dropped, IndirectPing, Kind, Limits, MAX_META, Message, Nack, Name,
    NodeState, Ping, State, Suspect, Versions,
};

/// Longest error text that is kept, in bytes.
const MAX_ERR: usize = 512;

/// Writes a message: its type byte and its body, byte for byte as Go writes it (user data in the form of datagrams).
pub fn encode_message(message: &Message, out: &mut Vec<u8>) {
    out.push(message.kind().byte());
    match message {
        Message::Ping(ping) => {
            msgpack::map(out, 2);
            optional_name(out, ping.node.as_ref());
            number(out, "SeqNo", ping.seq_no);
        }
        Message::IndirectPing(ping) => {
            msgpack::map(out, 5);
            msgpack::key(out, "Nack");
            msgpack::boolean(out, ping.nack);
            optional_name(out, ping.node.as_ref());
            number(out, "Port", ping.port);
            number(out, "SeqNo", ping.seq_no);
            address(out, "Target", ping.target);
        }
        Message::Ack(ack) => {
            msgpack::map(out, 2);
            msgpack::key(out, "Payload");
            msgpack::raw_or_nil(out, &ack.payload);
            number(out, "SeqNo", ack.seq_no);
        }
        Message::Nack(nack) => {
            msgpack::map(out, 1);
            number(out, "SeqNo", nack.seq_no);
        }
        Message::Suspect(Suspect {
            incarnation,
            node,
            from,
        })
        | Message::Dead(Dead {
            incarnation,
            node,
            from,
        }) => {
            msgpack::map(out, 3);
            text(out, "From", from);
            number(out, "Incarnation", *incarnation);
            text(out, "Node", node);
        }
        Message::Alive(alive) => {
            msgpack::map(out, 6);
            address(out, "Addr", alive.addr);
            number(out, "Incarnation", alive.incarnation);
            msgpack::key(out, "Meta");
            msgpack::raw_or_nil(out, &alive.meta);
            text(out, "Node", &alive.node);
            number(out, "Port", alive.port);
            msgpack::key(out, "Vsn");
            msgpack::raw(out, alive.vsn.as_bytes());
        }
        Message::PushPull(push_pull) => {
            msgpack::map(out, 3);
            msgpack::key(out, "Join");
            msgpack::boolean(out, push_pull.join);
            msgpack::key(out, "Nodes");
            length(out, push_pull.nodes.len());
            number(out, "UserStateLen", 0_u32);
            for node in &push_pull.nodes {
                node_state(out, node);
            }
        }
        Message::User(data) => out.extend_from_slice(data),
        Message::Err(error) => {
            msgpack::map(out, 1);
            text(out, "Error", error);
        }
    }
}

fn node_state(out: &mut Vec<u8>, node: &NodeState) {
    msgpack::map(out, 7);
    address(out, "Addr", node.addr);
    number(out, "Incarnation", node.incarnation);
    msgpack::key(out, "Meta");
    msgpack::raw_or_nil(out, &node.meta);
    text(out, "Name", &node.name);
    number(out, "Port", node.port);
    number(out, "State", node.state.number());
    msgpack::key(out, "Vsn");
    msgpack::raw(out, node.vsn.as_bytes());
}

/// Writes user data in the form of streams: a header with its length, then the data.
pub(super) fn encode_user_stream(data: &[u8], out: &mut Vec<u8>) {
    out.push(Kind::User.byte());
    msgpack::map(out, 1);
    msgpack::key(out, "UserMsgLen");
    length(out, data.len());
    out.extend_from_slice(data);
}

/// Writes the map of a compressed message: LZW (0), and the compressed bytes.
pub(super) fn encode_compress(lzw: &[u8], out: &mut Vec<u8>) {
    out.push(Kind::Compress.byte());
    msgpack::map(out, 2);
    number(out, "Algo", 0_u32);
    msgpack::key(out, "Buf");
    msgpack::raw(out, lzw);
}

fn number(out: &mut Vec<u8>, key: &str, number: impl Into<u64>) {
    msgpack::key(out, key);
    msgpack::uint(out, number.into());
}

fn length(out: &mut Vec<u8>, len: usize) {
    msgpack::uint(out, u64::try_from(len).unwrap_or(u64::MAX));
}

fn text(out: &mut Vec<u8>, key: &str, text: &str) {
    msgpack::key(out, key);
    msgpack::raw(out, text.as_bytes());
}

fn optional_name(out: &mut Vec<u8>, name: Option<&Name>) {
    text(out, "Node", name.map_or("", Name::as_str));
}

fn address(out: &mut Vec<u8>, key: &str, addr: IpAddr) {
    msgpack::key(out, key);
    match addr {
        IpAddr::V4(addr) => msgpack::raw(out, &addr.octets()),
        IpAddr::V6(addr) => msgpack::raw(out, &addr.octets()),
    }
}

/// Reads a message out of a datagram: its type byte and its body. Bytes behind the body are ignored, as Go does.
pub(super) fn decode_message(bytes: &[u8], limits: &Limits) -> Result<Message, Dropped> {
    let (first, body) = bytes.split_first().ok_or(Dropped::Empty)?;
    let kind = Kind::from_byte(*first).ok_or(Dropped::Kind)?;
    match kind {
        Kind::User => Ok(Message::User(body.to_vec())),
        Kind::Ping
        | Kind::IndirectPing
        | Kind::Ack
        | Kind::Suspect
        | Kind::Alive
        | Kind::Dead
        | Kind::Nack => Ok(decode_body(kind, &mut Reader::new(body), limits)?),
        // Wrappers where none may be, and what only streams carry.
        Kind::PushPull
        | Kind::Compound
        | Kind::Compress
        | Kind::Encrypt
        | Kind::HasCrc
        | Kind::Err => Err(Dropped::Kind),
    }
}

/// Reads the body of a message that is one map.
pub(super) fn decode_body(
    kind: Kind,
    reader: &mut Reader<'_>,
    limits: &Limits,
) -> Result<Message, Fault> {
    match kind {
        Kind::Ping => ping(reader),
        Kind::IndirectPing => indirect_ping(reader, limits),
        Kind::Ack => ack(reader),
        Kind::Nack => nack(reader),
        Kind::Suspect => claim(reader).map(|(incarnation, node, from)| {
            Message::Suspect(Suspect {
                incarnation,
                node,
                from,
            })
        }),
        Kind::Dead => claim(reader).map(|(incarnation, node, from)| {
            Message::Dead(Dead {
                incarnation,
                node,
                from,
            })
        }),
        Kind::Alive => alive(reader, limits),
        Kind::Err => error(reader),
        Kind::PushPull
        | Kind::Compound
        | Kind::User
        | Kind::Compress
        | Kind::Encrypt
        | Kind::HasCrc => Err(Dropped::Kind.into()),
    }
}

fn ping(reader: &mut Reader<'_>) -> Result<Message, Fault> {
    let (mut seq_no, mut node) = (0, &[][..]);
    // memberlist 0.2.2 adds SourceAddr, SourceNode and SourcePort: where to answer. 0.1.7 knows none of them, and
    // answering elsewhere than to the packet's source would let anyone aim our answers.
    reader.fields(&["SeqNo", "Node"], |field, value| {
        match field {
            b"SeqNo" => seq_no = value.u32()?,
            b"Node" => node = value.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Message::Ping(Ping {
        seq_no,
        node: to_optional_name(node)?,
    }))
}

fn indirect_ping(reader: &mut Reader<'_>, limits: &Limits) -> Result<Message, Fault> {
    let (mut seq_no, mut port, mut node, mut nack) = (0, 0, &[][..], false);
    let mut target = Cow::Borrowed(&[][..]);
    reader.fields(
        &["SeqNo", "Target", "Port", "Node", "Nack"],
        |field, value| {
            match field {
                b"SeqNo" => seq_no = value.u32()?,
                b"Target" => target = value.bytes()?,
                b"Port" => port = value.u16()?,
                b"Node" => node = value.text()?,
                b"Nack" => nack = value.bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        },
    )?;
    Ok(Message::IndirectPing(IndirectPing {
        seq_no,
        target: to_address(&target, limits)?,
        port,
        node: to_optional_name(node)?,
        nack,
    }))
}

fn ack(reader: &mut Reader<'_>) -> Result<Message, Fault> {
    let (mut seq_no, mut payload) = (0, Cow::Borrowed(&[][..]));
    reader.fields(&["SeqNo", "Payload"], |field, value| {
        match field {
            b"SeqNo" => seq_no = value.u32()?,
            b"Payload" => payload = value.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Message::Ack(Ack {
        seq_no,
        payload: payload.into_owned(),
    }))
}

fn nack(reader: &mut Reader<'_>) -> Result<Message, Fault> {
    let mut seq_no = 0;
    reader.fields(&["SeqNo"], |field, value| {
        match field {
            b"SeqNo" => seq_no = value.u32()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Message::Nack(Nack { seq_no }))
}

/// Suspect and dead: incarnation, node, from.
fn claim(reader: &mut Reader<'_>) -> Result<(u32, Name, Name), Fault> {
    let (mut incarnation, mut node, mut from) = (0, &[][..], &[][..]);
    reader.fields(&["Incarnation", "Node", "From"], |field, value| {
        match field {
            b"Incarnation" => incarnation = value.u32()?,
            b"Node" => node = value.text()?,
            b"From" => from = value.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((incarnation, to_name(node)?, to_name(from)?))
}

fn alive(reader: &mut Reader<'_>, limits: &Limits) -> Result<Message, Fault> {
    let record = record(
        reader,
        &["Incarnation", "Node", "Addr", "Port", "Meta", "Vsn"],
        b"Node",
    )?;
    Ok(Message::Alive(Alive {
        vsn: Versions::from_bytes(&record.vsn).ok_or(Dropped::Versions)?,
        incarnation: record.incarnation,
        node: to_name(record.name)?,
        addr: to_address(&record.addr, limits)?,
        port: record.port,
        meta: to_meta(record.meta)?,
    }))
}

/// One record of a push/pull. `Ok(Err(_))`: read, but not one that may be taken; the exchange goes on without it. A bad
/// version vector fails the exchange, as in Go.
pub(super) fn decode_node_state(
    reader: &mut Reader<'_>,
    limits: &Limits,
) -> Result<Result<NodeState, Dropped>, Fault> {
    let record = record(
        reader,
        &[
            "Name",
            "Addr",
            "Port",
            "Meta",
            "Incarnation",
            "State",
            "Vsn",
        ],
        b"Name",
    )?;
    let vsn = Versions::from_bytes(&record.vsn).ok_or(Dropped::Versions)?;
    let node = || {
        Ok(NodeState {
            name: to_name(record.name)?,
            addr: to_address(&record.addr, limits)?,
            port: record.port,
            meta: to_meta(record.meta)?,
            incarnation: record.incarnation,
            state: State::from_number(record.state).ok_or(Dropped::Kind)?,
            vsn,
        })
    };
    Ok(node())
}

/// What alive messages and push/pull records have in common.
struct Record<'a> {
    name: &'a [u8],
    addr: Cow<'a, [u8]>,
    port: u16,
    meta: Cow<'a, [u8]>,
    incarnation: u32,
    state: u64,
    vsn: Cow<'a, [u8]>,
}

fn record<'a>(
    reader: &mut Reader<'a>,
    declared: &[&str],
    name_field: &[u8],
) -> Result<Record<'a>, Fault> {
    let mut record = Record {
        name: &[],
        addr: Cow::Borrowed(&[]),
        port: 0,
        meta: Cow::Borrowed(&[]),
        incarnation: 0,
        state: 0,
        vsn: Cow::Borrowed(&[]),
    };
    reader.fields(declared, |field, value| {
        match field {
            b"Addr" => record.addr = value.bytes()?,
            b"Port" => record.port = value.u16()?,
            b"Meta" => record.meta = value.bytes()?,
            b"Incarnation" => record.incarnation = value.u32()?,
            b"Vsn" => record.vsn = value.bytes()?,
            // An alive message has no state: the key is unknown there.
            b"State" if declared.contains(&"State") => {
                record.state = value.uint(i64::MAX.unsigned_abs())?;
            }
            _ if field == name_field => record.name = value.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(record)
}

/// The header of a push/pull: join, number of records, bytes of user state.
pub(super) fn decode_push_pull_header(
    reader: &mut Reader<'_>,
    limits: &Limits,
) -> Result<(bool, usize, usize), Fault> {
    let (mut join, mut nodes, mut user) = (false, 0, 0);
    reader.fields(&["Nodes", "UserStateLen", "Join"], |field, value| {
        match field {
            b"Nodes" => nodes = value.uint(u64::MAX)?,
            b"UserStateLen" => user = value.uint(u64::MAX)?,
            b"Join" => join = value.bool()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((
        join,
        within(nodes, limits.members)?,
        within(user, limits.user)?,
    ))
}

/// The header of user data on a stream: how many bytes follow.
pub(super) fn decode_user_header(reader: &mut Reader<'_>, limits: &Limits) -> Result<usize, Fault> {
    let mut len = 0;
    reader.fields(&["UserMsgLen"], |field, value| {
        match field {
            b"UserMsgLen" => len = value.uint(u64::MAX)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    within(len, limits.user)
}

/// The map of a compressed message: the compressed bytes.
pub(super) fn decode_compress<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    let (mut algorithm, mut buf) = (0, Cow::Borrowed(&[][..]));
    reader.fields(&["Algo", "Buf"], |field, value| {
        match field {
            b"Algo" => algorithm = value.uint(u64::from(u8::MAX))?,
            b"Buf" => buf = value.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if algorithm != 0 {
        return Err(Dropped::Compression.into());
    }
    Ok(buf)
}

fn error(reader: &mut Reader<'_>) -> Result<Message, Fault> {
    let mut error = &[][..];
    reader.fields(&["Error"], |field, value| {
        match field {
            b"Error" => error = value.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let kept = error.get(..MAX_ERR).unwrap_or(error);
    // It will be logged: no line breaks, no terminal escapes.
    let clean = String::from_utf8_lossy(kept)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    Ok(Message::Err(clean))
}

fn within(declared: u64, limit: usize) -> Result<usize, Fault> {
    usize::try_from(declared)
        .ok()
        .filter(|declared| *declared <= limit)
        .ok_or(Fault::Dropped(Dropped::Limit))
}

fn to_name(bytes: &[u8]) -> Result<Name, Dropped> {
    Name::from_bytes(bytes).ok_or(Dropped::Name)
}

fn to_optional_name(bytes: &[u8]) -> Result<Option<Name>, Dropped> {
    if bytes.is_empty() {
        return Ok(None);
    }
    to_name(bytes).map(Some)
}

fn to_meta(bytes: Cow<'_, [u8]>) -> Result<Vec<u8>, Dropped> {
    if bytes.len() > MAX_META {
        return Err(Dropped::Meta);
    }
    Ok(bytes.into_owned())
}

fn to_address(bytes: &[u8], limits: &Limits) -> Result<IpAddr, Dropped> {
    let addr = if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        IpAddr::V6(Ipv6Addr::from(octets))
    } else {
        return Err(Dropped::Address);
    };
    // A mapped address is judged as the IPv4 address it maps, but kept as it came.
    let judged = addr.to_canonical();
    let broadcast = matches!(judged, IpAddr::V4(v4) if v4.is_broadcast());
    if judged.is_unspecified()
        || judged.is_multicast()
        || broadcast
        || (judged.is_loopback() && !limits.loopback)
    {
        return Err(Dropped::Address);
    }
    Ok(addr)
}
