//! Which connection is served next: the listeners, and how many places there are behind each kind of them.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::connection::Arrival;
use super::listener::{Bound, Kind};

/// The most connections to the control socket at a time.
const MOST_OPERATORS: usize = 16;

/// The same at the operator's page on its own listener, where strangers can come as far as the login.
const MOST_AT_DASHBOARD: usize = 64;

/// Listeners whose connections take each other's places.
pub(super) struct Door {
    listeners: Vec<Bound>,
    slots: Arc<Semaphore>,
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
    let door = |listeners, most| Door { listeners, slots: Arc::new(Semaphore::new(most)) };
    let most_of = |kind: Kind| if kind.is_dashboard() { MOST_AT_DASHBOARD } else { MOST_OPERATORS };
    let operators = doors.into_iter().map(|(kind, listeners)| door(listeners, most_of(kind)));
    operators.chain((!people.is_empty()).then(|| door(people, most))).collect()
}

/// The next connection at any of `doors`.
pub(super) async fn next(doors: &[Door]) -> io::Result<Arrival> {
    if doors.is_empty() {
        return std::future::pending().await;
    }
    let accepting = doors.iter().map(|door| Box::pin(accept(&door.listeners, &door.slots)));
    futures_util::future::select_all(accepting).await.0
}

/// Waits for a free place first, then for a connection: what we cannot serve waits in the kernel's queue.
async fn accept(listeners: &[Bound], slots: &Arc<Semaphore>) -> io::Result<Arrival> {
    let permit = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let accepting = listeners.iter().map(|bound| Box::pin(async { bound.listener.accept().await.map(|accepted| (accepted, bound.kind)) }));
    let (accepted, ..) = futures_util::future::select_all(accepting).await;
    let ((stream, client), kind) = accepted?;
    Ok(Arrival { stream, client, kind, permit })
}
