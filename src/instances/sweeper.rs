//! The one task that looks after instances which nobody uses. It hears of one when its last user leaves, and looks at it when its
//! time has come: what it costs depends on how many are due, not on how many there are.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::idle::{Need, Step};
use super::instance::Instance;
use super::nap::Nap;
use super::registry::{Instances, Shared};
use crate::model::{InstanceId, Usage};

/// How many are asked at a time.
const ASKED_AT_ONCE: usize = 8;

/// When one is looked at that stood still and should not any more.
const GOES_ON: Duration = Duration::from_secs(1);

/// How often the host's memory is looked at.
const PRESSURE: Duration = Duration::from_secs(2);

impl Instances {
    /// Stops, trims and keeps instances as the settings say. Never comes back; to be run once.
    pub async fn tend(&self) {
        let shared = &self.0;
        let news = shared.idle_news.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut news) = news else { return std::future::pending().await };
        let mut sweep = Sweep {
            shared: Arc::clone(shared),
            due: BTreeSet::new(),
            still: BTreeSet::new(),
            asked: JoinSet::new(),
            turns: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
        };
        let mut relief = JoinSet::new();
        let mut ticks = interval(PRESSURE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = sweep.due.first().map(|(at, _)| *at);
            tokio::select! {
                Some(id) = news.recv() => sweep.look(id),
                () = until(next) => {
                    if let Some((_, id)) = sweep.due.pop_first() {
                        sweep.look(id);
                    }
                }
                Some(answered) = sweep.asked.join_next() => {
                    if let Ok((id, usage)) = answered {
                        sweep.answered(id, usage.as_ref());
                    }
                }
                () = shared.settings_changed.notified() => sweep.look_at_all(),
                _ = ticks.tick() => {
                    while relief.try_join_next().is_some() {}
                    // One after the other: what one gives back may be enough.
                    if relief.is_empty() && shared.is_short_of_memory() {
                        let shared = Arc::clone(shared);
                        relief.spawn(async move { shared.retire_one(&mut std::collections::HashSet::new(), false).await });
                    }
                }
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

struct Sweep {
    shared: Arc<Shared>,
    due: BTreeSet<(Instant, InstanceId)>,
    /// Those that stand still, and should.
    still: BTreeSet<InstanceId>,
    asked: JoinSet<(InstanceId, Option<Usage>)>,
    turns: Arc<Semaphore>,
}

impl Sweep {
    fn look(&mut self, id: InstanceId) {
        self.step(id, None);
    }

    fn answered(&mut self, id: InstanceId, usage: Option<&Usage>) {
        self.step(id, Some(usage));
    }

    fn step(&mut self, id: InstanceId, answer: Option<Option<&Usage>>) {
        let Some(instance) = self.shared.known(&id) else { return };
        self.still.remove(&id);
        if self.stands_still(&instance) {
            return;
        }
        let stop_after = self.shared.settings().unused(&id).stop_after;
        let step = match instance.look(Need::Time, stop_after, answer) {
            // Its memory was needed before its time had come, or that did not work.
            Step::Later(time) if answer.flatten().is_some_and(|usage| usage.user_processes > 0) && self.may_rest(&instance) => {
                Step::Trim(time)
            }
            step => step,
        };
        match step {
            Step::Forget => {}
            Step::Later(time) => drop(self.due.insert((Instant::now() + time, id))),
            Step::Ask => {
                let (turns, connector) = (Arc::clone(&self.turns), instance.cell().connector.clone());
                self.asked.spawn(async move {
                    let _turn = turns.acquire().await;
                    let asking = async {
                        connector?.usage().await.inspect_err(|e| tracing::warn!(instance = %id, "cannot tell what runs in it: {e}")).ok()
                    };
                    // A bug in there must not take the name along: without an answer it would never be looked at again.
                    let usage = AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_default();
                    (id, usage)
                });
            }
            Step::Trim(time) => {
                let bytes = answer.flatten().map_or(0, |usage| usage.memory);
                tracing::debug!(instance = %id, bytes, "instance unused, but something of the user's runs: it stays");
                let shared = Arc::clone(&self.shared);
                self.shared.tasks.spawn(async move { shared.rest(&instance, bytes, shared.freezes(&instance.id)).await });
                self.due.insert((Instant::now() + time, id));
            }
            Step::Stop => {
                // Whoever has come for it meanwhile keeps it, and is news when they leave.
                self.shared.retire(&instance);
                self.look(id);
            }
        }
    }

    /// Whether nothing can be asked of it: then nothing changes before somebody comes, and when they leave it is news again. Sees to it
    /// that one goes on that should.
    fn stands_still(&mut self, instance: &Arc<Instance>) -> bool {
        let may = self.shared.freezes(&instance.id);
        let mut cell = instance.cell();
        if cell.nap != Nap::Frozen || !cell.machine.is_idle() {
            return false;
        }
        cell.listed = !may;
        if may {
            self.still.insert(instance.id.clone());
        } else {
            self.shared.wake(instance, &mut cell);
            self.due.insert((Instant::now() + GOES_ON, instance.id.clone()));
        }
        true
    }

    /// Whether it has not been set back as far as it can be.
    fn may_rest(&self, instance: &Instance) -> bool {
        let most = if self.shared.freezes(&instance.id) { Nap::Frozen } else { Nap::Drowsy };
        let cell = instance.cell();
        cell.machine.is_idle() && cell.nap < most
    }

    /// The times that were worked out are those of other settings.
    fn look_at_all(&mut self) {
        let due = std::mem::take(&mut self.due).into_iter().map(|(_, id)| id);
        for id in due.chain(std::mem::take(&mut self.still)) {
            self.look(id);
        }
    }
}
