//! The state file: which Service holds which addresses, across restarts.
//!
//! Beside each Service's addresses it keeps what the Service was, and the configuration's text, so that a manifest
//! that is broken at the start does not lose what it held: its last good form stays in force as it would have
//! without the restart. It may hold BGP passwords (they are part of the configuration): mode 0600.
//!
//! Written as a whole to a temporary file that is synced and renamed; a reader sees the old or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::view::{self, ObjectKey};

use super::manifest::Object;
use super::world::{Owned, World};

/// The version that this program writes; a file of a later one is not touched.
const VERSION: u32 = 1;

/// The content of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<KeptConfig>,
    #[serde(default)]
    services: BTreeMap<String, KeptService>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            config: None,
            services: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptConfig {
    file: String,
    namespace: String,
    name: String,
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptService {
    addresses: Vec<String>,
    file: String,
    load_balancer: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    cluster_ips: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    load_balancer_ip: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    local: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    selector: BTreeMap<String, String>,
    ports: Vec<(String, u16)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ips: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sharing_key: String,
}

impl KeptService {
    fn new(owned: &Owned<view::Service>) -> Self {
        let service = &owned.object;
        Self {
            addresses: service.ingress.clone(),
            file: owned.file.to_string(),
            load_balancer: service.is_load_balancer,
            class: service.load_balancer_class.clone(),
            cluster_ips: service.cluster_ips.clone(),
            load_balancer_ip: service.load_balancer_ip.clone(),
            local: service.local_traffic_policy,
            selector: service.selector.clone(),
            ports: service
                .ports
                .iter()
                .map(|port| (port.protocol.to_string(), port.port))
                .collect(),
            pool: service.annotation_pool.clone(),
            ips: service.annotation_ips.clone(),
            sharing_key: service.sharing_key.clone(),
        }
    }

    fn view(&self, key: &str) -> Option<view::Service> {
        let (namespace, name) = key.split_once('/')?;
        Some(view::Service {
            key: ObjectKey::new(namespace, name),
            uid: Arc::from(""),
            resource_version: Arc::from(""),
            is_load_balancer: self.load_balancer,
            load_balancer_class: self.class.clone(),
            cluster_ips: self.cluster_ips.clone(),
            load_balancer_ip: self.load_balancer_ip.clone(),
            local_traffic_policy: self.local,
            selector: self.selector.clone(),
            ports: self
                .ports
                .iter()
                .map(|(protocol, port)| view::Port {
                    protocol: Arc::from(protocol.as_str()),
                    port: *port,
                })
                .collect(),
            annotation_pool: self.pool.clone(),
            annotation_ips: self.ips.clone(),
            sharing_key: self.sharing_key.clone(),
            ingress: self.addresses.clone(),
        })
    }
}

impl State {
    /// The state of a world. Services that never were of type LoadBalancer and hold nothing are left out.
    pub(crate) fn of(world: &World) -> Self {
        Self {
            version: VERSION,
            config: world.config().map(|owned| KeptConfig {
                file: owned.file.to_string(),
                namespace: owned.object.key.namespace().to_owned(),
                name: owned.object.key.name().to_owned(),
                text: owned.object.config.as_deref().map(str::to_owned),
                settings: owned.object.settings.as_deref().map(str::to_owned),
            }),
            services: world
                .services()
                .filter(|owned| owned.object.is_load_balancer || !owned.object.ingress.is_empty())
                .map(|owned| {
                    (
                        owned.object.key.as_str().to_owned(),
                        KeptService::new(owned),
                    )
                })
                .collect(),
        }
    }

    /// The addresses that were held.
    pub(crate) fn held(&self) -> BTreeMap<ObjectKey, Vec<String>> {
        self.services
            .iter()
            .filter_map(|(key, kept)| {
                let (namespace, name) = key.split_once('/')?;
                Some((ObjectKey::new(namespace, name), kept.addresses.clone()))
            })
            .collect()
    }

    /// What this file gave when it was last good: Services and the configuration.
    pub(crate) fn objects_of(&self, file: &str, dir: &Path) -> Vec<Object> {
        let config = self
            .config
            .iter()
            .filter(|kept| kept.file == file)
            .map(|kept| {
                Object::ConfigMap(view::ConfigMap {
                    key: ObjectKey::new(&kept.namespace, &kept.name),
                    uid: Arc::from(""),
                    config: kept.text.as_deref().map(Arc::from),
                    settings: kept.settings.as_deref().map(Arc::from),
                    origin: dir.join(file).display().to_string(),
                })
            });
        let services = self
            .services
            .iter()
            .filter(|(_, kept)| kept.file == file)
            .filter_map(|(key, kept)| Some(Object::Service(Box::new(kept.view(key)?))));
        config.chain(services).collect()
    }
}

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is there but cannot be read.
    #[error("cannot read the state file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error(
        "cannot write the state file {path}: {source}; addresses would not survive a restart: make the folder writable, \
         name another place with --state FILE, or accept it with --ephemeral"
    )]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A later release wrote it.
    #[error(
        "the state file {path} is of version {version}, this program knows up to {VERSION}: use the release that wrote \
         it, or name another file with --state FILE (addresses may change then)"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: u64,
    },
    /// It is damaged and cannot be moved aside.
    #[error("the state file {path} is damaged ({fault}) and cannot be moved aside: {source}")]
    Aside {
        /// The file.
        path: String,
        /// What is wrong in it.
        fault: String,
        /// Why it cannot be moved.
        source: io::Error,
    },
}

/// What reading the state file gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// There is none: the first start.
    Nothing,
    /// The state.
    State(State),
    /// It was damaged and is now under this other name; the text says what is wrong in it.
    Damaged {
        /// Where it is now.
        aside: PathBuf,
        /// What is wrong in it.
        fault: String,
    },
}

/// Reads the state file; a damaged one is moved aside (`may_move`), never overwritten.
///
/// # Errors
///
/// See [`StateError`].
pub(crate) fn load(path: &Path, may_move: bool) -> Result<Loaded, StateError> {
    let shown = || path.display().to_string();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Nothing),
        Err(source) => {
            return Err(StateError::Read {
                path: shown(),
                source,
            });
        }
    };
    let fault = match serde_json::from_slice::<serde_json::Value>(&text) {
        Ok(value) => {
            let version = value.get("version").and_then(serde_json::Value::as_u64);
            if let Some(version) = version.filter(|version| *version > u64::from(VERSION)) {
                return Err(StateError::Newer {
                    path: shown(),
                    version,
                });
            }
            match serde_json::from_value(value) {
                Ok(state) => return Ok(Loaded::State(state)),
                Err(error) => error.to_string(),
            }
        }
        Err(error) => error.to_string(),
    };
    let mut aside = beside(path, ".corrupt");
    if may_move {
        for n in 1..100 {
            if !aside.exists() {
                break;
            }
            aside = beside(path, &format!(".corrupt.{n}"));
        }
        if let Err(source) = fs::rename(path, &aside) {
            return Err(StateError::Aside {
                path: shown(),
                fault,
                source,
            });
        }
    } else {
        aside = path.to_path_buf();
    }
    Ok(Loaded::Damaged { aside, fault })
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Its owner: it may hold passwords.
    Private,
    /// Everybody.
    Public,
}

/// Writes a JSON document in the place of a file: whole or not at all. A private one is on the disk when this returns.
///
/// # Errors
///
/// What the file system says.
pub(crate) fn replace(path: &Path, document: &impl Serialize, secrecy: Secrecy) -> io::Result<()> {
    let durable = secrecy == Secrecy::Private;
    // A link stays a link: its target is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let text = serde_json::to_vec(document)?;
    let temporary = beside(path, ".new");
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(if durable { 0o600 } else { 0o644 })
            .open(&temporary)?;
        file.write_all(&text)?;
        file.write_all(b"\n")?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // Best effort: the error that counts is the one above.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    if durable && let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The path with something appended to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
