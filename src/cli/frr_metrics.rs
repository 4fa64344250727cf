//! `frr-metrics`: the flags of 0.12's exporter → what the program is started with.

use std::net::IpAddr;
use std::process::ExitCode;

use ferrolb_compat::go::flag::{Flag, FlagSet, Parsed, Value};
use ferrolb_compat::names;

use super::flags::{self, Environment};
use crate::logging::Threshold;
use crate::run::{self, frr_metrics::Options};

/// Upstream: the exporter's port.
const PORT: u16 = 7473;

/// A flag's value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// A port is none.
    #[error("-{0}={1} is no port: use 0 to 65535")]
    Port(&'static str, i64),
    /// The path is none.
    #[error(
        "-metrics-path={0:?} is no path: it begins with `/` and has letters, digits, `/`, `-`, `_` and `.`"
    )]
    Path(String),
    /// TLS.
    #[error("-tls-config-path={0:?}: this program does not serve TLS")]
    Tls(String),
}

/// The program's flags, called by this name.
#[must_use]
pub fn flag_set(name: &str) -> FlagSet {
    let port = |name, default: u16, usage| Flag {
        name,
        default: Value::Int(default.into()),
        usage,
    };
    FlagSet::new(
        name,
        [
            port("metrics-port", PORT, "port to serve the figures on"),
            flags::text(
                "metrics-path",
                "/metrics".to_owned(),
                "path under which they are",
            ),
            flags::text(
                "tls-config-path",
                String::new(),
                "not served: must be empty",
            ),
            port(
                "speaker-port",
                names::DEFAULT_METRICS_PORT,
                "the speaker's HTTP port (its -port)",
            ),
        ],
    )
}

impl Options {
    /// What the flags and `METALLB_HOST` mean.
    ///
    /// # Errors
    ///
    /// A value cannot be used; the text says which, and what to use.
    pub fn new(parsed: &Parsed, env: Environment<'_>) -> Result<Self, OptionError> {
        let port = |name| {
            let port = parsed.int(name);
            u16::try_from(port).map_err(|_| OptionError::Port(name, port))
        };
        let path = parsed.text("metrics-path").to_owned();
        // The router gives other characters a meaning.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        if !path.starts_with('/') || !path.bytes().all(plain) {
            return Err(OptionError::Path(path));
        }
        let tls = parsed.text("tls-config-path");
        if !tls.is_empty() {
            return Err(OptionError::Tls(tls.to_owned()));
        }
        Ok(Self {
            port: port("metrics-port")?,
            path,
            // Where it is a name or absent the speaker is looked for.
            speaker_host: env(names::env::HOST).and_then(|host| host.parse::<IpAddr>().ok()),
            speaker_port: port("speaker-port")?,
        })
    }
}

/// Serves the figures until a signal ends it.
pub(super) fn main(name: &str, words: &[String]) -> ExitCode {
    let parsed = match super::parse_flags(&flag_set(name), words) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    // Upstream: it logs errors alone, and has no flag for that; where it listens is worth a line.
    run::program(Threshold::All, async |process| {
        let options = Options::new(&parsed, &flags::environment)?;
        run::frr_metrics::main(options, process).await
    })
}
