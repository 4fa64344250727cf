//! What an allocation costs: time and memory, at any fill.
//!
//! Prints one line per figure: `name value unit reference ratio`. The reference is measured in the same run (the
//! table below says what it is). Run: `cargo bench --no-default-features --bench allocator`.
//!
//! | figures | reference |
//! | --- | --- |
//! | `fill`, `readopt`, `churn` | as many keys inserted into a `HashMap` and a `BTreeSet` |
//! | `naive` | first fit by a walk from the pool's first address, as MetalLB 0.12.1 does it |
//! | `bytes` | the same `HashMap` and `BTreeSet` |
//! | `held`, `sharing`, `*_10000_pools` | a look-up in, or as many keys inserted into, a `HashMap` |
//!
//! Times are the thread's own on the processor, so that other programs on the machine do not count (they still cost
//! cache).
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ferrolb::allocator::{Allocator, Claim, Families};
use ferrolb::config::{Pool, Protocol};
use ferrolb::ip::Family;
use ferrolb::view::{ObjectKey, Port};

#[path = "parts/processor.rs"]
mod processor;

use processor::Start;

/// Counts the bytes that are allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator that counts is an unsafe trait's")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

type Outcome<T> = Result<T, Box<dyn Error>>;

const V4: Families = Families::One(Family::V4);

fn pool(name: &str, cidrs: &[&str]) -> Outcome<Pool> {
    let mut parsed = Vec::new();
    for cidr in cidrs {
        parsed.push(cidr.parse()?);
    }
    Ok(Pool {
        name: name.to_owned(),
        protocol: Protocol::Layer2,
        auto_assign: true,
        avoid_buggy_ips: false,
        cidrs: parsed,
        bgp_advertisements: Vec::new(),
    })
}

fn allocator(pools: &[Pool]) -> Outcome<Allocator> {
    let mut allocator = Allocator::default();
    allocator.set_pools(pools)?;
    Ok(allocator)
}

fn claim(ports: &[u16], sharing_key: &str) -> Claim {
    Claim {
        ports: ports
            .iter()
            .map(|port| Port {
                protocol: "TCP".into(),
                port: *port,
            })
            .collect(),
        sharing_key: sharing_key.to_owned(),
        backend_key: String::new(),
    }
}

fn keys(count: usize) -> Vec<ObjectKey> {
    (0..count)
        .map(|n| ObjectKey::new("namespace", &format!("service-{n:07}")))
        .collect()
}

/// A plain random order, the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(limit.max(1)).unwrap_or(u64::MAX)).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for place in (1..all.len()).rev() {
            let other = self.below(place + 1);
            all.swap(place, other);
        }
    }
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn ns_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / float(count)
}

fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(name: &str, value: f64, unit: &str, reference: f64) {
    println!(
        "{name} {value:.1} {unit} {reference:.1} {:.2}",
        value / reference
    );
}

/// What was measured of one filling.
struct Filled {
    allocator: Allocator,
    addresses: Vec<IpAddr>,
    /// ns per allocation: of all (growing tables included), and the median of the first and the last sixteenth.
    mean: f64,
    first: f64,
    last: f64,
    bytes: f64,
}

/// Allocates one address for each key, one at a time.
fn fill(cidr: &str, keys: &[ObjectKey]) -> Outcome<Filled> {
    let claim = claim(&[80], "");
    let mut allocator = allocator(&[pool("pool", &[cidr])?])?;
    let mut addresses = Vec::with_capacity(keys.len());
    let part = keys.len() / 1024;
    let before = LIVE.load(Ordering::Relaxed);
    let start = Start::now();
    let mut marks = Vec::with_capacity(1024);
    for chunk in keys.chunks(part) {
        let start = Start::now();
        for key in chunk {
            addresses.extend(allocator.allocate(key, V4, &claim)?);
        }
        marks.push(ns_each(start.elapsed(), chunk.len()));
    }
    let mean = ns_each(start.elapsed(), keys.len());
    let bytes = float(LIVE.load(Ordering::Relaxed) - before) / float(keys.len());
    Ok(Filled {
        allocator,
        addresses,
        mean,
        first: median(&marks[..64]),
        last: median(&marks[1024 - 64..]),
        bytes,
    })
}

/// Plain collections that could answer "who holds this" and "what does it hold": the reference.
struct Plain {
    by_key: HashMap<ObjectKey, IpAddr>,
    by_address: BTreeSet<IpAddr>,
    insert: f64,
    bytes: f64,
}

fn plain(keys: &[ObjectKey], addresses: &[IpAddr]) -> Plain {
    let before = LIVE.load(Ordering::Relaxed);
    let start = Start::now();
    let mut by_key = HashMap::new();
    let mut by_address = BTreeSet::new();
    for (key, address) in keys.iter().zip(addresses) {
        by_key.insert(key.clone(), *address);
        by_address.insert(*address);
    }
    Plain {
        insert: ns_each(start.elapsed(), keys.len()),
        bytes: float(LIVE.load(Ordering::Relaxed) - before) / float(keys.len()),
        by_key,
        by_address,
    }
}

/// What was measured of one churn: ns per pair, and per allocation.
struct Churned {
    ours: f64,
    theirs: f64,
    alone: f64,
}

/// One Service out, one in, at a fill of `percent`: ns per pair; and the same in the plain collections.
fn churn(
    keys: &[ObjectKey],
    filled: &mut Filled,
    plain: &mut Plain,
    percent: usize,
    rounds: usize,
) -> Outcome<Churned> {
    let claim = claim(&[80], "");
    let mut random = Random(u64::try_from(percent)?);
    let mut order: Vec<usize> = (0..keys.len()).collect();
    random.shuffle(&mut order);
    let (out, inside) = order.split_at_mut(keys.len() * (100 - percent) / 100);
    for number in out.iter() {
        filled.allocator.unassign(&keys[*number]);
        if let Some(address) = plain.by_key.remove(&keys[*number]) {
            plain.by_address.remove(&address);
        }
    }
    let swaps: Vec<(usize, usize)> = (0..rounds)
        .map(|_| {
            let (a, b) = (random.below(out.len()), random.below(inside.len()));
            std::mem::swap(&mut out[a], &mut inside[b]);
            // Out goes what was in, in comes what was out.
            (out[a], inside[b])
        })
        .collect();
    let start = Start::now();
    for (leaves, comes) in &swaps {
        filled.allocator.unassign(&keys[*leaves]);
        black_box(filled.allocator.allocate(&keys[*comes], V4, &claim)?);
    }
    let ours = ns_each(start.elapsed(), rounds);
    let start = Start::now();
    for (leaves, comes) in &swaps {
        if let Some(address) = plain.by_key.remove(&keys[*leaves]) {
            plain.by_address.remove(&address);
            plain.by_key.insert(keys[*comes].clone(), address);
            plain.by_address.insert(address);
        }
    }
    let theirs = ns_each(start.elapsed(), rounds);
    // The allocations of the same churn alone, some at a time: the median of them.
    let batch = (out.len() / 2).min(500);
    let mut marks = Vec::new();
    for _ in 0..rounds / batch / 4 {
        let mut coming = Vec::with_capacity(batch);
        for _ in 0..batch {
            let (a, b) = (random.below(out.len()), random.below(inside.len()));
            std::mem::swap(&mut out[a], &mut inside[b]);
            filled.allocator.unassign(&keys[out[a]]);
            coming.push(inside[b]);
        }
        // Whoever asks has the key at hand.
        for number in &coming {
            black_box(filled.allocator.held(&keys[*number]));
        }
        let start = Start::now();
        for number in &coming {
            black_box(filled.allocator.allocate(&keys[*number], V4, &claim)?);
        }
        marks.push(ns_each(start.elapsed(), coming.len()));
    }
    let alone = median(&marks);
    // All in again.
    for number in out.iter() {
        filled.allocator.allocate(&keys[*number], V4, &claim)?;
    }
    Ok(Churned {
        ours,
        theirs,
        alone,
    })
}

/// First fit by a walk from the first address on, ns per allocation of the last ones of a /16.
fn naive_walk(total: u32, last: u32) -> f64 {
    let mut held: HashSet<IpAddr> = (0..total - last)
        .map(|n| Ipv4Addr::from_bits(0x0a00_0000 + n).into())
        .collect();
    let start = Start::now();
    for _ in 0..last {
        let free = (0..total)
            .map(|n| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)))
            .find(|address| !held.contains(address));
        held.extend(free);
    }
    ns_each(
        start.elapsed(),
        held.len().min(usize::try_from(last).unwrap_or(0)),
    )
}

fn size(name: &str, cidr: &str, keys: &[ObjectKey]) -> Outcome<Filled> {
    let mut filled = fill(cidr, keys)?;
    let mut plain = plain(keys, &filled.addresses);
    print(&format!("fill_{name}"), filled.mean, "ns", plain.insert);
    print(
        &format!("fill_{name}_first_sixteenth"),
        filled.first,
        "ns",
        plain.insert,
    );
    print(
        &format!("fill_{name}_last_sixteenth"),
        filled.last,
        "ns",
        plain.insert,
    );
    print(
        &format!("bytes_per_address_{name}"),
        filled.bytes,
        "B",
        plain.bytes,
    );

    // After a restart: the addresses come back from the Services, in no particular order.
    let mut order: Vec<usize> = (0..keys.len()).collect();
    Random(1).shuffle(&mut order);
    let held: Vec<(&ObjectKey, IpAddr)> = order
        .iter()
        .map(|n| (&keys[*n], filled.addresses[*n]))
        .collect();
    let claim = claim(&[80], "");
    let mut again = allocator(&[pool("pool", &[cidr])?])?;
    let start = Start::now();
    for (key, address) in &held {
        again.assign(key, &[*address], &claim)?;
    }
    let ours = start.elapsed();
    let start = Start::now();
    let mut by_key = HashMap::new();
    let mut by_address = BTreeSet::new();
    for (key, address) in &held {
        by_key.insert((*key).clone(), *address);
        by_address.insert(*address);
    }
    let theirs = start.elapsed();
    print(
        &format!("readopt_{name}"),
        ns_each(ours, held.len()),
        "ns",
        ns_each(theirs, held.len()),
    );
    print(
        &format!("readopt_{name}_all"),
        ours.as_secs_f64() * 1e3,
        "ms",
        theirs.as_secs_f64() * 1e3,
    );
    drop((by_key, by_address, again));

    let start = Start::now();
    for key in keys {
        black_box(filled.allocator.held(key));
    }
    let ours = ns_each(start.elapsed(), keys.len());
    let start = Start::now();
    for key in keys {
        black_box(plain.by_key.get(key));
    }
    print(
        &format!("held_{name}"),
        ours,
        "ns",
        ns_each(start.elapsed(), keys.len()),
    );

    for percent in [50, 99] {
        let churned = churn(keys, &mut filled, &mut plain, percent, 200_000)?;
        print(
            &format!("churn_{name}_{percent}_percent"),
            churned.ours,
            "ns",
            churned.theirs,
        );
        print(
            &format!("allocate_{name}_{percent}_percent"),
            churned.alone,
            "ns",
            churned.theirs / 2.0,
        );
        plain = self::plain(keys, &filled.addresses);
    }
    Ok(filled)
}

/// Services that share: by fours on an address, and all with the same port so that each has its own.
fn sharing(keys: &[ObjectKey]) -> Outcome<()> {
    let pool = [pool("pool", &["10.0.0.0/16"])?];
    let mut plain_keys = HashMap::new();
    let start = Start::now();
    for (n, key) in keys.iter().enumerate() {
        plain_keys.insert(key.clone(), n);
    }
    let reference = ns_each(start.elapsed(), keys.len());

    let claims = [80, 81, 82, 83].map(|port| claim(&[port], "key"));
    let mut by_fours = allocator(&pool)?;
    let before = LIVE.load(Ordering::Relaxed);
    let start = Start::now();
    for (key, claim) in keys.iter().zip(claims.iter().cycle()) {
        by_fours.allocate(key, V4, claim)?;
    }
    let ours = ns_each(start.elapsed(), keys.len());
    let bytes = float(LIVE.load(Ordering::Relaxed) - before) / float(keys.len());
    print("sharing_by_fours", ours, "ns", reference);
    print(
        "bytes_per_sharing_service",
        bytes,
        "B",
        plain(keys, &[IpAddr::from([10, 0, 0, 0])].repeat(keys.len())).bytes,
    );

    let own: Vec<Claim> = (0..keys.len() / 4)
        .map(|n| claim(&[80, 443], &format!("key-{n}")))
        .collect();
    let mut many_keys = allocator(&pool)?;
    let start = Start::now();
    for (key, claim) in keys.iter().zip(&own) {
        many_keys.allocate(key, V4, claim)?;
    }
    print(
        "sharing_one_key_each",
        ns_each(start.elapsed(), own.len()),
        "ns",
        reference,
    );

    let web = claim(&[80, 443], "key");
    let mut same_port = allocator(&pool)?;
    let start = Start::now();
    for key in keys {
        same_port.allocate(key, V4, &web)?;
    }
    print(
        "sharing_one_key_one_port",
        ns_each(start.elapsed(), keys.len()),
        "ns",
        reference,
    );
    // The last address alone lacks a port that the Service wants.
    let lacking = [keys.len() - 1, keys.len() - 2].map(|n| &keys[n]);
    for key in lacking {
        same_port.unassign(key);
    }
    same_port.allocate(lacking[0], V4, &claim(&[443], "key"))?;
    let start = Start::now();
    for _ in 0..1_000 {
        same_port.allocate(lacking[1], V4, &claim(&[80], "key"))?;
        same_port.unassign(lacking[1]);
    }
    print(
        "sharing_worst_place",
        ns_each(start.elapsed(), 1_000),
        "ns",
        reference,
    );
    Ok(())
}

/// 10,000 pools, with `keys` held: replacing them, and allocating from the last.
fn many_pools(keys: &[ObjectKey]) -> Outcome<()> {
    let mut pools = Vec::new();
    for n in 0..10_000_u32 {
        let first = Ipv4Addr::from_bits(0x0a00_0000 + 128 * n);
        pools.push(pool(
            &format!("pool-{n}"),
            &[&format!("{first}/25"), &format!("fd00:0:{n:x}::/64")],
        )?);
    }
    let mut allocator = allocator(&pools)?;
    let claim = claim(&[80], "");
    let start = Start::now();
    for key in keys {
        allocator.allocate(key, V4, &claim)?;
    }
    let each = ns_each(start.elapsed(), keys.len());
    let start = Start::now();
    let mut plain: HashMap<ObjectKey, usize> = HashMap::new();
    for (n, key) in keys.iter().enumerate() {
        plain.insert(key.clone(), n);
    }
    let insert = start.elapsed();
    print(
        "fill_10000_pools_million",
        each,
        "ns",
        ns_each(insert, keys.len()),
    );
    pools.reverse();
    let start = Start::now();
    allocator.set_pools(&pools)?;
    print(
        "set_10000_pools_million_held",
        start.elapsed().as_secs_f64() * 1e3,
        "ms",
        insert.as_secs_f64() * 1e3,
    );
    Ok(())
}

fn main() -> Outcome<()> {
    println!("name value unit reference ratio");
    let keys = keys(1 << 20);
    let small = size("16", "10.0.0.0/16", &keys[..1 << 16])?;
    let naive = naive_walk(1 << 16, 200);
    print("naive_last_of_16", small.last, "ns", naive);
    drop(small);
    let large = size("12", "10.0.0.0/12", &keys)?;
    drop(large);
    sharing(&keys[..1 << 16])?;
    many_pools(&keys)?;
    Ok(())
}
