//! The pools of connections to running engines and to the apps on their ports, replaced when an instance was started anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::instances::Lease;
use crate::model::{InstanceId, Port};
use crate::proxy::Upstream;

/// How many pools are kept: somebody may knock on one port after the other, or open one made-up instance after the other. Pools in use
/// go on without their entry.
const MOST_ENGINES: usize = 4096;
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
        current(&mut table, MOST_ENGINES, lease.id().clone(), lease.generation(), || Upstream::new(lease.connect_engine()))
    }

    /// The app on `port` of the run that `lease` is for.
    pub(super) fn of_port(&self, lease: &Lease, port: Port) -> Upstream {
        let mut table = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (lease.id().clone(), port);
        current(&mut table, MOST_PORTS, key, lease.generation(), || Upstream::new(lease.connect_port(port)))
    }
}

fn current<K: Eq + Hash>(
    table: &mut HashMap<K, (u64, Upstream)>,
    most: usize,
    key: K,
    generation: u64,
    make: impl FnOnce() -> Upstream,
) -> Upstream {
    if table.len() >= most && !table.contains_key(&key) {
        table.clear();
    }
    match table.get(&key) {
        Some((known, upstream)) if *known == generation => upstream.clone(),
        _ => {
            let upstream = make();
            table.insert(key, (generation, upstream.clone()));
            upstream
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pools_are_kept_by_run_and_up_to_a_number() {
        let mut table = HashMap::new();
        let mut made = 0;
        let mut open = |key: u32, generation| {
            current(&mut table, 3, key, generation, || {
                made += 1;
                Upstream::new(|| Box::pin(std::future::pending()))
            });
            (table.len(), made)
        };
        for (key, generation, expected) in [(1, 1, (1, 1)), (1, 1, (1, 1)), (1, 2, (1, 2)), (2, 1, (2, 3)), (3, 1, (3, 4))] {
            assert_eq!(open(key, generation), expected);
        }
        assert_eq!(open(3, 1), (3, 4), "known ones stay");
        assert_eq!(open(4, 1), (1, 5));
    }
}
