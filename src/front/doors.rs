//! Which connection is served next: the listeners, and how many places there are behind each kind of them.
//!
//! No stranger keeps the others away by holding connections open. A client has no more than its share of the places; and when all
//! are taken, a few connections more are let in, briefly: health is told, everybody else is told to come back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Arrival;
use super::listener::{Bound, Kind};

/// The most connections to the control socket at a time.
const MOST_OPERATORS: usize = 16;

/// The same where strangers can come: at the operator's page as far as its login, at what is counted.
const MOST_AT_DASHBOARD: usize = 64;

/// A client has at most the fourth part of the places, but always what a browser needs.
const SHARES: usize = 4;
const LEAST_SHARE: usize = 16;

/// Places for when all others are taken, and one client's share of them.
const RESERVE: usize = 16;
const SHARE_OF_RESERVE: usize = 4;

/// How often the log says that connections are refused.
const TELL: Duration = Duration::from_secs(60);

/// Listeners whose connections take each other's places.
pub(super) struct Door {
    listeners: Vec<Bound>,
    places: Arc<Places>,
    reserve: Arc<Places>,
}

/// Each kind of the operator's listeners has places of its own: whatever crowd is at the others, the control socket opens.
pub(super) fn doors(listeners: Vec<Bound>, most: usize) -> Vec<Door> {
    let (mut people, mut doors) = (Vec::new(), Vec::<(Kind, Vec<Bound>)>::new());
    for bound in listeners {
        if !bound.kind.is_operators() {
            people.push(bound);
        } else if let Some((_, same)) = doors.iter_mut().find(|(kind, _)| *kind == bound.kind) {
            same.push(bound);
        } else {
            doors.push((bound.kind, vec![bound]));
        }
    }
    let door = |listeners, most, reserve| Door {
        listeners,
        places: Places::new(most, most.div_ceil(SHARES).max(LEAST_SHARE)),
        reserve: Places::new(reserve, SHARE_OF_RESERVE),
    };
    // Who may use the control socket is no stranger.
    let most_of = |kind: Kind| if kind == Kind::Control { (MOST_OPERATORS, 0) } else { (MOST_AT_DASHBOARD, RESERVE) };
    let operators = doors.into_iter().map(|(kind, listeners)| {
        let (most, reserve) = most_of(kind);
        door(listeners, most, reserve)
    });
    operators.chain((!people.is_empty()).then(|| door(people, most, RESERVE))).collect()
}

/// The next connection at any of `doors`. Those at `trusted` addresses speak for many clients, and have no share.
pub(super) async fn next(doors: &[Door], trusted: &[IpAddr]) -> io::Result<Arrival> {
    if doors.is_empty() {
        return std::future::pending().await;
    }
    futures_util::future::select_all(doors.iter().map(|door| Box::pin(door.accept(trusted)))).await.0
}

impl Door {
    /// Waits for a free place first, then for a connection: what we cannot serve waits in the kernel's queue.
    async fn accept(&self, trusted: &[IpAddr]) -> io::Result<Arrival> {
        loop {
            tokio::select! {
                () = self.places.wait() => {}
                () = self.reserve.wait() => {}
            }
            let accepting =
                self.listeners.iter().map(|bound| Box::pin(async { bound.listener.accept().await.map(|accepted| (accepted, bound.kind)) }));
            let ((stream, client), kind) = futures_util::future::select_all(accepting).await.0?;
            let ip = client.map(|address| address.ip().to_canonical()).filter(|ip| !trusted.contains(ip));
            match self.places.take(ip.map(network)) {
                Ok(seat) => return Ok(Arrival { stream, client, kind, seat, spare: false }),
                Err(Full::All) => {
                    self.places.tell(|| format!("all connections for {} are taken: no more is answered than health", kind.name()));
                    if let Ok(seat) = self.reserve.take(ip.map(network)) {
                        return Ok(Arrival { stream, client, kind, seat, spare: true });
                    }
                }
                // Closed unread, which costs next to nothing.
                Err(Full::Share(share)) => {
                    let client = ip.map(|ip| ip.to_string()).unwrap_or_default();
                    self.places.tell(|| format!("{client} has {share} connections for {}, as many as one client may have", kind.name()));
                }
            }
        }
    }
}

/// Places for connections.
struct Places {
    free: Arc<Semaphore>,
    /// The most that one client has of them.
    share: usize,
    crowd: Mutex<Crowd>,
}

#[derive(Default)]
struct Crowd {
    taken: HashMap<IpAddr, usize>,
    told: Option<Instant>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
enum Full {
    All,
    /// That client has as many as it may have.
    Share(usize),
}

/// One of them, given back when dropped.
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    places: Arc<Places>,
    client: Option<IpAddr>,
}

impl Places {
    fn new(most: usize, share: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(most)), share, crowd: Mutex::default() })
    }

    /// Waits until there is one. Who accepts is alone in taking them, so it is still there then.
    async fn wait(&self) {
        drop(self.free.acquire().await);
    }

    /// One for `client`; none: whoever may have all of them.
    fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Seat, Full> {
        let mut crowd = self.crowd();
        let taken = client.and_then(|client| crowd.taken.get(&client)).copied().unwrap_or(0);
        if taken >= self.share {
            return Err(Full::Share(self.share));
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Full::All)?;
        if let Some(client) = client {
            crowd.taken.insert(client, taken + 1);
        }
        Ok(Seat { _permit: permit, places: Arc::clone(self), client })
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        let mut crowd = self.crowd();
        if crowd.told.is_none_or(|told| told.elapsed() >= TELL) {
            crowd.told = Some(Instant::now());
            tracing::warn!("{}", what());
        }
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut crowd = self.places.crowd();
        if let Some(taken) = crowd.taken.get_mut(&client) {
            *taken -= 1;
            if *taken == 0 {
                crowd.taken.remove(&client);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or the most of IPv6 that a subscriber gets for the asking, 48 bits (RFC 6177).
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 80)).into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_share_for_each_and_places_come_back() {
        let places = Places::new(5, 2);
        let client = |text: &str| Some(network(text.parse().unwrap()));
        let refused = |client| places.take(client).map(drop).unwrap_err();
        let (one, other) = (client("192.0.2.1"), client("2001:db8:1::1"));
        let first = places.take(one).unwrap();
        let mut held = vec![places.take(one).unwrap(), places.take(other).unwrap()];
        assert_eq!(refused(one), Full::Share(2), "there are others still");
        drop(first);
        held.push(places.take(client("2001:db8:1:ffff::9")).unwrap());
        assert_eq!(refused(other), Full::Share(2), "the same subscriber");
        held.extend([places.take(None).unwrap(), places.take(None).unwrap()]);
        assert_eq!((refused(None), refused(one), refused(other)), (Full::All, Full::All, Full::Share(2)));
        held.clear();
        assert!(places.crowd().taken.is_empty(), "nobody is remembered for nothing");
        assert_eq!(places.free.available_permits(), 5);
    }
}
