//! The pools of connections to running engines and to the apps on their ports, replaced when an instance was started anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::instances::Lease;
use crate::model::{InstanceId, Port};
use crate::proxy::Upstream;

/// How many pools for ports are kept: somebody may knock on one port after the other. Pools in use go on without their entry.
const MOST_PORTS: usize = 256;

#[derive(Default)]
pub(super) struct Upstreams {
    engines: Mutex<HashMap<InstanceId, (u64, Upstream)>>,
    ports: Mutex<HashMap<(InstanceId, Port), (u64, Upstream)>>,
}

impl Upstreams {
    /// The upstream of the run that `lease` is for.
    pub(super) fn of(&self, lease: &Lease) -> Upstream {
        let mut table = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        current(&mut table, lease.id().clone(), lease.generation(), || Upstream::new(lease.connect_engine()))
    }

    /// The app on `port` of the run that `lease` is for.
    pub(super) fn of_port(&self, lease: &Lease, port: Port) -> Upstream {
        let mut table = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (lease.id().clone(), port);
        if table.len() >= MOST_PORTS && !table.contains_key(&key) {
            table.clear();
        }
        current(&mut table, key, lease.generation(), || Upstream::new(lease.connect_port(port)))
    }
}

fn current<K: Eq + Hash>(table: &mut HashMap<K, (u64, Upstream)>, key: K, generation: u64, make: impl FnOnce() -> Upstream) -> Upstream {
    match table.get(&key) {
        Some((known, upstream)) if *known == generation => upstream.clone(),
        _ => {
            let upstream = make();
            table.insert(key, (generation, upstream.clone()));
            upstream
        }
    }
}
