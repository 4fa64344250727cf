//! Node selectors.
//!
//! Upstream: `LabelSelectorAsSelector` of Kubernetes' apimachinery, whose rules for labels are checked here.

use ferrolb_compat::go::quote::quote;
use ferrolb_compat::raw;
use ferrolb_compat::yaml::Place;
use ferrolb_compat::yaml::fault::push_key;

use super::Findings;
use crate::config::{NodeSelector, Operator, Requirement};

/// What upstream compares of a selector: `k=v` is not the same as `k in (v)`, and the order of values matters.
pub(super) type Written = Vec<(String, Option<Operator>, Vec<String>)>;

/// Checks and takes one selector.
pub(super) fn parse(
    selector: &raw::NodeSelector,
    path: &str,
    findings: &mut Findings,
) -> (NodeSelector, Written) {
    let at = selector.place.unwrap_or(Place::BEGIN);
    let mut written: Written = Vec::new();
    for (key, value) in &selector.match_labels.value {
        let mut path = format!("{path}.match-labels");
        push_key(&mut path, key);
        let fault = key_fault(key).or_else(|| value_fault(&value.value));
        if let Some(message) = fault.filter(|_| !value.faulty) {
            refuse(findings, path, value.place.unwrap_or(at), message);
        }
        written.push((key.clone(), None, vec![value.value.clone()]));
    }
    for (index, expression) in selector.match_expressions.value.iter().enumerate() {
        let path = format!("{path}.match-expressions[{index}]");
        let at = expression.place.unwrap_or(at);
        if let Some(requirement) = parse_expression(expression, &path, at, findings) {
            written.push(requirement);
        }
    }
    // Upstream sorts by key alone.
    written.sort_by(|a, b| a.0.cmp(&b.0));
    let requirements = written
        .iter()
        .map(|(key, operator, values)| {
            let mut values = values.clone();
            values.sort_unstable();
            Requirement {
                key: key.clone(),
                operator: operator.unwrap_or(Operator::In),
                values,
            }
        })
        .collect();
    (NodeSelector { requirements }, written)
}

/// One of `match-expressions`.
fn parse_expression(
    expression: &raw::SelectorRequirement,
    path: &str,
    at: Place,
    findings: &mut Findings,
) -> Option<(String, Option<Operator>, Vec<String>)> {
    let operator = match expression.operator.value.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            if !expression.operator.faulty {
                refuse(
                    findings,
                    format!("{path}.operator"),
                    expression.operator.place.unwrap_or(at),
                    format!(
                        "unknown operator {}: must be In, NotIn, Exists or DoesNotExist",
                        quote(other)
                    ),
                );
            }
            return None;
        }
    };
    if let Some(message) = key_fault(&expression.key.value).filter(|_| !expression.key.faulty) {
        let at = expression.key.place.unwrap_or(at);
        refuse(findings, format!("{path}.key"), at, message);
    }
    let values = &expression.values;
    let wanted = matches!(operator, Operator::In | Operator::NotIn);
    if wanted == values.value.is_empty() && !values.faulty {
        let message = if wanted {
            "operators In and NotIn need at least one value"
        } else {
            "operators Exists and DoesNotExist take no values"
        };
        refuse(
            findings,
            format!("{path}.values"),
            values.place.unwrap_or(at),
            message.to_owned(),
        );
    }
    for (number, value) in values.value.iter().enumerate() {
        if let Some(message) = value_fault(&value.0.value).filter(|_| !value.0.faulty) {
            let path = format!("{path}.values[{number}]");
            refuse(findings, path, value.0.place.unwrap_or(at), message);
        }
    }
    let texts = values.value.iter().map(|value| value.0.value.to_string());
    Some((
        expression.key.value.clone(),
        Some(operator),
        texts.collect(),
    ))
}

/// Adds an error about a selector.
fn refuse(findings: &mut Findings, path: String, place: Place, message: String) {
    findings.add("invalid-node-selector", path, place, message, None);
}

/// What is wrong with a label's key: an optional DNS subdomain and `/`, then a name.
fn key_fault(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(is_subdomain);
    if prefix_fits && !name.is_empty() && is_label_value(name) {
        return None;
    }
    Some(format!(
        "{} is no label key: letters, digits, `-`, `_` and `.`, at most 63, perhaps after a DNS name and `/`",
        quote(key)
    ))
}

/// What is wrong with a label's value.
fn value_fault(value: &str) -> Option<String> {
    (!is_label_value(value)).then(|| {
        format!(
            "{} is no label value: at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit",
            quote(value)
        )
    })
}

/// Kubernetes' rule for label values, which may be empty.
fn is_label_value(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// RFC 1123 §2.1, in lower case.
fn is_subdomain(text: &str) -> bool {
    let edge = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= 253
        && text.split('.').all(|part| {
            edge(part.bytes().next())
                && edge(part.bytes().last())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}
