//! The configuration: raw TOML, then checked values. Unknown keys are refused, every key has a default.

mod checked;
mod error;
mod load;
mod ports;
mod raw;

pub use checked::{Config, Instances, Limits, ListenAddress, Log, LogFormat, Page, Server};
pub use error::ConfigError;
pub use load::{Overrides, load};
pub use ports::Ports;
