//! From the broker's command line to what runs: the broker itself without arguments, or one of the small programs.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::agent;
use crate::broker;
use crate::config;
use crate::telemetry::{self, Sink};

/// EX_USAGE (sysexits.h)
const USAGE: u8 = 64;

const HELP: &str = "usage: hoody-code-broker [network host|off | network up ID | quota ID | volume ORDER | wipe | agent [--ksm] -- PROGRAM ARGUMENT…]\n\n\
    All of these are started by systemd units; see systemctl cat 'hoody-code*'.";

/// Runs what the command line says.
pub fn run_broker() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        // Before everything else: it runs once per instance, and needs nothing of the rest.
        ["agent", "--", _, ..] => return agent::run(&arguments[2..], false),
        ["agent", "--ksm", "--", _, ..] => return agent::run(&arguments[3..], true),
        ["--version" | "-V"] => {
            println!("hoody-code-broker {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // A file that does not parse is told with the first request; records are needed before that.
    let level = config::load_for_broker(Path::new(broker::CONFIG)).map_or_else(|_| "info".to_owned(), |config| config.log_level);
    let _guard = telemetry::init(&level, Sink::Auto).or_else(|_| telemetry::init("info", Sink::Auto));
    match words.as_slice() {
        [] => broker::serve(),
        ["network", ..] => broker::run_network(&arguments[1..]),
        ["quota", ..] => broker::run_quota(&arguments[1..]),
        ["volume", ..] => broker::run_volume(&arguments[1..]),
        ["wipe", ..] => broker::run_wipe(&arguments[1..]),
        _ => {
            eprintln!("{HELP}");
            ExitCode::from(USAGE)
        }
    }
}
