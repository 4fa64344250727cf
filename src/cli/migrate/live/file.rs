//! The rollback file on the disk.
//!
//! A new one appears whole, with its owner's rights alone; afterwards lines are added at its end.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::atomic;
use super::{IO, Stop};
use crate::migrate::live::inventory::Inventory;
use crate::migrate::live::rollback::{Entry, FileError, Rollback};

/// The largest file that is read: a hundred thousand Services and a ConfigMap of a MiB are smaller.
const LARGEST: u64 = 256 << 20;

/// A file to which lines are added.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

fn failed(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Stop {
    Stop::Because(IO, format!("cannot {what} {}: {error}", path.display()))
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Rollback, Stop> {
    match look(path)? {
        Some(Ok(rollback)) => Ok(rollback),
        Some(Err(error)) => Err(failed(path, "use the rollback file", &error)),
        None => Err(failed(path, "read", &"there is no such file")),
    }
}

/// Reads a file; `None`: it is not there.
fn look(path: &Path) -> Result<Option<Result<Rollback, FileError>>, Stop> {
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > LARGEST => {
            return Err(failed(path, "read", &"it is larger than any rollback file"));
        }
        Ok(_) => std::fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| failed(path, "read", &error))?;
    Ok(Some(Rollback::parse(&text)))
}

/// Ends the command if the file is for another cluster.
pub(super) fn belongs(path: &Path, rollback: &Rollback, inventory: &Inventory) -> Result<(), Stop> {
    rollback
        .is_for(inventory)
        .map_err(|error| failed(path, "use the rollback file", &error))
}

impl Journal {
    /// Goes on with the file that is there, or begins one; the flag: it is a new one.
    pub(super) fn open(
        path: &Path,
        inventory: &Inventory,
        beginning: &[Entry],
        deeds: &[Entry],
    ) -> Result<(Self, bool), Stop> {
        let known = match look(path)? {
            None | Some(Err(FileError::Empty)) => None,
            Some(Err(error)) => return Err(failed(path, "go on with the rollback file", &error)),
            Some(Ok(rollback)) => {
                belongs(path, &rollback, inventory)?;
                // What was undone is no part of what is done now: the file begins anew.
                Some(rollback).filter(|rollback| !rollback.is_empty())
            }
        };
        let is_new = known.is_none();
        let lines = lines(if is_new { beginning } else { &[] })
            .and_then(|first| Ok(first + &lines(deeds)?))
            .map_err(|error| failed(path, "write", &error))?;
        let written = (|| -> io::Result<File> {
            let Some(known) = known else {
                atomic::write(path, lines.as_bytes(), 0o600)?;
                // The name of the file is to be on the disk, too.
                let folder = path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
                return OpenOptions::new().append(true).open(path);
            };
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file = cut_off(file, &known)?;
            file.write_all(lines.as_bytes())?;
            file.sync_all()?;
            Ok(file)
        })();
        let file = written.map_err(|error| failed(path, "write the rollback file", &error))?;
        let path = path.to_owned();
        Ok((Self { file, path }, is_new))
    }

    /// Goes on with a file that was read.
    pub(super) fn append(path: &Path, rollback: &Rollback) -> Result<Self, Stop> {
        let file = OpenOptions::new().append(true).open(path);
        let file = file.and_then(|file| cut_off(file, rollback));
        let file = file.map_err(|error| failed(path, "write the rollback file", &error))?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Adds a line.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), Stop> {
        let added = entry
            .line()
            .map_err(io::Error::from)
            .and_then(|line| self.file.write_all(line.as_bytes()));
        added.map_err(|error| failed(&self.path, "write the rollback file", &error))
    }

    /// Sees to it that the lines are on the disk.
    pub(super) fn keep(&mut self) -> Result<(), Stop> {
        let kept = self.file.sync_all();
        kept.map_err(|error| failed(&self.path, "write the rollback file", &error))
    }
}

/// A line that was cut off goes: the next one would be joined to it.
fn cut_off(file: File, rollback: &Rollback) -> io::Result<File> {
    file.set_len(u64::try_from(rollback.length).map_err(io::Error::other)?)?;
    Ok(file)
}

fn lines(entries: &[Entry]) -> Result<String, serde_json::Error> {
    entries.iter().map(Entry::line).collect()
}
