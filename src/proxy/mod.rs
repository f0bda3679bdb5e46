//! Forwards a request, tunnels an upgrade. Knows no instances and no users: it is given something it can connect with.

mod body;
mod error;
mod forward;
mod headers;
mod tunnel;
mod upstream;

pub use body::{Body, BoxError, Guarded, IdleTimeout};
pub use error::ProxyError;
pub use forward::{Forwarded, Reply, forward, wants_upgrade};
pub use headers::strip_hop_by_hop;
pub use tunnel::{Traffic, tunnel};
pub use upstream::Upstream;
