//! The status of standalone mode as text: a table for people, JSON for programs, and what changed between two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::run::standalone::status::{PeerStatus, ServiceStatus, Status};

/// The heads of the table's columns.
const HEADS: [&str; 6] = [
    "SERVICE",
    "POOL",
    "ADDRESSES",
    "ANNOUNCED",
    "SINCE",
    "REASON",
];

/// Reads a status file of at most `limit` octets.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Status> {
    let mut text = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// The status as JSON, with `running: true`.
pub(super) fn json(status: &Status) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(status)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("running".to_owned(), true.into());
    }
    serde_json::to_string_pretty(&value)
}

/// The status for people.
pub(super) fn table(status: &Status) -> String {
    let mut text = String::new();
    let who = &status.identity;
    let mode = match (who.dry_run, who.bind) {
        (true, _) => ", dry run: nothing is sent",
        (false, true) => ", addresses also on the loopback",
        (false, false) => "",
    };
    line(
        &mut text,
        format_args!(
            "{} on {} (pid {}), since {}{mode}",
            who.directory, who.node, who.pid, who.started
        ),
    );
    let config = match (status.config_loaded, status.config_stale) {
        (true, false) => "in force",
        (true, true) => "an older one is in force: the newest was refused (see the log)",
        (false, true) => "none in force: the only one was refused (see the log)",
        (false, false) => "none",
    };
    line(&mut text, format_args!("configuration: {config}"));
    for pool in &status.pools {
        line(
            &mut text,
            format_args!(
                "pool {}: {} of {} addresses in use",
                pool.name, pool.in_use, pool.addresses
            ),
        );
    }
    line(
        &mut text,
        format_args!("interfaces: {}", interfaces(status)),
    );
    for peer in &status.peers {
        line(
            &mut text,
            format_args!("peer {}: {}", peer.peer, session(peer)),
        );
    }
    for problem in &status.problems {
        line(&mut text, format_args!("problem: {problem}"));
    }
    text.push('\n');
    if status.services.is_empty() {
        line(&mut text, format_args!("no Services of type LoadBalancer"));
        return text;
    }
    let rows: Vec<[String; 6]> = std::iter::once(HEADS.map(str::to_owned))
        .chain(status.services.iter().map(row))
        .collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut out = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{cell:width$}  ");
        }
        line(&mut text, format_args!("{}", out.trim_end()));
    }
    text
}

/// How a peer's session stands.
fn session(peer: &PeerStatus) -> String {
    if !peer.up {
        return "down (see the log)".to_owned();
    }
    let mut text = format!("up, {} routes announced", peer.announced);
    if peer.pending > 0 {
        text.push_str(&format!(", {} about to be", peer.pending));
    }
    if peer.unsendable > 0 {
        text.push_str(&format!(
            ", {} that it cannot be told (see the log)",
            peer.unsendable
        ));
    }
    text
}

fn row(service: &ServiceStatus) -> [String; 6] {
    let or_dash = |text: Option<&str>| {
        text.filter(|text| !text.is_empty())
            .unwrap_or("-")
            .to_owned()
    };
    let verb = if service.announced.is_some() {
        service.announced.as_deref()
    } else {
        Some("no")
    };
    [
        service.service.clone(),
        or_dash(service.pool.as_deref()),
        or_dash(Some(&service.addresses.join(","))),
        or_dash(verb),
        or_dash(service.since.as_deref()),
        service.reason.clone().unwrap_or_default(),
    ]
}

fn interfaces(status: &Status) -> String {
    if status.interfaces.is_empty() {
        return "none is suitable: up, Ethernet, with ARP, no port of a bridge or bond".to_owned();
    }
    let each: Vec<String> = status
        .interfaces
        .iter()
        .map(|(name, kinds)| format!("{name} ({})", kinds.join(", ")))
        .collect();
    each.join(", ")
}

/// What a dry run would do now that it would not have done before, a line each.
pub(super) fn changes(before: &Status, now: &Status) -> String {
    let mut text = String::new();
    let old: BTreeMap<&str, &ServiceStatus> = before
        .services
        .iter()
        .map(|service| (service.service.as_str(), service))
        .collect();
    let new: BTreeMap<&str, &ServiceStatus> = now
        .services
        .iter()
        .map(|service| (service.service.as_str(), service))
        .collect();
    for service in before
        .services
        .iter()
        .filter(|service| service.announced.is_some())
    {
        let after = new.get(service.service.as_str());
        let same = after
            .is_some_and(|after| after.announced.is_some() && after.addresses == service.addresses);
        if !same {
            let why =
                after
                    .and_then(|after| after.reason.as_deref())
                    .unwrap_or(if after.is_some() {
                        "its addresses changed"
                    } else {
                        "the Service is gone"
                    });
            line(
                &mut text,
                format_args!(
                    "withdraw {} ({}): {why}",
                    service.addresses.join(","),
                    service.service
                ),
            );
        }
    }
    for service in &now.services {
        let earlier = old.get(service.service.as_str());
        let same = earlier.is_some_and(|earlier| {
            (&earlier.announced, &earlier.addresses, &earlier.reason)
                == (&service.announced, &service.addresses, &service.reason)
        });
        if same {
            continue;
        }
        match &service.reason {
            None => {
                let way = match service.announced.as_deref() {
                    Some("bgp") => "by BGP".to_owned(),
                    _ => format!("on {}", interfaces(now)),
                };
                line(
                    &mut text,
                    format_args!(
                        "announce {} ({}, pool {}) {way}",
                        service.addresses.join(","),
                        service.service,
                        service.pool.as_deref().unwrap_or("-"),
                    ),
                );
            }
            Some(reason) => line(
                &mut text,
                format_args!("not announced: {}: {reason}", service.service),
            ),
        }
    }
    if before.interfaces != now.interfaces {
        line(&mut text, format_args!("interfaces: {}", interfaces(now)));
    }
    for problem in &now.problems {
        if !before.problems.contains(problem) {
            line(&mut text, format_args!("problem: {problem}"));
        }
    }
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(content);
    text.push('\n');
}

#[cfg(test)]
mod tests;
