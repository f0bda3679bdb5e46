//! The configuration: raw TOML, then checked values. Unknown keys are refused, every key has a default.

mod checked;
mod dashboard;
mod error;
mod extensions;
mod file;
mod hosting;
mod idle;
mod known;
mod load;
mod login;
mod ports;
mod raw;
mod services;
mod show;
mod tls;
mod touch;

pub use checked::{Config, Instances, Launcher, Limits, ListenAddress, Log, LogFormat, Metrics, Page, Server, Touch};
pub use dashboard::Dashboard;
#[cfg(feature = "front")]
pub(crate) use dashboard::{NO_PASSWORD, PLAIN};
pub use error::ConfigError;
pub use extensions::Extensions;
pub use file::{Written, at_next_start};
pub use hosting::{Base, Class, DEFAULT_CLASS, HOMES, Hosting, Limits as ClassLimits, Mount, Network, NetworkMode, SNAPSHOTS, TEMPLATES};
pub use idle::Idle;
pub use load::{BrokerConfig, Overrides, default_data_dir, load, load_for_broker, load_for_instance, parse_time};
pub use login::{Login, PasswordFlags, PasswordSource};
pub use ports::Ports;
pub use services::Services;
pub use show::{show, without_nulls};
pub use tls::Tls;
