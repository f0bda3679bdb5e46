//! Which connections of pages are known, and which of them have been left long enough to be ended. Pure: news in, what is due out,
//! time as a parameter.
//!
//! A connection is gone when none of its websockets is open any more. Its extension host is ended after a while, because it is a
//! process of about 100 MB for one page alone. The rest, a file watcher of about 20 MB, is kept ten times as long: text that was typed
//! while the page had no network comes home over it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::engine::connection::Part;
use crate::model::{InstanceId, ReconnectionToken};

/// The most connections that are known of one instance; a page has two. Beyond that, those that were left first are forgotten, and
/// end by the engine's own rules.
const MOST: usize = 256;

/// The most websockets of one instance that are held in place of a page that is gone.
const MOST_HELD: usize = 32;

/// How many times longer the rest of a connection is kept than its extension host.
const REST: u32 = 10;

/// What pages have opened and left, of all instances.
#[derive(Debug, Default)]
pub struct Connections {
    instances: HashMap<InstanceId, Run>,
}

#[derive(Debug, Default)]
struct Run {
    generation: u64,
    known: HashMap<ReconnectionToken, Connection>,
    /// All that are held, also those of connections that were forgotten.
    held: usize,
}

#[derive(Debug, Default)]
struct Connection {
    /// Its websockets that are open between page and engine.
    open: usize,
    /// Those that are open to the engine alone.
    held: usize,
    /// Since when none is open.
    since: Option<Instant>,
    /// It is known to have no extension host.
    rest: bool,
}

/// What is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// In which instance.
    pub id: InstanceId,
    /// Which connection.
    pub token: ReconnectionToken,
    /// As what.
    pub part: Part,
    /// Since when its page is gone: one that came back and went again is not the same.
    pub since: Option<Instant>,
}

impl Connections {
    /// A websocket of `token` was opened in the run `generation` of `id`.
    pub fn opened(&mut self, id: &InstanceId, generation: u64, token: &ReconnectionToken) {
        let run = self.instances.entry(id.clone()).or_default();
        if run.generation != generation {
            *run = Run { generation, ..Run::default() };
        }
        if run.known.len() >= MOST && !run.known.contains_key(token) {
            let first = run.known.iter().filter_map(|(token, known)| Some((known.since?, token))).min().map(|(_, token)| token.clone());
            let Some(first) = first else { return };
            run.known.remove(&first);
        }
        let connection = run.known.entry(token.clone()).or_default();
        connection.open += 1;
        connection.since = None;
    }

    /// A websocket of `token` has ended at `now`.
    pub fn closed(&mut self, id: &InstanceId, generation: u64, token: &ReconnectionToken, now: Instant) {
        if let Some(connection) = self.connection(id, generation, token) {
            connection.open = connection.open.saturating_sub(1);
            if connection.open == 0 {
                connection.since = Some(now);
            }
        }
    }

    /// Whether the engine's side of a websocket of `token` may be held open, now that the page's has ended. Each that is allowed is
    /// given back by [`Self::released`].
    pub fn hold(&mut self, id: &InstanceId, generation: u64, token: &ReconnectionToken) -> bool {
        let Some(run) = self.instances.get_mut(id).filter(|run| run.generation == generation && run.held < MOST_HELD) else { return false };
        let Some(connection) = run.known.get_mut(token) else { return false };
        connection.held += 1;
        run.held += 1;
        true
    }

    /// A held websocket has ended: the page has come back and the engine has let go of this one, or it was ended.
    pub fn released(&mut self, id: &InstanceId, generation: u64, token: &ReconnectionToken) {
        let Some(run) = self.instances.get_mut(id).filter(|run| run.generation == generation) else { return };
        run.held = run.held.saturating_sub(1);
        if let Some(connection) = run.known.get_mut(token) {
            connection.held = connection.held.saturating_sub(1);
        }
    }

    /// What has been left for `after` at `now`. `running` gives the run of an instance that runs; what belongs to others is
    /// forgotten.
    pub fn due(&mut self, now: Instant, after: Duration, running: impl Fn(&InstanceId) -> Option<u64>) -> Vec<Due> {
        self.instances.retain(|id, run| (!run.known.is_empty() || run.held > 0) && running(id) == Some(run.generation));
        let mut all = Vec::new();
        for (id, run) in &self.instances {
            for (token, known) in &run.known {
                let (part, patience) =
                    if known.rest { (Part::Management, after.saturating_mul(REST)) } else { (Part::ExtensionHost, after) };
                if known.since.is_some_and(|since| now.duration_since(since) >= patience) {
                    all.push(Due { id: id.clone(), token: token.clone(), part, since: known.since });
                }
            }
        }
        all
    }

    /// Whether it is still to be ended: its page may have come back since it was due.
    pub fn is_gone(&self, due: &Due) -> bool {
        let known = self.instances.get(&due.id).and_then(|run| run.known.get(&due.token));
        known.is_some_and(|known| known.since.is_some() && known.since == due.since && known.rest == (due.part == Part::Management))
    }

    /// It was tried: `found` says whether the engine knew the connection as what it was ended as.
    pub fn ended(&mut self, due: &Due, found: bool) {
        let Some(run) = self.instances.get_mut(&due.id) else { return };
        let Some(connection) = run.known.get_mut(&due.token) else { return };
        if connection.open > 0 {
            // Its page came back in that very moment.
        } else if !found && due.part == Part::ExtensionHost && connection.held > 0 {
            connection.rest = true;
        } else {
            // Not held and no extension host's: either it has ended already, or the engine counts its own few minutes by now,
            // because it does from the moment somebody new comes to it, and that was us.
            run.known.remove(&due.token);
        }
    }

    /// All that are known, to be written down.
    pub fn all(&self) -> BTreeMap<InstanceId, Vec<ReconnectionToken>> {
        let tokens = |run: &Run| {
            let mut tokens: Vec<_> = run.known.keys().cloned().collect();
            tokens.sort_unstable();
            tokens
        };
        self.instances.iter().filter(|(_, run)| !run.known.is_empty()).map(|(id, run)| (id.clone(), tokens(run))).collect()
    }

    /// Takes over what an earlier daemon has written down of an instance that runs: all of it counts as left at `now`.
    pub fn restore(&mut self, id: &InstanceId, generation: u64, tokens: &[ReconnectionToken], now: Instant) {
        for token in tokens.iter().take(MOST) {
            self.opened(id, generation, token);
            self.closed(id, generation, token, now);
        }
    }

    fn connection(&mut self, id: &InstanceId, generation: u64, token: &ReconnectionToken) -> Option<&mut Connection> {
        self.instances.get_mut(id).filter(|run| run.generation == generation)?.known.get_mut(token)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
