//! What every handler can reach.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::HeaderValue;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::abandoned::Abandoned;
use super::cookies::{Jar, Owner};
use super::extensions::Extensions;
use super::handlers::custom::CustomFiles;
use super::request_id::RequestId;
use super::secrets::Secrets;
use super::upstreams::Upstreams;
use super::vitals::Vitals;
use crate::assets::Assets;
use crate::auth::{Auth, Session};
use crate::config::Config;
use crate::engine::Engine;
use crate::instances::{Instances, Life, Removals, StateStore, Turns};
use crate::model::InstanceId;
use crate::proxy::Forwarded;

/// The file in `state` that says since when instances are removed.
const REMOVE_AFTER: &str = "remove-after.json";

/// How many requests of one instance wait for the disk at a time: threads for that are everybody's.
const ASIDES_OF_ONE: usize = 4;

/// The same of all instances, whose names somebody may make up: half of the threads that tokio has for it.
const ASIDES: usize = 256;

/// How many requests have one instance asked what it uses at a time: each is a look at all of its processes.
const ASKS_OF_ONE: usize = 2;

/// How many answers of events of one instance are open at a time: a page that waits has one.
const FOLLOWS_OF_ONE: usize = 1000;

/// The daemon's parts, shared by all connections.
pub(super) struct App {
    pub(super) engine: Engine,
    pub(super) assets: Assets,
    pub(super) instances: Instances,
    pub(super) store: StateStore,
    /// When instances that nobody uses are removed.
    pub(super) removals: Removals,
    pub(super) upstreams: Upstreams,
    pub(super) extensions: Arc<Extensions>,
    /// The connections of pages, and what becomes of those that are left behind.
    pub(super) abandoned: Abandoned,
    pub(super) secrets: Secrets,
    /// Who may have something done that blocks on the disk.
    pub(super) asides: Turns,
    pub(super) all_asides: Arc<Semaphore>,
    /// Who may ask an instance what it uses.
    pub(super) asks: Turns,
    /// Who may follow what becomes of an instance, as events.
    pub(super) follows: Turns,
    https_port: OnceLock<u16>,
    address: OnceLock<String>,
    live: RwLock<Arc<Live>>,
    pub(super) vitals: Vitals,
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
    pub(super) fn new(engine: Engine, assets: Assets, instances: Instances, store: StateStore, secrets: Secrets, config: Config) -> Self {
        Self {
            engine,
            assets,
            instances,
            store,
            removals: Removals::new(config.server.data_dir.join("state").join(REMOVE_AFTER)),
            upstreams: Upstreams::default(),
            extensions: Arc::default(),
            abandoned: Abandoned::default(),
            secrets,
            asides: Turns::new(ASIDES_OF_ONE),
            all_asides: Arc::new(Semaphore::new(ASIDES)),
            asks: Turns::new(ASKS_OF_ONE),
            follows: Turns::new(FOLLOWS_OF_ONE),
            https_port: OnceLock::new(),
            address: OnceLock::new(),
            live: RwLock::new(Arc::new(Live::new(config))),
            vitals: Vitals::default(),
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

    /// The port that plain HTTP is redirected to: that of the first TLS listener.
    pub(super) fn https_port(&self) -> u16 {
        self.https_port.get().copied().unwrap_or(443)
    }

    /// Where browsers on this machine find us, as a URL; none when we listen on unix sockets only.
    pub(super) fn address(&self) -> Option<&str> {
        self.address.get().map(String::as_str)
    }

    /// Says so; the first word counts.
    pub(super) fn set_address(&self, url: String) {
        let _ = self.address.set(url);
    }

    /// Says where TLS is spoken; the first word counts.
    pub(super) fn set_https_port(&self, port: u16) {
        let _ = self.https_port.set(port);
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
    /// They speak TLS with us.
    pub(super) secure: bool,
    /// There is no place for them but to be told so.
    pub(super) spare: bool,
}

/// What somebody signs in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Realm {
    /// An instance.
    Instance,
    /// The operator's page, on its own listener.
    Operator,
}

/// One admitted request's surroundings.
pub(super) struct Context {
    pub(super) app: Arc<App>,
    pub(super) live: Arc<Live>,
    pub(super) realm: Realm,
    /// Where nobody asks for one, the default one.
    pub(super) instance: InstanceId,
    /// That in which the request has come: what it brings is written in no later one.
    pub(super) life: Life,
    pub(super) peer: Peer,
    pub(super) forwarded: Forwarded,
    /// The client's address, when it has one: the proxy's, when it forwards for something that is none.
    pub(super) address: Option<IpAddr>,
    /// The request's own path behind the instance's root, with its first `/`.
    pub(super) rest: String,
    /// Who asks; none for what is open to everybody, and where no login is asked for.
    pub(super) session: Option<Session>,
    pub(super) id: RequestId,
}

impl Context {
    /// The instance's root as we see it.
    pub(super) fn root(&self, path: &str) -> String {
        path.strip_suffix(&self.rest).map_or("/".to_owned(), |before| format!("{before}/"))
    }

    /// The login that lets people in here; none where nobody is asked.
    pub(super) fn auth(&self) -> Option<&Auth> {
        self.app.secrets.of(self.realm)
    }

    /// The maker of the cookies of this login.
    pub(super) fn jar(&self, embedded: bool) -> Jar<'_> {
        let owner = match self.realm {
            Realm::Instance => Owner::Instance(&self.instance),
            Realm::Operator => Owner::Operator,
        };
        Jar { owner, secure: self.secure(), embedded }
    }

    /// Whether the browser speaks HTTPS, with us or with a proxy that we believe.
    pub(super) fn secure(&self) -> bool {
        self.forwarded.proto == "https"
    }
}

/// The address of the client, for counting and blocking: always one, never just some text that a proxy passed on.
pub(super) fn client_address(forwarded: &Forwarded, peer: Peer) -> Option<IpAddr> {
    // Some proxies add the port.
    let parse = |text: &str| text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let named = forwarded.client.as_deref().and_then(|text| parse(text).or_else(|| parse(text.trim_matches(['[', ']']))));
    named.or_else(|| peer.client.map(|address| address.ip())).map(|ip| ip.to_canonical())
}

/// What is said of the client to an upstream, and what we believe of it ourselves.
pub(super) fn forwarded(headers: &http::HeaderMap, peer: Peer, trusted: &[std::net::IpAddr]) -> Forwarded {
    // The last line and in it the last entry are the proxy's; what stands before them a stranger may have written.
    let last = |name: &str| headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim);
    let peer_ip = peer.client.map(|address| address.ip().to_canonical());
    // Whoever can connect to our unix socket was let in by its mode: that is the proxy in front.
    let believed = peer_ip.is_none_or(|ip| trusted.contains(&ip));
    let own_proto = if peer.secure { "https" } else { "http" };
    let own_host = headers.get(http::header::HOST).cloned().unwrap_or_else(|| HeaderValue::from_static("localhost"));
    if !believed {
        return Forwarded { client: peer_ip.map(|ip| ip.to_string()), proto: own_proto, host: own_host, prefix: String::new() };
    }
    let client = last("x-forwarded-for").map(str::to_owned);
    let proto = match last("x-forwarded-proto") {
        Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
        Some(_) => "http",
        None => own_proto,
    };
    let prefix = last("x-forwarded-prefix").and_then(clean_prefix).unwrap_or_default();
    Forwarded { client: client.or_else(|| peer_ip.map(|ip| ip.to_string())), proto, host: own_host, prefix }
}

/// A path that can stand before ours in a header: absolute, of plain characters, without the closing slash.
fn clean_prefix(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
    let text = text.trim_end_matches('/');
    let ok = text.starts_with('/') && text.bytes().all(plain) && !text.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
    ok.then(|| text.to_owned())
}
