//! The pools of connections to running engines, one per instance, replaced when it was started anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::instances::Lease;
use crate::model::InstanceId;
use crate::proxy::Upstream;

#[derive(Default)]
pub(super) struct Upstreams(Mutex<HashMap<InstanceId, (u64, Upstream)>>);

impl Upstreams {
    /// The upstream of the run that `lease` is for.
    pub(super) fn of(&self, lease: &Lease) -> Upstream {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match table.get(lease.id()) {
            Some((generation, upstream)) if *generation == lease.generation() => upstream.clone(),
            _ => {
                let upstream = Upstream::new(lease.connect_engine());
                table.insert(lease.id().clone(), (lease.generation(), upstream.clone()));
                upstream
            }
        }
    }
}
