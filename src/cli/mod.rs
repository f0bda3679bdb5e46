//! The command line: one definition of all commands, and the clients among them.

mod args;
mod caller;
mod client;
mod disk;
mod drain;
mod engine;
mod extensions;
mod generate;
mod instances;
mod password;
mod progress;
mod table;
mod top;
mod units;
mod url;

pub use args::{
    AskOptions, Cli, Command, ConfigCommand, ControlOptions, DrainArgs, EngineCommand, ExtensionsCommand, InstancesCommand, OpenArgs,
    ServeArgs, SessionsCommand,
};
pub use disk::DiskCommand;
pub use drain::run as run_drain;
pub use engine::run as run_engine;
pub use extensions::{run_extensions, run_open};
pub use generate::run as run_generate;
pub use instances::{InstancesError, run as run_instances, run_health, run_sessions};
pub use password::{PasswordError, read as read_password};
pub use top::run_top;
pub use url::{InvalidUrl, ServiceUrl};
