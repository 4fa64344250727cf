//! `speaker`: 0.12's flags → what the program is started with.

use std::fmt;
use std::process::ExitCode;

use ferrolb_compat::go::flag::{FlagSet, Parsed};
use ferrolb_compat::names;

use super::flags::{self, Common, Environment, OptionError};
use crate::logging::Threshold;
use crate::run;
pub use crate::speaker::BgpType;

/// What the speaker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the controller is told too.
    pub common: Common,
    /// The address that the HTTP port binds to; empty: all.
    pub host: String,
    /// This node, as in `spec.nodeName`.
    pub node_name: String,
    /// Gossip; `None`: off.
    pub memberlist: Option<Memberlist>,
    /// The label selector of the speakers' pods; `None`: unknown. Also where gossip is off.
    pub speaker_labels: Option<String>,
    /// The BGP implementation that 0.12 would use.
    pub bgp_type: BgpType,
}

/// Gossip between the speakers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memberlist {
    /// The address to bind to.
    pub bind_address: String,
    /// The port; `None`: memberlist's own (7946).
    pub bind_port: Option<u16>,
    /// The label selector of the speakers' pods.
    pub labels: String,
    /// The key; empty: no encryption.
    pub secret_key: Secret,
}

/// A text that must not get into logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// The speaker's flags, called by this name.
#[must_use]
pub fn flag_set(name: &str, env: Environment<'_>) -> FlagSet {
    let from = |variable| env(variable).unwrap_or_default();
    let mut all = flags::common(env);
    all.extend([
        flags::text(
            "host",
            from(names::env::HOST),
            "address that the HTTP port binds to; empty: all",
        ),
        flags::text(
            "node-name",
            from(names::env::NODE_NAME),
            "name of this node in Kubernetes (required)",
        ),
        flags::text(
            "ml-bindaddr",
            from(names::env::ML_BIND_ADDR),
            "address for gossip between speakers; off unless this and ml-labels are set",
        ),
        flags::text(
            "ml-bindport",
            from(names::env::ML_BIND_PORT),
            "port for gossip between speakers; empty: 7946",
        ),
        flags::text(
            "ml-labels",
            from(names::env::ML_LABELS),
            "label selector of the speaker pods",
        ),
        // Deviation: the default is the environment's value, but -h does not show it: it is a secret.
        flags::text(
            "ml-secret-key",
            String::new(),
            "key that the gossip is encrypted with; unless given, METALLB_ML_SECRET_KEY",
        ),
    ]);
    FlagSet::new(name, all)
}

impl Options {
    /// What the flags and `METALLB_BGP_TYPE` mean.
    ///
    /// # Errors
    ///
    /// A value cannot be used; the text says which, and what to use.
    pub fn new(
        parsed: &Parsed,
        env: Environment<'_>,
        namespace_file: &dyn Fn() -> Option<String>,
    ) -> Result<Self, OptionError> {
        let common = Common::new(parsed, namespace_file)?;
        let node_name = parsed.text("node-name").to_owned();
        if node_name.is_empty() {
            return Err(OptionError::NoNodeName);
        }
        let bgp_type = match env(names::env::BGP_TYPE).unwrap_or_default().as_str() {
            "" | "native" => BgpType::Native,
            "frr" => BgpType::Frr,
            other => return Err(OptionError::BgpType(other.to_owned())),
        };
        let bind_port = match parsed.text("ml-bindport") {
            "" => None,
            text => Some(
                text.parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or_else(|| OptionError::MemberlistPort(text.to_owned()))?,
            ),
        };
        let bind_address = parsed.text("ml-bindaddr").to_owned();
        let labels = parsed.text("ml-labels").to_owned();
        let secret_key = if parsed.is_given("ml-secret-key") {
            parsed.text("ml-secret-key").to_owned()
        } else {
            env(names::env::ML_SECRET_KEY).unwrap_or_default()
        };
        Ok(Self {
            common,
            host: parsed.text("host").to_owned(),
            node_name,
            speaker_labels: Some(labels.clone()).filter(|labels| !labels.is_empty()),
            memberlist: (!bind_address.is_empty() && !labels.is_empty()).then_some(Memberlist {
                bind_address,
                bind_port,
                labels,
                secret_key: Secret(secret_key),
            }),
            bgp_type,
        })
    }
}

/// Runs the speaker until a signal ends it.
pub(super) fn main(name: &str, words: &[String]) -> ExitCode {
    let parsed = match super::parse_flags(&flag_set(name, &flags::environment), words) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    // Even a wrong level must not hide the line that says what is wrong.
    let log_level = flags::log_level(&parsed).unwrap_or(Threshold::All);
    run::program(log_level, async |process| {
        let options = Options::new(&parsed, &flags::environment, &flags::namespace_file)?;
        run::speaker::main(options, process).await
    })
}
