//! A page that is passed on.

use std::sync::Arc;

use super::*;
use crate::http::Health;
use crate::metrics::{Exposition, Registry, Type};

/// A speaker's page with a family of each kind.
fn speaker(host: &str) -> SocketAddr {
    let mut registry = Registry::default();
    registry.add(|out: &mut Exposition| {
        for name in [
            "metallb_bgp_session_up",
            "metallb_bfd_session_up",
            "metallb_speaker_announced",
            "ferrolb_bgp_reports_dropped_total",
        ] {
            out.family(name, Type::Gauge, "About metallb_bgp_ things.")
                .sample(&[("peer", "192.0.2.1:179")], 1.0);
        }
    });
    let params = http::Params {
        host: host.to_owned(),
        port: 0,
        profiling: false,
    };
    http::start(&params, registry, Arc::new(Health::new(&[])))
        .unwrap()
        .address()
}

async fn text(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

const WANT: &str = "\
# HELP metallb_bfd_session_up About metallb_bgp_ things.
# TYPE metallb_bfd_session_up gauge
metallb_bfd_session_up{peer=\"192.0.2.1:179\"} 1
# HELP metallb_bgp_session_up About metallb_bgp_ things.
# TYPE metallb_bgp_session_up gauge
metallb_bgp_session_up{peer=\"192.0.2.1:179\"} 1
";

#[tokio::test]
async fn the_speaker_is_found_wherever_it_listens_and_its_figures_of_bgp_and_bfd_are_passed_on() {
    for host in ["127.0.0.1", "127.0.0.77", ""] {
        let address = speaker(host);
        let found = listens_at(address.port());
        if host.is_empty() {
            assert!(found.is_loopback());
        } else {
            assert_eq!(found, address.ip());
        }
        let page = text(page(None, address.port()).await).await;
        assert_eq!(page, (StatusCode::OK, WANT.to_owned()), "{host:?}");
    }
}

#[tokio::test]
async fn a_speaker_that_is_not_there_is_an_error_that_says_where_it_was_looked_for() {
    // Nobody serves figures on tcpmux.
    let port = 1;
    let (status, text) = text(page(Some(Ipv4Addr::LOCALHOST.into()), port).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text.starts_with(&format!(
            "the speaker at 127.0.0.1:{port} does not answer: "
        )),
        "{text}"
    );
}
