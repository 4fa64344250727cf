//! The configuration that is converted: in a file, or a cluster's.

use std::io::{self, Read};
use std::path::Path;

use ferrolb_compat::migrate::NAMESPACE;
use ferrolb_compat::yaml::Place;

use super::super::live;
use super::super::report::Source;
use super::super::{in_file, read_text, refused, shown};
use super::args::ConversionArgs;
use crate::cli::check::input::{Located, Missing, Wanted, locate_as};
use crate::config::error::Key;
use crate::migrate::live::inventory::{self, Inventory};
use crate::migrate::{Conversion, Level, Options, Source as MigrateSource, convert_with, note};

/// A configuration that was found and converted.
pub(crate) struct Converted {
    /// What became of it, with places in the file.
    pub(crate) conversion: Conversion,
    /// The ConfigMap's namespace.
    pub(crate) namespace: Option<String>,
    /// The ConfigMap's name.
    pub(crate) name: Option<String>,
    /// The line of each resource.
    pub(super) lines: Vec<Option<usize>>,
    /// The file has several, and nobody can tell which is meant.
    pub(super) is_ambiguous: bool,
}

impl Converted {
    /// Of a text that is the configuration.
    pub(crate) fn bare(conversion: Conversion) -> Self {
        Self {
            conversion,
            namespace: None,
            name: None,
            lines: Vec::new(),
            is_ambiguous: false,
        }
    }

    fn missing(missing: Missing) -> Self {
        let mut diagnostic = missing.diagnostic;
        let is_ambiguous = diagnostic.code == "several-configs";
        if matches!(diagnostic.code, "no-config-key" | "no-config") {
            diagnostic.code = "MIG043";
        }
        Self {
            conversion: refused(diagnostic),
            namespace: None,
            name: None,
            lines: Vec::new(),
            is_ambiguous,
        }
    }
}

/// Finds the configuration in a file and converts it.
pub(crate) fn convert_file(text: &str, wanted: &Wanted<'_>, options: &Options) -> Converted {
    let located = match locate_as(text, wanted) {
        Ok(located) => located,
        Err(missing) => return Converted::missing(*missing),
    };
    let mut conversion = convert_with(located.source(text), located.settings(), options);
    surround(&mut conversion, &located, wanted);
    let lines = located.lines_in_file(text, &conversion.origins);
    Converted {
        conversion: in_file(conversion, &located, text),
        namespace: located.namespace,
        name: located.name,
        lines,
        is_ambiguous: false,
    }
}

/// Converts the texts of a ConfigMap that is in no file.
pub(crate) fn convert_bare(text: &str, settings: Option<&str>, options: &Options) -> Conversion {
    let mut conversion = convert_with(MigrateSource::Text(text), settings, options);
    for finding in &mut conversion.findings {
        // Places are told as those of the configuration, and the settings are another text.
        if finding.diagnostic.key == Key::Ferrolb {
            finding.diagnostic.line = 0;
        }
    }
    conversion
}

/// What is to say about the ConfigMap itself.
fn surround(conversion: &mut Conversion, located: &Located, wanted: &Wanted<'_>) {
    let mut say = |level, code, message: String, help: &str| {
        conversion.findings.push(note(level, code, message, help));
    };
    if let (Some(name), None) = (&located.name, wanted.name)
        && name != "config"
    {
        say(
            Level::Warning,
            "MIG043",
            format!(
                "the ConfigMap's name is {name:?}, and MetalLB's pods read `config` unless they have --config"
            ),
            "say with --config-name which one they read",
        );
    }
}

/// What is converted, and what is known about the cluster.
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) converted: Converted,
    pub(super) nodes: Vec<inventory::Node>,
    pub(super) services: Vec<inventory::Service>,
    pub(super) options: Options,
}

/// Reads and converts; the inner error is for people.
pub(super) fn find(
    args: &ConversionArgs,
    stdin: &mut dyn Read,
) -> io::Result<Result<Found, String>> {
    Ok(match &args.input {
        Some(path) => {
            find_in_file(args, path, stdin).map_err(|error| format!("cannot read {error}"))
        }
        None => {
            let namespace = args.namespace.as_deref().unwrap_or(NAMESPACE);
            let name = args.config_name.as_deref().unwrap_or("config");
            let inventory = live::cluster_inventory(&args.cluster, namespace, name)?;
            inventory.and_then(|inventory| find_in_cluster(args, inventory, name))
        }
    })
}

fn find_in_file(args: &ConversionArgs, path: &Path, stdin: &mut dyn Read) -> io::Result<Found> {
    let mut options = args.options()?;
    let (nodes, services) = args.inventories()?;
    options.nodes = nodes.iter().map(|node| node.labels.clone()).collect();
    let name = shown(path);
    let text = read_text(path, stdin)
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    Ok(Found {
        converted: convert_file(&text, &args.wanted(), &options),
        source: Source { name, text },
        nodes,
        services,
        options,
    })
}

/// The cluster's ConfigMap. What the command line says counts before what the cluster tells.
fn find_in_cluster(
    args: &ConversionArgs,
    mut inventory: Inventory,
    name: &str,
) -> Result<Found, String> {
    let said = |error: io::Error| format!("cannot read {error}");
    let mut options = args.options().map_err(said)?;
    options.mode = options.mode.or(inventory.mode());
    options.kubernetes = options.kubernetes.or(inventory.kubernetes);
    let (nodes, services) = args.inventories().map_err(said)?;
    if args.nodes.is_some() {
        inventory.nodes = nodes;
    }
    if args.services.is_some() {
        inventory.services = services;
    }
    let nodes = inventory.nodes.iter();
    options.nodes = nodes.map(|node| node.labels.clone()).collect();
    let namespace = inventory.namespace.clone();
    if inventory.config_map.is_none() {
        return Err(no_config_map(&namespace, name));
    }
    // Upstream: a ConfigMap without the key is an empty configuration.
    let text = inventory.config().unwrap_or_default().to_owned();
    let conversion = convert_bare(&text, inventory.settings(), &options);
    let line = |place: &Option<Place>| usize::try_from((*place)?.line).ok();
    let lines = conversion.origins.iter().map(line).collect();
    Ok(Found {
        source: Source {
            name: format!("configmap {namespace}/{name}"),
            text,
        },
        converted: Converted {
            namespace: Some(namespace),
            name: Some(name.to_owned()),
            lines,
            ..Converted::bare(conversion)
        },
        nodes: inventory.nodes,
        services: inventory.services,
        options,
    })
}

/// What is missing, and what to do.
pub(crate) fn no_config_map(namespace: &str, name: &str) -> String {
    format!(
        "there is no configmap {namespace}/{name} (name it with --namespace and --config-name, or give a file)"
    )
}
