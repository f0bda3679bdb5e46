//! The three places where instances have files, and what is done there. Each thing is made aside, under a name that nothing else has, and
//! put in its place as a whole; what a run that was killed has left aside is cleared away by the next one.

mod template;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags, fchmod, fstat, mkdirat, open, renameat_with};

use super::VolumeError;
use super::tree::{Rule, copy, give, open_dir};
use crate::broker::wipe;
use crate::model::{DiskAnswer, InstanceId, Snapshot, SnapshotName};
use crate::sys::{self, Quotas};

/// The most snapshots of one instance.
const MOST: usize = 64;

/// Something that is being made, in the place of the snapshots of one instance.
const MAKING: &str = ".making";

/// Where homes, snapshots and templates are.
pub(super) struct Places {
    homes: PathBuf,
    snapshots: PathBuf,
    templates: PathBuf,
}

/// A directory of root's, open, and how it is called.
struct Place {
    fd: OwnedFd,
    path: PathBuf,
}

impl Place {
    /// Opens it; nobody but us may change what is in it.
    fn open(path: &Path) -> Result<Self, VolumeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|e| VolumeError::file("open", path)(e.into()))?;
        let stat = fstat(&fd).map_err(|e| VolumeError::file("look at", path)(e.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
            let why = io::Error::new(io::ErrorKind::PermissionDenied, "it has to be root's, and writable by nobody else");
            return Err(VolumeError::file("use", path)(why));
        }
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens it, or makes it.
    fn private(path: &Path) -> Result<Self, VolumeError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(VolumeError::file("create", path))?;
        Self::open(path)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn error(&self, action: &'static str, name: &str) -> impl FnOnce(io::Error) -> VolumeError + use<> {
        VolumeError::file(action, &self.path.join(name))
    }

    /// Opens a directory in it; none when there is none.
    fn find(&self, name: &str) -> Result<Option<OwnedFd>, VolumeError> {
        match open_dir(self.fd(), name) {
            Ok(fd) => Ok(Some(fd)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error("open", name)(e)),
        }
    }

    /// Makes a volume in it with what is in `source`: a snapshot if that is possible, a copy otherwise.
    fn fresh(&self, name: &str, source: Option<(BorrowedFd<'_>, Rule)>) -> Result<OwnedFd, VolumeError> {
        let make = || {
            if let Some((source, _)) = source
                && sys::is_subvolume(source)
            {
                match sys::snapshot_subvolume(source, self.fd(), OsStr::new(name), false) {
                    Ok(()) => return open_dir(self.fd(), name),
                    Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
                    Err(e) => return Err(e),
                }
            }
            if sys::is_btrfs(self.fd()) {
                sys::create_subvolume(self.fd(), OsStr::new(name))?;
            } else {
                mkdirat(self.fd(), name, Mode::RWXU)?;
            }
            let made = open_dir(self.fd(), name)?;
            fchmod(&made, Mode::RWXU)?;
            if let Some((source, rule)) = source {
                // It is root's until it is given away: nothing in it may run with its owner's rights, and nobody may look into it.
                copy(source, made.as_fd(), rule, 0o6000)?;
                fchmod(&made, Mode::RWXU)?;
            }
            Ok(made)
        };
        make().map_err(self.error("make", name))
    }

    /// Deletes what has this name, with every subvolume in it; nothing there is fine.
    fn discard(&self, name: &str) -> Result<(), VolumeError> {
        let Some(dir) = self.find(name)? else { return Ok(()) };
        let delete = || {
            if sys::is_btrfs(&dir) {
                let nested = sys::nested_subvolumes(dir.as_fd())?;
                // What lies in a sealed one cannot be deleted.
                let whole = sys::is_subvolume(&dir).then(|| sys::subvolume_id(dir.as_fd())).transpose()?;
                for id in whole.iter().chain(&nested) {
                    if let Ok(subvolume) = sys::open_subvolume(self.fd(), *id) {
                        let _ = sys::seal_subvolume(subvolume.as_fd(), false);
                    }
                }
                for id in nested.iter().rev().chain(&whole) {
                    sys::delete_subvolume(self.fd(), *id)?;
                }
                if whole.is_some() {
                    return Ok(());
                }
            }
            let path = self.path.join(name);
            wipe::empty(&path)?;
            fs::remove_dir(&path)
        };
        delete().map_err(self.error("delete", name))
    }

    /// Puts what has one name here under another one there, where nothing has that.
    fn hand_over(&self, name: &str, to: &Self, as_name: &str) -> Result<(), VolumeError> {
        let moved = renameat_with(self.fd(), name, to.fd(), as_name, RenameFlags::NOREPLACE).map_err(io::Error::from);
        moved.map_err(|e| match e.kind() {
            io::ErrorKind::CrossesDevices => VolumeError::Elsewhere,
            _ => to.error("put in its place", as_name)(e),
        })
    }
}

/// A name that says when.
fn name_of_now(prefix: &str) -> SnapshotName {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    format!("{prefix}{now}").parse().expect("digits and '-' behind a word are a name")
}

impl Places {
    pub(super) fn new(homes: impl Into<PathBuf>, snapshots: impl Into<PathBuf>, templates: impl Into<PathBuf>) -> Self {
        Self { homes: homes.into(), snapshots: snapshots.into(), templates: templates.into() }
    }

    /// Makes the home of `id`, and gives it to the user `uid`.
    pub(super) fn make(&self, id: &InstanceId, uid: u32, class: &str) -> Result<(), VolumeError> {
        let homes = Place::open(&self.homes)?;
        if homes.find(id.as_str())?.is_some() {
            return Ok(());
        }
        let making = format!(".making-{id}");
        homes.discard(&making)?;
        let template = self.template(class)?;
        let source = template.as_ref().map(|template| (template.as_fd(), Rule::Operators));
        let made = homes.fresh(&making, source).and_then(|home| {
            give(home.as_fd(), uid, Rule::Operators).map_err(VolumeError::file("use", &self.templates.join(class)))?;
            settle(&homes, id, uid, home)?;
            homes.hand_over(&making, &homes, id.as_str())
        });
        cleared(made, &homes, &making)
    }

    /// The snapshots of `id`.
    pub(super) fn list(&self, id: &InstanceId) -> Result<Vec<Snapshot>, VolumeError> {
        let path = self.snapshots.join(id.as_str());
        if !path.exists() {
            return Ok(Vec::new());
        }
        let shelf = Place::open(&path)?;
        let entries = fs::read_dir(&path).map_err(VolumeError::file("list", &path))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<SnapshotName>().ok());
        let mut found = Vec::new();
        for name in names {
            let Some(dir) = shelf.find(name.as_str())? else { continue };
            let made = sys::subvolume_made(dir.as_fd()).ok().filter(|_| sys::is_subvolume(&dir));
            let made = made.or_else(|| u64::try_from(fs::metadata(path.join(name.as_str())).ok()?.ctime()).ok());
            found.push(Snapshot { name, made });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The place of the snapshots of `id`, when one more may be there.
    fn shelf(&self, id: &InstanceId) -> Result<Place, VolumeError> {
        Place::private(&self.snapshots)?;
        let shelf = Place::private(&self.snapshots.join(id.as_str()))?;
        if self.list(id)?.len() >= MOST {
            return Err(VolumeError::TooMany(MOST));
        }
        Ok(shelf)
    }

    /// Makes a snapshot of the home of `id` that nobody can write to.
    pub(super) fn snapshot(&self, id: &InstanceId, name: Option<&SnapshotName>, running: bool) -> Result<DiskAnswer, VolumeError> {
        let homes = Place::open(&self.homes)?;
        let home = homes.find(id.as_str())?.ok_or(VolumeError::NoHome)?;
        let shelf = self.shelf(id)?;
        let name = name.cloned().unwrap_or_else(|| name_of_now(""));
        if shelf.find(name.as_str())?.is_some() {
            return Err(VolumeError::Exists(name));
        }
        let failed = || shelf.error("make", name.as_str());
        let mut without = 0;
        if sys::is_subvolume(&home) {
            without = sys::nested_subvolumes(home.as_fd()).map_err(failed())?.len();
            match sys::snapshot_subvolume(home.as_fd(), shelf.fd(), OsStr::new(name.as_str()), true) {
                Err(e) if e.kind() == io::ErrorKind::CrossesDevices => return Err(VolumeError::Elsewhere),
                other => other.map_err(failed())?,
            }
        } else if running {
            return Err(VolumeError::Runs);
        } else {
            shelf.discard(MAKING)?;
            let made = shelf.fresh(MAKING, Some((home.as_fd(), Rule::Tenants))).and_then(|copy| {
                seal(&copy).map_err(failed())?;
                shelf.hand_over(MAKING, &shelf, name.as_str())
            });
            cleared(made, &shelf, MAKING)?;
        }
        Ok(DiskAnswer::Made { name, without })
    }

    /// Deletes a snapshot of `id`.
    pub(super) fn delete(&self, id: &InstanceId, name: &SnapshotName) -> Result<(), VolumeError> {
        let shelf = self.snapshots.join(id.as_str());
        if !shelf.join(name.as_str()).exists() {
            return Err(VolumeError::Missing(name.clone()));
        }
        Place::open(&shelf)?.discard(name.as_str())
    }

    /// Puts a snapshot of `id` in the place of its home, and the home among the snapshots.
    pub(super) fn restore(&self, id: &InstanceId, uid: u32, name: &SnapshotName) -> Result<Option<SnapshotName>, VolumeError> {
        let homes = Place::open(&self.homes)?;
        let shelf = self.shelf(id)?;
        let source = shelf.find(name.as_str())?.ok_or_else(|| VolumeError::Missing(name.clone()))?;
        let making = format!(".restoring-{id}");
        // Left by a run that was killed: it may be what was the home.
        if let Some(left) = homes.find(&making)? {
            let _ = unseal(&left);
            homes.hand_over(&making, &shelf, name_of_now("interrupted-").as_str())?;
            let _ = seal(&left);
        }
        let made = homes.fresh(&making, Some((source.as_fd(), Rule::Tenants))).and_then(|home| {
            give(home.as_fd(), uid, Rule::Tenants).map_err(shelf.error("use", name.as_str()))?;
            settle(&homes, id, uid, home)
        });
        cleared(made, &homes, &making)?;
        let Some(old) = homes.find(id.as_str())? else {
            return homes.hand_over(&making, &homes, id.as_str()).map(|()| None);
        };
        let owner = fstat(&old).map_err(|e| homes.error("look at", id.as_str())(e.into()))?.st_uid;
        if owner != uid {
            return cleared(Err(VolumeError::Foreign(owner)), &homes, &making);
        }
        // Its user may have made it unwritable, and then it cannot be moved.
        unseal(&old).map_err(homes.error("open to changes", id.as_str()))?;
        let exchange = || {
            let exchanged = renameat_with(homes.fd(), &making, homes.fd(), id.as_str(), RenameFlags::EXCHANGE);
            exchanged.map_err(|e| homes.error("put in its place", id.as_str())(e.into()))
        };
        cleared(exchange(), &homes, &making)?;
        let kept = name_of_now("before-restore-");
        if let Err(e) = homes.hand_over(&making, &shelf, kept.as_str()) {
            // As it was, and then it is not the home that is cleared away.
            return exchange().and_then(|()| cleared(Err(e), &homes, &making));
        }
        seal(&old).map_err(shelf.error("seal", kept.as_str()))?;
        Ok(Some(kept))
    }

    /// Deletes the snapshots of `id`; on btrfs also its home, because what its user has made there, he cannot always delete.
    pub(super) fn purge(&self, id: &InstanceId, uid: u32) -> Result<(), VolumeError> {
        let homes = Place::open(&self.homes)?;
        if let Some(home) = homes.find(id.as_str())? {
            let owner = fstat(&home).map_err(|e| homes.error("look at", id.as_str())(e.into()))?.st_uid;
            if owner != uid && owner != rustix::process::geteuid().as_raw() {
                return Err(VolumeError::Foreign(owner));
            }
        }
        for aside in [format!(".making-{id}"), format!(".restoring-{id}")] {
            homes.discard(&aside)?;
        }
        if sys::is_btrfs(homes.fd()) {
            homes.discard(id.as_str())?;
        }
        let path = self.snapshots.join(id.as_str());
        if !path.exists() {
            return Ok(());
        }
        let shelf = Place::open(&path)?;
        for entry in fs::read_dir(&path).map_err(VolumeError::file("list", &path))? {
            let entry = entry.map_err(VolumeError::file("list", &path))?;
            // Whatever else somebody has put there is not ours to delete; the directory then stays, which is told.
            if let Some(name) = entry.file_name().to_str().filter(|name| *name == MAKING || name.parse::<SnapshotName>().is_ok()) {
                shelf.discard(name)?;
            }
        }
        fs::remove_dir(&path).map_err(VolumeError::file("delete", &path))
    }
}

/// A home that is its user's: nobody else's to read, and counted for that user where the file system counts.
fn settle(homes: &Place, id: &InstanceId, uid: u32, home: OwnedFd) -> Result<(), VolumeError> {
    fchmod(&home, Mode::RWXU).map_err(|e| homes.error("close to others", id.as_str())(e.into()))?;
    if sys::is_subvolume(&home) && sys::quotas(home.as_fd()) != Quotas::Off {
        // The limit comes with the next start; that it is counted until then is of no consequence.
        if let Err(e) = sys::limit_group(home.as_fd(), uid, None) {
            tracing::warn!(instance = %id, "its files are not counted: {e}");
        }
    }
    Ok(())
}

/// Where there are subvolumes, nobody can write to a snapshot.
fn seal(volume: &OwnedFd) -> io::Result<()> {
    if sys::is_subvolume(volume) { sys::seal_subvolume(volume.as_fd(), true) } else { Ok(()) }
}

/// The opposite, for one that is to be moved.
fn unseal(volume: &OwnedFd) -> io::Result<()> {
    if sys::is_subvolume(volume) { sys::seal_subvolume(volume.as_fd(), false) } else { Ok(()) }
}

/// What has failed leaves nothing aside.
fn cleared<T>(result: Result<T, VolumeError>, place: &Place, aside: &str) -> Result<T, VolumeError> {
    result.inspect_err(|_| {
        if let Err(e) = place.discard(aside) {
            tracing::warn!("{e}");
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
