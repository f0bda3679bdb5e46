//! The instances: which there are, what state they are in, who uses them, and what is remembered of each.

mod clocks;
mod connections;
mod error;
mod lease;
mod machine;
mod operate;
mod registry;
mod starter;
mod store;

pub use clocks::IdleClocks;
pub use connections::{Connections, Due};
pub use error::{AcquireError, StoreError};
pub use lease::Lease;
pub use registry::{Begun, Instances, Settings, Status};
pub use store::{LastOpened, StateStore};
