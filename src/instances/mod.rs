//! The instances: which there are, what state they are in, who uses them, and what is remembered of each.

mod clocks;
mod error;
mod idle;
mod instance;
mod lease;
mod machine;
mod operate;
mod registry;
mod room;
mod starter;
mod store;
mod sweeper;
#[cfg(test)]
mod tests;

pub use clocks::IdleClocks;
pub use error::{AcquireError, StoreError};
pub use instance::Status;
pub use lease::Lease;
pub use registry::{Begun, Instances, Settings};
pub use store::{LastOpened, StateStore};
