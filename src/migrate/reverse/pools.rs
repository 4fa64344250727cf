//! Pools, and how they are announced.

use std::collections::BTreeMap;

use ferrolb_compat::crd::{BgpAdvertisement, Resource, Spec};
use ferrolb_compat::yaml::emit::Value;

use super::text::{Announced, Build};
use super::{At, say};
use crate::migrate::Level;

impl<'b> Build<'b> {
    /// The names of communities.
    pub(super) fn aliases(&mut self) -> BTreeMap<&'b str, &'b str> {
        let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
        for (resource, at) in self.resources.clone() {
            let Spec::Community(pairs) = &resource.spec else {
                continue;
            };
            for (name, value) in pairs {
                if is_large(value) {
                    let message = format!("{name:?} is a large community: {value}");
                    self.lose("MIG064", resource, "spec.communities", at, message);
                } else if aliases.insert(name, value).is_some_and(|old| old != value) {
                    let message = format!("{name:?} has two values");
                    self.findings.push(say(
                        Level::Blocked,
                        "MIG068",
                        resource,
                        "spec.communities",
                        at,
                        message,
                    ));
                }
            }
        }
        aliases
    }

    /// How each pool is announced.
    pub(super) fn announced(&mut self) -> BTreeMap<&'b str, Announced<'b>> {
        let mut announced: BTreeMap<&str, Announced<'_>> = self
            .resources
            .iter()
            .filter(|(resource, _)| matches!(resource.spec, Spec::Pool(_)))
            .map(|(resource, _)| (resource.name.as_str(), Announced::default()))
            .collect();
        for (resource, at) in self.resources.clone() {
            let names = match &resource.spec {
                Spec::BgpAdvertisement(advertisement) => &advertisement.pools,
                Spec::L2Advertisement(names) => names,
                _ => continue,
            };
            let announce = |ways: &mut Announced<'b>| match &resource.spec {
                Spec::BgpAdvertisement(advertisement) => {
                    ways.bgp.insert(&resource.name, (advertisement, at));
                }
                _ => ways.layer2 = true,
            };
            // One that names no pool is for all of them.
            if names.is_empty() {
                announced.values_mut().for_each(announce);
                continue;
            }
            for name in names {
                if let Some(ways) = announced.get_mut(name.as_str()) {
                    announce(ways);
                } else {
                    let message = format!("the pool {name} is not there");
                    let path = "spec.ipAddressPools";
                    self.findings
                        .push(say(Level::Blocked, "MIG069", resource, path, at, message));
                }
            }
        }
        announced
    }

    pub(super) fn pool(
        &mut self,
        resource: &Resource,
        at: At,
        ways: Option<&Announced<'_>>,
        aliases: &BTreeMap<&str, &str>,
    ) -> Value {
        let Spec::Pool(pool) = &resource.spec else {
            return Value::Null;
        };
        let nothing = Announced::default();
        let ways = ways.unwrap_or(&nothing);
        let bgp = !ways.bgp.is_empty();
        match (ways.layer2, bgp) {
            (true, true) => {
                let message = "the pool is announced by layer2 and by BGP".to_owned();
                self.lose("MIG061", resource, "", at, message);
            }
            (false, false) => {
                let message = "the pool is announced by no protocol".to_owned();
                self.lose("MIG061", resource, "", at, message);
            }
            _ => {}
        }
        let mut pairs = vec![
            ("name".to_owned(), Value::text(self.original(resource))),
            (
                "protocol".to_owned(),
                Value::text(if bgp { "bgp" } else { "layer2" }),
            ),
            ("addresses".to_owned(), Value::texts(&pool.addresses)),
        ];
        if let Some(auto_assign) = pool.auto_assign {
            pairs.push(("auto-assign".to_owned(), Value::Bool(auto_assign)));
        }
        if pool.avoid_buggy_ips {
            pairs.push(("avoid-buggy-ips".to_owned(), Value::Bool(true)));
        }
        let mut advertisements: Vec<Value> = Vec::new();
        for (name, (advertisement, at)) in &ways.bgp {
            let value = self.advertisement(name, advertisement, *at, aliases);
            // Equal ones are one; 0.12 refuses the second.
            if !advertisements.contains(&value) {
                advertisements.push(value);
            }
        }
        let says_nothing =
            matches!(advertisements.as_slice(), [Value::Map(pairs)] if pairs.is_empty());
        if !advertisements.is_empty() && !says_nothing {
            pairs.push(("bgp-advertisements".to_owned(), Value::List(advertisements)));
        }
        Value::Map(pairs)
    }

    fn advertisement(
        &mut self,
        name: &str,
        advertisement: &BgpAdvertisement,
        at: At,
        aliases: &BTreeMap<&str, &str>,
    ) -> Value {
        let mut pairs = Vec::new();
        for (key, length, default) in [
            ("aggregation-length", advertisement.aggregation_length, 32),
            (
                "aggregation-length-v6",
                advertisement.aggregation_length_v6,
                128,
            ),
        ] {
            if let Some(length) = length.filter(|length| *length != default) {
                pairs.push((key.to_owned(), Value::Int(length)));
            }
        }
        if advertisement.local_pref != 0 {
            let value = Value::Int(advertisement.local_pref.into());
            pairs.push(("localpref".to_owned(), value));
        }
        let resource = Resource::new(name, Spec::BgpAdvertisement(advertisement.clone()));
        let mut communities: Vec<&str> = Vec::new();
        for text in &advertisement.communities {
            let path = "spec.communities";
            let known = aliases.contains_key(text.as_str());
            if !known && is_large(text) {
                let message = format!("{text} is a large community");
                self.lose("MIG064", &resource, path, at, message);
            } else if !known && !text.contains(':') {
                // The alias of a large community was told of already.
                let told = self.lost_alias(text);
                if !told {
                    let message = format!("the community {text:?} is not there");
                    self.findings
                        .push(say(Level::Blocked, "MIG069", &resource, path, at, message));
                }
            } else if !communities.contains(&text.as_str()) {
                communities.push(text);
            }
        }
        if !communities.is_empty() {
            pairs.push(("communities".to_owned(), Value::texts(communities)));
        }
        Value::Map(pairs)
    }

    /// Whether a Community has the name, with a value that 0.12 cannot say.
    fn lost_alias(&self, text: &str) -> bool {
        self.resources
            .iter()
            .any(|(resource, _)| match &resource.spec {
                Spec::Community(pairs) => pairs.iter().any(|(name, _)| name == text),
                _ => false,
            })
    }
}

/// Whether it is a large community (RFC 8092).
fn is_large(text: &str) -> bool {
    text.starts_with("large:")
}
