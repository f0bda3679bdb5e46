//! The instances: which there are, what state they are in, who uses them, and what is remembered of each.

mod clocks;
mod error;
mod lease;
mod machine;
mod operate;
mod registry;
mod starter;
mod store;
mod uses;

pub use clocks::IdleClocks;
pub use error::{AcquireError, StoreError};
pub use lease::Lease;
pub use registry::{Begun, Instances, Settings, Status};
pub use store::{LastOpened, StateStore};
pub use uses::Uses;
