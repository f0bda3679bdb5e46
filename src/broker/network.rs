//! The network of instances: a bridge on the host, a pair of cards per instance, and the rules between them. These are small programs
//! of units of their own, run by systemd (`systemd/hoody-code-network.service`, `hoody-code-network@.service`): the broker itself has no
//! network, and no right to change one.

mod attach;
mod bridge;
mod error;
mod link;
mod resolv;
mod rules;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::{CONFIG, accounts};
use crate::config::{Hosting, NetworkMode, load_for_broker, load_for_instance};
use crate::model::InstanceId;
use error::NetworkError;
pub(super) use resolv::resolv_conf;

/// What is asked of us.
enum Verb {
    /// Make what all instances share.
    Host,
    /// Connect this instance.
    Up(InstanceId),
    /// Remove what all instances share, when none uses it.
    Off,
}

/// `network host | up ID | off`
pub fn run_network(arguments: &[OsString]) -> ExitCode {
    match parse(arguments).and_then(execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[OsString]) -> Result<Verb, NetworkError> {
    let words: Option<Vec<&str>> = arguments.iter().map(|word| word.to_str()).collect();
    match words.as_deref() {
        Some(["host"]) => Ok(Verb::Host),
        Some(["off"]) => Ok(Verb::Off),
        Some(["up", id]) => Ok(Verb::Up(id.parse().map_err(|e| NetworkError::Id((*id).to_owned(), e))?)),
        _ => Err(NetworkError::Usage),
    }
}

fn execute(verb: Verb) -> Result<(), NetworkError> {
    match verb {
        Verb::Host => bridge::make(&hosting()?.network),
        Verb::Up(id) => up(&load_for_instance(Path::new(CONFIG), &id)?.hosting, &id),
        // Without the configuration: it must work when that is broken, or gone with the package.
        Verb::Off => bridge::remove(),
    }
}

fn hosting() -> Result<Hosting, NetworkError> {
    Ok(load_for_broker(Path::new(CONFIG))?.hosting)
}

fn up(hosting: &Hosting, id: &InstanceId) -> Result<(), NetworkError> {
    if hosting.class_of(id).network != NetworkMode::Private {
        return Err(NetworkError::NotPrivate(id.clone()));
    }
    let index = accounts::index_of(id).map_err(|e| NetworkError::Accounts(id.clone(), e))?;
    let index = index.ok_or_else(|| NetworkError::NoAccount(id.clone()))?;
    // Again, though the host's unit has done so: another firewall may have flushed everything since, or the host's resolvers may have
    // changed. No instance is ever connected without the rules.
    rules::load(&hosting.network)?;
    attach::attach(&hosting.network, id, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_taken() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(matches!(parse(&words(&["up", "a-b"])), Ok(Verb::Up(id)) if id.as_str() == "a-b"));
        assert!(matches!(parse(&words(&["up", "../x"])), Err(NetworkError::Id(..))));
        for wrong in [&[][..], &["up"], &["host", "x"], &["down"], &["up", "a", "b"]] {
            assert!(matches!(parse(&words(wrong)), Err(NetworkError::Usage)), "{wrong:?}");
        }
    }
}
