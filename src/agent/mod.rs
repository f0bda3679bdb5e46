//! The main process of an instance's unit: prepares the tenant's home, runs the engine, and opens sockets for the front from
//! the inside. It runs as the tenant, in the tenant's namespaces, with the tenant's rights and no others; that is why it needs
//! no check on what it may see.
//!
//! Synchronous and small: there is one per running instance. `hoody-code-broker agent -- NODE ARGUMENT…` starts it, with the
//! listening packet socket as standard input.

mod disk;
mod engine;
mod open;
mod serve;
mod usage;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::engine::extensions::Place;
use crate::proto::place::HOME;
use crate::sys;

/// Runs the engine until it ends. `ksm`: whether the kernel shall look for memory of it that equals others'.
pub fn run(argv: &[OsString], ksm: bool) -> ExitCode {
    match start(argv, ksm) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("hoody-code-broker agent: {e}");
            ExitCode::FAILURE
        }
    }
}

fn start(argv: &[OsString], ksm: bool) -> io::Result<ExitCode> {
    // Other processes of the tenant's cannot trace this one, or take a copy of a descriptor that it passes to the front: with one
    // they could make a read of the front's block. The engine is dumpable again by its exec.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let listener = listener()?;
    engine::prepare(Path::new(HOME))?;
    if ksm && let Err(e) = sys::merge_memory() {
        // The editor is as good without it.
        eprintln!("hoody-code-broker agent: equal memory is not merged: {e}");
    }
    sys::refuse_ioctls(&sys::WAYS_OUT_OF_A_GROUP)?;
    let engine = engine::Running::spawn(argv)?;
    let ending = Arc::new(serve::Ending::default());
    let place = Place::of(argv, Some(engine::own_env()));
    serve::listen(listener, Arc::clone(&ending), place, engine.tail())?;
    let ended = engine.wait();
    let code = ended.code;
    // Whoever watches hears of it before our own end closes the line.
    ending.tell(ended.answer);
    Ok(ExitCode::from(code))
}

/// The socket that came as standard input, moved away from there: the engine's own input is empty.
fn listener() -> io::Result<OwnedFd> {
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    if !rustix::net::sockopt::socket_acceptconn(&listener)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "standard input is no listening socket"));
    }
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(listener)
}
