//! Everything that faces the client: listeners, routes, the gate, one handler per answer.
//!
//! A request passes these stages: [`listener`] accepts, [`connection`] reads, [`route`] says what is asked of which instance,
//! [`gate`] says whether it may, [`access`] whether its sender has signed in, a handler answers, and [`answer`] is where every failure becomes a status.

mod abandoned;
mod accept;
mod access;
mod answer;
mod app;
mod compress;
mod connection;
mod control;
mod cookies;
mod counted;
mod dashboard;
mod disks;
mod doors;
mod drain;
mod error;
mod extensions;
mod gate;
mod handlers;
mod http2;
mod linger;
mod listener;
mod metrics;
mod page_pass;
mod pages;
mod query;
mod redirect;
mod removal;
mod request_id;
mod route;
mod secrets;
mod serve;
mod snapshots;
mod tls;
mod transfer;
mod upstreams;
mod vitals;

pub use error::ServeError;
pub use listener::{Bound, Kind, bind};
pub use serve::{Service, serve};
pub use tls::check_certificate;
