//! Where endpoints come from: EndpointSlices v1, else v1beta1, else Endpoints. Found out at run time.
//!
//! Upstream: 0.12 uses `discovery.k8s.io/v1beta1` if `default/kubernetes` has a slice, which tells that the server
//! makes slices at all (1.16 to 1.18 could serve the API without a controller that fills it). The same is asked here
//! of v1beta1. v1 exists from 1.21 on, where the controller always runs, so it is not asked there.
//!
//! An API that is withdrawn while we run (v1beta1 on an upgrade to 1.25) leads to the next choice; what was told and is
//! not there any more is reported as gone.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: reads the clock for the reporter"
)]

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::{Api, Failure, REQUEST_TIMEOUT};
use super::reporter::{Operation, Reporter, explain};
use super::store::{EndpointsStore, FromEndpoints, FromSlices};
use super::watch::{self, Backoff, Ended, Target};
use crate::cluster::{Change, Kind};
use crate::journal::{Level, Record};

const SLICES: &str = "endpointslices.discovery.k8s.io";

/// A kind of object that says where endpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `discovery.k8s.io/v1`.
    SlicesV1,
    /// `discovery.k8s.io/v1beta1`.
    SlicesV1Beta1,
    /// `v1` Endpoints.
    Endpoints,
}

impl Source {
    fn api_version(self) -> &'static str {
        match self {
            Self::SlicesV1 => "discovery.k8s.io/v1 EndpointSlices",
            Self::SlicesV1Beta1 => "discovery.k8s.io/v1beta1 EndpointSlices",
            Self::Endpoints => "v1 Endpoints",
        }
    }

    fn target(self) -> Target {
        let (path, resource, page) = match self {
            Self::SlicesV1 => ("/apis/discovery.k8s.io/v1/endpointslices", SLICES, 250),
            Self::SlicesV1Beta1 => ("/apis/discovery.k8s.io/v1beta1/endpointslices", SLICES, 250),
            // An Endpoints object may have thousands of addresses.
            Self::Endpoints => ("/api/v1/endpoints", "endpoints", 100),
        };
        Target {
            path: path.to_owned(),
            field_selector: None,
            resource,
            page,
            kind: Kind::Endpoints,
            replaceable: self != Self::Endpoints,
        }
    }
}

/// Tells all endpoints until nobody listens.
pub(super) async fn run(
    api: &Api,
    reporter: &Reporter,
    disable_slices: bool,
    out: &mpsc::Sender<Change>,
) {
    let mut store = EndpointsStore::default();
    let mut backoff = Backoff::new();
    loop {
        let source = if disable_slices {
            Source::Endpoints
        } else {
            match detect(api, reporter).await {
                Ok(source) => source,
                Err((operation, failure)) => {
                    reporter.failed(Instant::now().into_std(), operation, &failure);
                    tokio::select! {
                        () = backoff.pause(reporter, Some(&failure)) => continue,
                        () = out.closed() => return,
                    }
                }
            }
        };
        reporter.say(
            Record::event("endpointsSource", "endpoints are read from here")
                .with("source", source.api_version()),
        );
        let target = source.target();
        let ended = match source {
            Source::Endpoints => {
                let mut from = FromEndpoints(store);
                let ended = watch::run(api, reporter, &target, &mut from, out, None).await;
                store = from.0;
                ended
            }
            Source::SlicesV1 | Source::SlicesV1Beta1 => {
                let mut from = FromSlices(store);
                let ended = watch::run(api, reporter, &target, &mut from, out, None).await;
                store = from.0;
                ended
            }
        };
        match ended {
            Ended::ConsumerGone => return,
            Ended::NotServed => backoff.pause(reporter, None).await,
        }
    }
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    #[serde(default)]
    version: String,
}

const DISCOVER: Operation = Operation {
    verb: "discover",
    resource: SLICES,
};

/// Which kind this server serves, grants and fills.
async fn detect(api: &Api, reporter: &Reporter) -> Result<Source, (Operation, Failure)> {
    let group = Api::get("/apis/discovery.k8s.io");
    let versions = match api.json::<Group>(group, REQUEST_TIMEOUT).await {
        Ok(group) => group.versions,
        Err(failure) if failure.code() == Some(404) => Vec::new(),
        Err(failure) => return Err((DISCOVER, failure)),
    };
    for (name, source) in [("v1", Source::SlicesV1), ("v1beta1", Source::SlicesV1Beta1)] {
        if !versions.iter().any(|version| version.version == name) {
            continue;
        }
        match probe(api, source).await {
            Ok(true) => return Ok(source),
            Ok(false) => {}
            Err((operation, failure))
                if reporter.is_refusal(Instant::now().into_std(), &failure) =>
            {
                let record = Record::failed(
                    "endpointsSource",
                    explain(operation, &failure),
                    "EndpointSlices are not granted, reading Endpoints instead",
                );
                reporter.say(record.at(Level::Warn));
                return Ok(Source::Endpoints);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Source::Endpoints)
}

/// Whether there is something to read, and we may.
async fn probe(api: &Api, source: Source) -> Result<bool, (Operation, Failure)> {
    let (verb, path) = match source {
        Source::SlicesV1 => ("list", "/apis/discovery.k8s.io/v1/endpointslices?limit=1"),
        Source::SlicesV1Beta1 => (
            "get",
            "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices/kubernetes",
        ),
        Source::Endpoints => return Ok(true),
    };
    match api.bytes(Api::get(path), REQUEST_TIMEOUT).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.code() == Some(404) => Ok(false),
        Err(failure) => {
            let resource = SLICES;
            Err((Operation { verb, resource }, failure))
        }
    }
}

#[cfg(test)]
mod tests;
