//! Resources as they were read, with what they select resolved to names.

use std::collections::BTreeMap;

use ferrolb_compat::crd::read::{Found, Read};
use ferrolb_compat::crd::{NodeSelector, Resource, Spec};

/// The resources, with the pools that an advertisement selects by their labels as names. An advertisement that selects by labels, and
/// none, is left out: without a name it would be one for all.
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
    let pools: Vec<(&str, &BTreeMap<String, String>)> = found
        .iter()
        .filter(|found| matches!(found.resource.spec, Spec::Pool(_)))
        .map(|found| (found.resource.name.as_str(), &found.labels))
        .collect();
    let mut out = Vec::new();
    for (index, found) in found.iter().enumerate() {
        let mut resource = found.resource.clone();
        if !found.pool_selectors.is_empty() {
            let names = match &mut resource.spec {
                Spec::BgpAdvertisement(advertisement) => &mut advertisement.pools,
                Spec::L2Advertisement(names) => names,
                _ => continue,
            };
            for (name, labels) in &pools {
                let selected = found
                    .pool_selectors
                    .iter()
                    .any(|selector| selects(selector, labels));
                if selected && !names.iter().any(|known| known == name) {
                    names.push((*name).to_owned());
                }
            }
            if names.is_empty() {
                continue;
            }
        }
        out.push((index, resource));
    }
    out
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
