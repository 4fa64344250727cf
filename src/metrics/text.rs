//! Prometheus' text form 0.0.4, as its Go client writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ferrolb_compat::go::float::format_float;

/// What a family's figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A page in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<String, Family>,
}

/// Figures of one name.
#[derive(Debug)]
pub struct Family {
    name: String,
    kind: Type,
    help: String,
    /// By the text of their labels; the last of equals stays.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// The family of that name; the first caller's type and help stay.
    pub fn family(&mut self, name: &str, kind: Type, help: &str) -> &mut Family {
        self.families
            .entry(name.to_owned())
            .or_insert_with(|| Family {
                name: name.to_owned(),
                kind,
                help: help.to_owned(),
                samples: BTreeMap::new(),
            })
    }

    /// The page: families by name, without those that have no sample.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut text = String::new();
        for family in self.families.into_values() {
            if !family.samples.is_empty() {
                family.push(&mut text);
            }
        }
        text
    }
}

impl Family {
    /// Adds a figure. The labels come in the order of their names.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let mut text = String::new();
        let mut separator = '{';
        for (name, value) in labels {
            text.push(separator);
            separator = ',';
            text.push_str(name);
            text.push_str("=\"");
            escape(&mut text, value, true);
            text.push('"');
        }
        if separator == ',' {
            text.push('}');
        }
        self.samples.insert(text, value);
        self
    }

    fn push(&self, text: &mut String) {
        let Self { name, samples, .. } = self;
        let kind = match self.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        text.push_str("# HELP ");
        text.push_str(name);
        text.push(' ');
        escape(text, &self.help, false);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {}", format_float(*value));
        }
    }
}

fn escape(text: &mut String, value: &str, quotes: bool) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            c => text.push(c),
        }
    }
}
