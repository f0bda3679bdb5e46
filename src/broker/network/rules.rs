//! The filter rules that hold all instances: one static nftables table, made as text and swapped as a whole, and a second one that counts.
//!
//! What is decided where, and why there:
//! - `prerouting`, before connection tracking and address translation: where an instance may send to. Later, another table (Docker's, for
//!   one) may have turned the host's own address into that of a container.
//! - `input`, `output`: instances and host do not talk, either way, but for the host's resolver. That includes the host's own users.
//! - `forward`: nobody outside opens a connection into an instance.
//! - `postrouting`: instances go out under the host's address.
//!
//! An "accept" here ends this table only: the operator's own firewall still has its say.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use super::bridge::BRIDGE;
use super::error::NetworkError;
use super::resolv;
use crate::config::Network;

/// The table.
const TABLE: &str = "inet hoody_code";

/// The table that counts connections. Its own, because it is kept when the other is swapped, as each start of an instance does: counts that
/// began anew would be no limit.
const COUNTS: &str = "inet hoody_code_counts";

/// The most connections of one instance that the host keeps track of, all protocols together. The kernel's table takes 262144 on hosts of
/// 4 GB and more (`nf_conntrack_max`): one instance gets a 64th of it, some hundred times what an editor, a build or an `npm install` uses.
const CONNECTIONS: u32 = 4096;

/// Where no instance may send to, whatever the operator says.
const NEVER: &[(Ipv4Addr, u8)] = &[
    // "This network" (RFC 1122): Linux takes 0.0.0.0 for itself.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local (RFC 3927), and with that the metadata services of AWS, Azure, Google, OpenStack, Hetzner, DigitalOcean and others.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Metadata of Alibaba Cloud, of Oracle's classic cloud, and the host agent of Azure ("WireServer").
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(192, 0, 0, 192), 32),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Multicast, reserved, broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The whole table as text for `nft -f`: what was there of it goes in the same transaction. `resolvers` may be asked, wherever they are.
fn text(network: &Network, resolvers: &[Ipv4Addr]) -> String {
    let subnet = format!("{}/{}", network.subnet, network.prefix);
    let refused = elements(&refused(network));
    let resolvers: Vec<String> = resolvers.iter().map(Ipv4Addr::to_string).collect();
    let mut text = format!("table {TABLE} {{\n}}\ndelete table {TABLE}\ntable {TABLE} {{\n");
    let _ = write!(text, "\tset refused {{\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = {{ {refused} }}\n\t}}\n");
    text.push_str("\tset resolvers {\n\t\ttype ipv4_addr\n");
    // An empty list of elements is an error.
    if !resolvers.is_empty() {
        let _ = writeln!(text, "\t\telements = {{ {} }}", resolvers.join(", "));
    }
    text.push_str("\t}\n");
    let _ = write!(
        text,
        r#"	chain prerouting {{
		type filter hook prerouting priority raw; policy accept;
		iifname != "{BRIDGE}" accept
		ip saddr != {subnet} drop
		meta nfproto != ipv4 drop
		ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
		ip daddr @refused drop
		fib daddr type {{ local, broadcast, anycast, multicast }} drop
	}}
	chain input {{
		type filter hook input priority filter; policy accept;
		iifname != "{BRIDGE}" accept
		ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 accept
		drop
	}}
	chain output {{
		type filter hook output priority filter; policy accept;
		oifname != "{BRIDGE}" accept
		ct state established,related accept
		drop
	}}
	chain forward {{
		type filter hook forward priority filter; policy accept;
		iifname "{BRIDGE}" oifname "{BRIDGE}" drop
		iifname "{BRIDGE}" ct state invalid drop
		oifname != "{BRIDGE}" accept
		ct state established,related accept
		drop
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {subnet} oifname != "{BRIDGE}" masquerade
	}}
}}
"#
    );
    text.push_str(&counts());
    text
}

/// The table of counts as text: its rules are new, its set stays. After the other's chains, so that what is dropped there counts for nothing.
/// Refused before it is "confirmed", a connection takes no place in the kernel's table. Its size: no address may be left out.
fn counts() -> String {
    format!(
        r#"table {COUNTS} {{
}}
flush table {COUNTS}
table {COUNTS} {{
	set connections {{
		type ipv4_addr
		size 1048576
		flags dynamic
	}}
	chain refuse {{
		meta l4proto tcp reject with tcp reset
		reject with icmpx type admin-prohibited
	}}
	chain input {{
		type filter hook input priority filter + 10; policy accept;
		iifname "{BRIDGE}" ct state new add @connections {{ ip saddr ct count over {CONNECTIONS} }} jump refuse
	}}
	chain forward {{
		type filter hook forward priority filter + 10; policy accept;
		iifname "{BRIDGE}" ct state new add @connections {{ ip saddr ct count over {CONNECTIONS} }} jump refuse
	}}
}}
"#
    )
}

/// The networks that instances may not send to, none within another: an interval set takes no overlaps.
fn refused(network: &Network) -> Vec<(Ipv4Addr, u8)> {
    // The configuration has checked the text.
    let own = network.refuse.iter().filter_map(|text| {
        let (address, prefix) = text.split_once('/')?;
        Some((address.parse().ok()?, prefix.parse().ok()?))
    });
    let mut all: Vec<(Ipv4Addr, u8)> = NEVER.iter().copied().chain([(network.subnet, network.prefix)]).chain(own).collect();
    for (address, prefix) in &mut all {
        *address = base(*address, *prefix);
    }
    // Networks either hold one another or have nothing in common; the larger comes first.
    all.sort_by_key(|(address, prefix)| (*prefix, *address));
    let mut kept: Vec<(Ipv4Addr, u8)> = Vec::new();
    for (address, prefix) in all {
        if !kept.iter().any(|(network, bits)| base(address, *bits) == *network) {
            kept.push((address, prefix));
        }
    }
    kept
}

fn base(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn elements(networks: &[(Ipv4Addr, u8)]) -> String {
    let texts: Vec<String> = networks.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    texts.join(", ")
}

/// Puts the rules for `network` in place of those that are there, at once or not at all.
pub(super) fn load(network: &Network) -> Result<(), NetworkError> {
    let resolvers: Vec<Ipv4Addr> = resolv::resolvers(network).into_iter().filter_map(v4).collect();
    nft(&text(network, &resolvers))
}

/// Removes the rules.
pub(super) fn unload() -> Result<(), NetworkError> {
    nft(&[TABLE, COUNTS].map(|table| format!("table {table} {{\n}}\ndelete table {table}\n")).concat())
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn nft(text: &str) -> Result<(), NetworkError> {
    let failed = |e: std::io::Error| NetworkError::Rules(e.to_string());
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env_clear()
        // Not the caller's: a root program looks for others where root's are.
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // It reads all of it before it says anything, so neither side waits for the other. Its end of the pipe closes with the statement;
    // should it have stopped reading, what it says tells why.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(NetworkError::Rules(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    written.map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
