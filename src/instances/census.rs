//! How many instances there are, and how they do. Asked for by every health check and scrape.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::registry::Instances;
use crate::model::{FailureCause, InstanceId, InstanceState};

/// The states' names.
const STATES: [&str; 5] = ["stopped", "starting", "running", "stopping", "failed"];

/// How many instances are in each state, kept as they change: health is asked for often, and there may be thousands of instances.
#[derive(Debug, Default)]
pub(super) struct Tally([AtomicUsize; STATES.len()]);

impl Tally {
    /// One more in this state.
    pub(super) fn enter(&self, state: &InstanceState) {
        if let Some(count) = self.of(state) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// One less in this state. To be told after the state that it is in now: nobody who reads meanwhile misses it.
    pub(super) fn leave(&self, state: &InstanceState) {
        if let Some(count) = self.of(state) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn of(&self, state: &InstanceState) -> Option<&AtomicUsize> {
        let place = STATES.iter().position(|name| *name == state.name())?;
        self.0.get(place)
    }

    fn read(&self) -> impl Iterator<Item = (&'static str, usize)> {
        STATES.into_iter().zip(&self.0).map(|(name, count)| (name, count.load(Ordering::SeqCst)))
    }
}

impl Instances {
    /// Whether its processes stand still until somebody uses it.
    pub fn is_frozen(&self, id: &InstanceId) -> bool {
        self.known(id).is_some_and(|instance| instance.peek(|status| status.frozen))
    }

    /// How many instances' processes stand still.
    pub fn frozen(&self) -> usize {
        self.table().values().filter(|instance| instance.peek(|status| status.frozen)).count()
    }

    /// How many instances are in each state, by the state's name.
    pub fn census(&self) -> std::collections::BTreeMap<&'static str, usize> {
        self.0.tally.read().collect()
    }

    /// How many could not be started when they were wanted last. What ended in mid-run does not count: the next request mends a crash, and
    /// the rest was meant.
    pub fn unstartable(&self) -> usize {
        use FailureCause::{DiedEarly, Launch, Timeout};
        let failed_start =
            |state: &InstanceState| matches!(state, InstanceState::Failed { cause: Launch { .. } | DiedEarly { .. } | Timeout { .. } });
        self.table().values().filter(|instance| instance.peek(|status| failed_start(&status.state))).count()
    }

    /// The most instances that may run at the same time.
    pub fn limit(&self) -> usize {
        self.0.settings().max_running
    }
}
