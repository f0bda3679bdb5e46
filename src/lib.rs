//! hoody-code: VS Code as a URL.
//!
//! The map, from the top down; imports point down, never up, never sideways (`tests/layering.rs` holds them to it):
//!
//! ```text
//! run                                   from the command line to the command
//! front                                 everything that faces a client
//! instances      auth  assets  proxy    what is served, who may, static files, forwarding
//! launch                                how an instance comes to run
//! cli                                   clients of the API, and the store of engines
//! config         engine                 what operators say; what VS Code is
//! model          sys   telemetry        words, the kernel, records
//! ```

pub mod assets;
pub mod auth;
pub mod cli;
pub mod config;
pub mod engine;
pub mod front;
pub mod instances;
pub mod launch;
pub mod model;
pub mod proxy;
mod run;
pub mod sys;
pub mod telemetry;

pub use run::run;
