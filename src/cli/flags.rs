//! The flags that controller and speaker share: what was typed, and what it means.
//!
//! In: the words, and the environment as a function. Out: [`Common`]. Nothing is read from the world here but the
//! service account's namespace file, through a function too.
//!
//! Upstream: names, defaults and environment variables are MetalLB 0.12's; `config-file` and `lb-class` are ours.

use std::path::PathBuf;

use ferrolb_compat::go::flag::{Flag, Parsed, Value};
use ferrolb_compat::names;

use crate::logging::Threshold;

/// The environment: a variable's value by its name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What both programs are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The port of `/metrics`; 0: any.
    pub port: u16,
    /// The name of the ConfigMap.
    pub config_map: String,
    /// The configuration comes from this file instead.
    pub config_file: Option<PathBuf>,
    /// The namespace of ConfigMap, secret and speakers.
    pub namespace: String,
    /// The kubeconfig; `None`: what a pod is given.
    pub kubeconfig: Option<PathBuf>,
    /// What is logged.
    pub log_level: Threshold,
    /// Use Endpoints even where EndpointSlices exist.
    pub disable_endpoint_slices: bool,
    /// Profiling pages under `/debug/pprof/`.
    pub profiling: bool,
    /// Words after the flags, which nobody looks at.
    pub ignored: Vec<String>,
}

/// A flag's value cannot be used; the program logs it and exits 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// `port` is none.
    #[error("-port={0} is no port: use 0 to 65535")]
    Port(i64),
    /// `log-level` is none.
    #[error("-log-level: {0}")]
    LogLevel(#[from] crate::logging::UnknownLevel),
    /// The namespace is nowhere to be found.
    #[error(
        "no namespace: use -namespace or METALLB_NAMESPACE (in a pod it is also read from {})",
        names::SERVICE_ACCOUNT_NAMESPACE_FILE
    )]
    NoNamespace,
    /// The speaker does not know where it is.
    #[error(
        "no node name: use -node-name or METALLB_NODE_NAME, with the node's name in Kubernetes"
    )]
    NoNodeName,
    /// `METALLB_BGP_TYPE` is none.
    #[error("METALLB_BGP_TYPE={0:?} is unknown: use native or frr")]
    BgpType(String),
    /// `ml-bindport` is none.
    #[error("-ml-bindport={0:?} is no port: use 1 to 65535")]
    MemberlistPort(String),
}

/// A flag with a text.
pub(super) fn text(name: &'static str, default: String, usage: &'static str) -> Flag {
    Flag {
        name,
        default: Value::Text(default),
        usage,
    }
}

fn switch(name: &'static str, usage: &'static str) -> Flag {
    Flag {
        name,
        default: Value::Bool(false),
        usage,
    }
}

/// The shared flags, with the environment's defaults.
pub(super) fn common(env: Environment<'_>) -> Vec<Flag> {
    vec![
        Flag {
            name: "port",
            default: Value::Int(i64::from(names::DEFAULT_METRICS_PORT)),
            usage: "HTTP port of /metrics, /healthz and /readyz",
        },
        text(
            "config",
            names::DEFAULT_CONFIG_MAP.to_owned(),
            "name of the ConfigMap with the configuration",
        ),
        text(
            "config-file",
            String::new(),
            "read the configuration from the file at `path` (ConfigMap manifest or its bare data), not from Kubernetes",
        ),
        text(
            "namespace",
            env(names::env::NAMESPACE).unwrap_or_default(),
            "namespace of ConfigMap, memberlist secret and speakers; in a pod: its own",
        ),
        text(
            "kubeconfig",
            String::new(),
            "`path` of a kubeconfig; empty: the pod's service account",
        ),
        text(
            "log-level",
            "info".to_owned(),
            "what to log: all, debug, info, warn, error or none",
        ),
        switch(
            "disable-epslices",
            "use Endpoints even where EndpointSlices exist",
        ),
        switch("enable-pprof", "serve profiling pages under /debug/pprof/"),
    ]
}

impl Common {
    /// What the flags mean. `namespace_file` reads the namespace that a pod is told by its service account.
    pub(super) fn new(
        parsed: &Parsed,
        namespace_file: &dyn Fn() -> Option<String>,
    ) -> Result<Self, OptionError> {
        let path = |name| Some(parsed.text(name)).filter(|text| !text.is_empty());
        let port = parsed.int("port");
        let namespace = Some(parsed.text("namespace").to_owned())
            .filter(|namespace| !namespace.is_empty())
            .or_else(|| namespace_file().map(|text| text.trim().to_owned()))
            .filter(|namespace| !namespace.is_empty());
        Ok(Self {
            port: u16::try_from(port).map_err(|_| OptionError::Port(port))?,
            config_map: parsed.text("config").to_owned(),
            config_file: path("config-file").map(PathBuf::from),
            namespace: namespace.ok_or(OptionError::NoNamespace)?,
            kubeconfig: path("kubeconfig").map(PathBuf::from),
            log_level: log_level(parsed)?,
            disable_endpoint_slices: parsed.bool("disable-epslices"),
            profiling: parsed.bool("enable-pprof"),
            ignored: parsed.rest.clone(),
        })
    }
}

/// The log level alone: what is wrong with the other flags should be logged at the level that was asked for.
pub(super) fn log_level(parsed: &Parsed) -> Result<Threshold, OptionError> {
    Ok(parsed.text("log-level").parse()?)
}

/// The environment of this process.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The namespace file of this pod.
pub(super) fn namespace_file() -> Option<String> {
    std::fs::read_to_string(names::SERVICE_ACCOUNT_NAMESPACE_FILE).ok()
}
