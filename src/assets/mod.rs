//! Static files of an engine: straight from memory maps, compressed once at build, without the instance's process.
//!
//! [`Assets::open`] reads the manifest and prepares every header; [`Assets::respond`] then is a map look-up, a negotiation and
//! a handful of reference counts. Not an authority on who may ask: the front decides that before it comes here.

mod conditional;
mod error;
mod negotiate;
mod open;
mod respond;

#[cfg(test)]
mod tests;

pub use error::{AssetError, Refused};
pub(crate) use negotiate::quality;
pub use negotiate::takes_gzip;
pub use open::Assets;
