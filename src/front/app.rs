//! What every handler can reach.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handlers::custom::CustomFiles;
use super::request_id::RequestId;
use super::upstreams::Upstreams;
use crate::assets::Assets;
use crate::config::Config;
use crate::engine::Engine;
use crate::instances::{Instances, StateStore};
use crate::model::InstanceId;
use crate::proxy::Forwarded;

/// The daemon's parts, shared by all connections.
pub(super) struct App {
    pub(super) engine: Engine,
    pub(super) assets: Assets,
    pub(super) instances: Instances,
    pub(super) store: StateStore,
    pub(super) upstreams: Upstreams,
    live: RwLock<Arc<Live>>,
    /// When the daemon came up.
    pub(super) started: jiff::Timestamp,
    /// Cancelled when the daemon is to stop: streams without an end watch it.
    pub(super) stopping: CancellationToken,
    /// Cancelled when the drain has run out: tunnels watch it.
    pub(super) cut: CancellationToken,
    /// Open tunnels.
    pub(super) tunnels: TaskTracker,
}

/// What a reload replaces.
pub(super) struct Live {
    pub(super) config: Config,
    pub(super) custom: CustomFiles,
}

impl Live {
    pub(super) fn new(config: Config) -> Self {
        let custom = CustomFiles::new(&config.page);
        Self { config, custom }
    }
}

impl App {
    pub(super) fn new(engine: Engine, assets: Assets, instances: Instances, store: StateStore, config: Config) -> Self {
        Self {
            engine,
            assets,
            instances,
            store,
            upstreams: Upstreams::default(),
            live: RwLock::new(Arc::new(Live::new(config))),
            started: jiff::Timestamp::now(),
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
            tunnels: TaskTracker::new(),
        }
    }

    /// The configuration in force. A request keeps what it took, whatever is reloaded meanwhile.
    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn reload(&self, config: Config) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Live::new(config));
    }
}

/// Who is at the other end of a connection, and which of our addresses they reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) client: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
}

/// One admitted request's surroundings.
pub(super) struct Context {
    pub(super) app: Arc<App>,
    pub(super) live: Arc<Live>,
    pub(super) instance: InstanceId,
    pub(super) peer: Peer,
    pub(super) forwarded: Forwarded,
    pub(super) id: RequestId,
}

/// What is said of the client to an upstream, and what we believe of it ourselves.
pub(super) fn forwarded(headers: &http::HeaderMap, peer: Peer, trusted: &[std::net::IpAddr]) -> Forwarded {
    // The last line and in it the last entry are the proxy's; what stands before them a stranger may have written.
    let last = |name: &str| headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim);
    let peer_ip = peer.client.map(|address| address.ip().to_canonical());
    // Whoever can connect to our unix socket was let in by its mode: that is the proxy in front.
    let believed = peer_ip.is_none_or(|ip| trusted.contains(&ip));
    let own_host = headers.get(http::header::HOST).cloned().unwrap_or_else(|| HeaderValue::from_static("localhost"));
    if !believed {
        return Forwarded { client: peer_ip.map(|ip| ip.to_string()), proto: "http", host: own_host };
    }
    let client = last("x-forwarded-for").map(str::to_owned);
    let proto = if last("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https")) { "https" } else { "http" };
    Forwarded { client: client.or_else(|| peer_ip.map(|ip| ip.to_string())), proto, host: own_host }
}
