//! Which connection is served next: the listeners, and how many places there are behind each kind of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Arrival;
use super::crowd::{Crowd, Share};
use super::listener::{Bound, Kind};

/// The most connections to the control socket at a time.
const MOST_OPERATORS: usize = 16;

/// The same at the operator's page on its own listener, where strangers can come as far as the login.
const MOST_AT_DASHBOARD: usize = 64;

/// One client gets no more than this part of the places: a school or an office behind one address still does.
const SHARE: usize = 4;

/// Listeners whose connections take each other's places.
pub(super) struct Door {
    listeners: Vec<Bound>,
    slots: Arc<Semaphore>,
    crowd: Arc<Crowd>,
}

/// What a connection takes up of the places behind its door.
pub(super) struct Permit {
    _slot: OwnedSemaphorePermit,
    _share: Option<Share>,
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
    let door = |listeners, most: usize| Door { listeners, slots: Arc::new(Semaphore::new(most)), crowd: Crowd::new(most.div_ceil(SHARE)) };
    let most_of = |kind: Kind| if kind.is_dashboard() { MOST_AT_DASHBOARD } else { MOST_OPERATORS };
    let operators = doors.into_iter().map(|(kind, listeners)| door(listeners, most_of(kind)));
    operators.chain((!people.is_empty()).then(|| door(people, most))).collect()
}

/// The next connection at any of `doors`. `speaks_for_others` says of an address that many come by it.
pub(super) async fn next(doors: &[Door], speaks_for_others: impl Fn(IpAddr) -> bool + Copy) -> io::Result<Arrival> {
    if doors.is_empty() {
        return std::future::pending().await;
    }
    let accepting = doors.iter().map(|door| Box::pin(accept(door, speaks_for_others)));
    futures_util::future::select_all(accepting).await.0
}

/// Waits for a free place first, then for a connection: what we cannot serve waits in the kernel's queue.
async fn accept(door: &Door, speaks_for_others: impl Fn(IpAddr) -> bool) -> io::Result<Arrival> {
    let slot = Arc::clone(&door.slots).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        let listeners = door.listeners.iter();
        let accepting = listeners.map(|bound| Box::pin(async { bound.listener.accept().await.map(|accepted| (accepted, bound.kind)) }));
        let (accepted, ..) = futures_util::future::select_all(accepting).await;
        let ((stream, client), kind) = accepted?;
        // Whoever is on this machine is no stranger: mostly a proxy.
        let counts = |client: &SocketAddr| !client.ip().to_canonical().is_loopback() && !speaks_for_others(client.ip());
        let share = match client.filter(counts).map(|client| door.crowd.take(client.ip())) {
            None => None,
            Some(Some(share)) => Some(share),
            // Hung up on: he has plenty.
            Some(None) => continue,
        };
        return Ok(Arrival { stream, client, kind, permit: Permit { _slot: slot, _share: share } });
    }
}
