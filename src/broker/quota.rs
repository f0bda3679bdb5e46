//! The disk quota of an instance: what its class says, set for its user on the file system of its home, and on btrfs for a group of all its
//! subvolumes. A small program of a unit of its own, run by systemd before the instance (`systemd/hoody-code-quota@.service`): the broker
//! itself may not administer file systems.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags, open};

use super::{CONFIG, accounts};
use crate::config::{ConfigError, HOMES, load_for_instance};
use crate::model::{InstanceId, InvalidInstanceId};
use crate::sys::{self, Quotas, set_user_quota};

/// A limit that could not be set.
#[derive(Debug, thiserror::Error)]
enum QuotaError {
    /// The command line is none of ours.
    #[error("usage: quota ID")]
    Usage,
    /// The argument is no instance.
    #[error("{0:?}: {1}")]
    Id(String, InvalidInstanceId),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The instance has no user id yet.
    #[error("{0} has no account")]
    NoAccount(InstanceId),
    /// The accounts cannot be read.
    #[error("cannot look up the account of {0}: {1}")]
    Accounts(InstanceId, #[source] io::Error),
    /// The class says a limit that nothing would hold.
    #[error(
        "{id}: class '{class}' has a disk limit, but the file system of {HOMES} has no user quotas: mount it with 'usrquota' (ext4 \
         with its 'quota' feature, or xfs), or take 'disk' out of the class"
    )]
    NoQuotas {
        /// The instance.
        id: InstanceId,
        /// Its class.
        class: String,
    },
    /// The home was made before homes were subvolumes.
    #[error(
        "{id}: class '{class}' has a disk limit, but {HOMES}/{id} is a directory, and btrfs limits subvolumes: make it one with 'hoody-code \
         instances snapshot {id} move' and 'hoody-code instances restore {id} move' while it is stopped"
    )]
    NoSubvolume {
        /// The instance.
        id: InstanceId,
        /// Its class.
        class: String,
    },
    /// The kernel has only quotas that cost everybody time, and nobody has switched them on.
    #[error(
        "{id}: class '{class}' has a disk limit, but this kernel's btrfs has no simple quotas (Linux 6.7 has); full ones slow down every \
         write and are yours to switch on: 'btrfs quota enable {HOMES}'"
    )]
    NoSimpleQuotas {
        /// The instance.
        id: InstanceId,
        /// Its class.
        class: String,
    },
    /// The kernel refused.
    #[error("cannot set the quota of {0} on {HOMES}: {1}")]
    Set(InstanceId, #[source] io::Error),
}

/// `quota ID`
pub fn run_quota(arguments: &[OsString]) -> ExitCode {
    match parse(arguments).and_then(|id| set(&id)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[OsString]) -> Result<InstanceId, QuotaError> {
    let [id] = arguments else { return Err(QuotaError::Usage) };
    let id = id.to_str().ok_or(QuotaError::Usage)?;
    id.parse().map_err(|e| QuotaError::Id(id.to_owned(), e))
}

fn set(id: &InstanceId) -> Result<(), QuotaError> {
    let hosting = load_for_instance(Path::new(CONFIG), id)?.hosting;
    let class = hosting.class_of(id);
    let index = accounts::index_of(id).map_err(|e| QuotaError::Accounts(id.clone(), e))?;
    let index = index.ok_or_else(|| QuotaError::NoAccount(id.clone()))?;
    // Past the range is an account of an earlier, larger one.
    let uid = hosting.uids.start().checked_add(index).filter(|uid| hosting.uids.contains(uid));
    let uid = uid.ok_or_else(|| QuotaError::NoAccount(id.clone()))?;
    if let Some(home) = on_btrfs(id)? {
        return set_group(id, uid, class.disk, class.name, &home);
    }
    match set_user_quota(Path::new(HOMES), uid, class.disk) {
        Ok(()) => {
            tracing::info!(instance = %id, uid, limit = class.disk, "disk quota set");
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::Unsupported && class.disk.is_none() => {
            tracing::warn!(instance = %id, "the file system of {HOMES} has no user quotas: this instance can fill it");
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Err(QuotaError::NoQuotas { id: id.clone(), class: class.name }),
        Err(e) => Err(QuotaError::Set(id.clone(), e)),
    }
}

/// The home of `id`, when it lies on btrfs.
fn on_btrfs(id: &InstanceId) -> Result<Option<OwnedFd>, QuotaError> {
    let homes = std::fs::File::open(HOMES).map_err(|e| QuotaError::Set(id.clone(), e))?;
    if !sys::is_btrfs(&homes) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let home = open(Path::new(HOMES).join(id.as_str()), flags, Mode::empty());
    home.map(Some).map_err(|e| QuotaError::Set(id.clone(), e.into()))
}

fn set_group(id: &InstanceId, uid: u32, limit: Option<u64>, class: String, home: &OwnedFd) -> Result<(), QuotaError> {
    if !sys::is_subvolume(home) {
        return if limit.is_none() { Ok(()) } else { Err(QuotaError::NoSubvolume { id: id.clone(), class }) };
    }
    match (sys::quotas(home.as_fd()), limit) {
        (Quotas::Simple, _) => {}
        (Quotas::Off, None) => return Ok(()),
        (Quotas::Full, _) => {
            tracing::warn!(instance = %id, "{HOMES} has full quotas: subvolumes that this instance makes itself count from its next start on");
        }
        (Quotas::Off, Some(_)) => match sys::enable_simple_quotas(home.as_fd()) {
            Ok(()) => tracing::warn!("simple quotas are on for {HOMES} from now on; kernels before Linux 6.7 cannot mount it any more"),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(QuotaError::NoSimpleQuotas { id: id.clone(), class }),
            Err(e) => return Err(QuotaError::Set(id.clone(), e)),
        },
    }
    sys::limit_group(home.as_fd(), uid, limit).map_err(|e| QuotaError::Set(id.clone(), e))?;
    tracing::info!(instance = %id, uid, limit, "disk quota set");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_is_named() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(parse(&words(&["alice"])).is_ok());
        assert!(matches!(parse(&words(&["a/b"])), Err(QuotaError::Id(..))));
        assert!(matches!(parse(&words(&[])), Err(QuotaError::Usage)));
        assert!(matches!(parse(&words(&["a", "b"])), Err(QuotaError::Usage)));
    }

    #[test]
    fn a_limit_that_nothing_holds_says_what_to_do() {
        let error = QuotaError::NoQuotas { id: InstanceId::default_instance(), class: "small".to_owned() }.to_string();
        assert!(error.contains("mount it with 'usrquota'") && error.contains("'small'") && !error.contains("  "), "{error}");
    }
}
