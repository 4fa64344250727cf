//! BGP and BFD as the speaker's programs start and end them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::speaker::REPORTS;
use crate::bfd::driver::Bfd;
use crate::bgp::driver::Bgp;
use crate::metrics::{self, Exposition, Registry};
use crate::{bfd, bgp};

/// How long the end may take in all: a Pod is killed after 2 s.
const END: Duration = Duration::from_millis(1900);

/// BGP and BFD at work.
#[derive(Debug)]
pub struct Routing {
    /// BGP.
    pub bgp: Bgp,
    /// What it has to say.
    pub bgp_reports: mpsc::Receiver<bgp::Report>,
    /// BFD.
    pub bfd: Arc<Bfd>,
    /// What it has to say.
    pub bfd_reports: mpsc::Receiver<bfd::Report>,
}

impl Routing {
    /// Starts both. They do nothing before the first peer.
    ///
    /// # Errors
    ///
    /// The kernel refuses what BFD needs.
    pub fn start() -> Result<Self, bfd::driver::StartError> {
        let (bgp_report, bgp_reports) = mpsc::channel(REPORTS);
        let (bfd_report, bfd_reports) = mpsc::channel(REPORTS);
        Ok(Self {
            bgp: Bgp::start(bgp_report),
            bgp_reports,
            bfd: Arc::new(Bfd::start(bfd_report)?),
            bfd_reports,
        })
    }

    /// Adds their figures.
    pub fn register(&self, registry: &mut Registry) {
        let bgp = self.bgp.figures();
        registry.add(move |out: &mut Exposition| {
            metrics::bgp(&bgp.read(), bgp.reports_dropped(), out);
        });
        let bfd = Arc::downgrade(&self.bfd);
        registry.add(move |out: &mut Exposition| {
            if let Some(bfd) = bfd.upgrade() {
                metrics::bfd(&bfd.figures(), &bfd.drops(), bfd.reports_dropped(), out);
            }
        });
    }
}

/// When the end began.
#[derive(Debug)]
pub struct Ending(Arc<OnceLock<Instant>>);

impl Ending {
    /// Notices when it begins.
    #[must_use]
    pub fn watch(stop: &tokio_util::sync::CancellationToken) -> Self {
        let began = Arc::new(OnceLock::new());
        let (stop, seen) = (stop.clone(), began.clone());
        tokio::spawn(async move {
            stop.cancelled().await;
            let _ = seen.set(now());
        });
        Self(began)
    }

    /// Waits until BGP and BFD have said what they have to say, as long as there is time.
    pub async fn last_words(self, bgp: Bgp, bfd: Arc<Bfd>) {
        let deadline = *self.0.get_or_init(now) + END;
        // BGP first: FRR takes BFD's AdminDown for a failure, drops the session, and never reads why we leave.
        let both = async {
            bgp.shutdown().await;
            // It joins a thread that says goodbye at each peer's pace.
            let _ = tokio::task::spawn_blocking(move || drop(bfd)).await;
        };
        let _ = tokio::time::timeout_at(deadline, both).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the world: when the end began")]
fn now() -> Instant {
    Instant::now()
}
