//! `--config-file PATH`: the configuration from a file instead of from the API server.
//!
//! The file holds either the configuration as such or a ConfigMap manifest (of any name if it is the only one), which may
//! hold the settings (`data.ferrolb`) too. It is
//! watched as a folder of manifests is, also through the links of a mounted ConfigMap. A file that cannot be read or
//! is no manifest changes nothing; a file that vanished is a ConfigMap that was deleted: the last good one stays in
//! force, and that is said and shown in the metrics.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::cluster::{Change, Kind};
use crate::journal::Record;
use crate::view::{self, ObjectKey};

use super::Journal;
use super::folder::{self, SECOND_LOOK};
use super::manifest::{self, CONFIG_LIMIT, Fault, Format, Object, Source};
use super::watcher::Watch;

/// Longest file read: a ConfigMap with its metadata and what else a dump holds.
const FILE_LIMIT: u64 = 4 * CONFIG_LIMIT as u64;

/// Room for changes that nobody has taken yet: there is one object, and a change not yet taken makes the watcher wait.
const ROOM: usize = 4;

/// Watches a file for as long as the receiver lives. The first message is the ConfigMap, or that there is none; then
/// [`Change::Synced`]; then every change. `key` is the name under which the configuration is known.
pub fn watch(path: &Path, key: ObjectKey, journal: Journal) -> mpsc::Receiver<Change> {
    let (changes, receiver) = mpsc::channel(ROOM);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    tokio::spawn(run(path, key, journal, changes));
    receiver
}

/// Both texts of a ConfigMap.
type Texts = (Option<Arc<str>>, Option<Arc<str>>);

async fn run(path: PathBuf, key: ObjectKey, journal: Journal, changes: mpsc::Sender<Change>) {
    // In the file's own folder, which may be a busy one: the file, and the links of a mounted ConfigMap.
    let own = path.clone();
    let (mut watch, record) = Watch::new(move |changed| {
        changed == own
            || changed.parent() != own.parent()
            || changed
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
    });
    record.into_iter().for_each(|record| journal(record));
    let mut told: Option<Texts> = None;
    let mut said: Option<String> = None;
    let mut missing = false;
    let mut first = true;
    loop {
        let mut folders: BTreeSet<PathBuf> =
            path.parent().map(Path::to_path_buf).into_iter().collect();
        if let Ok(real) = path.canonicalize()
            && let Some(parent) = real.parent()
        {
            folders.insert(parent.to_path_buf());
        }
        // Watch first, read then: a change in between is notified.
        watch
            .follow(&folders)
            .into_iter()
            .for_each(|record| journal(record));
        let (file, name) = (path.clone(), key.clone());
        let seen = spawn_blocking(move || read(&file, &name))
            .await
            .unwrap_or_else(|error| Err(Seen::Fault(Fault::whole(error.to_string()))));
        let mut again = None;
        match seen {
            Ok(config) => {
                missing = false;
                said = None;
                let texts = (config.config.clone(), config.settings.clone());
                if told.as_ref() != Some(&texts) {
                    told = Some(texts);
                    if changes.send(Change::ConfigMap(config)).await.is_err() {
                        return;
                    }
                }
            }
            Err(Seen::Missing) if !first && !missing => {
                missing = true;
                again = Some(SECOND_LOOK);
            }
            Err(Seen::Missing) => {
                say(
                    &journal,
                    &path,
                    &mut said,
                    "the file does not exist".to_owned(),
                );
                if (first || told.take().is_some())
                    && changes.send(Change::ConfigMapGone).await.is_err()
                {
                    return;
                }
            }
            Err(Seen::Fault(fault)) => {
                let separator = if fault.place.is_some() { ":" } else { ": " };
                let text = format!("{}{separator}{fault}", path.display());
                say(&journal, &path, &mut said, text);
            }
        }
        if std::mem::replace(&mut first, false)
            && changes.send(Change::Synced(Kind::ConfigMap)).await.is_err()
        {
            return;
        }
        tokio::select! {
            () = changes.closed() => return,
            () = watch.time_to_look(again) => {}
        }
    }
}

fn say(journal: &Journal, path: &Path, said: &mut Option<String>, text: String) {
    if said.as_ref() != Some(&text) {
        journal(
            Record::failed(
                "readConfigFile",
                &text,
                "configuration file refused: the last good configuration stays in force",
            )
            .with("file", path.display()),
        );
        *said = Some(text);
    }
}

/// What is there instead of a configuration.
enum Seen {
    Missing,
    Fault(Fault),
}

fn read(path: &Path, key: &ObjectKey) -> Result<view::ConfigMap, Seen> {
    let text = folder::read(path, FILE_LIMIT).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Seen::Missing,
        _ => Seen::Fault(Fault::whole(format!("cannot be read: {error}"))),
    })?;
    let text = folder::utf8(&text).map_err(Seen::Fault)?;
    let origin = path.display().to_string();
    // An empty file is a configuration without pools, as an empty `data.config` is.
    if text.trim().is_empty() {
        return Ok(view::ConfigMap {
            key: key.clone(),
            uid: Arc::from(""),
            config: Some(Arc::from("")),
            settings: None,
            origin,
        });
    }
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let parsed = manifest::parse(
        text,
        Source {
            origin: &origin,
            format: Format::of(name).unwrap_or(Format::Yaml),
            config_name: None,
            may_be_bare: true,
        },
    )
    .map_err(Seen::Fault)?;
    let mut maps: Vec<view::ConfigMap> = parsed
        .objects
        .into_iter()
        .filter_map(|object| match object {
            Object::ConfigMap(map) => Some(map),
            Object::Service(_) | Object::Endpoints(_) | Object::Slice(..) | Object::Node(_) => None,
        })
        .collect();
    if maps.len() > 1 {
        maps.retain(|map| map.key.name() == key.name());
    }
    let mut map = maps.pop().ok_or_else(|| {
        Seen::Fault(Fault::whole(format!(
            "the file holds neither a configuration nor a ConfigMap {:?}",
            key.name()
        )))
    })?;
    map.key = key.clone();
    Ok(map)
}
