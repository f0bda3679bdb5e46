//! The daemon and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    hoody_code::run()
}
