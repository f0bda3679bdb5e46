//! So much at a time of one instance: whoever asks for more waits, and holds up nobody but itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::InstanceId;

/// Turns of every instance.
#[derive(Debug)]
pub struct Turns {
    of_one: usize,
    taken: Mutex<HashMap<InstanceId, Weak<Semaphore>>>,
}

/// A turn, until the last copy is dropped. Work that does not end with the request that asked for it takes a copy along: a request
/// that is given up makes no room for another one while its work goes on.
#[derive(Clone, Debug)]
pub struct Turn {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Turns {
    /// So many at a time `of_one` instance.
    pub fn new(of_one: usize) -> Self {
        Self { of_one, taken: Mutex::default() }
    }

    /// Waits for a turn of `id`.
    pub async fn take(&self, id: &InstanceId) -> Turn {
        loop {
            // Nobody closes one.
            if let Ok(permit) = self.of(id).acquire_owned().await {
                return Turn { _permit: Arc::new(permit) };
            }
        }
    }

    /// A turn of `id`, if there is one now.
    pub fn try_take(&self, id: &InstanceId) -> Option<Turn> {
        let permit = self.of(id).try_acquire_owned().ok()?;
        Some(Turn { _permit: Arc::new(permit) })
    }

    fn of(&self, id: &InstanceId) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, turns| turns.strong_count() > 0);
        let known = taken.get(id).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turns = Arc::new(Semaphore::new(self.of_one));
            taken.insert(id.clone(), Arc::downgrade(&turns));
            turns
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_instance_waits_for_itself_and_nobody_else() {
        let (turns, alice, bob): (_, InstanceId, InstanceId) = (Turns::new(2), "alice".parse().unwrap(), "bob".parse().unwrap());
        let first = turns.take(&alice).await;
        let copy = first.clone();
        let _second = turns.take(&alice).await;
        assert!(turns.take(&alice).now_or_never().is_none() && turns.try_take(&alice).is_none());
        assert!(turns.try_take(&bob).is_some());
        turns.take(&bob).await;
        drop(first);
        assert!(turns.take(&alice).now_or_never().is_none(), "held by the copy");
        drop(copy);
        turns.take(&alice).await;
        assert_eq!(turns.taken.lock().unwrap().len(), 1, "nobody is remembered who has none");
    }
}
