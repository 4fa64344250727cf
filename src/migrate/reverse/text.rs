//! The text of the ConfigMap's `config`, section by section.

use std::collections::BTreeMap;

use ferrolb_compat::crd::{BgpAdvertisement, Resource, Spec};
use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::emit::{self, Value};

use super::peers::profile_value;
use super::{At, Lost, ReverseOptions, say};
use crate::migrate::{ANNOTATION_ORIGINAL_NAME, BgpMode, Finding, Level, Rename};

/// The text in the making.
pub(super) struct Build<'b> {
    pub(super) target: Release,
    pub(super) mode: BgpMode,
    pub(super) options: &'b ReverseOptions,
    pub(super) resources: Vec<(&'b Resource, At)>,
    pub(super) lost: Lost,
    pub(super) findings: Vec<Finding>,
    pub(super) renames: Vec<Rename>,
    /// The resources by the beginning of their paths in the text: `peers[0]`.
    pub(super) origins: BTreeMap<String, At>,
}

/// How a pool is announced.
#[derive(Default)]
pub(super) struct Announced<'b> {
    pub(super) layer2: bool,
    /// By the names of the advertisements: of those that make the same route the last counts.
    pub(super) bgp: BTreeMap<&'b str, (&'b BgpAdvertisement, At)>,
}

impl<'b> Build<'b> {
    /// Says what 0.12 cannot say, or leaves it out.
    pub(super) fn lose(
        &mut self,
        code: &'static str,
        resource: &Resource,
        path: &str,
        at: At,
        message: String,
    ) {
        let level = if self.options.lossy {
            let key = (resource.spec.kind().to_owned(), resource.name.clone());
            let comment = format!("{code}: {message}");
            self.lost.entry(key).or_default().insert(comment);
            Level::Warning
        } else {
            Level::Blocked
        };
        self.findings
            .push(say(level, code, resource, path, at, message));
    }

    /// The name in the ConfigMap.
    pub(super) fn original<'r>(&self, resource: &'r Resource) -> &'r str {
        let original = resource.annotations.get(ANNOTATION_ORIGINAL_NAME);
        match original {
            Some(original) if !self.options.keep_names => original,
            _ => &resource.name,
        }
    }

    /// Tells of a name that is given back.
    pub(super) fn give_back(&mut self, resource: &Resource, at: At) {
        let name = self.original(resource);
        if name == resource.name {
            return;
        }
        let message = format!("it gets back the name {name:?}");
        self.findings
            .push(say(Level::Info, "MIG071", resource, "", at, message));
        self.renames.push(Rename {
            kind: resource.spec.kind(),
            from: name.to_owned(),
            to: resource.name.clone(),
        });
    }

    pub(super) fn text(&mut self) -> String {
        let resources = self.resources.clone();
        let mut out = String::new();
        let aliases = self.aliases();
        let announced = self.announced();
        let mut sections: [(&str, Vec<String>); 3] = [
            ("peers", Vec::new()),
            ("bfd-profiles", Vec::new()),
            ("address-pools", Vec::new()),
        ];
        let families = families(&resources, &announced);
        let profiles: BTreeMap<&str, &str> = resources
            .iter()
            .filter(|(resource, _)| matches!(resource.spec, Spec::BfdProfile(_)))
            .map(|(resource, _)| (resource.name.as_str(), self.original(resource)))
            .collect();
        let secrets: BTreeMap<&str, &str> = resources
            .iter()
            .filter_map(|(resource, _)| match &resource.spec {
                Spec::Secret(password) => Some((resource.name.as_str(), password.0.as_str())),
                _ => None,
            })
            .collect();
        for (resource, at) in resources {
            let (section, value) = match &resource.spec {
                Spec::Peer(peer) => (
                    0,
                    self.peer(resource, peer, at, &profiles, &secrets, families),
                ),
                Spec::BfdProfile(profile) => {
                    self.give_back(resource, at);
                    (1, profile_value(self.original(resource), profile))
                }
                Spec::Pool(_) => {
                    self.give_back(resource, at);
                    let ways = announced.get(resource.name.as_str());
                    (2, self.pool(resource, at, ways, &aliases))
                }
                Spec::BgpAdvertisement(_)
                | Spec::L2Advertisement(_)
                | Spec::Community(_)
                | Spec::Secret(_) => continue,
            };
            let Some((name, items)) = sections.get_mut(section) else {
                continue;
            };
            self.origins.insert(format!("{name}[{}]", items.len()), at);
            let mut item = String::new();
            let key = (resource.spec.kind().to_owned(), resource.name.clone());
            for comment in self.lost.get(&key).into_iter().flatten() {
                item.push_str(&comment_line(comment));
            }
            emit::write(&mut item, &Value::List(vec![value]));
            items.push(item);
        }
        // What is no part of an item stands at the top.
        for ((kind, name), comments) in &self.lost {
            if matches!(
                kind.as_str(),
                "BGPAdvertisement" | "L2Advertisement" | "Community"
            ) {
                for comment in comments {
                    out.push_str(&comment_line(&format!("{kind} {name}: {comment}")));
                }
            }
        }
        let [peers, profiles, pools] = sections;
        section(&mut out, peers);
        section(&mut out, profiles);
        if !aliases.is_empty() {
            let pairs = aliases
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::text(*value)));
            let communities = Value::Map(pairs.collect());
            emit::write(&mut out, &Value::map([("bgp-communities", communities)]));
        }
        section(&mut out, pools);
        out
    }
}

/// A list of the text.
fn section(out: &mut String, (name, items): (&str, Vec<String>)) {
    if !items.is_empty() {
        out.push_str(name);
        out.push_str(":\n");
        out.extend(items);
    }
}

/// A line of a comment: one line whatever the text is.
fn comment_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("# {text}\n")
}
/// Whether routes of IPv4 and of IPv6 are announced.
fn families(
    resources: &[(&Resource, At)],
    announced: &BTreeMap<&str, Announced<'_>>,
) -> (bool, bool) {
    let (mut v4, mut v6) = (false, false);
    for (resource, _) in resources {
        let Spec::Pool(pool) = &resource.spec else {
            continue;
        };
        let ways = announced.get(resource.name.as_str());
        if ways.is_some_and(|ways| !ways.bgp.is_empty()) {
            for line in &pool.addresses {
                let is_v6 = line.contains(':');
                v6 |= is_v6;
                v4 |= !is_v6;
            }
        }
    }
    (v4, v6)
}
