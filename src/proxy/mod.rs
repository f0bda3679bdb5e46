//! Forwards a request, tunnels an upgrade. Knows no instances and no users: it is given something it can connect with.

mod app;
mod body;
mod cookies;
mod error;
mod expect;
mod forward;
mod headers;
mod rewrite;
mod tunnel;
mod upstream;

pub use app::{Exposure, forward_app, wants_websocket};
pub use body::{Body, BoxError, CutOff, Guarded, IdleTimeout};
pub use cookies::{is_own_cookie, strip_request_cookies};
pub use error::ProxyError;
pub use forward::{Forwarded, Reply, forward, wants_upgrade};
pub use headers::strip_hop_by_hop;
pub use rewrite::Mount;
pub use tunnel::{Traffic, tunnel, tunnel_keeping};
pub use upstream::Upstream;
