//! ConfigMaps that come and go.

use super::{LiveConfig, Offer};
use crate::config::mode::Mode;
use crate::view::{ConfigMap, ObjectKey};

const GOOD: &str = "address-pools:\n- {name: a, protocol: layer2, addresses: [192.0.2.0/28]}\n";
const BETTER: &str = "address-pools:\n- {name: b, protocol: layer2, addresses: [192.0.2.0/24]}\n";
const BAD: &str = "address-pools: 5\n";

fn map(text: Option<&str>) -> ConfigMap {
    ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "".into(),
        config: text.map(Into::into),
        settings: None,
        origin: String::new(),
    }
}

/// Offers a text that is good, and accepts it.
fn accept(live: &mut LiveConfig, text: &str) {
    let Offer::Candidate(config) = live.offer(&map(Some(text)), Mode::FerroLb) else {
        panic!("{text} is no candidate");
    };
    live.accept(config);
}

#[test]
fn nothing_is_loaded_before_the_first_good_one() {
    let mut live = LiveConfig::default();
    assert_eq!(
        (live.loaded(), live.stale(), live.current()),
        (false, false, None)
    );
    let refused = live.offer(&map(Some(BAD)), Mode::FerroLb);
    assert!(matches!(refused, Offer::Refused(_)));
    assert_eq!((live.loaded(), live.stale()), (false, true));
    accept(&mut live, GOOD);
    assert_eq!((live.loaded(), live.stale()), (true, false));
    assert_eq!(live.current().unwrap().pools[0].name, "a");
}

#[test]
fn the_same_text_is_parsed_once() {
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    assert_eq!(
        live.offer(&map(Some(GOOD)), Mode::FerroLb),
        Offer::Unchanged
    );
    assert!(matches!(
        live.offer(&map(Some(BAD)), Mode::FerroLb),
        Offer::Refused(_)
    ));
    assert_eq!(live.offer(&map(Some(BAD)), Mode::FerroLb), Offer::Unchanged);
    assert!(live.stale());
}

#[test]
fn a_bad_one_leaves_the_last_good_one_in_force() {
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    live.offer(&map(Some(BAD)), Mode::FerroLb);
    live.refuse();
    assert_eq!(
        (live.loaded(), live.stale(), live.pending()),
        (true, true, None)
    );
    assert_eq!(live.current().unwrap().pools[0].name, "a");
}

#[test]
fn going_back_to_the_text_in_force_ends_the_staleness() {
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    live.offer(&map(Some(BAD)), Mode::FerroLb);
    accept(&mut live, GOOD);
    assert!(!live.stale());
}

#[test]
fn a_candidate_that_must_wait_is_pending_until_a_newer_one_comes() {
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    let Offer::Candidate(better) = live.offer(&map(Some(BETTER)), Mode::FerroLb) else {
        panic!("no candidate");
    };
    assert_eq!(live.pending(), None);
    live.refuse();
    assert_eq!((live.pending(), live.stale()), (Some(&better), true));
    assert_eq!(
        live.offer(&map(Some(BETTER)), Mode::FerroLb),
        Offer::Unchanged
    );
    assert_eq!(live.pending(), Some(&better));
    live.offer(&map(Some(BAD)), Mode::FerroLb);
    assert_eq!(live.pending(), None);
}

#[test]
fn a_pending_one_can_be_accepted_later() {
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    live.offer(&map(Some(BETTER)), Mode::FerroLb);
    live.refuse();
    let pending = live.pending().unwrap().clone();
    live.accept(pending);
    assert_eq!((live.pending(), live.stale()), (None, false));
    assert_eq!(live.current().unwrap().pools[0].name, "b");
}

#[test]
fn a_deleted_map_leaves_the_last_good_one_stale() {
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    live.gone();
    assert_eq!((live.loaded(), live.stale()), (true, true));
    assert!(live.current().is_some());
    accept(&mut live, GOOD);
    assert!(!live.stale());
}

#[test]
fn a_map_without_the_key_is_refused_and_an_empty_text_is_good() {
    let mut live = LiveConfig::default();
    let Offer::Refused(refused) = live.offer(&map(None), Mode::FerroLb) else {
        panic!("not refused");
    };
    assert_eq!(
        refused.to_string(),
        "the ConfigMap metallb-system/config has no key `config`: put the configuration under `data.config`"
    );
    accept(&mut live, "");
    assert!(live.current().unwrap().pools.is_empty());
}

#[test]
fn the_settings_are_a_part_of_the_configuration() {
    let with = |settings: Option<&str>| ConfigMap {
        settings: settings.map(Into::into),
        ..map(Some(GOOD))
    };
    let mut live = LiveConfig::default();
    accept(&mut live, GOOD);
    let Offer::Candidate(config) = live.offer(&with(Some("bgp: {ttl-security: 1}")), Mode::FerroLb)
    else {
        panic!("settings alone are a change");
    };
    assert_eq!(config.settings.bgp.general.ttl_security, Some(1));
    live.accept(config);
    assert_eq!(
        live.offer(&with(Some("bgp: {ttl-security: 1}")), Mode::FerroLb),
        Offer::Unchanged
    );
    // A fault in them refuses the whole, and what is in force stays.
    let Offer::Refused(refused) = live.offer(&with(Some("bgp: {ttl-security: x}")), Mode::FerroLb)
    else {
        panic!("it is wrong");
    };
    assert!(
        refused
            .to_string()
            .starts_with("data.ferrolb: line 1, column 21: bgp.ttl-security: ")
    );
    assert!(live.stale());
    assert_eq!(
        live.current().unwrap().settings.bgp.general.ttl_security,
        Some(1)
    );
    let Offer::Candidate(config) = live.offer(&with(None), Mode::FerroLb) else {
        panic!("the key may go away");
    };
    assert_eq!(config.settings, Default::default());
}
