//! A file, or a folder, that is written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file that is written, and has not yet its name.
#[derive(Debug)]
#[must_use]
pub(super) struct Prepared {
    /// Where it is; `None`: it went to a device or a pipe.
    beside: Option<PathBuf>,
    /// What it replaces.
    target: PathBuf,
}

impl Prepared {
    /// Gives it its name.
    ///
    /// # Errors
    /// It cannot be named so; the previous file is untouched.
    pub(super) fn commit(mut self) -> io::Result<()> {
        match self.beside.take() {
            None => Ok(()),
            Some(beside) => {
                let named = fs::rename(&beside, &self.target);
                if named.is_err() {
                    self.beside = Some(beside);
                }
                named
            }
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // The reason is told already; what is left behind is not.
            let _ = fs::remove_file(beside);
        }
    }
}

/// Writes the bytes beside a file, whose place they take with [`Prepared::commit`]. A device or a pipe is written to directly.
///
/// # Errors
/// They cannot be written; the previous file is untouched.
pub(super) fn prepare(path: &Path, bytes: &[u8], mode: u32) -> io::Result<Prepared> {
    // A link stays one: what it points to is replaced.
    let target = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => {
            OpenOptions::new()
                .write(true)
                .open(path)?
                .write_all(bytes)?;
            return Ok(Prepared {
                beside: None,
                target: path.to_owned(),
            });
        }
        Ok(_) => fs::canonicalize(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let beside = beside(&target)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    let prepared = Prepared {
        beside: Some(beside),
        target,
    };
    fill(file, bytes)?;
    Ok(prepared)
}

/// Replaces a file: the bytes go to another one beside it, which then takes its name. A device or a pipe is written to directly.
///
/// # Errors
/// The file cannot be written; the previous one is untouched.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    prepare(path, bytes, mode)?.commit()
}

/// Writes a folder: it must not be there, or be empty.
///
/// # Errors
/// It cannot be written, or there is something in it; nothing is left behind.
pub(super) fn write_folder(path: &Path, files: &[(String, String)], mode: u32) -> io::Result<()> {
    if path == Path::new("-") {
        let message = "a folder cannot go to standard output: name one with -o";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    match fs::read_dir(path) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let message = "the folder is there already, and not empty";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let beside = beside(path)?;
    DirBuilder::new().mode(0o700).create(&beside)?;
    let filled = files.iter().try_for_each(|(name, text)| {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(beside.join(name))?;
        fill(file, text.as_bytes())
    });
    // An empty folder is replaced by the rename.
    let written = filled.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The reason is told already; what is left behind is not.
        let _ = fs::remove_dir_all(&beside);
    }
    written
}

/// A name beside a file that nobody else uses.
fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    Ok(target.with_file_name(format!(".{name}.{}.tmp", std::process::id())))
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}
