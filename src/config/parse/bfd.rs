//! The section `bfd-profiles`.

use std::collections::HashSet;

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::raw::{self, ConfigFile};
use ferrolb_compat::yaml::Place;
use ferrolb_compat::yaml::decode::Field;

use super::Findings;
use crate::config::BfdProfile;

/// Checks and takes the profiles.
pub(super) fn parse(raw: &ConfigFile, findings: &mut Findings) -> Vec<BfdProfile> {
    let mut names = HashSet::new();
    let mut profiles = Vec::new();
    for (index, profile) in raw.bfd_profiles.value.iter().enumerate() {
        let path = format!("bfd-profiles[{index}]");
        let place = profile.place.unwrap_or(Place::BEGIN);
        if profile.name.value.is_empty() && !profile.name.faulty {
            findings.add(
                "missing-name",
                path.clone(),
                profile.name.place.unwrap_or(place),
                "missing bfd profile name".to_owned(),
                Some("give the profile a `name`".to_owned()),
            );
        } else if !profile.name.faulty && !names.insert(profile.name.value.as_str()) {
            findings.add(
                "duplicate-bfd-profile",
                format!("{path}.name"),
                profile.name.place.unwrap_or(place),
                format!("bfd profile {} already exists", quote(&profile.name.value)),
                Some("give each profile a name of its own".to_owned()),
            );
        }
        profiles.push(values(profile, &path, findings));
    }
    profiles
}

/// The values of one profile.
fn values(profile: &raw::BfdProfile, path: &str, findings: &mut Findings) -> BfdProfile {
    let mut ranged = |name: &str, field: &Field<Option<u32>>, low: u32, high: u32| {
        let value = field.value?;
        if (low..=high).contains(&value) || field.faulty {
            return Some(value);
        }
        findings.add(
            "bfd-out-of-range",
            format!("{path}.{name}"),
            field.place.or(profile.place).unwrap_or(Place::BEGIN),
            format!("invalid value {value}, must be in {low}-{high} range"),
            None,
        );
        None
    };
    BfdProfile {
        name: profile.name.value.clone(),
        receive_interval: ranged("receive-interval", &profile.receive_interval, 10, 60_000),
        transmit_interval: ranged("transmit-interval", &profile.transmit_interval, 10, 60_000),
        detect_multiplier: ranged("detect-multiplier", &profile.detect_multiplier, 2, 255),
        echo_interval: ranged("echo-interval", &profile.echo_interval, 10, 60_000),
        echo_mode: profile.echo_mode.value,
        passive_mode: profile.passive_mode.value,
        minimum_ttl: ranged("minimum-ttl", &profile.minimum_ttl, 1, 254),
    }
}
