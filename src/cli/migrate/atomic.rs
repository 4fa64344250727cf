//! A file that is written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces a file: the bytes go to another one beside it, which then takes its name. A device or a pipe is written to directly.
///
/// # Errors
/// The file cannot be written; the previous one is untouched.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A link stays one: what it points to is replaced.
    let target = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => {
            return OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        Ok(_) => fs::canonicalize(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let name = target
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let beside = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    let written = fill(file, bytes).and_then(|()| fs::rename(&beside, &target));
    if written.is_err() {
        // The reason is told already; what is left behind is not.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}
