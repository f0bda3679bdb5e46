//! Copying, moving and removing whole trees. Knows nothing of engines.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::error::EngineError;

/// Copies a file with its mode. The kernel shares the blocks where the file system can.
pub(crate) fn file(from: &Path, to: &Path) -> Result<(), EngineError> {
    fs::copy(from, to).map(drop).map_err(EngineError::io("copy", from))
}

/// Copies the directory `from` to `to`, or moves it when asked to and possible. Symlinks stay what they are; sockets and
/// devices are left out.
pub(crate) fn tree(from: &Path, to: &Path, take: bool) -> Result<(), EngineError> {
    if take {
        match fs::rename(from, to) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            Err(error) => return Err(EngineError::io("move", from)(error)),
        }
    }
    let mut pending = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = pending.pop() {
        fs::create_dir(&to).map_err(EngineError::io("create", &to))?;
        for item in fs::read_dir(&from).map_err(EngineError::io("list", &from))? {
            let item = item.map_err(EngineError::io("list", &from))?;
            let (source, target) = (item.path(), to.join(item.file_name()));
            let kind = item.file_type().map_err(EngineError::io("look at", &source))?;
            if kind.is_dir() {
                pending.push((source, target));
            } else if kind.is_symlink() {
                let link = fs::read_link(&source).map_err(EngineError::io("read", &source))?;
                symlink(link, &target).map_err(EngineError::io("create", &target))?;
            } else if kind.is_file() {
                file(&source, &target)?;
            }
        }
    }
    Ok(())
}

/// Makes everything below `dir` readable by all and writable by the owner only: instances run under other accounts, and a
/// package may bring anything from 0600 to set-user-id.
pub(crate) fn open_to_readers(dir: &Path) -> Result<(), EngineError> {
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        set_mode(&dir, 0o755)?;
        for item in fs::read_dir(&dir).map_err(EngineError::io("list", &dir))? {
            let path = item.map_err(EngineError::io("list", &dir))?.path();
            let meta = fs::symlink_metadata(&path).map_err(EngineError::io("look at", &path))?;
            if meta.is_dir() {
                pending.push(path);
            } else if meta.is_file() {
                let want = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                if meta.permissions().mode() & 0o7777 != want {
                    set_mode(&path, want)?;
                }
            }
        }
    }
    Ok(())
}

/// Takes write permission from the directories below and at `dir`, so that not even their owner's processes add to them.
pub(crate) fn seal(dir: &Path) -> Result<(), EngineError> {
    for_dirs(dir, 0o555).map_err(EngineError::io("seal", dir))
}

/// Removes a tree, sealed parts included.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(dir)?.is_dir() {
        return fs::remove_file(dir);
    }
    for_dirs(dir, 0o755)?;
    fs::remove_dir_all(dir)
}

fn for_dirs(dir: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(mode))?;
    for item in fs::read_dir(dir)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            for_dirs(&item.path(), mode)?;
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), EngineError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(EngineError::io("change the mode of", path))
}
