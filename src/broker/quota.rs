//! The disk quota of an instance: what its class says, set for its user on the file system of its home. A small program of a unit of
//! its own, run by systemd before the instance (`systemd/hoody-code-quota@.service`): the broker itself may not administer file systems.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::{CONFIG, accounts};
use crate::config::{ConfigError, HOMES, load_for_instance};
use crate::model::{InstanceId, InvalidInstanceId};
use crate::sys::set_user_quota;

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
         with its 'quota' feature, or xfs; btrfs has none), or take 'disk' out of the class"
    )]
    NoQuotas {
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
