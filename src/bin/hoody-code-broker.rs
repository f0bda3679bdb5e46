//! The privileged helper, and the small programs of an instance's life.

use std::process::ExitCode;

fn main() -> ExitCode {
    hoody_code::run_broker()
}
