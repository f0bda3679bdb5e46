//! The resolvers of instances. The host's own `/etc/resolv.conf` often names a loopback address, which means something else in there.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;

use crate::config::Network;

/// What the host resolves with.
const HOST: &str = "/etc/resolv.conf";

/// What systemd-resolved itself asks, when the host is told to ask systemd-resolved at 127.0.0.53 (systemd-resolved.service(8)).
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// The most that the C library reads (`MAXNS`, resolv.conf(5)).
const MAX_SERVERS: usize = 3;

/// The content of an instance's `/etc/resolv.conf`, from the configuration and what the host has at this moment.
pub(in super::super) fn resolv_conf(network: &Network) -> String {
    let choice = choose(network, &read(HOST), &read(RESOLVED));
    if let Some(problem) = choice.problem {
        tracing::warn!("instances cannot look up names: {problem}");
    }
    choice.text()
}

/// The addresses in it.
pub(super) fn resolvers(network: &Network) -> Vec<IpAddr> {
    choose(network, &read(HOST), &read(RESOLVED)).servers
}

/// A missing file says nothing, like an empty one.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What an instance is told, and where from.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    source: &'static str,
    servers: Vec<IpAddr>,
    /// `search` and `options` lines.
    lines: Vec<String>,
    problem: Option<&'static str>,
}

impl Choice {
    fn text(&self) -> String {
        let mut text = format!("# Written by hoody-code from {}.\n", self.source);
        if let Some(problem) = self.problem {
            let _ = writeln!(text, "# WARNING: names cannot be looked up in here: {problem}.");
        }
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn choose(network: &Network, host: &str, resolved: &str) -> Choice {
    // With no server named, the C library asks the loopback (resolv.conf(5)), which nobody can answer in there either.
    let (at_host, host_lines) = parse(host);
    let (at_resolved, resolved_lines) = parse(resolved);
    if !network.dns.is_empty() {
        let servers = usable(&network.dns);
        let problem = servers.is_empty().then_some("[network] dns names no IPv4 address that is not a loopback one");
        return Choice { source: "[network] dns", servers, lines: host_lines, problem };
    }
    let servers = usable(&at_host);
    if !servers.is_empty() {
        return Choice { source: HOST, servers, lines: host_lines, problem: None };
    }
    let servers = usable(&at_resolved);
    if !servers.is_empty() {
        return Choice { source: RESOLVED, servers, lines: resolved_lines, problem: None };
    }
    let problem = "the host's resolver has a loopback address, or none, or speaks IPv6 alone: name others with dns in [network]";
    Choice { source: HOST, servers, lines: host_lines, problem: Some(problem) }
}

/// The servers that an instance can reach: it has no IPv6, and a loopback of its own.
fn usable(servers: &[IpAddr]) -> Vec<IpAddr> {
    let reachable = |ip: &&IpAddr| ip.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast();
    servers.iter().filter(reachable).copied().take(MAX_SERVERS).collect()
}

/// The servers, and the lines that are kept; `resolv.conf(5)`. Words and lines that make no sense are left out.
fn parse(text: &str) -> (Vec<IpAddr>, Vec<String>) {
    let mut servers = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
            Some(word @ ("search" | "domain" | "options")) => {
                let rest: Vec<&str> = words.filter(|word| applies(word)).collect();
                if !rest.is_empty() {
                    lines.push(format!("{word} {}", rest.join(" ")));
                }
            }
            _ => {}
        }
    }
    (servers, lines)
}

/// `trust-ad` speaks of the resolver on this very host: what another one says it has verified is not to be believed (resolv.conf(5)).
fn applies(word: &str) -> bool {
    word != "trust-ad"
}

#[cfg(test)]
mod tests;
