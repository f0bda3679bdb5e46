//! The daemon as a program, over the real engine and over one that misbehaves on demand.

#![allow(clippy::unwrap_used, reason = "a test that panics has said what it has to say")]
#![allow(missing_docs, reason = "the tests' names say it")]

#[path = "../support/mod.rs"]
mod support;

mod abandoned;
mod api;
mod assets;
mod control;
mod dashboard;
mod description;
mod documents;
mod doors;
mod drain;
mod extensions;
mod fail2ban;
mod fleet;
mod framing;
mod idle;
mod lifecycle;
mod login;
mod logout;
mod metrics;
mod origins;
mod passwords;
mod port_bodies;
mod port_headers;
mod port_http2;
mod ports;
mod remote;
mod removal;
mod scripts;
mod service;
mod state;
mod testssl;
mod tls;
mod tunnels;
mod upstream;
mod usage;
