//! One instance: its machine, and a channel on which everybody can follow it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::census::Tally;
use super::idle::{Need, Step, Watch};
use super::lease::Lease;
use super::machine::{Action, Event, Machine};
use super::nap::Nap;
use crate::launch::Connector;
use crate::model::{InstanceId, InstanceState, Stage, Usage};

pub(super) struct Instance {
    pub(super) id: InstanceId,
    cell: Mutex<Cell>,
    /// Held by whoever has it set back, given back what it had, or stopped: one after the other.
    pub(super) turn: tokio::sync::Mutex<()>,
    status: watch::Sender<Status>,
    /// Whoever tends those that nobody uses.
    idle: mpsc::UnboundedSender<InstanceId>,
    /// Where it is counted, from its making to its end.
    tally: Arc<Tally>,
}

pub(super) struct Cell {
    pub(super) machine: Machine,
    pub(super) connector: Option<Arc<dyn Connector>>,
    pub(super) watch: Watch,
    pub(super) nap: Nap,
    /// Whether somebody sees to it already that it is awake.
    pub(super) waking: bool,
    /// What it used when it was asked last.
    pub(super) usage: Option<Usage>,
    /// Its position in the line of those that wait for their start; 1 is next.
    pub(super) position: Option<usize>,
    /// Whether whoever tends instances has been told that nobody uses it: once is enough, however many come and go.
    pub(super) listed: bool,
}

/// What can be said of an instance at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: InstanceState,
    /// Which start this is: later ones have higher numbers; 0 before the first.
    pub generation: u64,
    /// The last lines of the engine that failed, for the instance's owner.
    pub log: Vec<String>,
    /// Whether its processes stand still until somebody uses it.
    pub frozen: bool,
    /// Its position in the line while its start waits for its turn; 1 is next.
    pub position: Option<usize>,
}

impl Instance {
    pub(super) fn new(id: InstanceId, machine: Machine, idle: mpsc::UnboundedSender<InstanceId>, tally: Arc<Tally>) -> Self {
        let cell = Cell {
            machine,
            connector: None,
            watch: Watch::default(),
            nap: Nap::Awake,
            waking: false,
            usage: None,
            position: None,
            listed: false,
        };
        let status = Status::initial();
        tally.enter(&status.state);
        Self { id, cell: Mutex::new(cell), turn: tokio::sync::Mutex::default(), status: watch::Sender::new(status), idle, tally }
    }

    pub(super) fn cell(&self) -> std::sync::MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What `look` finds in its status, without a copy of it.
    pub(super) fn peek<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.status.borrow())
    }

    pub(super) fn follow(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn is_followed(&self) -> bool {
        self.status.receiver_count() > 0
    }

    pub(super) fn publish(&self, cell: &Cell, log: Vec<String>) {
        let state = cell.machine.state();
        let position = cell.position.filter(|_| matches!(state, InstanceState::Starting { stage: Stage::Queued }));
        let frozen = cell.nap == Nap::Frozen;
        let status = Status { state, generation: cell.machine.generation(), log, frozen, position };
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            self.tally.enter(&status.state);
            self.tally.leave(&old.state);
            *old = status;
            changed
        });
    }

    /// Tells its position in the line of those that wait for their start.
    pub(super) fn stand_at(&self, position: Option<usize>) {
        let mut cell = self.cell();
        cell.position = position;
        self.publish(&cell, Vec::new());
    }

    /// Gives `event` to the machine and publishes what came of it.
    pub(super) fn tell(&self, event: Event) -> Option<Action> {
        self.tell_with(event, None, Vec::new())
    }

    /// As [`Self::tell`], with the connector of an engine that became ready, or the log of one that failed.
    pub(super) fn tell_with(&self, event: Event, connector: Option<Arc<dyn Connector>>, log: Vec<String>) -> Option<Action> {
        let mut cell = self.cell();
        let lease_news = matches!(event, Event::LeaseTaken | Event::LeaseDropped);
        let action = cell.machine.on(event, Instant::now());
        if !lease_news {
            // News that changes nothing takes nothing away.
            let running = cell.machine.state() == InstanceState::Running;
            cell.connector = connector.or(cell.connector.take()).filter(|_| running);
            if !running {
                (cell.nap, cell.usage) = (Nap::Awake, None);
            }
            self.publish(&cell, log);
        }
        self.list(&mut cell);
        action
    }

    /// Tells whoever tends instances when nobody uses this one any more.
    pub(super) fn list(&self, cell: &mut Cell) {
        if !cell.listed && cell.machine.is_idle() {
            cell.listed = true;
            // Nobody there means that we are going down.
            let _ = self.idle.send(self.id.clone());
        }
    }

    /// What is to be done with one that may be unused; `answer` is what came of asking what runs in it, when that was asked.
    pub(super) fn look(&self, need: Need, stop_after: Option<Duration>, answer: Option<Option<&Usage>>) -> Step {
        let mut cell = self.cell();
        if let Some(Some(usage)) = answer {
            cell.usage = Some(usage.clone());
        }
        let idle = cell.machine.is_idle().then(|| cell.machine.idle_for(Instant::now())).flatten();
        let step = match answer {
            None => cell.watch.due(idle, need.wait(stop_after)),
            Some(usage) => cell.watch.answered(idle, need.wait(stop_after), usage),
        };
        if step == Step::Forget && need == Need::Time {
            cell.listed = false;
        }
        step
    }

    /// A lease, when it runs.
    pub(super) fn lease(self: &Arc<Self>, cell: &mut Cell) -> Option<Lease> {
        let connector = cell.connector.clone()?;
        cell.machine.on(Event::LeaseTaken, Instant::now());
        Some(Lease::new(Arc::clone(self), cell.machine.generation(), connector))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.tally.leave(&self.status.borrow().state);
    }
}

impl Status {
    pub(super) fn initial() -> Self {
        Self { state: InstanceState::Stopped, generation: 0, log: Vec::new(), frozen: false, position: None }
    }
}
