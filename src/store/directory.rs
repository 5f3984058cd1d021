//! The directory behind `file://`: made, proven writable, swept of what a crash left.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::store::Error;
use crate::store::error::{chain, way_out};

/// Writers of a shared store finish within their deadline of seconds; what is this old has no writer any more.
const ABANDONED_AFTER_S: i64 = 600;
/// `<group>/<pipeline>/snapshots/<topic>/<partition>/<file>` and one to spare.
const DEPTH_MAX: usize = 8;

/// The absolute path that a `file://` URL names.
pub(super) fn path_of(url: &str) -> Result<PathBuf, Error> {
    let refuse = |reason| {
        Err(Error::Url {
            url: url.into(),
            reason,
        })
    };
    let Some(path) = url.strip_prefix("file://") else {
        return refuse("is not on `file://`, the only kind this version serves");
    };
    if !path.starts_with('/') {
        return refuse("names a host or a relative path");
    }
    if path.contains(['?', '#', '%', '\0']) {
        return refuse("holds a `?`, `#`, `%` or NUL");
    }
    if path.split('/').any(|part| part == "..") {
        return refuse("holds a `..`");
    }
    Ok(PathBuf::from(path))
}

/// Makes the directory, writes and removes a probe, and removes abandoned temporaries. Why nothing can be written there,
/// where the disk is full or read-only: what it holds can be read, and it may have room again while it is served.
pub(super) fn prepare(url: &str, root: &Path) -> Result<Option<String>, Error> {
    fs::create_dir_all(root).map_err(|e| failed(url, root, "create", e))?;
    let probe = root.join(format!("probe#{}", std::process::id()));
    let mut written = write_probe(&probe);
    if let Ok(now_s) = probed(root) {
        sweep(root, now_s, DEPTH_MAX);
    }
    if written.is_err() {
        written = write_probe(&probe); // where sweeping has made room
    }
    match written {
        Ok(()) => Ok(None),
        Err(error) if is_passing(error.kind()) => Ok(Some(chain(&failed(url, root, "write to", error)))),
        Err(error) => Err(failed(url, root, "write to", error)),
    }
}

/// Whether a disk says so that can be read all the same.
const fn is_passing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(kind, K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem)
}

fn write_probe(probe: &Path) -> io::Result<()> {
    let mut file = fs::File::create(probe)?;
    let written = file.write_all(b"tidecast").and_then(|()| file.sync_all());
    fs::remove_file(probe).or_else(fine_if_gone)?; // a process of the same number in another container was faster
    written
}

/// The file system's own time, seconds since 1970, after a probe was made in `root` and removed: files are compared with
/// it, whatever the clocks of other hosts say.
fn probed(root: &Path) -> io::Result<i64> {
    Ok(fs::metadata(root)?.mtime())
}

/// Housekeeping only: what cannot be read or removed (a `lost+found`, say) stays and keeps nobody from starting.
fn sweep(directory: &Path, now_s: i64, depth: usize) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => sweep(&path, now_s, depth - 1),
            Ok(kind) if kind.is_file() && is_temporary(&entry.file_name().to_string_lossy()) => {
                remove_abandoned(&path, now_s);
            }
            _ => {}
        }
    }
}

/// Names that `object_store` stages uploads under, `<name>#<digits>`, and those that snapshots wait under for theirs,
/// `<offset>.<process>-<count>.part`.
fn is_temporary(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_staged = name
        .rsplit_once('#')
        .is_some_and(|(stem, number)| !stem.is_empty() && digits(number));
    let is_part = name
        .strip_suffix(".part")
        .and_then(|stem| stem.split_once('.'))
        .is_some_and(|(offset, _)| digits(offset));
    is_staged || is_part
}

/// Removes abandoned temporaries of one folder, in which `fresh` was just written: its time is the file system's own.
pub(super) fn sweep_folder(folder: &Path, fresh: &str) {
    if let Ok(metadata) = fs::metadata(folder.join(fresh)) {
        sweep(folder, metadata.mtime(), 0);
    }
}

/// Removes the temporary at `path` and what `object_store` staged it under.
pub(super) fn remove_staged(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let name = name.to_string_lossy();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with(&*name) && is_temporary(&found) {
            let _ = fs::remove_file(entry.path()); // as good as gone: it is swept once it is old
        }
    }
}

fn remove_abandoned(file: &Path, now_s: i64) {
    // No metadata: its writer has just finished. From the future (a clock was set back): its writer may be alive.
    let age_s = fs::metadata(file).map_or(0, |metadata| now_s.saturating_sub(metadata.mtime()));
    if age_s >= ABANDONED_AFTER_S {
        let _ = fs::remove_file(file); // another instance may have been faster
    }
}

fn fine_if_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

pub(super) fn failed(url: &str, path: &Path, action: &'static str, source: io::Error) -> Error {
    let way_out = way_out(source.kind());
    Error::Disk {
        url: url.into(),
        path: path.display().to_string(),
        action,
        way_out,
        source: source.into(),
    }
}
