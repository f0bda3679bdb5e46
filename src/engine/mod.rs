//! Everything that knows VS Code: where its files are, how it is started, what a browser may fetch from it.
//!
//! - [`layout`]: find the server inside whatever somebody unpacked or installed.
//! - [`store`], `adding`, [`installed`], [`locate`]: engines made ready for use, one directory each, never changed afterwards.
//! - `manifest`, `pack`: the files a browser may ask for, and their compressed variants.
//! - `warm`: fill V8's compile cache once, so that every start is quicker.
//! - [`command`]: arguments and environment of one start.
//! - [`processes`]: which processes of an instance are its own, and which the user's.
//! - `connection`: end what a page has left behind.
//! - [`workspace`]: what is remembered of a workspace file.
//! - [`extensions`]: what is installed in an instance, and how that is changed.
//!
//! Nothing here knows users, HTTP or units. The command line, the launchers and the broker call it.

#[cfg(feature = "front")]
mod adding;
pub mod command;
#[cfg(feature = "front")]
pub mod connection;
#[cfg(feature = "front")]
mod copy;
pub mod error;
pub mod extensions;
pub mod installed;
pub mod layout;
pub mod locate;
#[cfg(feature = "front")]
pub mod manifest;
#[cfg(feature = "front")]
pub mod pack;
#[cfg(feature = "front")]
pub mod page;
pub mod processes;
pub mod store;
#[cfg(feature = "front")]
pub mod warm;
pub mod workspace;

#[cfg(all(test, feature = "front"))]
mod tests;

pub use command::{ServerDirs, ServerOptions, ServerUser, argv, env, env_for, seed_extensions, seed_files};
pub use error::EngineError;
pub use installed::Engine;
pub use layout::{Product, Tree};
pub use locate::{SYSTEM_DIR, cache_dir, locate};
pub use store::Store;

#[cfg(feature = "front")]
pub use adding::{AddOptions, Progress};
#[cfg(feature = "front")]
pub use pack::Effort;
#[cfg(feature = "front")]
pub use page::{PageChanges, policy_nonce, rewrite};
