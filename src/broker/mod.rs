//! The privileged helper: root, no network, no HTTP. It accepts an instance's id and a verb from the front, and derives user id,
//! paths, arguments and unit properties itself. Whoever may start transient units is root, so this is the border that matters:
//! it refuses, and never repairs.
//!
//! It keeps nothing in memory that systemd or the disk do not have: after a restart it goes on where it was.
//!
//! - [`server`]: accept → peer credentials → packet → [`policy`] → [`execute`] → audit → reply
//! - [`accounts`], [`volumes`]: user ids and home directories
//! - [`properties`]: from a class to a unit's properties, pure; [`systemd`]: the bus
//! - [`network`], [`quota`], [`wipe`]: short-lived programs with rights that the broker itself does not have, in units of their own

mod accounts;
mod cgroup;
mod error;
mod execute;
mod network;
mod policy;
mod properties;
mod quota;
mod server;
mod systemd;
mod volumes;
mod wipe;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::config;
use crate::telemetry::{self, Sink};

/// The configuration of an installed host.
const CONFIG: &str = "/etc/hoody-code/config.toml";

/// EX_USAGE (sysexits.h)
const USAGE: u8 = 64;

/// Runs what the command line says: the broker itself without arguments, or one of the small programs.
pub fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.split_first().and_then(|(first, rest)| Some((first.to_str()?, rest))) {
        Some(("agent", [dashes, argv @ ..])) if dashes == "--" => return crate::agent::run(argv),
        Some(("--version" | "-V", [])) => {
            println!("hoody-code-broker {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // A file that does not parse is told with the first request; records are needed before that.
    let level = config::load_for_broker(Path::new(CONFIG)).map_or_else(|_| "info".to_owned(), |config| config.log_level);
    let _guard = telemetry::init(&level, Sink::Auto).or_else(|_| telemetry::init("info", Sink::Auto));
    match arguments.split_first().map(|(first, rest)| (first.to_str(), rest)) {
        None => server::run(),
        Some((Some("network"), rest)) => network::run_network(rest),
        Some((Some("quota"), rest)) => quota::run_quota(rest),
        Some((Some("wipe"), rest)) => wipe::run(rest),
        Some(_) => {
            eprintln!("usage: hoody-code-broker [network host|off | network up ID | quota ID | wipe | agent -- PROGRAM ARGUMENT…]");
            ExitCode::from(USAGE)
        }
    }
}
