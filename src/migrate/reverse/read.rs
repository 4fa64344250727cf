//! What is in the files, and what cannot be taken of it.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::Spec;
use ferrolb_compat::crd::read::{Foreign, Found, Read};
use ferrolb_compat::crd::schema::{Judge, Schemas};
use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::Document;

use super::{At, Lost, ReverseOptions, told};
use crate::migrate::{Finding, Level, finding};

/// Everything that is in the files, and what cannot be taken of it.
pub(super) fn read(
    files: &[Vec<Document>],
    parsed: Vec<Read>,
    target: Release,
    options: &ReverseOptions,
    findings: &mut Vec<Finding>,
) -> (Vec<(usize, Found)>, Lost) {
    let schemas = Schemas::of(target);
    let judge = Judge {
        schemas: &schemas,
        kubernetes: None,
    };
    let (mut all, mut lost) = (Vec::new(), Lost::new());
    for (file, (documents, read)) in files.iter().zip(parsed).enumerate() {
        let mut refused = BTreeSet::new();
        for fault in documents.iter().flat_map(|document| judge.check(document)) {
            refused.insert((fault.place.line, fault.place.column));
            let mut finding = finding(
                Level::Blocked,
                "MIG049",
                format!("{}: {}", fault.resource, fault.path),
                Some(fault.place),
                fault.message,
                "",
            );
            finding.file = file;
            findings.push(finding);
        }
        all.extend(read.found.into_iter().map(|found| (file, found)));
        for rest in read.rest {
            let (code, lossy) = match rest.what {
                Foreign::PeerField => ("MIG060", true),
                Foreign::LimitedAdvertisement => ("MIG062", true),
                Foreign::LimitedPool => ("MIG063", true),
                Foreign::Kind => ("MIG067", false),
                Foreign::Password => ("MIG065", false),
                Foreign::Fault => ("MIG049", false),
            };
            // The schema has refused it already.
            let known = refused.contains(&(rest.place.line, rest.place.column));
            if known && matches!(rest.what, Foreign::Fault | Foreign::Kind) {
                continue;
            }
            let level = if lossy && options.lossy {
                let comment = format!("{code}: {} is left out", rest.path);
                let resource = rest.resource.clone();
                lost.entry(resource).or_default().insert(comment);
                Level::Warning
            } else {
                Level::Blocked
            };
            let (kind, name) = &rest.resource;
            findings.push(told(
                level,
                code,
                (kind, name),
                &rest.path,
                (file, rest.place),
                rest.message,
            ));
        }
    }
    (all, lost)
}

/// The resources of one namespace, and its name.
pub(super) fn of_one_namespace<'f>(
    all: &'f [(usize, Found)],
    options: &ReverseOptions,
    findings: &mut Vec<Finding>,
) -> (Vec<(usize, &'f Found)>, Option<String>) {
    let mut namespaces: BTreeMap<&str, At> = BTreeMap::new();
    for (file, found) in all {
        // Secrets may come from a listing of everything.
        if !matches!(found.resource.spec, Spec::Secret(_)) && !found.namespace.is_empty() {
            namespaces
                .entry(&found.namespace)
                .or_insert((*file, found.place));
        }
    }
    let wanted = options.namespace.as_deref();
    if wanted.is_none()
        && let Some(((file, place), names)) = namespaces
            .values()
            .nth(1)
            .map(|at| (*at, namespaces.keys().copied().collect::<Vec<_>>()))
    {
        let message = format!(
            "the resources are of several namespaces: {}",
            names.join(", ")
        );
        let help = "say with --namespace which one is meant";
        let mut finding = finding(Level::Blocked, "MIG073", "", Some(place), message, help);
        finding.file = file;
        findings.push(finding);
    }
    let wanted = wanted.or_else(|| namespaces.keys().next().copied());
    let items = all
        .iter()
        .filter(|(_, found)| {
            found.namespace.is_empty() || wanted.is_none_or(|wanted| found.namespace == wanted)
        })
        .map(|(file, found)| (*file, found))
        .collect();
    (items, wanted.map(str::to_owned))
}
