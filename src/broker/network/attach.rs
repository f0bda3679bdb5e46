//! One instance's side of the network: a pair of linked cards, one end in the instance, the other at the bridge.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::super::cgroup::{self, HIERARCHY, SLICE_PATH};
use super::bridge::{BRIDGE, disable_ipv6, mac};
use super::error::NetworkError;
use super::link::Links;
use crate::config::Network;
use crate::model::InstanceId;
use crate::sys::{Pid, ProcessDir, owning_user_namespace, same_namespace, within_network_namespace};

/// The card's name in an instance.
const CARD: &str = "eth0";

/// Connects the running instance `id`, whose user id is the `index`th of the range, to the bridge.
pub(super) fn attach(network: &Network, id: &InstanceId, index: u32) -> Result<(), NetworkError> {
    let namespace = find_namespace(Path::new(HIERARCHY), id)?;
    connect(network, id, index, &namespace)
}

/// The name of the host's end; at most 12 of the 15 bytes that the kernel allows.
fn host_end(index: u32) -> String {
    format!("hc{index}")
}

/// Connects the namespace of `id`; leaves no half of a connection behind.
fn connect(network: &Network, id: &InstanceId, index: u32, namespace: &OwnedFd) -> Result<(), NetworkError> {
    let subnet = || format!("{}/{}", network.subnet, network.prefix);
    let address = network.address(index).ok_or_else(|| NetworkError::NoAddress { subnet: subnet(), index })?;
    let name = host_end(index);
    let links = Links::open()?;
    let bridge = links.need(BRIDGE)?;
    // From an earlier run whose namespace the kernel has not cleaned up yet, or from this one when asked to connect again.
    links.remove(&name)?;
    links.add_pair(&name, CARD, mac(address), namespace.as_fd())?;
    let result = finish(&links, &name, bridge).and_then(|()| {
        within_network_namespace(namespace, || configure(network, address)).map_err(|e| NetworkError::Enter(id.clone(), e))?
    });
    if let Err(error) = result {
        if let Err(e) = links.remove(&name) {
            tracing::warn!("{e}");
        }
        return Err(error);
    }
    tracing::info!(instance = %id, %address, link = name, "connected");
    Ok(())
}

/// The host's end: isolated before it is up, so that not one packet reaches a neighbour.
fn finish(links: &Links, name: &str, bridge: u32) -> Result<(), NetworkError> {
    disable_ipv6(name)?;
    links.join_isolated(name, bridge)?;
    links.up(name)?;
    Ok(())
}

/// The instance's end; runs inside its namespace.
fn configure(network: &Network, address: Ipv4Addr) -> Result<(), NetworkError> {
    let links = Links::open()?;
    links.up("lo")?;
    allow_ping()?;
    disable_ipv6(CARD)?;
    links.add_address(CARD, address, network.prefix)?;
    links.up(CARD)?;
    links.add_default_route(network.gateway())?;
    Ok(())
}

/// ping(8) without a capability: the setting is the namespace's own, and closed in a new one (icmp(7)).
fn allow_ping() -> Result<(), NetworkError> {
    let path = PathBuf::from("/proc/sys/net/ipv4/ping_group_range");
    std::fs::write(&path, "0 2147483647").map_err(|source| NetworkError::Io { action: "write", path, source })
}

/// The network namespace that systemd made for the unit of `id`.
///
/// The instance's own processes may have moved on into namespaces that they made themselves, as root of a user namespace of theirs. There
/// they could send packets in anybody's name, so such a namespace must never get a card: what systemd made belongs to the host's user
/// namespace, and nobody but the host's root can make one that does.
fn find_namespace(control_groups: &Path, id: &InstanceId) -> Result<OwnedFd, NetworkError> {
    let unit = cgroup::unit(id);
    let group = format!("{SLICE_PATH}/{unit}");
    let path = control_groups.join(group.trim_start_matches('/')).join("cgroup.procs");
    let own = ProcessDir::own().and_then(|own| Ok((own.network_namespace()?, own.user_namespace()?)));
    let (own, user) = own.map_err(|source| NetworkError::Io { action: "open", path: PathBuf::from("/proc/self/ns"), source })?;
    let processes = fs::read_to_string(&path).map_err(|source| NetworkError::Io { action: "read", path, source })?;
    let mut last = None;
    for pid in processes.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
        match examine(pid, &group, &own, &user) {
            Ok(namespace) => return Ok(namespace),
            Err(e) => last = Some(e),
        }
    }
    Err(NetworkError::NoNamespace { unit, last })
}

fn examine(pid: Pid, group: &str, own: &OwnedFd, user: &OwnedFd) -> io::Result<OwnedFd> {
    let process = ProcessDir::open(pid)?;
    let namespace = process.network_namespace()?;
    // Through the same handle, and after it: the namespace is of a process of this group, whoever has its number by now.
    let found = process.control_group()?;
    if found != group {
        return Err(io::Error::other(format!("process {} is in {found:?}", pid.as_raw_nonzero())));
    }
    let hosts = ProcessDir::open(Pid::INIT)?.network_namespace()?;
    if same_namespace(namespace.as_fd(), own.as_fd())? || same_namespace(namespace.as_fd(), hosts.as_fd())? {
        return Err(io::Error::other(format!("process {} is in the host's own", pid.as_raw_nonzero())));
    }
    if !same_namespace(owning_user_namespace(namespace.as_fd())?.as_fd(), user.as_fd())? {
        return Err(io::Error::other(format!("process {} has made its own", pid.as_raw_nonzero())));
    }
    Ok(namespace)
}
