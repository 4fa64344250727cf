//! A load of ARP requests on an interface, and how they are answered.
//!
//! `arp_load INTERFACE TARGET latency RATE SECONDS`: requests at a steady rate, one at a time; how long each answer took.
//! `arp_load INTERFACE TARGET saturate SECONDS`: as many requests as leave; how many answers come per second.
//! `arp_load INTERFACE TARGET offered RATE SECONDS`: so many requests per second; how many are answered.
//! `arp_load INTERFACE TARGET answer`: the other end, as small as a process can be: a blocking receive, a send, nothing
//! between but the answer itself. What it takes is the floor of any responder outside of the kernel. Ends with its input.
//!
//! Prints one JSON object. Times are taken in this program, around the system calls: both responders that are compared
//! are seen through the same glass.
#![expect(clippy::print_stdout, reason = "a program that talks")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ferrolb::layer2::MacAddr;
use ferrolb::layer2::wire::arp::{Arp, FRAME, Operation};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const BATCH: usize = 64;
const HERE: MacAddr = MacAddr(2, 0, 0, 0, 0xbe, 0xef);

fn request(target: Ipv4Addr) -> Vec<u8> {
    let arp = Arp {
        source: HERE,
        destination: MacAddr::broadcast(),
        operation: Operation::Request,
        sender_hardware_address: HERE,
        sender_protocol_address: Ipv4Addr::new(198, 51, 100, 1),
        target_hardware_address: MacAddr::zero(),
        target_protocol_address: target,
    };
    let mut frame = [0; FRAME];
    arp.encode(&mut frame);
    frame.to_vec()
}

/// Lets only ARP replies through, so that requests and bursts do not count.
fn replies() -> [socket2::SockFilter; 4] {
    [
        socket2::SockFilter::new(0x28, 0, 0, 20),
        socket2::SockFilter::new(0x15, 0, 1, 2),
        socket2::SockFilter::new(0x06, 0, 0, 64),
        socket2::SockFilter::new(0x06, 0, 0, 0),
    ]
}

#[expect(unsafe_code, reason = "sockaddr_ll")]
fn open(interface: &str, nonblocking: bool) -> anyhow::Result<Socket> {
    let index: i32 = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))
        .with_context(|| interface.to_owned())?
        .trim()
        .parse()?;
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(&replies())?;
    socket.set_recv_buffer_size(64 << 20)?;
    // As root: beyond net.core.rmem_max, so that the measuring end is never the one that loses.
    let size: libc::c_int = 64 << 20;
    // SAFETY: an integer of the length given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            ptr::from_ref(&size).cast(),
            4,
        )
    };
    let protocol = 0x0806_u16.to_be();
    // SAFETY: a sockaddr_ll fits into the storage, and its length is given.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = storage.cast::<libc::sockaddr_ll>();
            (*address).sll_family = 17;
            (*address).sll_protocol = protocol;
            (*address).sll_ifindex = index;
            *length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(20);
            io::Result::Ok(())
        })
    }?;
    socket.bind(&address)?;
    socket.set_nonblocking(nonblocking)?;
    Ok(socket)
}

fn is_answer(frame: &[u8], target: Ipv4Addr) -> bool {
    Arp::decode(frame).is_ok_and(|arp| {
        arp.operation == Operation::Reply
            && arp.sender_protocol_address == target
            && arp.destination == HERE
    })
}

fn latency(
    interface: &str,
    target: Ipv4Addr,
    rate: u32,
    time: Duration,
) -> anyhow::Result<serde_json::Value> {
    let socket = open(interface, false)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let frame = request(target);
    let gap = Duration::from_secs(1) / rate.max(1);
    let start = Instant::now();
    let mut times: Vec<Duration> = Vec::new();
    let mut lost = 0_u64;
    let mut next = start;
    let mut buffer = [0_u8; 128];
    while start.elapsed() < time {
        if let Some(wait) = next.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        next = (next + gap).max(Instant::now());
        let sent = Instant::now();
        (&socket).write_frame(&frame)?;
        loop {
            match (&socket).read_frame(&mut buffer) {
                Ok(length) => {
                    if is_answer(buffer.get(..length).unwrap_or_default(), target) {
                        times.push(sent.elapsed());
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    lost += 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    times.sort_unstable();
    let at = |per_mille: usize| {
        times
            .get((times.len() * per_mille / 1000).min(times.len().saturating_sub(1)))
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Ok(serde_json::json!({
        "mode": "latency", "answered": times.len(), "lost": lost,
        "p50_us": at(500), "p90_us": at(900), "p99_us": at(990), "p999_us": at(999), "max_us": at(1000),
    }))
}

trait Frames {
    fn write_frame(self, frame: &[u8]) -> io::Result<()>;
    fn read_frame(self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Frames for &Socket {
    fn write_frame(self, frame: &[u8]) -> io::Result<()> {
        self.send(frame).map(drop)
    }

    fn read_frame(self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self;
        io::Read::read(&mut socket, buffer)
    }
}

#[expect(unsafe_code, reason = "sendmmsg")]
fn send_many(fd: RawFd, frame: &[u8], count: usize) -> io::Result<usize> {
    let mut place = libc::iovec {
        iov_base: frame.as_ptr().cast_mut().cast(),
        iov_len: frame.len(),
    };
    // SAFETY: an mmsghdr is plain data, all zeros are a value of it.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    for header in &mut headers {
        header.msg_hdr.msg_iov = &raw mut place;
        header.msg_hdr.msg_iovlen = 1;
    }
    let count = u32::try_from(count.min(BATCH)).unwrap_or(0);
    // SAFETY: all headers point to the same frame, which the kernel only reads.
    let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[expect(unsafe_code, reason = "recvmmsg")]
fn receive_many(fd: RawFd, buffers: &mut [[u8; 64]; BATCH], target: Ipv4Addr) -> io::Result<u64> {
    let mut places = buffers.each_mut().map(|buffer| libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    });
    // SAFETY: an mmsghdr is plain data, all zeros are a value of it.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    for (header, place) in headers.iter_mut().zip(&mut places) {
        header.msg_hdr.msg_iov = ptr::from_mut(place);
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: each header points to a buffer of its own, of the length it says.
    let count = unsafe {
        libc::recvmmsg(
            fd,
            headers.as_mut_ptr(),
            64,
            libc::MSG_WAITFORONE,
            ptr::null_mut(),
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let answers = buffers
        .iter()
        .zip(&headers)
        .take(count)
        .filter(|(buffer, header)| {
            let length = usize::try_from(header.msg_len).unwrap_or_default();
            is_answer(buffer.get(..length).unwrap_or_default(), target)
        });
    Ok(u64::try_from(answers.count()).unwrap_or_default())
}

/// Sends at `rate` (`None`: as fast as it goes) for `time`, while another thread counts the answers.
fn load(
    interface: &str,
    target: Ipv4Addr,
    rate: Option<f64>,
    time: Duration,
) -> anyhow::Result<serde_json::Value> {
    let sender = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    drop(sender);
    let sender = open(interface, false)?;
    // The sending socket hears nothing.
    sender.attach_filter(&[socket2::SockFilter::new(0x06, 0, 0, 0)])?;
    let receiver = open(interface, false)?;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    let frame = request(target);
    let answers = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let (sent, sending, within) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffers = [[0_u8; 64]; BATCH];
            loop {
                match receive_many(receiver.as_raw_fd(), &mut buffers, target) {
                    Ok(count) => {
                        answers.fetch_add(count, Ordering::Relaxed);
                    }
                    Err(_) if done.load(Ordering::Relaxed) => return,
                    Err(_) => {}
                }
            }
        });
        let mut sent = 0_u64;
        while start.elapsed() < time {
            let batch = match rate {
                None => BATCH,
                Some(rate) => {
                    let due = start.elapsed().as_secs_f64() * rate;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a small batch"
                    )]
                    let missing = (due - sent as f64).clamp(0.0, BATCH as f64) as usize;
                    if missing == 0 {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                    missing
                }
            };
            if batch > 0 {
                sent += u64::try_from(send_many(sender.as_raw_fd(), &frame, batch).unwrap_or(0))
                    .unwrap_or(0);
            }
        }
        let sending = start.elapsed();
        let within = answers.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::Relaxed);
        (sent, sending, within)
    });
    Ok(serde_json::json!({
        "mode": if rate.is_some() { "offered" } else { "saturate" },
        "sent": sent, "answered": answers.load(Ordering::Relaxed),
        "requests_per_second": sent as f64 / sending.as_secs_f64(),
        "replies_per_second": within as f64 / sending.as_secs_f64(),
    }))
}

/// Lets only ARP requests through.
fn requests() -> [socket2::SockFilter; 4] {
    let mut filter = replies();
    filter[1] = socket2::SockFilter::new(0x15, 0, 1, 1);
    filter
}

/// Answers requests for the target until standard input ends.
fn answer(interface: &str, target: Ipv4Addr) -> anyhow::Result<serde_json::Value> {
    let socket = open(interface, false)?;
    socket.attach_filter(&requests())?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let done = AtomicBool::new(false);
    let mut answered = 0_u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            done.store(true, Ordering::Relaxed);
        });
        let mut buffer = [0_u8; 128];
        let mut frame = [0; FRAME];
        while !done.load(Ordering::Relaxed) {
            let Ok(length) = (&socket).read_frame(&mut buffer) else {
                continue;
            };
            let Ok(asked) = Arp::decode(buffer.get(..length).unwrap_or_default()) else {
                continue;
            };
            if asked.target_protocol_address == target {
                let arp = Arp {
                    source: HERE,
                    destination: asked.source,
                    operation: Operation::Reply,
                    sender_hardware_address: HERE,
                    sender_protocol_address: target,
                    target_hardware_address: asked.sender_hardware_address,
                    target_protocol_address: asked.sender_protocol_address,
                };
                arp.encode(&mut frame);
                answered += u64::from((&socket).write_frame(&frame).is_ok());
            }
        }
    });
    Ok(serde_json::json!({ "mode": "answer", "answered": answered }))
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let seconds = |word: &str| anyhow::Ok(Duration::try_from_secs_f64(word.parse()?)?);
    let result = match words.as_slice() {
        [interface, target, "latency", rate, time] => {
            latency(interface, target.parse()?, rate.parse()?, seconds(time)?)?
        }
        [interface, target, "saturate", time] => {
            load(interface, target.parse()?, None, seconds(time)?)?
        }
        [interface, target, "offered", rate, time] => load(
            interface,
            target.parse()?,
            Some(rate.parse()?),
            seconds(time)?,
        )?,
        [interface, target, "answer"] => answer(interface, target.parse()?)?,
        _ => bail!(
            "usage: arp_load INTERFACE TARGET latency RATE SECONDS | saturate SECONDS | offered RATE SECONDS | answer"
        ),
    };
    println!("{result}");
    Ok(())
}
