//! Extensions of an instance: which there are, what of them can be looked at, and the engine's own command line to change them.
//!
//! - [`installed`]: what is on the disk, read as the tenant.
//! - [`view`]: what a manifest offers to look at. Pure.
//! - [`languages`]: the list of display languages, which the engine's command line does not keep.
//! - [`work`](mod@work): one job, done inside the instance.
//!
//! [`work`](mod@work) runs where the tenant's files are: in the daemon under the embedded launcher, in the agent under the other.

mod installed;
mod languages;
mod view;
mod work;

pub use work::{Place, work};
