//! Resources as files: one file, a List, or a folder.

use std::io::{self, Write};
use std::path::Path;

use ferrolb_compat::crd::read::read_all;
use ferrolb_compat::crd::schema::{Judge, Schemas};
use ferrolb_compat::crd::{Dress, Resource, Spec};
use ferrolb_compat::migrate::{self as upstream, Release};
use ferrolb_compat::yaml::Document;
use ferrolb_compat::yaml::emit::{self, Value};

use super::atomic;
use crate::migrate::{BgpMode, resources};

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Layout {
    /// One file of many documents
    Yaml,
    /// A List
    Json,
    /// A folder with a file for each resource; names are in the order in which to apply them
    SplitDir,
    /// The same with a kustomization.yaml
    Kustomize,
    /// Values for Helm, to be given after the old ones: without configInline, with the BGP implementation, and with the resources for
    /// charts that deploy objects of their values (extraDeploy)
    HelmValues,
}

impl Layout {
    /// Whether it is a folder.
    pub(super) fn is_folder(self) -> bool {
        matches!(self, Self::SplitDir | Self::Kustomize)
    }
}

/// Resources to write.
pub(super) struct Output<'o> {
    /// The resources.
    pub(super) resources: Vec<&'o Resource>,
    /// The line that each comes from, to be written above it; `None`: no comments.
    pub(super) comments: Option<Vec<Option<String>>>,
    /// Where they are to be.
    pub(super) namespace: &'o str,
    /// The release that reads them.
    pub(super) target: Release,
    /// Its BGP implementation.
    pub(super) mode: Option<BgpMode>,
    /// Upstream's form of this release.
    pub(super) compat: Option<Release>,
    /// How they are written.
    pub(super) layout: Layout,
}

/// What is written.
pub(super) enum Written {
    /// One file.
    File(String),
    /// Files of a folder: names and contents.
    Folder(Vec<(String, String)>),
    /// Values for Helm.
    Values {
        /// The file.
        text: String,
        /// The resources in it, as a manifest.
        list: String,
    },
}

impl Output<'_> {
    fn header(&self) -> String {
        let mode = self
            .mode
            .map_or(String::new(), |mode| format!(", BGP mode {mode}"));
        format!(
            "# Written by ferrolb migrate convert for MetalLB {}{mode}.\n",
            self.target
        )
    }

    /// The line above a resource that says where it comes from.
    fn comment(&self, index: usize) -> String {
        let comments = self.comments.as_ref();
        match comments.and_then(|comments| comments.get(index)) {
            Some(Some(comment)) => format!("# {comment}\n"),
            Some(None) | None => String::new(),
        }
    }

    /// Values for Helm: one file takes a key of an earlier one away by giving it no value.
    fn values(&self) -> Written {
        let mut items = String::new();
        for (index, resource) in self.resources.iter().enumerate() {
            items.push_str(&self.comment(index));
            let manifest = resource.manifest(self.namespace, Dress::default());
            emit::write(&mut items, &Value::List(vec![manifest]));
        }
        let mut text = self.header();
        text.push_str(
            "# For helm upgrade, after the old values: -f OLD -f THIS\nconfigInline: null\n",
        );
        let list = if items.is_empty() {
            text.push_str("extraDeploy: []\n");
            String::new()
        } else {
            text.push_str(&format!("extraDeploy:\n{items}"));
            format!("apiVersion: v1\nkind: List\nitems:\n{items}")
        };
        // Without a BGP implementation nothing is known to be kept.
        if let Some(mode) = self.mode {
            let enabled = |mine: BgpMode| Value::map([("enabled", Value::Bool(mode == mine))]);
            if self.target >= Release::new(14, 0) {
                let frr_k8s = enabled(BgpMode::FrrK8s);
                emit::write(&mut text, &Value::map([("frrk8s", frr_k8s)]));
            }
            let frr = Value::map([("frr", enabled(BgpMode::Frr))]);
            emit::write(&mut text, &Value::map([("speaker", frr)]));
        }
        Written::Values { text, list }
    }

    fn document(&self, index: usize, resource: &Resource) -> String {
        let mut out = self.comment(index);
        emit::write(
            &mut out,
            &resource.manifest(self.namespace, Dress::default()),
        );
        out
    }

    /// The files.
    ///
    /// # Errors
    /// Upstream's converter could not write one of the resources.
    pub(super) fn write(&self) -> Result<Written, upstream::Unwritable> {
        if let Some(release) = self.compat {
            let resources: Vec<Resource> = self.resources.iter().copied().cloned().collect();
            return upstream::write(&resources, self.namespace, release).map(Written::File);
        }
        let documents = self.resources.iter().enumerate();
        Ok(match self.layout {
            Layout::Yaml => {
                let mut out = self.header();
                for (index, resource) in documents {
                    out.push_str("---\n");
                    out.push_str(&self.document(index, resource));
                }
                Written::File(out)
            }
            Layout::HelmValues => self.values(),
            Layout::Json => {
                let items = self
                    .resources
                    .iter()
                    .map(|resource| json(&resource.manifest(self.namespace, Dress::default())));
                let list = serde_json::json!({
                    "apiVersion": "v1",
                    "kind": "List",
                    "items": items.collect::<Vec<_>>(),
                });
                Written::File(format!("{list:#}\n"))
            }
            Layout::SplitDir | Layout::Kustomize => {
                let width = self.resources.len().to_string().len().max(2);
                let mut files: Vec<(String, String)> = documents
                    .map(|(index, resource)| {
                        let kind = resource.spec.kind().to_lowercase();
                        // A file's name has 255 bytes at most.
                        let name = resource.name.get(..200).unwrap_or(&resource.name);
                        let file = format!("{:0width$}-{kind}-{name}.yaml", index + 1);
                        (file, self.document(index, resource))
                    })
                    .collect();
                if self.layout == Layout::Kustomize {
                    let mut out = self.header();
                    let names = files.iter().map(|(name, _)| name.as_str());
                    emit::write(
                        &mut out,
                        &Value::map([
                            ("apiVersion", Value::text("kustomize.config.k8s.io/v1beta1")),
                            ("kind", Value::text("Kustomization")),
                            ("resources", Value::texts(names)),
                        ]),
                    );
                    files.push(("kustomization.yaml".to_owned(), out));
                }
                Written::Folder(files)
            }
        })
    }
}

/// A value for serde.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| (key.clone(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

impl Written {
    /// The texts that hold resources.
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::File(text) => vec![text],
            Self::Folder(files) => files
                .iter()
                .filter(|(name, _)| name != "kustomization.yaml")
                .map(|(_, text)| text.as_str())
                .collect(),
            Self::Values { list, .. } => vec![list.as_str()],
        }
    }

    /// What an API server of the target would refuse of it, or would read otherwise than it was meant.
    pub(super) fn faults(
        &self,
        wanted: &[&Resource],
        target: Release,
        kubernetes: Option<u32>,
    ) -> Vec<String> {
        let schemas = Schemas::of(target);
        let judge = Judge {
            schemas: &schemas,
            kubernetes,
        };
        let (mut faults, mut found) = (Vec::new(), Vec::new());
        if let Self::Values { list, .. } = self
            && list.contains("{{")
        {
            faults.push(
                "a value has {{, which Helm takes for the beginning of a template".to_owned(),
            );
        }
        for text in self.texts() {
            let documents = match Document::parse_all(text) {
                Ok(documents) => documents,
                Err(error) => {
                    faults.push(error.to_string());
                    continue;
                }
            };
            for document in &documents {
                faults.extend(judge.check(document).iter().map(ToString::to_string));
            }
            found.extend(resources::resolved(&read_all(&documents)));
        }
        // A List's documents are in order too.
        let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| a == *b);
        if faults.is_empty() && !same {
            faults.push("what is written is not read back as it was meant".to_owned());
        }
        faults
    }

    /// Writes it: a folder must not be there, or be empty.
    ///
    /// # Errors
    /// It cannot be written; what was there is untouched.
    pub(super) fn save(
        &self,
        path: &Path,
        secrets: Option<(&Path, &str)>,
        stdout: &mut dyn Write,
    ) -> io::Result<()> {
        // They may hold passwords.
        const MODE: u32 = 0o600;
        let prepared = match secrets {
            Some((path, text)) => Some(atomic::prepare(path, text.as_bytes(), MODE)?),
            None => None,
        };
        match self {
            Self::File(text) | Self::Values { text, .. } if path == Path::new("-") => {
                stdout.write_all(text.as_bytes())?;
                stdout.flush()?;
            }
            Self::File(text) | Self::Values { text, .. } => {
                atomic::write(path, text.as_bytes(), MODE)?;
            }
            Self::Folder(files) => atomic::write_folder(path, files, MODE)?,
        }
        prepared.map_or(Ok(()), atomic::Prepared::commit)
    }
}

/// Whether it is a Secret.
pub(super) fn is_secret(resource: &Resource) -> bool {
    matches!(resource.spec, Spec::Secret(_))
}
