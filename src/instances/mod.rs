//! The instances: which there are, what state they are in, who uses them, and what is remembered of each.

mod census;
mod clocks;
mod connections;
mod disks;
mod drain;
mod error;
mod held;
mod idle;
mod instance;
mod lease;
mod line;
mod machine;
mod names;
mod nap;
mod operate;
mod registry;
mod remembered;
mod removal;
mod roaming;
mod room;
mod starter;
mod store;
mod sweeper;
#[cfg(test)]
mod tests;
mod turns;
mod uses;

pub use clocks::IdleClocks;
pub use connections::{Connections, Due};
pub use disks::Disks;
pub use drain::{DRAIN_IDLE, Drain};
pub use error::{AcquireError, RoamingError, StoreError};
pub use instance::Status;
pub use lease::Lease;
pub use operate::Removal;
pub use registry::{Begun, Instances, Settings, Unused};
pub use removal::Removals;
pub use roaming::{Life, News, Position, Roaming, ScopeInfo, Sender, Update, Updated};
pub use store::{LastOpened, StateStore};
pub use turns::{Turn, Turns};
pub use uses::Uses;
