//! The folder: which files there are, and what each last gave.
//!
//! [`Folder::look`] reads what changed and keeps what it cannot read: a file that does not parse, is too large or may
//! not be read leaves the objects that it last gave. A file that vanished or became empty is believed at the second
//! look only, because editors remove or truncate a file before they write it anew. It blocks on the disk: call it where
//! that is allowed.
//!
//! Read are `*.yaml`, `*.yml` and `*.json` directly in the folder, hidden ones excepted; symbolic links are followed
//! (the files of a mounted ConfigMap are links through `..data`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::journal::{Level, Record};

use super::manifest::{self, Fault, Format, Object, Parsed, Source};

/// What a folder may hold. A limit that is exceeded is said; the files beyond it are treated as unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Longest file, in octets.
    pub(crate) file: u64,
    /// All files together, in octets.
    pub(crate) total: u64,
    /// Number of files.
    pub(crate) files: usize,
    /// Number of objects.
    pub(crate) objects: usize,
}

impl Default for Limits {
    /// Ten times what 10,000 Services with their Endpoints need.
    fn default() -> Self {
        Self {
            file: 16 << 20,
            total: 64 << 20,
            files: 20_000,
            objects: 200_000,
        }
    }
}

/// After how long a vanished or emptied file is looked at again, and then believed.
pub(crate) const SECOND_LOOK: Duration = Duration::from_millis(120);

/// A file whose times are younger than this when it is read is read again at the next look: file systems stamp
/// coarsely, and a second write within one tick would go unseen.
const SETTLED: Duration = Duration::from_secs(2);

/// A folder of manifests.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    config_name: String,
    /// Files that are no manifests, though they are called so.
    skip: BTreeSet<String>,
    limits: Limits,
    hasher: RandomState,
    files: BTreeMap<String, Entry>,
    /// The last fault of the folder as a whole, so that it is said once.
    said: Option<String>,
}

/// One file.
#[derive(Debug)]
struct Entry {
    stamp: Option<Stamp>,
    /// Of the text that the outcome below is of; `None`: read it again.
    hash: Option<u64>,
    /// What it gave when it was last good.
    objects: Arc<Vec<Object>>,
    /// Whether it was ever read without a fault.
    known: bool,
    fault: Option<Fault>,
    /// Seen missing or empty once.
    doubted: bool,
}

/// By which a file is taken for unchanged without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a look saw.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Whether any file's objects or faults differ from the look before.
    pub(crate) changed: bool,
    /// What to log.
    pub(crate) records: Vec<Record>,
    /// Look again after this time even if nothing is notified.
    pub(crate) again: Option<Duration>,
    /// The folders that linked files really are in: changes there are changes here.
    pub(crate) elsewhere: BTreeSet<PathBuf>,
}

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file's name in the folder.
    pub(crate) file: String,
    /// What is wrong with it.
    pub(crate) fault: Fault,
}

impl Folder {
    /// A folder that was not looked at yet.
    pub(crate) fn new(
        dir: &Path,
        config_name: &str,
        skip: BTreeSet<String>,
        limits: Limits,
    ) -> Self {
        Self {
            dir: dir.to_path_buf(),
            config_name: config_name.to_owned(),
            skip,
            limits,
            hasher: RandomState::new(),
            files: BTreeMap::new(),
            said: None,
        }
    }

    /// The files' objects, in the order of the files' names.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Arc<Vec<Object>>)> {
        self.files
            .iter()
            .map(|(name, entry)| (name.as_str(), &entry.objects))
    }

    /// The files that are not what they should be.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.files
            .iter()
            .filter_map(|(name, entry)| {
                Some(Problem {
                    file: name.clone(),
                    fault: entry.fault.clone()?,
                })
            })
            .collect()
    }

    /// Files that cannot be read now and never could since the start: what they held is not known here.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .filter(|(_, entry)| !entry.known && entry.fault.is_some())
            .map(|(name, _)| name.as_str())
    }

    /// Gives a file that could not be read since the start the objects that it gave before the start.
    pub(crate) fn remember(&mut self, file: &str, objects: Vec<Object>) {
        if let Some(entry) = self.files.get_mut(file).filter(|entry| !entry.known) {
            entry.objects = Arc::new(objects);
        }
    }

    /// Looks at the folder at the time `now`.
    ///
    /// # Errors
    ///
    /// The folder cannot be listed (it vanished, it may not be read): nothing has changed then.
    pub(crate) fn look(&mut self, now: SystemTime) -> io::Result<Look> {
        let mut names = Vec::new();
        let mut elsewhere = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            // Names that are not UTF-8 are no manifests' names.
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !name.starts_with('.') && Format::of(&name).is_some() && !self.skip.contains(&name) {
                if entry.file_type().is_ok_and(|kind| kind.is_symlink())
                    && let Ok(real) = self.dir.join(&name).canonicalize()
                    && let Some(parent) = real.parent()
                {
                    elsewhere.insert(parent.to_path_buf());
                }
                names.push(name);
            }
        }
        names.sort_unstable();
        let mut look = Look {
            elsewhere,
            ..Look::default()
        };
        self.limit_number(&mut names, &mut look);
        self.vanish(&names, &mut look);
        let mut total: u64 = 0;
        let mut objects = 0;
        for name in names {
            self.look_at(&name, now, &mut total, objects, &mut look);
            if let Some(entry) = self.files.get(&name) {
                objects += entry.objects.len();
            }
        }
        Ok(look)
    }

    fn limit_number(&mut self, names: &mut Vec<String>, look: &mut Look) {
        let said = (names.len() > self.limits.files).then(|| {
            format!(
                "{} files in the folder, at most {} are read: those after {:?} are left out; put several objects into \
                 one file",
                names.len(),
                self.limits.files,
                names.get(self.limits.files.saturating_sub(1)).map_or("", |name| name),
            )
        });
        names.truncate(self.limits.files);
        if said != self.said {
            if let Some(text) = &said {
                look.records.push(
                    Record::failed("readDirectory", text, "too many files")
                        .with("directory", self.dir.display()),
                );
            }
            self.said = said;
        }
    }

    /// Removes the files that are not there any more, at the second look.
    fn vanish(&mut self, names: &[String], look: &mut Look) {
        let dir = &self.dir;
        self.files.retain(|name, entry| {
            if names.binary_search(name).is_ok() {
                return true;
            }
            if !entry.doubted && !entry.objects.is_empty() {
                entry.doubted = true;
                look.again = Some(SECOND_LOOK);
                return true;
            }
            look.changed = true;
            look.records.push(
                Record::event("manifestRemoved", "file removed: its objects are gone")
                    .with("file", dir.join(name).display())
                    .with("objects", entry.objects.len()),
            );
            false
        });
    }

    /// Looks at one file; `total` octets and `before` objects were in the files before it.
    fn look_at(
        &mut self,
        name: &str,
        now: SystemTime,
        total: &mut u64,
        before: usize,
        look: &mut Look,
    ) {
        let path = self.dir.join(name);
        let entry = self.files.entry(name.to_owned()).or_insert_with(|| Entry {
            stamp: None,
            hash: None,
            objects: Arc::default(),
            known: false,
            fault: None,
            doubted: false,
        });
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                self.files.remove(name);
                return;
            }
            Ok(metadata) if !metadata.is_file() => {
                return refuse(
                    &self.dir,
                    name,
                    entry,
                    Fault::whole("this is not a regular file"),
                    look,
                );
            }
            Ok(metadata) => metadata,
            Err(error) => {
                // Listed, but gone meanwhile: the next look will not list it.
                if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() {
                    look.again = Some(SECOND_LOOK);
                    return;
                }
                let fault = Fault::whole(if error.kind() == io::ErrorKind::NotFound {
                    "this is a symbolic link to a file that does not exist".to_owned()
                } else {
                    format!("cannot be read: {error}")
                });
                return refuse(&self.dir, name, entry, fault, look);
            }
        };
        *total = total.saturating_add(metadata.len());
        let fault = if metadata.len() > self.limits.file {
            Some(format!(
                "the file has {} octets, at most {} are read: split it",
                metadata.len(),
                self.limits.file
            ))
        } else if *total > self.limits.total {
            *total -= metadata.len();
            Some(format!(
                "the files of the folder have more than {} octets together: this one is left out; remove manifests",
                self.limits.total
            ))
        } else {
            None
        };
        if let Some(fault) = fault {
            entry.stamp = None;
            return refuse(&self.dir, name, entry, Fault::whole(fault), look);
        }
        let stamp = Stamp::of(&metadata);
        if entry.stamp == Some(stamp) && !entry.doubted {
            return;
        }
        let text = match read(&path, self.limits.file) {
            Ok(text) => text,
            Err(error) => {
                let fault = Fault::whole(format!("cannot be read: {error}"));
                return refuse(&self.dir, name, entry, fault, look);
            }
        };
        if text.is_empty() && !entry.doubted && !entry.objects.is_empty() {
            entry.doubted = true;
            look.again = Some(SECOND_LOOK);
            return;
        }
        entry.doubted = false;
        let settled = metadata
            .modified()
            .ok()
            .and_then(|modified| now.duration_since(modified).ok())
            .is_some_and(|age| age >= SETTLED);
        entry.stamp = settled.then_some(stamp);
        let hash = Some(self.hasher.hash_one(&text));
        if entry.hash == hash {
            return;
        }
        let parsed = match parse(name, &path, &text, &self.config_name) {
            Ok(parsed) => parsed,
            Err(fault) => {
                refuse(&self.dir, name, entry, fault, look);
                entry.hash = hash;
                return;
            }
        };
        if before + parsed.objects.len() > self.limits.objects {
            entry.stamp = None;
            let fault = Fault::whole(format!(
                "more than {} objects in the folder: this file is left out; remove manifests, or split the folder \
                 between hosts",
                self.limits.objects
            ));
            return refuse(&self.dir, name, entry, fault, look);
        }
        entry.hash = hash;
        say_ignored(&path, &parsed, look);
        if entry.fault.take().is_some() {
            look.records.push(
                Record::event("manifestMended", "file is good again").with("file", path.display()),
            );
            look.changed = true;
        }
        if !entry.known || *entry.objects != parsed.objects {
            entry.objects = Arc::new(parsed.objects);
            look.changed = true;
        }
        entry.known = true;
    }
}

fn parse(name: &str, path: &Path, text: &[u8], config_name: &str) -> Result<Parsed, Fault> {
    let text = utf8(text)?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let origin = path.display().to_string();
    manifest::parse(
        text,
        Source {
            origin: &origin,
            format: Format::of(name).unwrap_or(Format::Yaml),
            config_name: Some(config_name),
            may_be_bare: stem == config_name,
        },
    )
}

/// The text, or where it stops being one.
pub(super) fn utf8(octets: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(octets).map_err(|error| {
        let good = octets.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|octet| **octet == b'\n').count() + 1;
        let column = good
            .iter()
            .rev()
            .take_while(|octet| **octet != b'\n')
            .count()
            + 1;
        Fault {
            place: Some((line, column)),
            message: "the file is not UTF-8 text".to_owned(),
        }
    })
}

/// Reads at most `limit` octets of a file; never waits for the writer of a pipe.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let mut text = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|read| read > limit) {
        return Err(io::Error::other(format!(
            "the file has more than {limit} octets: split it"
        )));
    }
    Ok(text)
}

fn refuse(dir: &Path, name: &str, entry: &mut Entry, fault: Fault, look: &mut Look) {
    entry.hash = None;
    if entry.fault.as_ref() == Some(&fault) {
        return;
    }
    let path = dir.join(name);
    let message = if entry.objects.is_empty() {
        "file refused: its objects are not known"
    } else {
        "file refused: the objects that it last gave stay in force"
    };
    let separator = if fault.place.is_some() { ":" } else { ": " };
    look.records.push(
        Record::failed(
            "readManifest",
            format!("{}{separator}{fault}", path.display()),
            message,
        )
        .with("file", path.display()),
    );
    look.changed = true;
    entry.fault = Some(fault);
}

fn say_ignored(path: &Path, parsed: &Parsed, look: &mut Look) {
    if parsed.ignored.is_empty() {
        return;
    }
    let kinds: Vec<String> = parsed
        .ignored
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    look.records.push(
        Record::event(
            "manifestIgnored",
            "objects of these kinds are not looked at",
        )
        .at(Level::Info)
        .with("file", path.display())
        .with("objects", kinds.join(", ")),
    );
}
