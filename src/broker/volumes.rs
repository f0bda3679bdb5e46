//! Home directories of instances: one each below [`ROOT`], 0700, its user's. The broker makes it and never goes inside: what is
//! in there belongs to a tenant who may have put links anywhere.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use super::accounts::Account;
use super::error::BrokerError;
use crate::model::InstanceId;

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
        let own = rustix::process::getuid().as_raw();
        if meta.uid() == account.uid {
            return Ok(path);
        }
        // Ours and empty: made a moment ago, or by an earlier broker that was killed before the next line.
        let empty = meta.uid() == own && fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        if !empty {
            return Err(foreign());
        }
        let (user, group) = (Some(account.uid), Some(account.uid));
        std::os::unix::fs::lchown(&path, user, group).map_err(BrokerError::file("give away", &path))?;
        Ok(path)
    }

    /// Whose the home of `id` is; none when there is none.
    pub(super) fn owner(&self, id: &InstanceId) -> Option<u32> {
        fs::symlink_metadata(self.path(id)).ok().filter(fs::Metadata::is_dir).map(|meta| meta.uid())
    }

    /// Whether the home of another instance is `uid`'s, be it known to us or not.
    pub(super) fn others_have(&self, id: &InstanceId, uid: u32) -> bool {
        let others = fs::read_dir(&self.root).into_iter().flatten().flatten().filter(|entry| entry.file_name() != id.as_str());
        others.filter_map(|entry| fs::symlink_metadata(entry.path()).ok()).any(|meta| meta.uid() == uid)
    }

    /// Removes the empty home of `id`.
    pub(super) fn remove(&self, id: &InstanceId) -> io::Result<()> {
        match fs::remove_dir(self.path(id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
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
        assert_eq!((volumes.owner(&id), volumes.owner(&"nobody".parse().unwrap())), (Some(own.uid), None));
        assert!(!volumes.others_have(&id, own.uid) && volumes.others_have(&"nobody".parse().unwrap(), own.uid));
        let other = Account { uid: own.uid + 1 };
        assert!(matches!(volumes.obtain(&id, other), Err(BrokerError::Foreign { .. })));

        std::os::unix::fs::symlink("/etc", dir.path().join("instances/link")).unwrap();
        assert!(matches!(volumes.obtain(&"link".parse().unwrap(), own), Err(BrokerError::Foreign { .. })));
    }
}
