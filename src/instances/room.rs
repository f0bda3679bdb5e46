//! Places among the running ones. When all are taken, the one that has been unused for longest and runs nothing of its user's
//! makes room; who waits for a place waits in the order of coming.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::idle::{Need, Step};
use super::instance::Instance;
use super::machine::{Action, Event};
use super::nap::Nap;
use super::registry::{STOP_DEADLINE, Shared};
use crate::model::{InstanceId, InstanceState};

/// How many are asked, at the most, before somebody who needs a place is told that there is none: each may take a while to answer.
const MOST_ASKED: usize = 16;

/// How long one is waited for that is asked whether it is needed.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first and the longest time between two tries to stop one that a launcher cannot stop at the moment.
pub(super) const AGAIN: Duration = Duration::from_millis(500);
pub(super) const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// A place among the running ones; given back when it is dropped.
pub(super) struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How a start gets its place.
pub(super) enum Entry {
    Free(Place),
    /// All are taken; one of them may become free.
    Wait(Seeking),
}

/// Somebody waits for a place, for as long as this is there.
pub(super) struct Seeking(Arc<Shared>);

impl Seeking {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.seeking.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Seeking {
    fn drop(&mut self) {
        self.0.seeking.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// A place, or one in the line for it; none when it is not worth waiting for.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Entry> {
        // Nobody overtakes those who wait.
        let waiting = self.seeking.load(Ordering::SeqCst);
        if waiting == 0
            && let Some(place) = self.take_place()
        {
            return Some(Entry::Free(place));
        }
        let room = waiting > 0 || !self.candidates().is_empty() || self.leaving().is_some();
        room.then(|| Entry::Wait(Seeking::new(self)))
    }

    /// The same for one that was promised to somebody: it waits in line, whatever may come of it.
    pub(super) fn enter_anyway(self: &Arc<Self>) -> Entry {
        self.enter().unwrap_or_else(|| Entry::Wait(Seeking::new(self)))
    }

    fn take_place(self: &Arc<Self>) -> Option<Place> {
        let limit = self.settings().max_running;
        let room = |active: usize| (active < limit).then_some(active + 1);
        let taken = self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }

    /// The place of one that runs already, however many do.
    pub(super) fn hold_place(self: &Arc<Self>) -> Place {
        self.active.fetch_add(1, Ordering::SeqCst);
        Place(Arc::clone(self))
    }

    /// Those that may have to make room, the one to be asked first first.
    fn candidates(&self) -> Vec<Arc<Instance>> {
        let settings = self.settings();
        let now = Instant::now();
        let all: Vec<_> = self.table().values().cloned().collect();
        let mut idle: Vec<_> = all
            .into_iter()
            .filter_map(|instance| {
                let wait = Need::Room.wait(settings.unused(&instance.id).stop_after)?;
                let (idle, busy) = {
                    let cell = instance.cell();
                    // It stands still because something of the user's keeps it.
                    if cell.nap == Nap::Frozen {
                        return None;
                    }
                    (cell.machine.is_idle().then(|| cell.machine.idle_for(now)).flatten()?, cell.watch.was_busy())
                };
                (idle >= wait).then_some((busy, std::cmp::Reverse(idle), instance))
            })
            .collect();
        idle.sort_by_key(|(busy, idle, _)| (*busy, *idle));
        idle.into_iter().map(|(_, _, instance)| instance).collect()
    }

    /// Waits for a place, and has room made for it; none when none can be had.
    pub(super) async fn find_place(self: &Arc<Self>, entry: Entry, instance: &Instance) -> Option<Place> {
        let _seeking = match entry {
            Entry::Free(place) => return Some(place),
            Entry::Wait(seeking) => seeking,
        };
        let mut ticket = self.queue.enter();
        // The first in the line still waits for its place.
        ticket.turn(|position| instance.stand_at(Some(position + 1))).await;
        instance.stand_at(Some(1));
        let mut asked = HashSet::new();
        loop {
            if let Some(place) = self.take_place() {
                return Some(place);
            }
            if self.retire_one(&mut asked, true).await {
                continue;
            }
            // One that others are stopping will do as well.
            let mut follow = self.leaving()?.follow();
            let ended = follow.wait_for(|status| status.state != InstanceState::Stopping);
            if !matches!(tokio::time::timeout(STOP_DEADLINE, ended).await, Ok(Ok(_))) {
                return None;
            }
        }
    }

    /// One that is on its way out.
    fn leaving(&self) -> Option<Arc<Instance>> {
        self.table().values().find(|instance| instance.status().state == InstanceState::Stopping).cloned()
    }

    /// Stops one that nobody uses and that runs nothing of its user's; comes back when it has ended. False when there is none.
    /// `also_busy`: those that ran something when they were looked at last are asked as well.
    pub(super) async fn retire_one(self: &Arc<Self>, asked: &mut HashSet<InstanceId>, also_busy: bool) -> bool {
        for instance in self.candidates() {
            if asked.len() >= MOST_ASKED {
                return false;
            }
            if (!also_busy && instance.cell().watch.was_busy()) || !asked.insert(instance.id.clone()) {
                continue;
            }
            if !self.is_unneeded(&instance).await {
                continue;
            }
            let mut follow = instance.follow();
            if self.retire(&instance) {
                let ended = follow.wait_for(|status| status.state != InstanceState::Stopping);
                if tokio::time::timeout(STOP_DEADLINE, ended).await.is_ok() {
                    return true;
                }
            }
        }
        false
    }

    /// Looks twice, as always.
    async fn is_unneeded(self: &Arc<Self>, instance: &Arc<Instance>) -> bool {
        loop {
            let connector = instance.cell().connector.clone();
            let usage = match connector {
                // The whole line waits for this answer.
                Some(connector) => tokio::time::timeout(PATIENCE, connector.usage()).await.ok().and_then(Result::ok),
                None => return false,
            };
            match instance.look(Need::Room, self.settings().unused(&instance.id).stop_after, Some(usage.as_ref())) {
                Step::Stop => return true,
                Step::Later(pause) if usage.as_ref().is_some_and(|usage| usage.user_processes == 0) && pause < Duration::from_secs(1) => {
                    tokio::time::sleep(pause).await;
                }
                // Standing still is for those whose own time is up.
                Step::Trim(_) => {
                    self.rest(instance, usage.map(|usage| usage.memory).unwrap_or_default(), false).await;
                    return false;
                }
                _ => return false,
            }
        }
    }

    /// Has one stopped, unless somebody has begun to use it; whether it is.
    pub(super) fn retire(self: &Arc<Self>, instance: &Arc<Instance>) -> bool {
        let idle = instance.cell().machine.idle_for(Instant::now()).unwrap_or_default();
        if instance.tell(Event::Unneeded) != Some(Action::Stop) {
            return false;
        }
        tracing::info!(instance = %instance.id, idle_seconds = idle.as_secs(), "instance unused, stopping it");
        self.keep_stopping(Arc::clone(instance));
        true
    }

    /// Tries until it is stopped: nobody has to ask for that again.
    pub(super) fn keep_stopping(self: &Arc<Self>, instance: Arc<Instance>) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut pause = AGAIN;
            while instance.status().state == InstanceState::Stopping && !shared.stop_if_stopping(&instance).await {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AGAIN_AT_MOST);
            }
        });
    }
}
