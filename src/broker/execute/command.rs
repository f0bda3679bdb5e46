//! What an engine is told when it is started for an instance.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::broker::accounts::Account;
use crate::broker::records::{NAME, SHELL};
use crate::config::BrokerConfig;
use crate::engine::{Engine, ServerDirs, ServerOptions, ServerUser};
use crate::proto::place;

pub(super) fn tenant() -> ServerUser<'static> {
    ServerUser {
        home: Path::new(place::HOME),
        name: OsStr::new(NAME),
        shell: Path::new(SHELL),
        path: None,
        lang: None,
        timezone: None,
        runtime_dir: Some(Path::new(place::RUNTIME)),
    }
}

pub(super) fn server_dirs() -> ServerDirs<'static> {
    ServerDirs {
        socket: Path::new(place::SOCKET),
        user_data: Path::new(place::USER_DATA),
        extensions: Path::new(place::EXTENSIONS),
        server_data: Path::new(place::USER_DATA),
    }
}

pub(super) fn server_options(config: &BrokerConfig) -> ServerOptions {
    ServerOptions {
        auth: config.sign_out,
        app_name: config.app_name.clone(),
        reconnection_grace: config.instances.keep_terminals,
        ..ServerOptions::default()
    }
}

/// The engine's compile cache: its directory, the name of what was filled when the engine was added, and the name under which
/// node looks for it when it runs as `account` (node's `node::CompileCacheHandler` puts the user id last).
pub(super) fn compile_cache(engine: &Engine, account: Account) -> Option<(&Path, String, String)> {
    let dir = engine.compile_cache()?;
    let names = fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let filled = names.max()?;
    let (stem, owner) = filled.rsplit_once('-')?;
    owner.parse::<u32>().ok()?;
    let wanted = format!("{stem}-{}", account.uid);
    Some((dir, filled, wanted))
}
