//! Resources as they were read, with what they select resolved to names.

use std::collections::{BTreeMap, BTreeSet};

use ferrolb_compat::crd::read::{Announcement, Found, Read};
use ferrolb_compat::crd::{NodeSelector, Resource, Spec};

/// The resources, with the pools that an advertisement selects by their labels as names. An advertisement that selects by labels, and
/// none, is left out: without a name it would be one for all.
///
/// A pool that says itself how it is announced (AddressPool) becomes a pool and its advertisements; the others are not for it.
#[must_use]
pub fn resolved(read: &Read) -> Vec<Resource> {
    let found: Vec<&Found> = read.found.iter().collect();
    resolve(&found)
        .into_iter()
        .map(|(_, resource)| resource)
        .collect()
}

/// The same, each with its number in what was read.
pub(super) fn resolve(found: &[&Found]) -> Vec<(usize, Resource)> {
    let is_pool = |found: &&&Found| matches!(found.resource.spec, Spec::Pool(_));
    let (legacy, pools): (Vec<&Found>, Vec<&Found>) = found
        .iter()
        .filter(is_pool)
        .copied()
        .partition(|found| found.announcement.is_some());
    let legacy: BTreeSet<&str> = legacy
        .iter()
        .map(|found| found.resource.name.as_str())
        .collect();
    let pools: Vec<(&str, &BTreeMap<String, String>)> = pools
        .iter()
        .map(|found| (found.resource.name.as_str(), &found.labels))
        .collect();
    let mut out = Vec::new();
    for (index, found) in found.iter().enumerate() {
        let mut resource = found.resource.clone();
        let names = match &mut resource.spec {
            Spec::BgpAdvertisement(advertisement) => Some(&mut advertisement.pools),
            Spec::L2Advertisement(names) => Some(names),
            _ => None,
        };
        // Without AddressPools one that selects nothing is for all, and stays so.
        let is_limited = !found.pool_selectors.is_empty() || !legacy.is_empty();
        if let Some(names) = names.filter(|_| is_limited) {
            let is_for_all = names.is_empty() && found.pool_selectors.is_empty();
            names.retain(|name| !legacy.contains(name.as_str()));
            for (name, labels) in &pools {
                let selected = found
                    .pool_selectors
                    .iter()
                    .any(|selector| selects(selector, labels));
                if (selected || is_for_all) && !names.iter().any(|known| known == name) {
                    names.push((*name).to_owned());
                }
            }
            if names.is_empty() {
                continue;
            }
        }
        out.push((index, resource));
        out.extend(own(found).into_iter().map(|own| (index, own)));
    }
    out
}

/// The advertisements of a pool that says itself how it is announced, with names that no other resource can have.
fn own(found: &Found) -> Vec<Resource> {
    let pool = &found.resource.name;
    match &found.announcement {
        None => Vec::new(),
        Some(Announcement::Layer2) => {
            let spec = Spec::L2Advertisement(vec![pool.clone()]);
            vec![Resource::new(format!("of AddressPool {pool}"), spec)]
        }
        Some(Announcement::Bgp(advertisements)) => {
            let width = advertisements.len().to_string().len();
            let numbered = advertisements.iter().enumerate();
            numbered
                .map(|(index, advertisement)| {
                    // Of equal routes the one with the last name counts, and here the last of the list.
                    let name = format!("{:0width$} of AddressPool {pool}", index + 1);
                    Resource::new(name, Spec::BgpAdvertisement(advertisement.clone()))
                })
                .collect()
        }
    }
}

/// Whether a selector takes an object with these labels; an operator that nobody knows takes none.
fn selects(selector: &NodeSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            let is_one = value.is_some_and(|value| expression.values.contains(value));
            match expression.operator.as_str() {
                "In" => is_one,
                "NotIn" => !is_one,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
