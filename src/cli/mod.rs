//! The command line: one definition of all commands, and the clients among them.

mod args;
mod engine;
mod password;

pub use args::{Cli, Command, EngineCommand, ServeArgs};
pub use engine::run as run_engine;
pub use password::{PasswordError, read as read_password};
