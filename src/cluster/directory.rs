//! A folder of manifests as the cluster.
//!
//! The folder holds what an API server would: the ConfigMap, Services, optionally Endpoints, EndpointSlices and Nodes,
//! as YAML or JSON. Which files are read: [`folder`]; what is read of them: [`manifest`]; who wins: [`world`]; what
//! survives a restart: [`state`]; when it is looked at: [`watcher`].
//!
//! One task ([`Driver::run`]) owns everything and sends the changes. Status writes go to it over a bounded channel and
//! are answered at once; the state file is written in the background, and each Service is sent as it is then, as an API
//! server's watch would, when the file that has its addresses is on the disk. What comes meanwhile goes into the next
//! file: a burst of thousands of Services costs a few syncs of the disk.
//!
//! What stays when something goes wrong: a file that cannot be read leaves its objects; a folder that cannot be listed
//! leaves everything; a state file that cannot be written any more is said, and tried again every ten seconds.
//!
//! Invariant: an address is in the state file before its Service is told to carry it.

#![expect(
    clippy::disallowed_methods,
    reason = "driver: owns the folder and the clock"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Change, Cluster, Kind, WriteError};
use crate::journal::{Level, Record};
use crate::view;

pub mod config_file;

mod folder;
mod manifest;
mod state;
mod watcher;
mod world;

pub use state::StateError;

use folder::{Folder, Limits, Look};
use state::{Loaded, Secrecy, State};
use watcher::Watch;
use world::{Duplicate, World};

/// Where lines of the log go.
pub type Journal = Arc<dyn Fn(Record) + Send + Sync>;

/// Name of the state file in the folder, unless said otherwise.
pub const STATE_FILE: &str = ".ferrolb-state.json";

/// Status writes that wait; more make their writers wait.
const WRITES: usize = 1024;
/// Events kept for the status table.
const EVENTS: usize = 100;

/// Where assigned addresses are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Persistence {
    /// In this file.
    File(PathBuf),
    /// This file is read at the start but never written (a dry run).
    ReadOnly(PathBuf),
    /// Nowhere.
    Ephemeral,
}

/// What is decided once, at start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder.
    pub dir: PathBuf,
    /// Name of the ConfigMap that is the configuration; its namespace is not looked at.
    pub config_name: String,
    /// This host: its only live speaker, and a Node if no manifest has it.
    pub node_name: Arc<str>,
    /// Where addresses are kept.
    pub persistence: Persistence,
    /// Whether this must be the folder's only instance.
    pub exclusive: bool,
    /// Further files in the folder that are no manifests.
    pub own_files: Vec<PathBuf>,
}

/// Why a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be listed.
    #[error("cannot read the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another instance works on it.
    #[error(
        "another instance runs on {path}: stop it first (`ferrolb standalone {path} --status` shows what it does)"
    )]
    Busy {
        /// The folder.
        path: String,
    },
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The way to the task that owns the folder. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    writes: mpsc::Sender<Write>,
    shared: Arc<Shared>,
}

/// A status write on its way.
struct Write {
    write: view::StatusWrite,
    done: oneshot::Sender<Result<(), WriteError>>,
}

struct Shared {
    journal: Journal,
    events: Mutex<VecDeque<KeptEvent>>,
    problems: Mutex<Vec<String>>,
    /// Counts what a status table could show differently.
    news: watch::Sender<u64>,
}

impl Shared {
    fn news(&self) {
        self.news
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// An Event that was recorded lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvent {
    /// When it was recorded last.
    pub at: SystemTime,
    /// How often.
    pub count: u64,
    /// The event.
    pub event: view::KubernetesEvent,
}

/// The task that owns the folder, before it runs.
pub struct Driver {
    options: Options,
    folder: Option<Folder>,
    world: World,
    first: Look,
    writes: mpsc::Receiver<Write>,
    shared: Arc<Shared>,
    duplicates: BTreeSet<Duplicate>,
    /// Why the folder could not be listed, the state not be saved; said once each.
    unlisted: Option<String>,
    unsaved: Option<String>,
    /// Whether the world has something that neither the state file nor the one being written has.
    dirty: bool,
    /// Written Services that nobody was told of yet, oldest first.
    echoes: VecDeque<Change>,
    saving: Option<Saving>,
    /// Held as long as the task lives.
    _lock: Option<File>,
}

/// A state file being written.
struct Saving {
    task: JoinHandle<io::Result<()>>,
    /// How many of the oldest echoes it has.
    echoes: usize,
}

impl Directory {
    /// Opens a folder: locks it, reads the state file, looks at the manifests once.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]: nothing has been changed then, except that a damaged state file may have been moved aside.
    pub async fn open(options: Options, journal: Journal) -> Result<(Self, Driver), OpenError> {
        let shared = Arc::new(Shared {
            journal,
            events: Mutex::default(),
            problems: Mutex::default(),
            news: watch::Sender::default(),
        });
        let (sender, writes) = mpsc::channel(WRITES);
        let for_driver = shared.clone();
        let path = options.dir.display().to_string();
        let driver = spawn_blocking(move || open(options, for_driver, writes))
            .await
            .map_err(|error| OpenError::Folder {
                path,
                source: io::Error::other(error),
            })??;
        Ok((
            Self {
                writes: sender,
                shared,
            },
            driver,
        ))
    }

    /// The Events that were recorded lately, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<KeptEvent> {
        locked(&self.shared.events).iter().cloned().collect()
    }

    /// Changes whenever an object was told, an Event recorded or a problem found or mended.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    /// What is wrong with the folder now, a sentence each: files refused, duplicates, a state file not written.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        locked(&self.shared.problems).clone()
    }
}

impl Cluster for Directory {
    async fn write_status(&self, write: view::StatusWrite) -> Result<(), WriteError> {
        let (done, answer) = oneshot::channel();
        let stopped = || WriteError::Unavailable("the program is ending".to_owned());
        self.writes
            .send(Write { write, done })
            .await
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Goes to the log at once; the last hundred are kept for the status table.
    fn record(&self, event: view::KubernetesEvent) {
        let mut record = Record::event(event.reason, &event.message).with(
            "object",
            format!("{} {}", event.about.kind, event.about.key),
        );
        if event.warning {
            record = record.at(Level::Warn);
        }
        (self.shared.journal)(record);
        let at = SystemTime::now();
        let mut events = locked(&self.shared.events);
        let seen = events.iter().position(|kept| kept.event == event);
        let count = seen
            .and_then(|place| events.remove(place))
            .map_or(1, |kept| kept.count.saturating_add(1));
        events.push_back(KeptEvent { at, count, event });
        if events.len() > EVENTS {
            events.pop_front();
        }
        drop(events);
        self.shared.news();
    }
}

/// Nothing that is done under these locks can fail half-way.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a JSON document in the place of a file: a reader sees the old or the new one, whole. Everybody may read
/// it; it is not synced to the disk.
///
/// # Errors
///
/// What the file system says.
pub fn replace_file(path: &Path, document: &impl serde::Serialize) -> io::Result<()> {
    state::replace(path, document, Secrecy::Public)
}

/// Whether an instance works on the folder; `None`: the file system cannot tell.
///
/// # Errors
///
/// The folder cannot be opened.
pub fn is_running(dir: &Path) -> io::Result<Option<bool>> {
    match File::open(dir)?.try_lock_shared() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn open(
    mut options: Options,
    shared: Arc<Shared>,
    writes: mpsc::Receiver<Write>,
) -> Result<Driver, OpenError> {
    let shown = options.dir.display().to_string();
    let unlisted = |source| OpenError::Folder {
        path: shown.clone(),
        source,
    };
    options.dir = std::path::absolute(&options.dir).map_err(unlisted)?;
    let lock = if options.exclusive {
        let dir = File::open(&options.dir).map_err(unlisted)?;
        match dir.try_lock() {
            Ok(()) => Some(dir),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Busy { path: shown }),
            Err(TryLockError::Error(error)) => {
                (shared.journal)(
                    Record::failed(
                        "lockDirectory",
                        error,
                        "the file system has no locks: nothing keeps a second instance from this folder",
                    )
                    .at(Level::Warn),
                );
                None
            }
        }
    } else {
        None
    };
    let (state, may_write) = match &options.persistence {
        Persistence::File(path) => (load(path, true, &shared)?, Some(path)),
        Persistence::ReadOnly(path) => (load(path, false, &shared)?, None),
        Persistence::Ephemeral => (State::default(), None),
    };
    if let Some(path) = may_write {
        // Better to know now than at the first assignment.
        state::replace(path, &state, Secrecy::Private).map_err(|source| StateError::Write {
            path: path.display().to_string(),
            source,
        })?;
    }
    let skip = options
        .own_files
        .iter()
        .chain(match &options.persistence {
            Persistence::File(path) | Persistence::ReadOnly(path) => Some(path),
            Persistence::Ephemeral => None,
        })
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .collect();
    let mut folder = Folder::new(&options.dir, &options.config_name, skip, Limits::default());
    let first = folder.look(SystemTime::now()).map_err(unlisted)?;
    let unknown: Vec<String> = folder.unknown().map(str::to_owned).collect();
    for file in unknown {
        let objects = state.objects_of(&file, &options.dir);
        if !objects.is_empty() {
            (shared.journal)(
                Record::event(
                    "manifestRemembered",
                    "the file is refused: what it gave before the restart stays in force",
                )
                .at(Level::Warn)
                .with("file", options.dir.join(&file).display())
                .with("objects", objects.len()),
            );
            folder.remember(&file, objects);
        }
    }
    Ok(Driver {
        world: World::new(state.held()),
        options,
        folder: Some(folder),
        first,
        writes,
        shared,
        duplicates: BTreeSet::new(),
        unlisted: None,
        unsaved: None,
        dirty: false,
        echoes: VecDeque::new(),
        saving: None,
        _lock: lock,
    })
}

fn load(path: &Path, may_move: bool, shared: &Shared) -> Result<State, StateError> {
    Ok(match state::load(path, may_move)? {
        Loaded::Nothing => State::default(),
        Loaded::State(state) => state,
        Loaded::Damaged { aside, fault } => {
            (shared.journal)(
                Record::failed(
                    "readState",
                    fault,
                    "the state file is damaged: Services may get other addresses than before; mend it and put it back, \
                     or fix addresses with spec.loadBalancerIP",
                )
                .with("file", path.display())
                .with("movedTo", aside.display()),
            );
            State::default()
        }
    })
}

impl Driver {
    /// Runs until it is cancelled or nobody takes the changes any more. First all objects, then
    /// [`Change::Synced`] of every kind; then changes as they happen.
    ///
    /// A full channel makes this wait, status writes included: who receives from `changes` must not itself wait for
    /// [`Cluster::write_status`].
    ///
    /// Cancel-safety: end it by `cancel`; a state that is not yet saved is saved first.
    pub async fn run(mut self, changes: mpsc::Sender<Change>, cancel: CancellationToken) {
        let own = self.own_names();
        let dir = self.options.dir.clone();
        let parent = dir.parent().map(Path::to_path_buf);
        let (mut watch, record) = Watch::new(move |path| {
            // In the folder above, only the folder itself matters.
            if path.parent() == parent.as_deref() {
                return path == dir;
            }
            !path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| own.iter().any(|own| name.starts_with(own.as_str())))
        });
        record.into_iter().for_each(|record| self.say(record));
        let mut again = Some(Duration::ZERO); // what changed before the watch began
        let first = std::mem::take(&mut self.first);
        if !self.tell_first(first, &mut watch, &changes).await {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = changes.closed() => break,
                saved = saved(&mut self.saving) => {
                    if !self.end_save(saved, &changes).await {
                        break;
                    }
                }
                write = self.writes.recv() => {
                    let Some(write) = write else { break };
                    if !self.write(write, &changes).await {
                        break;
                    }
                }
                () = watch.time_to_look(again) => {
                    again = self.look(&mut watch, &changes).await;
                }
            }
        }
        self.settle(&changes).await;
    }

    fn say(&self, record: Record) {
        (self.shared.journal)(record);
    }

    /// The beginnings of the names of our own files in the folder.
    fn own_names(&self) -> Vec<String> {
        let state = match &self.options.persistence {
            Persistence::File(path) | Persistence::ReadOnly(path) => Some(path),
            Persistence::Ephemeral => None,
        };
        state
            .into_iter()
            .chain(&self.options.own_files)
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect()
    }

    async fn tell_first(
        &mut self,
        look: Look,
        watch: &mut Watch,
        changes: &mpsc::Sender<Change>,
    ) -> bool {
        let mut all = self.take(look, watch);
        for (key, addresses) in self.world.forget_unclaimed() {
            self.dirty = true;
            self.say(
                Record::event("addressesForgotten", "no manifest has the Service any more")
                    .with("service", key)
                    .with("ips", addresses.join(",")),
            );
        }
        if self.world.config().is_none() {
            all.push(Change::ConfigMapGone);
        }
        all.push(Change::Speakers(Some(BTreeSet::from([self
            .options
            .node_name
            .clone()]))));
        all.extend(
            [
                Kind::ConfigMap,
                Kind::Nodes,
                Kind::Speakers,
                Kind::Endpoints,
                Kind::Services,
            ]
            .map(Change::Synced),
        );
        let told = send(all, changes).await;
        self.shared.news();
        told
    }

    /// Looks at the folder; gives when to look again, if earlier than usual.
    async fn look(
        &mut self,
        watch: &mut Watch,
        changes: &mpsc::Sender<Change>,
    ) -> Option<Duration> {
        let mut folder = self.folder.take()?;
        let looked = spawn_blocking(move || {
            let look = folder.look(SystemTime::now());
            (folder, look)
        })
        .await;
        let look = match looked {
            Ok((folder, look)) => {
                self.folder = Some(folder);
                look
            }
            Err(error) => {
                // The folder is lost with the panic of its reader, which has no reason to panic: read everything anew.
                self.folder = Some(self.new_folder());
                Err(io::Error::other(error))
            }
        };
        let look = match look {
            Ok(look) => look,
            Err(error) => {
                let error = format!("cannot read the folder: {error}");
                if self.unlisted.as_ref() != Some(&error) {
                    self.say(
                        Record::failed(
                            "readDirectory",
                            &error,
                            "the folder cannot be read: nothing changes until it can",
                        )
                        .with("directory", self.options.dir.display()),
                    );
                    self.unlisted = Some(error);
                    self.show_problems();
                }
                // The folder above tells when it comes back, where it can be watched.
                watch.follow(&self.above());
                return Some(Duration::from_secs(2));
            }
        };
        if self.unlisted.take().is_some() {
            self.say(
                Record::event("directoryBack", "the folder can be read again")
                    .with("directory", self.options.dir.display()),
            );
            self.show_problems();
        }
        let again = look.again;
        // For each Service the changes come in order, and with addresses that are kept.
        self.settle(changes).await;
        let all = self.take(look, watch);
        if !all.is_empty() {
            send(all, changes).await;
            self.shared.news();
        }
        self.begin_save();
        again
    }

    /// Takes what a look saw.
    fn take(&mut self, mut look: Look, watch: &mut Watch) -> Vec<Change> {
        for record in look.records.drain(..) {
            self.say(record);
        }
        let mut folders = self.above();
        folders.insert(self.options.dir.clone());
        folders.extend(look.elsewhere);
        watch
            .follow(&folders)
            .into_iter()
            .for_each(|record| self.say(record));
        let first = self.world.config().is_none() && self.world.services().next().is_none();
        if !look.changed && !first {
            return Vec::new();
        }
        let host = view::Node {
            name: self.options.node_name.clone(),
            labels: BTreeMap::from([(
                "kubernetes.io/hostname".to_owned(),
                self.options.node_name.to_string(),
            )]),
            ready: true,
        };
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let difference = self.world.replace(folder.files(), Some(&host));
        for duplicate in difference.duplicates.difference(&self.duplicates) {
            (self.shared.journal)(
                Record::failed(
                    "readManifest",
                    duplicate,
                    "two manifests of one object: remove one",
                )
                .with("file", self.options.dir.join(&*duplicate.also).display()),
            );
        }
        self.duplicates = difference.duplicates;
        self.dirty |= !difference.changes.is_empty();
        self.show_problems();
        difference.changes
    }

    fn above(&self) -> BTreeSet<PathBuf> {
        self.options
            .dir
            .parent()
            .map(Path::to_path_buf)
            .into_iter()
            .collect()
    }

    fn new_folder(&self) -> Folder {
        Folder::new(
            &self.options.dir,
            &self.options.config_name,
            self.own_names().into_iter().collect(),
            Limits::default(),
        )
    }

    /// Takes a status write and all that wait behind it; `false`: nobody takes changes any more.
    async fn write(&mut self, first: Write, changes: &mpsc::Sender<Change>) -> bool {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(Write { write, done }) = next {
            let answer = self.world.write(&write).map(|echo| {
                if let Some(echo) = echo {
                    self.echoes.push_back(echo);
                    self.dirty = true;
                }
            });
            // A writer that does not wait any more learns of it by the echo.
            let _ = done.send(answer);
            taken += 1;
            next = if taken < WRITES {
                self.writes.try_recv().ok()
            } else {
                None
            };
        }
        self.begin_save();
        match self.saving {
            Some(_) => true,
            // Nothing is kept: there is nothing to wait for.
            None => self.tell_echoes(usize::MAX, changes).await,
        }
    }

    /// Sends the oldest echoes.
    async fn tell_echoes(&mut self, count: usize, changes: &mpsc::Sender<Change>) -> bool {
        let all: Vec<Change> = self.echoes.drain(..count.min(self.echoes.len())).collect();
        if all.is_empty() {
            return true;
        }
        let told = send(all, changes).await;
        self.shared.news();
        told
    }

    /// Begins to write the state file if it is older than the world and none is being written.
    fn begin_save(&mut self) {
        if !self.dirty || self.saving.is_some() {
            return;
        }
        self.dirty = false;
        let Persistence::File(path) = &self.options.persistence else {
            return;
        };
        let path = path.clone();
        let state = State::of(&self.world);
        self.saving = Some(Saving {
            task: spawn_blocking(move || state::replace(&path, &state, Secrecy::Private)),
            echoes: self.echoes.len(),
        });
    }

    /// The state file is written, or not. A failure is said once and does not stop anything: the addresses serve, they
    /// would only not survive; it is tried again at the next look.
    async fn end_save(
        &mut self,
        saved: Result<io::Result<()>, JoinError>,
        changes: &mpsc::Sender<Change>,
    ) -> bool {
        let echoes = self.saving.take().map_or(0, |saving| saving.echoes);
        match saved.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                if self.unsaved.take().is_some() {
                    self.say(Record::event(
                        "stateSaved",
                        "the state file is written again",
                    ));
                    self.show_problems();
                }
                self.begin_save();
            }
            Err(error) => {
                self.dirty = true;
                let error = error.to_string();
                if self.unsaved.as_ref() != Some(&error) {
                    if let Persistence::File(path) = &self.options.persistence {
                        self.say(
                            Record::failed(
                                "writeState",
                                &error,
                                "the state file cannot be written: what was assigned since would not survive a restart",
                            )
                            .with("file", path.display()),
                        );
                    }
                    self.unsaved = Some(error);
                    self.show_problems();
                }
            }
        }
        self.tell_echoes(echoes, changes).await
    }

    /// Brings the state file and the receivers up to date with the world.
    async fn settle(&mut self, changes: &mpsc::Sender<Change>) {
        self.begin_save();
        while self.saving.is_some() {
            let saved = saved(&mut self.saving).await;
            self.end_save(saved, changes).await;
        }
        self.tell_echoes(usize::MAX, changes).await;
    }

    fn show_problems(&self) {
        let files = self
            .folder
            .iter()
            .flat_map(Folder::problems)
            .map(|problem| {
                let separator = if problem.fault.place.is_some() {
                    ":"
                } else {
                    ": "
                };
                format!("{}{separator}{}", problem.file, problem.fault)
            });
        let duplicates = self.duplicates.iter().map(ToString::to_string);
        let unsaved = self
            .unsaved
            .iter()
            .map(|error| format!("the state file cannot be written: {error}"));
        *locked(&self.shared.problems) = self
            .unlisted
            .iter()
            .cloned()
            .chain(unsaved)
            .chain(files)
            .chain(duplicates)
            .collect();
        self.shared.news();
    }
}

/// Waits for the state file that is being written, for ever where none is.
///
/// Cancel-safety: safe; the writing goes on and is waited for again.
async fn saved(saving: &mut Option<Saving>) -> Result<io::Result<()>, JoinError> {
    match saving {
        Some(saving) => (&mut saving.task).await,
        None => std::future::pending().await,
    }
}

async fn send(all: Vec<Change>, changes: &mpsc::Sender<Change>) -> bool {
    for change in all {
        if changes.send(change).await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
