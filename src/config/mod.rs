//! The configuration: raw TOML, then checked values. Unknown keys are refused, every key has a default.

mod checked;
mod error;
mod extensions;
mod hosting;
mod idle;
mod load;
mod login;
mod ports;
mod raw;
mod tls;

pub use checked::{Config, Instances, Launcher, Limits, ListenAddress, Log, LogFormat, Page, Server};
pub use error::ConfigError;
pub use extensions::Extensions;
pub use hosting::{Base, Class, DEFAULT_CLASS, HOMES, Hosting, Limits as ClassLimits, Mount, Network, NetworkMode};
pub use idle::Idle;
pub use load::{BrokerConfig, Overrides, default_data_dir, load, load_for_broker};
pub use login::{Login, PasswordFlags, PasswordSource};
pub use ports::Ports;
pub use tls::Tls;
