//! Scalars that are not what they look like: those that upstream's converter rewrites or cannot write, and numbers that 0.12 cuts.

use std::collections::HashMap;

use ferrolb_compat::raw::ConfigFile;
use ferrolb_compat::yaml::decode::{Field, Text};
use ferrolb_compat::yaml::emit::Value;
use ferrolb_compat::yaml::resolve::{Meaning, resolve};
use ferrolb_compat::yaml::{Content, Document, NodeId, Place, Style};

use super::{Findings, Level};

/// Looks at every scalar without quotes that stands for text or for an AS number.
pub(super) fn look(
    document: &Document,
    root: Option<NodeId>,
    raw: &ConfigFile,
    findings: &mut Findings<'_>,
) {
    control_characters(document, root, findings);
    let mut look = Look {
        plain: document
            .nodes()
            .filter_map(|node| match &node.content {
                Content::Scalar(text, Style::Plain) if node.tag.is_empty() => {
                    Some((node.place.start, &**text))
                }
                _ => None,
            })
            .collect(),
        findings,
    };
    for (index, peer) in raw.peers.value.iter().enumerate() {
        let at = |field: &str| format!("peers[{index}].{field}");
        look.secret(&at("password"), &peer.password);
        for (name, field) in [
            ("source-address", &peer.source_address),
            ("router-id", &peer.router_id),
            ("bfd-profile", &peer.bfd_profile),
        ] {
            look.text(&at(name), field.place);
        }
        for (name, field) in [("my-asn", &peer.my_asn), ("peer-asn", &peer.peer_asn)] {
            look.number(&at(name), field);
        }
        for selector in &peer.node_selectors.value {
            for (label, value) in &selector.match_labels.value {
                look.text(
                    &at(&format!("node-selectors.match-labels.{label}")),
                    value.place,
                );
            }
            for expression in &selector.match_expressions.value {
                look.texts(
                    &at("node-selectors.match-expressions"),
                    &expression.values.value,
                );
            }
        }
    }
    for (index, pool) in raw.address_pools.value.iter().enumerate() {
        look.text(&format!("address-pools[{index}].name"), pool.name.place);
    }
    for (index, profile) in raw.bfd_profiles.value.iter().enumerate() {
        look.text(&format!("bfd-profiles[{index}].name"), profile.name.place);
    }
}

/// Looks for values that upstream's converter cannot write; the value itself is not told: it may be a password.
fn control_characters(document: &Document, root: Option<NodeId>, findings: &mut Findings<'_>) {
    let mut open: Vec<NodeId> = root.into_iter().collect();
    while let Some(node) = open.pop().and_then(|id| document.node(id)) {
        match &node.content {
            Content::Scalar(text, _) => {
                if Value::text(&**text).first_unwritable().is_some() {
                    let message = "the value has a control character, which upstream's converter cannot write; here it is escaped";
                    findings.add(Level::Info, "MIG039", "", Some(node.place), message, "");
                }
            }
            Content::Sequence(items) => open.extend(items),
            Content::Mapping(pairs) => {
                open.extend(pairs.iter().flat_map(|(key, value)| [key, value]));
            }
            // What it stands for is looked at where it stands.
            Content::Alias(_) => {}
        }
    }
}

struct Look<'l, 'd, 'o> {
    /// Scalars without quotes, by where they begin.
    plain: HashMap<u32, &'d str>,
    findings: &'l mut Findings<'o>,
}

impl<'d> Look<'_, 'd, '_> {
    /// The scalar there, if upstream's converter takes it for something else than text.
    fn taken(&self, place: Option<Place>) -> Option<&'d str> {
        let text = self.plain.get(&place?.start)?;
        match resolve(None, text) {
            Ok(Meaning::Bool(_) | Meaning::Float(_)) => Some(text),
            Ok(Meaning::Int(int)) if int.to_string() != **text => Some(text),
            _ => None,
        }
    }

    fn text(&mut self, path: &str, place: Option<Place>) {
        if let Some(text) = self.taken(place) {
            let message = format!("{text} is kept as text; upstream's converter rewrites it");
            self.findings
                .add(Level::Info, "MIG009", path, place, message, "");
        }
    }

    fn texts(&mut self, path: &str, texts: &[Text]) {
        for text in texts {
            self.text(path, text.0.place);
        }
    }

    fn secret(&mut self, path: &str, field: &Field<String>) {
        if self.taken(field.place).is_some() {
            let message = "the password is kept as it is written; upstream's converter rewrites it";
            self.findings
                .add(Level::Info, "MIG009", path, field.place, message, "");
        }
    }

    fn number(&mut self, path: &str, field: &Field<u32>) {
        let text = field.place.and_then(|place| self.plain.get(&place.start));
        if let Some(text) = text
            && let Ok(Meaning::Float(float)) = resolve(None, text)
            && float.fract() != 0.0
        {
            let message = format!(
                "0.12 reads {text} as AS {}, and so does the target now",
                field.value
            );
            let help = "write the number without a point: asdot is not understood";
            self.findings
                .add(Level::Warning, "MIG010", path, field.place, message, help);
        }
    }
}
