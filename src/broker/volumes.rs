//! Home directories of instances: one each below [`ROOT`], 0700, its user's. The broker makes it and never goes inside: what is
//! in there belongs to a tenant who may have put links anywhere.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::accounts::Account;
use super::error::BrokerError;
use crate::config::TEMPLATES;
use crate::model::InstanceId;
use crate::sys;

/// Holds the homes; root's, and only to be walked through by others.
pub(super) use crate::config::HOMES as ROOT;

/// The homes.
pub(super) struct Volumes {
    root: PathBuf,
}

impl Volumes {
    /// The homes below `root`.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The home of `id`.
    pub(super) fn path(&self, id: &InstanceId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Makes the home of `id`, or makes sure that the one there is its own.
    pub(super) fn obtain(&self, id: &InstanceId, account: Account) -> Result<PathBuf, BrokerError> {
        let root = &self.root;
        DirBuilder::new().recursive(true).mode(0o711).create(root).map_err(BrokerError::file("create", root))?;
        let path = self.path(id);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(BrokerError::file("create", &path)(e)),
        }
        let meta = fs::symlink_metadata(&path).map_err(BrokerError::file("look at", &path))?;
        let foreign = || BrokerError::Foreign { path: path.clone(), owner: meta.uid(), uid: account.uid };
        if !meta.is_dir() {
            return Err(foreign());
        }
        if meta.uid() == account.uid {
            return Ok(path);
        }
        // Made a moment ago, or by an earlier broker that was killed before the next line.
        if !is_ours_and_empty(&path, &meta) {
            return Err(foreign());
        }
        let (user, group) = (Some(account.uid), Some(account.uid));
        std::os::unix::fs::lchown(&path, user, group).map_err(BrokerError::file("give away", &path))?;
        Ok(path)
    }

    /// The home of `id`, and whose it is; none when there is none, or one that is anybody's to have.
    pub(super) fn owned(&self, id: &InstanceId) -> Result<Option<(PathBuf, u32)>, BrokerError> {
        let path = self.path(id);
        match fs::symlink_metadata(&path) {
            Ok(meta) if is_ours_and_empty(&path, &meta) => Ok(None),
            Ok(meta) => Ok(Some((path, meta.uid()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BrokerError::file("look at", &path)(e)),
        }
    }

    /// Whose the homes of other instances are, be they known to us or not.
    pub(super) fn others(&self, id: &InstanceId) -> Result<HashSet<u32>, BrokerError> {
        let root = &self.root;
        let entries = match fs::read_dir(root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            other => other.map_err(BrokerError::file("list", root))?,
        };
        let mut owners = HashSet::new();
        for entry in entries {
            // An id is given to nobody as long as it is not certain that it is free.
            let entry = entry.map_err(BrokerError::file("list", root))?;
            if entry.file_name() == id.as_str() {
                continue;
            }
            match fs::symlink_metadata(entry.path()) {
                Ok(meta) => _ = owners.insert(meta.uid()),
                // Purged meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(BrokerError::file("look at", &entry.path())(e)),
            }
        }
        Ok(owners)
    }

    /// Whether the home of `id` is missing, and more has to be done for it than to make a directory.
    pub(super) fn needs_making(&self, id: &InstanceId, class: &str) -> bool {
        let missing = |path: &Path| path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        missing(&self.path(id)) && (self.on_btrfs() || !missing(&Path::new(TEMPLATES).join(class)))
    }

    /// Whether homes are subvolumes.
    pub(super) fn on_btrfs(&self) -> bool {
        fs::File::open(&self.root).is_ok_and(sys::is_btrfs)
    }

    /// Removes the empty home of `id`.
    pub(super) fn remove(&self, id: &InstanceId) -> io::Result<()> {
        match fs::remove_dir(self.path(id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn is_ours_and_empty(path: &Path, meta: &fs::Metadata) -> bool {
    let ours = meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw();
    ours && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn homes_are_private_and_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().join("instances"));
        let own = Account { uid: rustix::process::getuid().as_raw() };
        let id: InstanceId = "acme".parse().unwrap();
        let path = volumes.obtain(&id, own).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        fs::write(path.join("x"), "").unwrap();
        assert_eq!(volumes.obtain(&id, own).unwrap(), path);
        let nobody: InstanceId = "nobody".parse().unwrap();
        assert_eq!((volumes.owned(&id).unwrap(), volumes.owned(&nobody).unwrap()), (Some((path, own.uid)), None));
        assert!(!volumes.others(&id).unwrap().contains(&own.uid) && volumes.others(&nobody).unwrap().contains(&own.uid));
        assert_eq!(volumes.needs_making(&nobody, "no-such-class"), volumes.on_btrfs());
        assert!(!volumes.needs_making(&id, "no-such-class"));
        let other = Account { uid: own.uid + 1 };
        assert!(matches!(volumes.obtain(&id, other), Err(BrokerError::Foreign { .. })));

        std::os::unix::fs::symlink("/etc", dir.path().join("instances/link")).unwrap();
        assert!(matches!(volumes.obtain(&"link".parse().unwrap(), own), Err(BrokerError::Foreign { .. })));
        // What cannot be read says nothing of who is free.
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(Volumes::new(dir.path().join("file")).others(&id).is_err());
        assert!(Volumes::new(dir.path().join("missing")).others(&id).unwrap().is_empty());
    }
}
