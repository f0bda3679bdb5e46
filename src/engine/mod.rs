//! Everything that knows VS Code: where its files are, how it is started, what a browser may fetch from it.
//!
//! - [`layout`]: find the server inside whatever somebody unpacked or installed.
//! - [`store`], [`installed`], [`locate`]: engines made ready for use, one directory each, never changed afterwards.
//! - [`manifest`], [`pack`]: the files a browser may ask for, and their compressed variants.
//! - [`warm`]: fill V8's compile cache once, so that every start is quicker.
//! - [`command`]: arguments and environment of one start.
//!
//! Nothing here knows users, HTTP or units. The command line, the launchers and the broker call it.

pub mod command;
mod copy;
pub mod error;
pub mod installed;
pub mod layout;
pub mod locate;
pub mod manifest;
pub mod pack;
pub mod page;
pub mod store;
pub mod warm;

#[cfg(test)]
mod tests;

pub use command::{ServerDirs, ServerOptions, ServerUser, argv, env, env_for, seed_files};
pub use error::EngineError;
pub use installed::Engine;
pub use layout::{Product, Tree};
pub use locate::{cache_dir, locate};
pub use pack::Effort;
pub use page::{PageChanges, policy_nonce, rewrite};
pub use store::{AddOptions, Progress, Store};
