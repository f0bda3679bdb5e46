//! Vocabulary: the words every other part speaks. Values are parsed once, at the edge, and carried as types.
//! No input or output happens here.

mod disk_job;
mod disk_use;
mod extension_id;
mod extension_job;
mod gallery;
mod host;
mod instance_id;
mod locale;
mod origin;
mod password;
mod path;
mod port;
mod reconnection_token;
mod state;
mod usage;

pub use disk_job::{DiskAnswer, DiskJob, InvalidSnapshotName, Snapshot, SnapshotName};
pub use disk_use::DiskUse;
pub use extension_id::{ExtensionId, ExtensionSpec, InvalidExtension};
pub use extension_job::{ExtensionJob, ExtensionNews, ExtensionView, FailureReason, InstalledExtension, MAX_EXTENSION_TEXT};
pub use gallery::Gallery;
pub use host::{HostName, InstanceHost, InvalidHost};
pub use instance_id::{InstanceId, InvalidInstanceId};
pub use locale::{InvalidLocale, Locale};
pub use origin::{InvalidOrigin, WebOrigin};
pub use password::{InvalidPassword, MAX_PASSWORD, Password};
pub use path::{AbsolutePath, InvalidPath};
pub use port::{InvalidPort, Port};
pub use reconnection_token::{InvalidReconnectionToken, ReconnectionToken};
pub use state::{EndCause, FailureCause, InstanceState, Stage};
pub use usage::Usage;

/// Reads a word from its text, with the same checks as everywhere else.
fn parse_text<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}
