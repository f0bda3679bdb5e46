//! The host's side of the network: one bridge, which instances have as their gateway.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::error::NetworkError;
use super::link::{Links, Mac};
use super::rules;
use crate::config::Network;

/// The bridge.
pub(super) const BRIDGE: &str = "hoody0";

/// Whether this host hands packets from one card to another.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Makes what all instances share: rules first, so that the bridge never works without them; then the bridge; then forwarding.
/// What is there already stays, so that running instances keep their network.
pub(super) fn make(network: &Network) -> Result<(), NetworkError> {
    rules::load(network)?;
    let links = Links::open()?;
    if links.find(BRIDGE)?.is_none() {
        links.add_bridge(BRIDGE, mac(network.gateway()))?;
    }
    disable_ipv6(BRIDGE)?;
    links.add_address(BRIDGE, network.gateway(), network.prefix)?;
    links.up(BRIDGE)?;
    forward()
}

/// Removes it. While an instance is connected still, the bridge stays, down, and so do the rules: our unit is stopped along with
/// nftables.service, which then flushes all rules, and without them instances would reach the host. With [`make`] all goes on; a restart
/// breaks no connection.
pub(super) fn remove() -> Result<(), NetworkError> {
    let links = Links::open()?;
    if let Some(bridge) = links.find(BRIDGE)? {
        let ports = links.ports(bridge)?;
        if ports > 0 {
            links.down(BRIDGE)?;
            tracing::warn!(ports, "the network of the instances that run is cut until hoody-code-network.service is started again");
            return Ok(());
        }
        links.remove(BRIDGE)?;
    }
    // Forwarding stays as it is: others may count on it by now.
    rules::unload()
}

/// A card's address made of its IP address: the second bit of the first byte says "assigned here" (IEEE 802, section 8.4).
/// An instance that is started again is found at once by those who remember it.
pub(super) fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, b'h', a, b, c, d]
}

/// Turns IPv6 off for the link `name` in the network namespace of this thread: it gets no address, not even one of the link, and listens
/// to no router. Instances have IPv4 alone, so that no rule has to be written, and could be forgotten, twice.
pub(super) fn disable_ipv6(name: &str) -> Result<(), NetworkError> {
    let path = PathBuf::from(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"));
    match fs::write(&path, "1") {
        // A kernel without IPv6 has no such file.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| NetworkError::Io { action: "write", path, source }),
    }
}

fn forward() -> Result<(), NetworkError> {
    let failed = |action| move |source| NetworkError::Io { action, path: PathBuf::from(FORWARDING), source };
    if fs::read_to_string(FORWARDING).map_err(failed("read"))?.trim() == "0" {
        fs::write(FORWARDING, "1").map_err(failed("write"))?;
        tracing::warn!("this host did not forward IPv4 packets: net.ipv4.ip_forward is 1 from now on, for all its links");
    }
    Ok(())
}
