//! `hoody-code-broker wipe`: empties a home. It runs as the tenant whose home it is, bound to [`DIR`], so that nothing a tenant
//! has put there can make it delete anything else, and so that no process of ours needs the right to delete other users' files.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::volumes;

/// Where the home is seen by this program.
pub(super) const DIR: &str = "/home/user";

/// Empties the home; `arguments` are none.
pub fn run(arguments: &[OsString]) -> ExitCode {
    if !arguments.is_empty() || rustix::process::geteuid().is_root() {
        eprintln!("hoody-code-broker wipe: runs in a unit of its own, as the user whose home is emptied");
        return ExitCode::FAILURE;
    }
    match volumes::empty(Path::new(DIR)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}
