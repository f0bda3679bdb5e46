//! How often passwords may be tried. Pure: time is a parameter.
//!
//! A stranger can slow himself, never lock the owner out:
//! - every client has attempts of its own, and a network that one person has to himself (an IPv6 /64) is one client; what he may
//!   have of such networks (a /48) shares the failures, though not the attempts;
//! - a browser that has signed in to the instance before has attempts of its own too, wherever it is, however many strangers try;
//! - a password has attempts for all strangers together, whichever of the instances that it opens they try it on: there are as many
//!   of those as somebody can make up names. They only count for clients that have failed a few times already: whoever comes for
//!   the first time and knows the password is let in.
//!
//! Attempts come back with time, nothing is locked. What is remembered has a size: past it, what was touched longest ago goes.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use super::verifiers::Epoch;

/// Wrong passwords per client in a row, and how fast attempts come back: ten, then one a minute.
const CLIENT: Rate = Rate { burst: 10, every: Duration::from_secs(60) };

/// The same for a browser that has signed in before.
const DEVICE: Rate = Rate { burst: 10, every: Duration::from_secs(60) };

/// For all other clients of one password together: what a botnet gets.
const PASSWORD: Rate = Rate { burst: 30, every: Duration::from_secs(10) };

/// Failures of a client, or of the site that it is part of, that do not yet count against the password's strangers.
const FIRST_TRIES: u32 = 3;

/// Entries per table that are remembered at least; twice as many at most. About 100 bytes each.
const REMEMBERED: usize = 16_384;

/// Who tries: what one person can have for himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 network of 64 bits: what the smallest of subscribers gets (RFC 6177).
    V6([u8; 8]),
    /// A unix socket, without a proxy that says for whom.
    Local,
}

impl Client {
    /// The client that `address` belongs to; none: a unix socket.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let mut network = [0; 8];
                network.copy_from_slice(&address.octets()[..8]);
                Self::V6(network)
            }
        }
    }
}

/// An IPv6 network of 48 bits: the most that a subscriber gets for the asking (RFC 6177), 65536 clients.
type Site = [u8; 6];

impl Client {
    fn site(&self) -> Option<Site> {
        let Self::V6(network) = self else { return None };
        network.first_chunk().copied()
    }
}

/// A browser that has signed in before.
pub(super) type Device = [u8; 16];

/// What an attempt took; given back when it was no failure.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket {
    lane: Lane,
    site: Option<Site>,
    password: Option<Epoch>,
}

#[derive(Debug)]
enum Lane {
    Device(Device),
    Client(Client),
}

/// All attempts that are remembered.
#[derive(Debug)]
pub(super) struct Throttle {
    clients: Table<Client>,
    sites: Table<Site>,
    devices: Table<Device>,
    passwords: Table<Epoch>,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            clients: Table::new(CLIENT),
            // Limits nobody: it only says how many of them have failed lately.
            sites: Table::new(CLIENT),
            devices: Table::new(DEVICE),
            passwords: Table::new(PASSWORD),
        }
    }

    /// Takes one attempt on `password`, which its epoch stands for, or says how long to wait for one. `now` counts from any fixed
    /// moment.
    pub(super) fn take(&mut self, client: Client, device: Option<Device>, password: Epoch, now: Duration) -> Result<Ticket, Duration> {
        if let Some(device) = device {
            self.devices.take(device, now)?;
            return Ok(Ticket { lane: Lane::Device(device), site: None, password: None });
        }
        let of_site = client.site().map_or(0, |site| self.sites.debts(&site, now));
        let failed = self.clients.debts(&client, now).max(of_site);
        self.clients.take(client, now)?;
        if failed >= FIRST_TRIES
            && let Err(wait) = self.passwords.take(password, now)
        {
            self.clients.give_back(&client);
            return Err(wait);
        }
        // A full one stays full: neighbours that have failed keep nobody out.
        let site = client.site().filter(|site| self.sites.take(*site, now).is_ok());
        Ok(Ticket { lane: Lane::Client(client), site, password: (failed >= FIRST_TRIES).then_some(password) })
    }

    /// Gives an attempt back that was no failure.
    pub(super) fn give_back(&mut self, ticket: &Ticket) {
        match &ticket.lane {
            Lane::Device(device) => self.devices.give_back(device),
            Lane::Client(client) => self.clients.give_back(client),
        }
        if let Some(site) = &ticket.site {
            self.sites.give_back(site);
        }
        if let Some(password) = &ticket.password {
            self.passwords.give_back(password);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// For each key the moment when all its attempts are back (the generic cell rate algorithm: one number instead of a counter and
/// a time). Two generations: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Debug)]
struct Table<K> {
    rate: Rate,
    young: HashMap<K, Duration>,
    old: HashMap<K, Duration>,
}

impl<K: Hash + Eq> Table<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, young: HashMap::new(), old: HashMap::new() }
    }

    fn full_at(&self, key: &K) -> Duration {
        self.young.get(key).or_else(|| self.old.get(key)).copied().unwrap_or_default()
    }

    /// How many attempts of `key` are not back yet.
    fn debts(&self, key: &K, now: Duration) -> u32 {
        let left = self.full_at(key).saturating_sub(now);
        u32::try_from(left.as_millis().div_ceil(self.rate.every.as_millis())).unwrap_or(u32::MAX)
    }

    fn take(&mut self, key: K, now: Duration) -> Result<(), Duration> {
        let full_at = self.full_at(&key).max(now);
        let limit = now + self.rate.every * (self.rate.burst - 1);
        if full_at > limit {
            return Err(full_at - limit);
        }
        if self.young.len() >= REMEMBERED && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full_at + self.rate.every);
        Ok(())
    }

    fn give_back(&mut self, key: &K) {
        for table in [&mut self.young, &mut self.old] {
            if let Some(full_at) = table.get_mut(key) {
                *full_at = full_at.saturating_sub(self.rate.every);
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
