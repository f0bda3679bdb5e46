//! Jobs on the extensions of instances: begun once, followed by whoever likes, done whether anybody follows or not.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::answer::{ApiError, ErrorCode};
use super::app::Context;
use crate::instances::{Lease, Turn, Turns};
use crate::model::{ExtensionId, ExtensionJob, ExtensionNews, FailureReason, InstalledExtension, InstanceId, MAX_EXTENSION_TEXT};
use crate::sys::Stream;

/// The most bytes that are heard of one job, and of them in one line: the last words of an engine are up to twenty lines of its own.
const MAX_NEWS: u64 = 32 << 20;
const MAX_LINE: u64 = 64 << 10;

/// The most bytes of a list: some thousand extensions.
const MAX_LIST: u64 = 2 << 20;

/// The most lists at a time, of one instance and of all: each is in memory, as text and as what it says.
const LISTS_OF_ONE: usize = 2;
const LISTS: usize = 16;

/// How long an instance may take to say what is installed.
const LIST_DEADLINE: Duration = Duration::from_secs(30);

/// The most jobs of one instance at a time.
const MOST_JOBS: usize = 16;

/// The most files for one instance that are on their way to it at a time.
const UPLOADS_OF_ONE: usize = 4;

/// How many tries are remembered.
const MOST_TRIED: usize = 10_000;

/// How long a failure is remembered, so that the page that waited can show it rather than try again.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// What the engine said last.
    pub(super) line: String,
    /// How it ended.
    pub(super) end: Option<Result<Installed, Failed>>,
}

/// A job that worked.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    pub(super) id: Option<String>,
    pub(super) version: Option<String>,
}

/// A job that did not.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) reason: FailureReason,
    pub(super) message: String,
}

struct Job {
    key: String,
    progress: watch::Sender<Progress>,
    /// When it failed.
    failed: Mutex<Option<Instant>>,
}

/// What is installed in an instance, and its turn: as long as it is in memory it is one of few.
pub(super) struct Listed {
    pub(super) extensions: Vec<InstalledExtension>,
    pub(super) turn: (Turn, OwnedSemaphorePermit),
}

/// The jobs of all instances.
pub(super) struct Extensions {
    jobs: Mutex<HashMap<InstanceId, Vec<Arc<Job>>>>,
    /// The run of an instance for which the operator's set was seen to.
    settled: Mutex<HashMap<InstanceId, u64>>,
    number: AtomicU64,
    /// What a page has waited for, in which run of an instance, and since when.
    tried: Mutex<HashMap<(InstanceId, String), (u64, Instant)>>,
    turns: Turns,
    lists: Arc<Semaphore>,
    /// Whose turn it is to send a file: it is no job before it is there.
    pub(super) uploads: Turns,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            jobs: Mutex::default(),
            settled: Mutex::default(),
            number: AtomicU64::default(),
            tried: Mutex::default(),
            turns: Turns::new(LISTS_OF_ONE),
            lists: Arc::new(Semaphore::new(LISTS)),
            uploads: Turns::new(UPLOADS_OF_ONE),
        }
    }
}

impl From<Failed> for ApiError {
    fn from(failed: Failed) -> Self {
        let code = match failed.reason {
            FailureReason::NotFound => ErrorCode::ExtensionNotFound,
            FailureReason::Unusable | FailureReason::BuiltIn => ErrorCode::InvalidExtension,
            FailureReason::Other => ErrorCode::ExtensionFailed,
        };
        Self::new(code, failed.message)
    }
}

impl Failed {
    fn cut(error: impl std::fmt::Display) -> Self {
        tracing::warn!("a job on extensions broke off: {error}");
        Self { reason: FailureReason::Other, message: "the instance broke off".to_owned() }
    }
}

/// The job that installs `id`, by name.
pub(super) fn install_key(id: &ExtensionId) -> String {
    format!("install {}", id.key())
}

impl Extensions {
    /// What is installed.
    pub(super) async fn list(&self, lease: &Lease, sizes: bool) -> Result<Listed, ApiError> {
        let (own, all) = (self.turns.take(lease.id()).await, Arc::clone(&self.lists));
        let lease = lease.another();
        let listing = async move {
            let stream = lease.extensions(ExtensionJob::List { sizes }).await?;
            let line = line(&mut BufReader::new(stream), MAX_LIST).await?;
            // Not before all of it is there: one that takes its time takes only its own.
            let turn = (own, all.acquire_owned().await.map_err(io::Error::other)?);
            Ok::<_, io::Error>((line.map(|line| parse(&line)).transpose()?, turn))
        };
        // To its end, also when nobody waits for it any more: a client that asks and goes away makes no room for another list.
        let listed = tokio::spawn(tokio::time::timeout(LIST_DEADLINE, listing)).await.map_err(ApiError::internal)?;
        let (news, turn) = listed.map_err(|_| ApiError::no_answer())?.map_err(ApiError::internal)?;
        match news {
            Some(ExtensionNews::Listed { mut extensions }) => {
                // The agent tells of none that does not; but what speaks here may be anything of the tenant's.
                extensions.retain(InstalledExtension::fits);
                Ok(Listed { extensions, turn })
            }
            Some(ExtensionNews::Failed { reason, message }) => {
                Err(Failed { reason, message: message.chars().take(MAX_EXTENSION_TEXT).collect() }.into())
            }
            _ => Err(ApiError::internal("no list of extensions came")),
        }
    }

    /// Begins `job`, or joins the one under way that has the same `key`.
    pub(super) fn begin(self: &Arc<Self>, lease: Lease, key: String, job: ExtensionJob) -> Result<watch::Receiver<Progress>, ApiError> {
        let (follow, job_entry) = match self.enter(lease.id(), key)? {
            Entered::There(follow) => return Ok(follow),
            Entered::New(follow, entry) => (follow, entry),
        };
        let all = Arc::clone(self);
        tokio::spawn(async move {
            let end = match lease.extensions(job).await {
                Ok(stream) => hear(stream, &job_entry.progress).await,
                Err(e) => Err(Failed::cut(e)),
            };
            all.finish(&lease, &job_entry, end);
        });
        Ok(follow)
    }

    /// Follows a job that has been handed over to `stream` already.
    pub(super) fn follow_stream(
        self: &Arc<Self>,
        lease: Lease,
        key: String,
        stream: Stream,
    ) -> Result<watch::Receiver<Progress>, ApiError> {
        let (follow, entry) = match self.enter(lease.id(), key)? {
            Entered::There(follow) => return Ok(follow),
            Entered::New(follow, entry) => (follow, entry),
        };
        let all = Arc::clone(self);
        tokio::spawn(async move {
            let end = hear(stream, &entry.progress).await;
            all.finish(&lease, &entry, end);
        });
        Ok(follow)
    }

    /// The job with this key, if it is under way or has failed a moment ago.
    pub(super) fn find(&self, id: &InstanceId, key: &str) -> Option<watch::Receiver<Progress>> {
        let mut jobs = self.jobs();
        forget_old(&mut jobs);
        jobs.get(id)?.iter().find(|job| job.key == key).map(|job| job.progress.subscribe())
    }

    /// Sees to the operator's set, once per run of an instance. Nobody waits for it.
    pub(super) fn settle(self: &Arc<Self>, context: &Context, lease: &Lease) {
        let config = &context.live.config.extensions;
        let mut specs = context.live.config.hosting.class_of(lease.id()).preinstall;
        if specs.is_empty() && config.preinstall.is_empty() {
            return;
        }
        {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            if settled.len() >= MOST_TRIED {
                settled.clear();
            }
            if settled.insert(lease.id().clone(), lease.generation()) == Some(lease.generation()) {
                return;
            }
        }
        // A lease of its own: the request's ends with its answer.
        let lease = lease.another();
        specs.extend(config.preinstall.iter().filter(|spec| !specs.contains(spec)).cloned().collect::<Vec<_>>());
        let job = ExtensionJob::Preinstall { specs, from: config.gallery.directory().cloned() };
        if let Err(e) = self.begin(lease, "preinstall".to_owned(), job) {
            tracing::warn!(instance = %context.instance, "the set of extensions is not installed: {e:?}");
        }
    }

    /// Whether a page may no longer wait for `id`: its install has failed in this run of the instance, or goes on for too long.
    pub(super) fn was_tried(&self, lease: &Lease, id: &ExtensionId, patience: Duration) -> bool {
        let known = self.tried().get(&(lease.id().clone(), id.key())).copied();
        known.is_some_and(|(run, since)| {
            let under_way = self.find(lease.id(), &install_key(id)).is_some_and(|follow| follow.borrow().end.is_none());
            run == lease.generation() && (!under_way || since.elapsed() > patience)
        })
    }

    /// A page begins to wait for `id`.
    pub(super) fn try_now(&self, lease: &Lease, id: &ExtensionId) {
        let mut tried = self.tried();
        if tried.len() >= MOST_TRIED {
            tried.clear();
        }
        let now = (lease.generation(), Instant::now());
        let known = tried.entry((lease.id().clone(), id.key())).or_insert(now);
        if known.0 != now.0 {
            *known = now;
        }
    }

    fn tried(&self) -> std::sync::MutexGuard<'_, HashMap<(InstanceId, String), (u64, Instant)>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no job has had.
    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Vec<Arc<Job>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, id: &InstanceId, key: String) -> Result<Entered, ApiError> {
        let mut jobs = self.jobs();
        forget_old(&mut jobs);
        let own = jobs.entry(id.clone()).or_default();
        // One that has failed is history for whoever asks anew.
        own.retain(|job| job.key != key || job.progress.borrow().end.is_none());
        if let Some(job) = own.iter().find(|job| job.key == key) {
            return Ok(Entered::There(job.progress.subscribe()));
        }
        let under_way = own.iter().filter(|job| job.progress.borrow().end.is_none()).count();
        if under_way >= MOST_JOBS {
            return Err(ApiError::new(ErrorCode::Starting, "too many extensions are being installed at the moment"));
        }
        if own.len() >= 2 * MOST_JOBS {
            // Nobody needs to know of so many failures.
            own.retain(|job| job.progress.borrow().end.is_none());
        }
        let (progress, follow) = watch::channel(Progress::default());
        let job = Arc::new(Job { key, progress, failed: Mutex::default() });
        own.push(Arc::clone(&job));
        Ok(Entered::New(follow, job))
    }

    fn finish(&self, lease: &Lease, job: &Arc<Job>, end: Result<Installed, Failed>) {
        match &end {
            Ok(_) => {
                tracing::info!(instance = %lease.id(), "extensions: {} done", job.key);
                let mut jobs = self.jobs();
                if let Some(own) = jobs.get_mut(lease.id()) {
                    own.retain(|other| !Arc::ptr_eq(other, job));
                }
                jobs.retain(|_, own| !own.is_empty());
            }
            Err(failed) => {
                // The log is everybody's.
                let why: String = failed.message.chars().take(MAX_EXTENSION_TEXT / 4).collect();
                tracing::warn!(instance = %lease.id(), "extensions: {} failed: {why}", job.key);
                *job.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
        }
        job.progress.send_modify(|progress| progress.end = Some(end));
    }
}

enum Entered {
    There(watch::Receiver<Progress>),
    New(watch::Receiver<Progress>, Arc<Job>),
}

fn forget_old(jobs: &mut HashMap<InstanceId, Vec<Arc<Job>>>) {
    let old = |job: &Job| job.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() > REMEMBERED);
    jobs.retain(|_, own| {
        own.retain(|job| !old(job));
        !own.is_empty()
    });
}

/// Waits for the end of a job.
pub(super) async fn ended(mut follow: watch::Receiver<Progress>) -> Result<Installed, Failed> {
    let ended = follow.wait_for(|progress| progress.end.is_some()).await.map(|progress| progress.end.clone());
    ended.ok().flatten().unwrap_or_else(|| Err(Failed::cut("its task is gone")))
}

/// Listens to a job until it ends.
async fn hear(stream: Stream, progress: &watch::Sender<Progress>) -> Result<Installed, Failed> {
    let mut reader = BufReader::new(stream).take(MAX_NEWS);
    loop {
        match next(&mut reader, MAX_LINE).await {
            Ok(Some(ExtensionNews::Line { text })) => progress.send_modify(|progress| progress.line = text),
            Ok(Some(ExtensionNews::Done { id, version })) => return Ok(Installed { id, version }),
            Ok(Some(ExtensionNews::Failed { reason, message })) => return Err(Failed { reason, message }),
            Ok(Some(ExtensionNews::Listed { .. })) => return Err(Failed::cut("a list came unasked")),
            // The instance was stopped, most likely.
            Ok(None) => return Err(Failed::cut("it ended without a word")),
            Err(e) => return Err(Failed::cut(e)),
        }
    }
}

/// The next piece of news; none when no more comes.
async fn next(reader: &mut (impl AsyncBufRead + Unpin), most: u64) -> io::Result<Option<ExtensionNews>> {
    line(reader, most).await?.map(|line| parse(&line)).transpose()
}

async fn line(reader: &mut (impl AsyncBufRead + Unpin), most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reader.take(most).read_until(b'\n', &mut line).await?;
    if read as u64 == most && !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it says too much at once"));
    }
    Ok((read > 0).then_some(line))
}

fn parse(line: &[u8]) -> io::Result<ExtensionNews> {
    serde_json::from_slice(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_does_not_end_is_not_heard_to_its_end() {
        let news = |text: &str| serde_json::to_vec(&ExtensionNews::Line { text: text.to_owned() }).unwrap();
        let said = [news("one"), news("two")].join(&b'\n');
        let mut reader = said.as_slice();
        for text in ["one", "two"] {
            assert_eq!(next(&mut reader, MAX_LINE).await.unwrap(), Some(ExtensionNews::Line { text: text.to_owned() }));
        }
        assert_eq!(next(&mut reader, MAX_LINE).await.unwrap(), None);
        let mut endless = BufReader::new(tokio::io::repeat(b' '));
        assert!(next(&mut endless, MAX_LINE).await.is_err());
        // As long as can be, and no byte more.
        let just = [vec![b' '; 9], b"\n".to_vec()].concat();
        assert!(line(&mut just.as_slice(), 10).await.is_ok() && line(&mut just.as_slice(), 9).await.is_err());
    }
}
