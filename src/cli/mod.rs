//! The command line: one definition of all commands, and the clients among them.

mod args;
mod engine;

pub use args::{Cli, Command, EngineCommand, ServeArgs};
pub use engine::run as run_engine;
