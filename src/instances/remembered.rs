//! The table of the instances that we know: who comes in, and who is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::instance::{Instance, Status};
use super::machine::Machine;
use super::registry::Instances;
use crate::model::{InstanceId, InstanceState};

/// How many instances are remembered before those at rest are forgotten; a forgotten one is as good as a stopped one. Where that
/// makes no room, no further one is followed or begun.
const MOST_REMEMBERED: usize = 4096;

/// How often room is made at most: all of them are looked at for it.
const MAKE_ROOM: Duration = Duration::from_secs(1);

impl Instances {
    /// The one that somebody asks for; none when there are so many that it would be one too many.
    pub(super) fn wanted(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        let mut table = self.table();
        if table.len() >= MOST_REMEMBERED && !table.contains_key(id) {
            let (mut crowded, now) = (self.0.crowded.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
            if crowded.is_some_and(|last| now.duration_since(last) < MAKE_ROOM) {
                return None;
            }
            // Somebody asks for one made-up name after the other: forget those that nothing runs of and nobody looks at.
            let held = |state: &InstanceState| matches!(state, InstanceState::Failed { cause } if cause.is_held());
            let stays = |status: &Status| !status.state.is_at_rest() || held(&status.state);
            table.retain(|_, known| {
                let keep = Arc::strong_count(known) > 1 || known.is_followed() || known.peek(stays);
                if !keep {
                    self.0.note_forgotten(known);
                }
                keep
            });
            if table.len() >= MOST_REMEMBERED {
                *crowded = Some(now);
                return None;
            }
        }
        Some(self.entry(&mut table, id))
    }

    /// The one that the operator means.
    pub(super) fn instance(&self, id: &InstanceId) -> Arc<Instance> {
        self.entry(&mut self.table(), id)
    }

    fn entry(&self, table: &mut HashMap<InstanceId, Arc<Instance>>, id: &InstanceId) -> Arc<Instance> {
        Arc::clone(table.entry(id.clone()).or_insert_with(|| Arc::new(self.0.instance(id.clone(), Machine::new(Instant::now())))))
    }
}
