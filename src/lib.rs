//! hoody-code: VS Code as a URL.
//!
//! The map, from the top down; imports point down, never up, never sideways (`tests/layering.rs` holds them to it):
//!
//! ```text
//! run                    run_broker      from the command line to what runs
//! front                                 everything that faces a client
//! instances      auth  assets  proxy    what is served, who may, static files, forwarding
//! launch                                how an instance comes to run
//! cli                                   clients of the API, and the store of engines
//! broker         agent                  the privileged helper; the part that runs inside an instance
//! config  engine proto                  what operators say; what VS Code is; what the programs say to each other
//! model          sys   telemetry        words, the kernel, records
//! ```

#[cfg(feature = "broker")]
pub mod agent;
#[cfg(feature = "front")]
pub mod assets;
#[cfg(feature = "front")]
pub mod auth;
#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "front")]
pub mod cli;
pub mod config;
pub mod engine;
#[cfg(feature = "front")]
pub mod front;
#[cfg(feature = "front")]
pub mod instances;
#[cfg(feature = "front")]
pub mod launch;
pub mod model;
pub mod proto;
#[cfg(feature = "front")]
pub mod proxy;
#[cfg(feature = "front")]
mod run;
#[cfg(feature = "broker")]
mod run_broker;
pub mod sys;
pub mod telemetry;

#[cfg(feature = "front")]
pub use run::run;
#[cfg(feature = "broker")]
pub use run_broker::run_broker;
