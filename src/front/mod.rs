//! Everything that faces the client: listeners, routes, the gate, one handler per answer.
//!
//! A request passes these stages: [`listener`] accepts, [`connection`] reads, [`route`] says what is asked of which instance,
//! [`gate`] says whether it may, a handler answers, and [`answer`] is where every failure becomes a status.

mod answer;
mod app;
mod connection;
mod error;
mod gate;
mod handlers;
mod linger;
mod listener;
mod pages;
mod query;
mod request_id;
mod route;
mod serve;
mod upstreams;

pub use error::ServeError;
pub use listener::bind;
pub use serve::{Service, serve};
