//! What an operator and a successor do with instances: look through them, take them over, forget them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::instance::Instance;
use super::machine::{Event, Machine};
use super::nap::Nap;
use super::registry::Instances;
use super::starter;
use crate::launch::{Connector, Known, LaunchError, Left};
use crate::model::{DiskAnswer, DiskJob, InstanceId, InstanceState, Usage};

/// How long one that was found running is kept at least, however long nobody had used it.
const GRACE: Duration = Duration::from_secs(30);

/// The time between two tries to take over what runs, when nobody could tell what does.
const ADOPT_AGAIN: Duration = Duration::from_secs(2);

/// When is looked again because something was on its way up or down: a start takes seconds.
const ADOPT_CHANGED: Duration = Duration::from_secs(5);

impl Instances {
    /// Takes over what an earlier daemon has left; `idle` says how long each has been unused. Gives their number. What it was just
    /// starting is taken over later, in the background, unless a request is there first.
    ///
    /// # Errors
    /// When the launcher cannot tell what there is.
    pub async fn adopt(&self, idle: impl Fn(&InstanceId) -> Duration) -> Result<usize, LaunchError> {
        let settings = self.0.settings();
        let (mut running, mut changing) = (0, false);
        for (id, left) in self.0.launcher.adopt().await? {
            let now = Instant::now();
            if let Some(known) = self.known(&id) {
                let (leaving, seen) = {
                    let cell = known.cell();
                    (cell.machine.is_leaving(), cell.machine.generation() > 0)
                };
                // A request was here first, it is being removed and the entry is to stay, or we have seen its end ourselves.
                if !known.status().state.is_at_rest() || leaving || (seen && matches!(left, Left::Ended(_))) {
                    continue;
                }
                self.0.note_forgotten(&known);
            }
            let longest = settings.unused(&id).stop_after.map_or(Duration::MAX, |time| time.saturating_sub(GRACE));
            let (machine, launched, nap) = match left {
                // Whoever uses it is just about to come back, and what was written down last is some seconds old.
                Left::Running { launched, frozen } => {
                    let nap = if frozen { Nap::Frozen } else { Nap::Drowsy };
                    (Machine::adopted(now, idle(&id).min(longest)), Some(launched), nap)
                }
                Left::Ended(cause) => (Machine::found_ended(now, cause), None, Nap::Awake),
                Left::Changing => {
                    changing = true;
                    continue;
                }
            };
            let instance = Arc::new(self.0.instance(id.clone(), machine));
            {
                let mut cell = instance.cell();
                cell.nap = nap;
                cell.connector = launched.as_ref().map(|launched| Arc::clone(&launched.connector));
                instance.publish(&cell, Vec::new());
                instance.list(&mut cell);
            }
            self.table().insert(id, Arc::clone(&instance));
            if let Some(launched) = launched {
                running += 1;
                let place = self.0.hold_place();
                self.0.tasks.spawn(starter::take_over(Arc::clone(&self.0), Arc::clone(&instance), launched, place));
            }
            self.hold_if_noted(&instance);
        }
        if changing {
            self.adopt_later(ADOPT_CHANGED);
        }
        Ok(running)
    }

    /// Takes over later, in the background, when the launcher could not say at the start what runs: else that would be counted by nobody,
    /// and stopped by nobody.
    pub fn adopt_when_possible(&self) {
        self.adopt_later(ADOPT_AGAIN);
    }

    fn adopt_later(&self, pause: Duration) {
        let instances = self.clone();
        self.0.tasks.spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                match instances.adopt(|_| Duration::ZERO).await {
                    Ok(0) => return,
                    Ok(running) => return tracing::info!("{running} instances taken over"),
                    Err(e) => tracing::debug!("cannot take over what runs: {e}"),
                }
            }
        });
    }

    /// Since when nobody has used each of those that run, as a time of day; none while somebody does.
    pub fn idle_clocks(&self) -> BTreeMap<InstanceId, Option<SystemTime>> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let running = |instance: &&Arc<Instance>| instance.status().state == InstanceState::Running;
        let clock = |instance: &Arc<Instance>| {
            let idle = instance.cell().machine.idle_for(now);
            (instance.id.clone(), idle.and_then(|idle| wall.checked_sub(idle)))
        };
        self.table().values().filter(running).map(clock).collect()
    }

    /// What an instance uses; none when it does not run, or when nobody can tell. Counts as no use of it.
    pub async fn usage(&self, id: &InstanceId) -> Option<Usage> {
        let (connector, still) = {
            let instance = self.known(id)?;
            let cell = instance.cell();
            // Of what an earlier daemon has left standing still, so much is known: something of the user's is there.
            let last = || cell.usage.clone().unwrap_or_else(|| Usage { user_processes: 1, ..Usage::default() });
            (cell.connector.clone()?, (cell.nap == Nap::Frozen).then(last))
        };
        if let Some(last) = still {
            // It cannot answer, and nothing in it can have changed but what the kernel has done.
            return Some(connector.recount(last));
        }
        let usage = connector.usage().await;
        usage.inspect_err(|e| tracing::debug!(instance = %id, "cannot tell what it uses: {e}")).ok()
    }

    /// The last lines that an instance has printed: of the run that there is, else of the last one, as far as that is remembered. Counts as
    /// no use of it.
    ///
    /// # Errors
    /// When it runs and cannot tell.
    pub async fn log(&self, id: &InstanceId) -> std::io::Result<Vec<String>> {
        let Some(instance) = self.known(id) else { return Ok(Vec::new()) };
        let (connector, nap) = {
            let cell = instance.cell();
            (cell.connector.clone(), cell.nap)
        };
        match connector {
            // Each question would lie in its queue until there is no room for one that matters.
            Some(_) if nap == Nap::Frozen => Ok(vec!["It stands still: what it has printed is told when somebody uses it.".to_owned()]),
            Some(connector) => connector.log().await,
            None => Ok(instance.status().log),
        }
    }

    /// The run of an instance that runs, and the way to reach it without using it: no lease, and nothing that the idle clock notices.
    pub fn reach(&self, id: &InstanceId) -> Option<(u64, Arc<dyn Connector>)> {
        let instance = self.known(id)?;
        let cell = instance.cell();
        let connector = cell.connector.clone()?;
        Some((cell.machine.generation(), connector))
    }

    /// All instances that have something, also those at rest.
    ///
    /// # Errors
    /// When the launcher cannot tell.
    pub async fn inventory(&self) -> Result<Vec<Known>, LaunchError> {
        self.0.launcher.inventory().await
    }

    /// Begins to remove an instance.
    ///
    /// # Errors
    /// When somebody does that already.
    pub fn begin_removal(&self, id: &InstanceId) -> Result<Removal, LaunchError> {
        let instance = self.instance(id);
        if !instance.cell().machine.begin_removal() {
            return Err(LaunchError::Conflict(format!("{id} is being removed already")));
        }
        Ok(Removal { instances: self.clone(), instance, stopped: false })
    }

    /// Where the files of `id` are, for people.
    pub fn files(&self, id: &InstanceId) -> PathBuf {
        self.0.launcher.files(id)
    }

    /// Whether nothing of it runs, nobody uses it, and no operator has stopped it: who has done that wants it as it is.
    pub fn may_be_removed(&self, id: &InstanceId) -> bool {
        let Some(instance) = self.known(id) else { return true };
        let rests = instance.peek(|status| match &status.state {
            InstanceState::Failed { cause } => !cause.is_held(),
            state => state.is_at_rest(),
        });
        rests && instance.cell().machine.leases() == 0
    }

    /// Does a job on the files of an instance.
    ///
    /// # Errors
    /// When it runs and must not, or with what stands in the way.
    pub async fn disk(&self, id: &InstanceId, job: DiskJob) -> Result<DiskAnswer, LaunchError> {
        self.0.launcher.disk(id, job).await
    }

    /// Lifts what holds a failed instance: the next request starts it.
    pub fn lift(&self, id: &InstanceId) {
        self.0.held.set(id, false);
        if let Some(instance) = self.known(id) {
            instance.tell(Event::Lifted);
        }
    }

    /// Stops an instance for the operator: it stays stopped until somebody starts it on purpose.
    /// False when it has not ended yet; that is tried until it has.
    pub async fn hold(&self, id: &InstanceId) -> bool {
        self.0.held.set(id, true);
        let instance = self.instance(id);
        self.stop_by(&instance, Event::HoldWanted).await;
        instance.status().state.is_at_rest()
    }
}

/// An instance that is being removed: once it is stopped, nothing starts it, whoever wants that. Whoever removes it drops this when all of
/// it is gone, also what is remembered of it elsewhere; from then on its id is like one that nobody has ever used.
pub struct Removal {
    instances: Instances,
    instance: Arc<Instance>,
    stopped: bool,
}

impl Removal {
    /// Stops it and forgets it; with `purge`, deletes its files.
    ///
    /// # Errors
    /// When there is none, or with what could not be deleted.
    pub async fn carry_out(&mut self, purge: bool) -> Result<(), LaunchError> {
        self.instances.stop_by(&self.instance, Event::HoldWanted).await;
        if !self.instance.status().state.is_at_rest() {
            return Err(LaunchError::Unkillable(1));
        }
        self.stopped = true;
        self.instances.0.launcher.remove(&self.instance.id, purge).await
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        let id = &self.instance.id;
        if self.stopped {
            // Known or not, it is nothing special any more: whoever opens its URL gets a new one. The entry is this very instance: nothing
            // replaces one that is being removed. Whoever still has it in hand finds it held, for ever.
            self.instances.0.held.set(id, false);
            let mut table = self.instances.table();
            self.instances.0.note_forgotten(&self.instance);
            table.remove(id);
        } else {
            self.instance.cell().machine.end_removal();
        }
    }
}
