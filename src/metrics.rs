//! What `/metrics` shows: names and labels of MetalLB 0.12 (section 6 of its behaviour), and some of ours.
//!
//! The parts of the program put down snapshots and count in atomics; a [`Registry`] reads them when somebody asks.
//! Invariant: reading shares no lock with the data path, and a scrape never makes it wait.
//!
//! The text form is Prometheus' 0.0.4 as its Go client writes it: families by name, samples by their labels, numbers in
//! Go's shortest form. Ours begin with `ferrolb_`. 0.12 also shows its Go runtime (`go_*`, `promhttp_*`): there is none here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use ferrolb_compat::names::metric;

use crate::controller;
use crate::layer2;
use crate::logging::Journal;
use crate::memberlist::driver as memberlist_driver;
use crate::speaker;
use crate::{bfd, bgp};

mod process;
mod text;

pub use process::Process;
pub use text::{Exposition, Type};

/// Something that has figures.
pub trait Source: Send + Sync {
    /// Adds what it has now.
    fn collect(&self, out: &mut Exposition);
}

impl<F: Fn(&mut Exposition) + Send + Sync> Source for F {
    fn collect(&self, out: &mut Exposition) {
        self(out);
    }
}

/// All that `/metrics` shows.
#[derive(Default)]
pub struct Registry {
    sources: Vec<Box<dyn Source>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry of {} sources", self.sources.len())
    }
}

impl Registry {
    /// The figures that every program has: its process, its build, its log.
    #[must_use]
    pub fn of_process(program: &'static str, journal: Journal) -> Self {
        let mut registry = Self::default();
        registry.add(Process::default());
        registry.add(move |out: &mut Exposition| {
            out.family(
                "ferrolb_build_info",
                Type::Gauge,
                "Always 1; the labels say what is running.",
            )
            .sample(
                &[
                    ("commit", crate::cli::COMMIT.unwrap_or("unknown")),
                    ("program", program),
                    ("version", crate::cli::VERSION),
                ],
                1.0,
            );
            out.family(
                "ferrolb_log_lines_dropped_total",
                Type::Counter,
                "Log lines that were dropped because stdout did not take them.",
            )
            .sample(&[], float(journal.dropped()));
        });
        registry
    }

    /// Adds a source.
    pub fn add(&mut self, source: impl Source + 'static) {
        self.sources.push(Box::new(source));
    }

    /// The page.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Exposition::default();
        for source in &self.sources {
            source.collect(&mut out);
        }
        out.into_text()
    }
}

/// A counter's value as a sample: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floating-point numbers"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The same for what may be below zero.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floating-point numbers"
)]
fn signed(count: i64) -> f64 {
    count as f64
}

/// What 0.12 shows of its Kubernetes client, in both programs.
struct Client {
    loaded: bool,
    stale: bool,
    updates: u64,
    update_errors: u64,
}

impl Client {
    fn collect(&self, out: &mut Exposition) {
        out.family(
            metric::CLIENT_UPDATES_TOTAL,
            Type::Counter,
            "Number of Kubernetes objects that were processed.",
        )
        .sample(&[], float(self.updates));
        out.family(
            metric::CLIENT_UPDATE_ERRORS_TOTAL,
            Type::Counter,
            "Number of Kubernetes objects whose processing failed.",
        )
        .sample(&[], float(self.update_errors));
        out.family(
            metric::CLIENT_CONFIG_LOADED,
            Type::Gauge,
            "1 if a configuration was successfully loaded at least once.",
        )
        .sample(&[], f64::from(u8::from(self.loaded)));
        out.family(
            metric::CLIENT_CONFIG_STALE,
            Type::Gauge,
            "1 if the configuration in force is older than the ConfigMap, because that was refused.",
        )
        .sample(&[], f64::from(u8::from(self.stale)));
    }
}

/// How status writes ended, in the order of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteEnd {
    /// The API server refuses it.
    Refused,
    /// Somebody else was first.
    Superseded,
    /// The API server could not be reached.
    Unavailable,
    /// It is written.
    Written,
}

impl WriteEnd {
    const ALL: [Self; 4] = [
        Self::Refused,
        Self::Superseded,
        Self::Unavailable,
        Self::Written,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Unavailable => "unavailable",
            Self::Written => "written",
        }
    }
}

/// The controller's figures: its task puts them down, `/metrics` reads them.
#[derive(Debug, Default)]
pub struct Controller {
    stats: ArcSwap<controller::Stats>,
    refused: AtomicU64,
    superseded: AtomicU64,
    unavailable: AtomicU64,
    written: AtomicU64,
}

impl Controller {
    /// Puts down how it stands.
    pub fn publish(&self, stats: controller::Stats) {
        self.stats.store(Arc::new(stats));
    }

    /// How it stood when that was last put down.
    #[must_use]
    pub fn stats(&self) -> Arc<controller::Stats> {
        self.stats.load_full()
    }

    /// Counts the end of a status write.
    pub fn count_write(&self, end: WriteEnd) {
        self.counter(end).fetch_add(1, Ordering::Relaxed);
    }

    fn counter(&self, end: WriteEnd) -> &AtomicU64 {
        match end {
            WriteEnd::Refused => &self.refused,
            WriteEnd::Superseded => &self.superseded,
            WriteEnd::Unavailable => &self.unavailable,
            WriteEnd::Written => &self.written,
        }
    }
}

impl Source for Arc<Controller> {
    fn collect(&self, out: &mut Exposition) {
        let stats = self.stats.load();
        Client {
            loaded: stats.config_loaded,
            stale: stats.config_stale,
            updates: stats.updates,
            update_errors: stats.update_errors,
        }
        .collect(out);
        let family = out.family(
            metric::ALLOCATOR_ADDRESSES_TOTAL,
            Type::Gauge,
            "Number of addresses that a pool has.",
        );
        for (pool, total, _) in &stats.pools {
            family.sample(&[("pool", pool)], signed(*total));
        }
        let family = out.family(
            metric::ALLOCATOR_ADDRESSES_IN_USE_TOTAL,
            Type::Gauge,
            "Number of addresses of a pool that Services hold.",
        );
        for (pool, _, in_use) in &stats.pools {
            family.sample(&[("pool", pool)], signed(*in_use));
        }
        let family = out.family(
            "ferrolb_status_writes_total",
            Type::Counter,
            "Writes of a Service's status, by how they ended.",
        );
        for end in WriteEnd::ALL {
            family.sample(
                &[("outcome", end.as_str())],
                float(self.counter(end).load(Ordering::Relaxed)),
            );
        }
    }
}

/// The speaker's figures: its task puts them down, `/metrics` reads them.
#[derive(Debug)]
pub struct Speaker {
    node: Arc<str>,
    state: ArcSwap<SpeakerState>,
    strict_arp_off: AtomicBool,
}

#[derive(Debug, Default)]
struct SpeakerState {
    stats: speaker::Stats,
    announcements: Vec<speaker::Announcement>,
}

impl Speaker {
    /// The figures of this node's speaker.
    #[must_use]
    pub fn new(node: Arc<str>) -> Self {
        Self {
            node,
            state: ArcSwap::default(),
            strict_arp_off: AtomicBool::new(false),
        }
    }

    /// Puts down how it stands.
    pub fn publish(&self, stats: speaker::Stats, announcements: Vec<speaker::Announcement>) {
        self.state.store(Arc::new(SpeakerState {
            stats,
            announcements,
        }));
    }

    /// What was announced when it was last put down.
    #[must_use]
    pub fn announcements(&self) -> Vec<speaker::Announcement> {
        self.state.load().announcements.clone()
    }

    /// Whether this host's kernel answers ARP for addresses that it should leave to the speakers.
    pub fn set_strict_arp_off(&self, off: bool) {
        self.strict_arp_off.store(off, Ordering::Relaxed);
    }
}

impl Source for Arc<Speaker> {
    fn collect(&self, out: &mut Exposition) {
        let state = self.state.load();
        Client {
            loaded: state.stats.config_loaded,
            stale: state.stats.config_stale,
            updates: state.stats.updates,
            update_errors: state.stats.update_errors,
        }
        .collect(out);
        let family = out.family(
            metric::SPEAKER_ANNOUNCED,
            Type::Gauge,
            "1 for each address of a Service that this node announces.",
        );
        for announcement in &state.announcements {
            family.sample(
                &[
                    ("ip", &announcement.ip.to_string()),
                    ("node", &self.node),
                    ("protocol", announcement.protocol.0),
                    ("service", announcement.service.as_str()),
                ],
                1.0,
            );
        }
        out.family(
            "ferrolb_layer2_strict_arp_off",
            Type::Gauge,
            "1 if this host's kernel answers ARP for announced addresses (kube-proxy in IPVS mode without strict ARP).",
        )
        .sample(
            &[],
            f64::from(u8::from(self.strict_arp_off.load(Ordering::Relaxed))),
        );
    }
}

/// A counter of layer 2: its name, its help, and where it stands.
type Column = (&'static str, &'static str, fn(&layer2::Counters) -> u64);

/// Layer 2's counters, by address.
pub fn layer2(counters: &[(std::net::IpAddr, layer2::Counters)], out: &mut Exposition) {
    let columns: [Column; 4] = [
        (
            metric::LAYER2_REQUESTS_RECEIVED,
            "Number of layer 2 requests received for an announced address.",
            |counters| counters.requests_received,
        ),
        (
            metric::LAYER2_RESPONSES_SENT,
            "Number of layer 2 responses sent for an announced address.",
            |counters| counters.responses_sent,
        ),
        (
            metric::LAYER2_GRATUITOUS_SENT,
            "Number of gratuitous layer 2 packets sent for an announced address.",
            |counters| counters.gratuitous_sent,
        ),
        (
            "metallb_layer2_conflicts_total",
            "Number of times that another station was found to have an announced address as well.",
            |counters| counters.conflicts,
        ),
    ];
    for (name, help, value) in columns {
        let family = out.family(name, Type::Counter, help);
        for (ip, counters) in counters {
            // As in 0.12, an address has a series from its first packet on.
            let count = value(counters);
            if count > 0 {
                family.sample(&[("ip", &ip.to_string())], float(count));
            }
        }
    }
}

/// A figure of a BGP peer: its name, its help, what it is, and where it stands.
type BgpColumn = (
    &'static str,
    &'static str,
    Type,
    fn(&bgp::session::Figures) -> u64,
);

/// BGP's figures, by peer.
pub fn bgp(peers: &[bgp::driver::PeerFigures], reports_dropped: u64, out: &mut Exposition) {
    use Type::{Counter, Gauge};
    let columns: [BgpColumn; 8] = [
        (
            metric::BGP_SESSION_UP,
            "BGP session state (1 is up, 0 is down).",
            Gauge,
            |figures| figures.up.into(),
        ),
        (
            metric::BGP_ANNOUNCED_PREFIXES_TOTAL,
            "Number of prefixes currently being advertised on the BGP session.",
            Gauge,
            |figures| count(figures.announced),
        ),
        (
            metric::BGP_PENDING_PREFIXES_TOTAL,
            "Number of prefixes that a message to the peer is still to be sent about.",
            Gauge,
            |figures| count(figures.pending),
        ),
        (
            metric::BGP_UPDATES_TOTAL,
            "Number of BGP UPDATE messages sent.",
            Counter,
            |figures| figures.counters.updates_out,
        ),
        (
            "ferrolb_bgp_unsendable_prefixes",
            "Prefixes that are wanted and that the session cannot carry: the log says why.",
            Gauge,
            |figures| count(figures.unsendable),
        ),
        (
            "ferrolb_bgp_sessions_established_total",
            "Times that the session came up.",
            Counter,
            |figures| figures.counters.established,
        ),
        (
            "ferrolb_bgp_connect_failures_total",
            "Times that the peer could not be reached.",
            Counter,
            |figures| figures.counters.connect_failures,
        ),
        (
            "ferrolb_bgp_notifications_received_total",
            "Times that the peer ended the session with a NOTIFICATION.",
            Counter,
            |figures| figures.counters.notifications_in,
        ),
    ];
    for (name, help, kind, value) in columns {
        let family = out.family(name, kind, help);
        for peer in peers {
            family.sample(&[("peer", &peer.peer)], float(value(&peer.session)));
        }
    }
    out.family(
        "ferrolb_bgp_reports_dropped_total",
        Counter,
        "Reports of BGP that were dropped because nobody took them.",
    )
    .sample(&[], float(reports_dropped));
}

/// A number of things in memory.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A figure of a BFD peer: its name, its help, what it is, and where it stands.
type BfdColumn = (
    &'static str,
    &'static str,
    Type,
    fn(&bfd::driver::Figures) -> u64,
);

/// BFD's figures, by peer, and the packets that were dropped, by reason.
pub fn bfd(
    peers: &[(std::net::IpAddr, bfd::driver::Figures)],
    dropped: &[(&'static str, u64)],
    reports_dropped: u64,
    out: &mut Exposition,
) {
    use Type::{Counter, Gauge};
    let columns: [BfdColumn; 7] = [
        (
            metric::BFD_SESSION_UP,
            "BFD session state (1 is up, 0 is down).",
            Gauge,
            |figures| figures.up.into(),
        ),
        (
            metric::BFD_CONTROL_PACKET_INPUT,
            "Number of received BFD control packets.",
            Counter,
            |figures| figures.control_packet_input,
        ),
        (
            metric::BFD_CONTROL_PACKET_OUTPUT,
            "Number of sent BFD control packets.",
            Counter,
            |figures| figures.control_packet_output,
        ),
        (
            metric::BFD_ECHO_PACKET_INPUT,
            "Number of received BFD echo packets.",
            Counter,
            |figures| figures.echo_packet_input,
        ),
        (
            metric::BFD_ECHO_PACKET_OUTPUT,
            "Number of sent BFD echo packets.",
            Counter,
            |figures| figures.echo_packet_output,
        ),
        (
            metric::BFD_SESSION_UP_EVENTS,
            "Number of times that the BFD session came up.",
            Counter,
            |figures| figures.session_up_events,
        ),
        (
            metric::BFD_SESSION_DOWN_EVENTS,
            "Number of times that the BFD session went down.",
            Counter,
            |figures| figures.session_down_events,
        ),
    ];
    for (name, help, kind, value) in columns {
        let family = out.family(name, kind, help);
        for (peer, figures) in peers {
            family.sample(&[("peer", &peer.to_string())], float(value(figures)));
        }
    }
    let family = out.family(
        "ferrolb_bfd_dropped_total",
        Counter,
        "BFD packets that were not taken, by reason.",
    );
    for (reason, number) in dropped {
        family.sample(&[("reason", reason)], float(*number));
    }
    out.family(
        "ferrolb_bfd_reports_dropped_total",
        Counter,
        "Lines of BFD for the log that were dropped because nobody took them.",
    )
    .sample(&[], float(reports_dropped));
}

/// A figure of the gossip: its name, its help, what it is, and where it stands.
type GossipColumn = (
    &'static str,
    &'static str,
    Type,
    fn(&memberlist_driver::Counters) -> u64,
);

/// The figures of the gossip between speakers. MetalLB has none.
pub fn memberlist(counters: &memberlist_driver::Counters, out: &mut Exposition) {
    use Type::{Counter, Gauge};
    let columns: [GossipColumn; 22] = [
        (
            "ferrolb_memberlist_members",
            "Members of the gossip that count as live speakers, this one included.",
            Gauge,
            |counters| u64::try_from(counters.members).unwrap_or(u64::MAX),
        ),
        (
            "ferrolb_memberlist_health_score",
            "How much this speaker distrusts itself: 0 is good.",
            Gauge,
            |counters| counters.health.into(),
        ),
        (
            "ferrolb_memberlist_broadcasts_queued",
            "Claims that wait to be passed on.",
            Gauge,
            |counters| u64::try_from(counters.queued).unwrap_or(u64::MAX),
        ),
        (
            "ferrolb_memberlist_datagrams_received_total",
            "Datagrams read from the gossip's port.",
            Counter,
            |counters| counters.received,
        ),
        (
            "ferrolb_memberlist_datagrams_sent_total",
            "Datagrams sent to other speakers.",
            Counter,
            |counters| counters.sent,
        ),
        (
            "ferrolb_memberlist_datagrams_unsent_total",
            "Datagrams that the kernel did not take.",
            Counter,
            |counters| counters.send_failures,
        ),
        (
            "ferrolb_memberlist_streams_accepted_total",
            "Streams that were opened to the gossip's port.",
            Counter,
            |counters| counters.streams_in,
        ),
        (
            "ferrolb_memberlist_streams_displaced_total",
            "Streams that were closed to make room for newer ones.",
            Counter,
            |counters| counters.streams_refused,
        ),
        (
            "ferrolb_memberlist_streams_dialled_total",
            "Streams that were opened to other speakers, or tried.",
            Counter,
            |counters| counters.streams_out,
        ),
        (
            "ferrolb_memberlist_probes_failed_total",
            "Probes of other speakers that ended without an answer.",
            Counter,
            |counters| counters.swim.probes_failed,
        ),
        (
            "ferrolb_memberlist_suspicions_total",
            "Times that another speaker became suspect.",
            Counter,
            |counters| counters.swim.suspicions,
        ),
        (
            "ferrolb_memberlist_deaths_total",
            "Times that another speaker was given up without having left.",
            Counter,
            |counters| counters.swim.deaths,
        ),
        (
            "ferrolb_memberlist_refutations_total",
            "Times that others doubted this speaker and it said that it lives.",
            Counter,
            |counters| counters.swim.refutations,
        ),
        (
            "ferrolb_memberlist_stalls_total",
            "Times that this speaker did not run when it should have.",
            Counter,
            |counters| counters.swim.stalls,
        ),
        (
            "ferrolb_heartbeat_watched",
            "Other FerroLB speakers that this one watches by heartbeats.",
            Gauge,
            |counters| u64::try_from(counters.watched).unwrap_or(u64::MAX),
        ),
        (
            "ferrolb_heartbeat_watched_well",
            "Those of them the way to which is good enough to find them dead in half a second.",
            Gauge,
            |counters| u64::try_from(counters.judged).unwrap_or(u64::MAX),
        ),
        (
            "ferrolb_heartbeat_sent_total",
            "Heartbeats sent to other FerroLB speakers.",
            Counter,
            |counters| counters.heartbeat.pings,
        ),
        (
            "ferrolb_heartbeat_answered_total",
            "Heartbeats that were answered.",
            Counter,
            |counters| counters.heartbeat.acks,
        ),
        (
            "ferrolb_heartbeat_doubts_total",
            "Times that a watched speaker fell silent and others were asked whether they hear it.",
            Counter,
            |counters| counters.heartbeat.doubts,
        ),
        (
            "ferrolb_heartbeat_verdicts_total",
            "Times that nobody heard it and this speaker declared it dead.",
            Counter,
            |counters| counters.heartbeat.verdicts,
        ),
        (
            "ferrolb_heartbeat_hasty_total",
            "Watched speakers that were back within five seconds of their death: declared dead wrongly, or restarted.",
            Counter,
            |counters| counters.heartbeat.hasty,
        ),
        (
            "ferrolb_heartbeat_late_total",
            "Times that this speaker did not run in time to judge others.",
            Counter,
            |counters| counters.heartbeat.late,
        ),
    ];
    for (name, help, kind, value) in columns {
        out.family(name, kind, help)
            .sample(&[], float(value(counters)));
    }
    let family = out.family(
        "ferrolb_memberlist_dropped_total",
        Counter,
        "Datagrams, parts of them and messages on streams that were not taken, by reason.",
    );
    for (reason, count) in &counters.dropped {
        family.sample(&[("reason", reason.as_str())], float(*count));
    }
}

#[cfg(test)]
mod tests;
