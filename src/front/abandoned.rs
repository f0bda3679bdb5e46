//! What becomes of the connections that pages have left behind: tabs that vanished, phones asleep, networks lost. What is known of
//! them is in [`Connections`]; here it is fed by the websockets, acted upon, and written down for a successor.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{MissedTickBehavior, interval};

use super::app::App;
use crate::engine::connection::{self, Part};
use crate::instances::{Connections, Due, Lease};
use crate::model::{InstanceId, ReconnectionToken};
use crate::sys;

/// How often is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait before an engine that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// How many are ended of one instance before it is others' turn: an engine can take its time for each.
const MOST_OF_ONE: usize = 4;

/// In how many instances something is ended at the same time.
const AT_A_TIME: usize = 8;

/// The file in `state` with the connections that are known, for a daemon that finds the instances running.
const FILE: &str = "connections.json";

type Written = BTreeMap<InstanceId, Vec<ReconnectionToken>>;

/// The connections of pages.
#[derive(Default)]
pub(super) struct Abandoned {
    table: Mutex<Connections>,
}

impl Abandoned {
    fn table(&self) -> MutexGuard<'_, Connections> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One websocket of a page's connection, from its beginning to its end, however it ends.
pub(super) struct PageConnection {
    app: Arc<App>,
    id: InstanceId,
    generation: u64,
    token: ReconnectionToken,
}

impl PageConnection {
    /// One that begins.
    pub(super) fn open(app: &Arc<App>, lease: &Lease, token: ReconnectionToken) -> Self {
        let (id, generation) = (lease.id().clone(), lease.generation());
        app.abandoned.table().opened(&id, generation, &token);
        Self { app: Arc::clone(app), id, generation, token }
    }

    /// The page is gone. The engine's side, where it is still open, is held open in its place: to the engine, the page is only silent.
    /// Once it knew that the page is gone, it would end what belongs to it five minutes after anybody else's coming, and with it the
    /// way home of text that was typed without a network.
    pub(super) fn ended(self, engine: Option<impl AsyncRead + Send + Unpin + 'static>) {
        let Some(mut engine) = engine else { return };
        if self.app.stopping.is_cancelled() || !self.app.abandoned.table().hold(&self.id, self.generation, &self.token) {
            return;
        }
        let (app, id, generation, token) = (Arc::clone(&self.app), self.id.clone(), self.generation, self.token.clone());
        drop(self);
        tokio::spawn(async move {
            let mut nobody_reads = vec![0; 4096];
            let listening = async { while engine.read(&mut nobody_reads).await.unwrap_or(0) > 0 {} };
            tokio::select! {
                () = listening => {}
                () = app.stopping.cancelled() => {}
            }
            app.abandoned.table().released(&id, generation, &token);
        });
    }
}

impl Drop for PageConnection {
    fn drop(&mut self) {
        self.app.abandoned.table().closed(&self.id, self.generation, &self.token, Instant::now());
    }
}

/// Ends what was left for long enough. Never comes back.
pub(super) async fn run(app: Arc<App>) {
    let file = app.live().config.server.data_dir.join("state").join(FILE);
    let lasting = app.instances.outlive_daemon();
    let mut written = Written::new();
    if lasting {
        written = restore(&app, &file).await;
    }
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Those that did not answer, and when they are asked again: a tenant that stops its engine holds up nobody but itself.
    let mut later: HashMap<InstanceId, Instant> = HashMap::new();
    loop {
        ticks.tick().await;
        if lasting {
            written = write(&app, &file, written).await;
        }
        let now = Instant::now();
        later.retain(|_, again| *again > now);
        let after = app.live().config.instances.abandoned_after;
        let mut all: BTreeMap<InstanceId, Vec<Due>> = BTreeMap::new();
        for due in app.abandoned.table().due(now, after, |id| app.instances.reach(id).map(|(generation, _)| generation)) {
            let round = all.entry(due.id.clone()).or_default();
            // What stands still costs nothing but memory that is not needed, and could not answer.
            if round.len() < MOST_OF_ONE && !later.contains_key(&due.id) && !app.instances.is_frozen(&due.id) {
                round.push(due);
            }
        }
        let silent: Vec<Option<InstanceId>> =
            stream::iter(all).map(|(id, due)| end_all(&app, id, due)).buffer_unordered(AT_A_TIME).collect().await;
        later.extend(silent.into_iter().flatten().map(|id| (id, Instant::now() + AGAIN)));
    }
}

/// Ends what is due in one instance; gives its id when it does not answer.
async fn end_all(app: &App, id: InstanceId, all: Vec<Due>) -> Option<InstanceId> {
    for due in all {
        if let Err(e) = end(app, &due).await {
            tracing::warn!(instance = %id, "what a page has left is not ended: {e}");
            return Some(id);
        }
    }
    None
}

async fn end(app: &App, due: &Due) -> io::Result<()> {
    let Some((_, connector)) = app.instances.reach(&due.id) else { return Ok(()) };
    let stream = connector.engine().await?;
    // The page has come back meanwhile.
    if !app.abandoned.table().is_gone(due) {
        return Ok(());
    }
    let found = connection::end(stream, &due.token, due.part, || app.abandoned.table().is_gone(due)).await?;
    app.abandoned.table().ended(due, found);
    if found {
        let what = match due.part {
            Part::ExtensionHost => "extension host",
            Part::Management => "connection",
        };
        tracing::info!(instance = %due.id, "ended the {what} of a page that is gone");
    }
    Ok(())
}

/// Takes over what an earlier daemon has written down of the instances that run; gives what is in the file.
async fn restore(app: &App, file: &Path) -> Written {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    let written: Written = read.ok().and_then(Result::ok).and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let now = Instant::now();
    for (id, tokens) in &written {
        if let Some((generation, _)) = app.instances.reach(id) {
            app.abandoned.table().restore(id, generation, tokens, now);
        }
    }
    written
}

/// Writes down what has changed; gives what is in the file then.
async fn write(app: &App, file: &Path, written: Written) -> Written {
    let now = app.abandoned.table().all();
    if now == written {
        return written;
    }
    let (path, text) = (PathBuf::from(file), serde_json::to_vec(&now).unwrap_or_default());
    match tokio::task::spawn_blocking(move || sys::write_atomic(&path, &text)).await {
        Ok(Ok(())) => now,
        Ok(Err(e)) => {
            tracing::warn!("connections of pages not written: {e}");
            written
        }
        Err(_) => written,
    }
}
