//! How many of the places behind a door one client may take, so that whoever opens all that he can keeps nobody else out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::Client;

/// Everybody who has a place, with the number of places. No larger than there are places.
pub(super) struct Crowd {
    most: usize,
    places: Mutex<HashMap<Client, usize>>,
}

/// One place of a client's, until it is dropped.
pub(super) struct Share {
    crowd: Arc<Crowd>,
    client: Client,
}

impl Crowd {
    /// A crowd in which nobody may have more than `most` places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, places: Mutex::default() })
    }

    /// A place for whoever is at `address`, and for all of his network when it is one of IPv6; none when he has as many as he may.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let client = Client::of(Some(address));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.entry(client).or_default();
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Share { crowd: Arc::clone(self), client })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut places = self.crowd.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut taken) = places.entry(self.client) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let crowd = Crowd::new(2);
        let take = |address: &str| crowd.take(address.parse().unwrap());
        let held = [take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap()];
        assert!(take("192.0.2.1").is_none());
        let other = take("192.0.2.2").unwrap();
        let network = [take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert!(take("2001:db8::3").is_none(), "all of it is one client");
        let [first, second] = held;
        drop(first);
        let again = take("192.0.2.1").unwrap();
        drop((second, again, other, network));
        assert!(crowd.places.lock().unwrap().is_empty());
    }
}
