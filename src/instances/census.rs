//! How many instances there are, and how they do. Asked for by every health check and scrape.

use super::registry::Instances;
use crate::model::{FailureCause, InstanceId, InstanceState};

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
        // Asked for by every health check: nothing is copied or allocated per instance.
        let mut counts = ["stopped", "starting", "running", "stopping", "failed"].map(|name| (name, 0));
        for instance in self.table().values() {
            let name = instance.peek(|status| status.state.name());
            if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == name) {
                *count += 1;
            }
        }
        counts.into_iter().collect()
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
