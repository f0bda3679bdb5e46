//! The privileged helper: root, no network, no HTTP. It accepts an instance's id and a verb from the front, and derives user id,
//! paths, arguments and unit properties itself. Whoever may start transient units is root, so this is the border that matters:
//! it refuses, and never repairs.
//!
//! It keeps nothing in memory that systemd or the disk do not have: after a restart it goes on where it was.
//!
//! - [`server`]: accept → peer credentials → packet → [`policy`] → [execute] → audit → reply
//! - [`accounts`], [`volumes`]: user ids and home directories
//! - [`properties`]: from a class to a unit's properties, pure; [`systemd`]: the bus
//! - [`network`], [`quota`], [`volume`], [`wipe`]: short-lived programs with rights that the broker itself does not have, in units of their own

mod accounts;
mod cgroup;
mod error;
mod execute;
mod network;
mod policy;
mod properties;
mod quota;
mod records;
mod server;
mod systemd;
mod volume;
mod volumes;
mod wipe;

/// The configuration of an installed host.
pub const CONFIG: &str = "/etc/hoody-code/config.toml";

pub use network::run_network;
pub use quota::run_quota;
pub use server::run as serve;
pub use volume::run_volume;
pub use wipe::run as run_wipe;
