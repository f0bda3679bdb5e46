//! What can go wrong with the network of instances.

use std::io;
use std::path::PathBuf;

use super::link::LinkError;
use crate::config::ConfigError;
use crate::model::{InstanceId, InvalidInstanceId};

/// A network that could not be made or unmade.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    /// The command line is none of ours.
    #[error("usage: network host | network up ID | network off")]
    Usage,
    /// The argument is no instance.
    #[error("{0:?}: {1}")]
    Id(String, InvalidInstanceId),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The class of the instance says that it has no network of this kind.
    #[error("{0} has no network of its own with a way out: its class says otherwise")]
    NotPrivate(InstanceId),
    /// The instance has no user id yet.
    #[error("{0} has no account")]
    NoAccount(InstanceId),
    /// The accounts cannot be read.
    #[error("cannot look up the account of {0}: {1}")]
    Accounts(InstanceId, #[source] io::Error),
    /// The subnet has fewer addresses than there are user ids.
    #[error("the subnet {subnet} has no address for the {index}th account: make [network] subnet larger")]
    NoAddress {
        /// The subnet.
        subnet: String,
        /// The position of the account in the range of user ids.
        index: u32,
    },
    /// The unit has no process, or none in the namespace that systemd made for it.
    #[error("{unit} has no process in a network namespace of its own{}", .last.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    NoNamespace {
        /// The unit.
        unit: String,
        /// What the last process looked at was refused for.
        last: Option<io::Error>,
    },
    /// The namespace cannot be entered.
    #[error("cannot enter the network namespace of {0}: {1}")]
    Enter(InstanceId, #[source] io::Error),
    /// A link, address or route.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file of the kernel's or of the host's.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The verb, as in "cannot read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The filter rules were not taken.
    #[error("nft (package nftables): {0}")]
    Rules(String),
}
