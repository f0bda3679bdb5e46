//! The operator's own door: routes, and a page, that exist on the control socket and nowhere else. Who may come in is said by the socket's
//! mode and asked of the kernel again for the record.

mod log;
mod order;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde::Serialize;

use super::answer::{ApiError, ErrorCode, json};
use super::app::{App, Context, Peer, Realm};
use super::disks;
use super::drain::{self, DrainOrder};
use super::handlers::open::blocking;
use super::handlers::{extensions, health};
use super::request_id::RequestId;
use super::{dashboard, gate, metrics, removal, snapshots};
use crate::instances::AcquireError;
use crate::launch::{Known, LaunchError};
use crate::model::{DiskJob, InstanceId, InstanceState, Usage};
use crate::proxy::{Body, Forwarded};
use crate::sys;
pub(super) use order::{Order, order};

/// How long a start that the operator asked for is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many instances are asked at a time what they use.
const MOST_ASKED: usize = 16;

/// Answers one request; `peer` is the user who sent it.
pub(super) async fn answer(app: Arc<App>, request: Request<Incoming>, peer: Option<u32>) -> Response<Body> {
    let page = app.live().config.page.clone();
    let answered = handle(app, request, peer).await;
    answered.unwrap_or_else(|error| error.answer(false, &page))
}

#[derive(Serialize)]
struct Listing {
    #[serde(skip_serializing_if = "Option::is_none")]
    draining: Option<drain::Shown>,
    instances: Vec<Row>,
    host: Host,
}

/// What the host has to do.
#[derive(Serialize)]
struct Host {
    /// The most instances that may run.
    limit: usize,
    /// Shares of the last ten seconds in which something has waited for a processor, memory or a disk, 0 to 1.
    pressure: BTreeMap<&'static str, f64>,
    /// Those in which all work has.
    stalled: BTreeMap<&'static str, f64>,
    /// Processes that run or wait for a disk, on average over 1, 5 and 15 minutes.
    load: [f64; 3],
    processors: usize,
}

impl Host {
    fn look(app: &App) -> Self {
        let seen = sys::PRESSURES.into_iter().filter_map(|resource| Some((resource, sys::pressure(resource)?)));
        let seen: Vec<_> = seen.collect();
        Self {
            limit: app.instances.limit(),
            pressure: seen.iter().map(|(resource, pressure)| (*resource, pressure.some)).collect(),
            stalled: seen.iter().map(|(resource, pressure)| (*resource, pressure.full)).collect(),
            load: sys::load(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

#[derive(Serialize)]
struct Row {
    id: InstanceId,
    #[serde(flatten)]
    state: InstanceState,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    frozen: bool,
    clients: usize,
    idle_seconds: Option<u64>,
    uptime_seconds: Option<u64>,
    /// When it was used last (RFC 3339); now, while it is.
    last_used: Option<String>,
    /// Whether it was removed, and nobody has used it since.
    removed: bool,
    /// When it is going to be removed (RFC 3339), unless somebody uses it before.
    removal: Option<String>,
    class: Option<String>,
    engine: Option<String>,
    uid: Option<u32>,
    usage: Option<Usage>,
    /// What its files take, as it was counted last.
    disk: Option<disks::Shown>,
}

#[derive(Serialize)]
struct Done<'a> {
    id: &'a InstanceId,
    state: &'static str,
}

#[derive(Serialize)]
struct Log<'a> {
    id: &'a InstanceId,
    /// The last lines, oldest first.
    lines: Vec<String>,
}

#[derive(Serialize)]
struct Revoked<'a> {
    revoked: &'a str,
}

#[derive(Serialize)]
struct Address<'a> {
    address: Option<&'a str>,
}

/// A browser that was led here through a tunnel has other pages open as well: only our own page may ask, under a name that means this
/// machine.
fn check<B>(request: &Request<B>) -> Result<(), ApiError> {
    let host = gate::host(request)?;
    gate::check_origins(request, &host, "http", &gate::Trust { domains: &[], embedders: &[] })
}

async fn handle(app: Arc<App>, request: Request<Incoming>, peer: Option<u32>) -> Result<Response<Body>, ApiError> {
    check(&request)?;
    if request.method() == Method::GET
        && let Some(response) = dashboard::file(request.uri().path(), &app.live().config.page, false)
    {
        return Ok(response);
    }
    let order = order(request.method(), request.uri().path(), request.uri().query())?;
    match &order {
        Order::Disk(_, DiskJob::List {})
        | Order::List { .. }
        | Order::Show(_)
        | Order::Log(_)
        | Order::Health
        | Order::Metrics
        | Order::Address
        | Order::Drain(DrainOrder::Show) => {}
        Order::Drain(what) => tracing::info!(peer, "operator: drain: {what:?}"),
        Order::Extensions(id) if request.method() == Method::GET => tracing::debug!(instance = %id, peer, "operator: extensions"),
        Order::Extensions(id) | Order::RemoveExtension(id, _) => {
            tracing::info!(instance = %id, peer, "operator: {} {}", request.method(), request.uri().path());
        }
        Order::Revoke(id) => tracing::info!(instance = id.as_ref().map(InstanceId::as_str), peer, "operator: sessions revoked"),
        Order::Disk(id, _) | Order::Start(id) | Order::Stop(id) | Order::Restart(id) | Order::Remove { id, .. } => {
            tracing::info!(instance = %id, peer, "operator: {} {}", request.method(), request.uri().path());
        }
    }
    let order = match order {
        Order::Extensions(id) => return extensions::answer(&context(app, id), request).await,
        Order::RemoveExtension(id, name) => return extensions::remove(&context(app, id), &name).await,
        order => order,
    };
    carry_out(&app, order, request.headers()).await
}

/// Does what is asked. Whoever calls has looked whether it may be.
pub(super) async fn carry_out(app: &Arc<App>, order: Order, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let done = |id: &InstanceId, state| Ok(json(&Done { id, state }));
    match &order {
        Order::Extensions(_) | Order::RemoveExtension(..) => Err(ApiError::not_found()),
        Order::Disk(id, job) => snapshots::answer(app, id, job.clone()).await,
        Order::Address => Ok(json(&Address { address: app.address() })),
        Order::Drain(what) => drain::answer(app, what),
        Order::Metrics => metrics::scrape(app, headers).await,
        Order::Health => Ok(health::report(app, None, headers).await),
        Order::Revoke(id) => {
            revoke(app, id.as_ref())?;
            Ok(json(&Revoked { revoked: id.as_ref().map_or("all", InstanceId::as_str) }))
        }
        Order::List { all } => {
            let mut instances = rows(app).await?;
            instances.retain(|row| *all || !row.removed);
            add_usage(app, &mut instances).await;
            Ok(json(&Listing { draining: drain::shown(app), instances, host: Host::look(app) }))
        }
        Order::Show(id) => {
            let mut found: Vec<Row> = rows(app).await?.into_iter().filter(|row| row.id == *id).collect();
            add_usage(app, &mut found).await;
            found.first().map(json).ok_or_else(unknown)
        }
        Order::Log(id) => {
            let told = app.instances.log(id).await;
            let lines =
                told.map_err(|e| ApiError::new(ErrorCode::Internal, format!("the instance does not tell what it has printed: {e}")))?;
            Ok(json(&Log { id, lines: log::printable(lines) }))
        }
        Order::Start(id) => {
            start(app, id).await?;
            done(id, "running")
        }
        Order::Stop(id) => {
            // What is held is kept: a slip of the pen must not hold somebody who is yet to come.
            if !rows(app).await?.iter().any(|row| row.id == *id) {
                return Err(unknown());
            }
            if !app.instances.hold(id).await {
                return Err(ApiError::new(ErrorCode::Internal, "it does not end yet; that is tried until it has"));
            }
            done(id, "stopped")
        }
        Order::Restart(id) => {
            if app.instances.drain().is_some() {
                // It would be stopped, and not come back.
                return Err(AcquireError::Draining.into());
            }
            app.instances.stop(id).await;
            start(app, id).await?;
            done(id, "running")
        }
        // In a task of its own: who hangs up in the middle of it leaves no half of an instance.
        Order::Remove { id, purge } => {
            match tokio::spawn(remove(Arc::clone(app), id.clone(), *purge)).await.map_err(ApiError::internal)?? {
                Ok(()) => done(id, if *purge { "purged" } else { "removed" }),
                Err(LaunchError::NotRunning) => Err(unknown()),
                Err(LaunchError::Conflict(reason)) => Err(ApiError::new(ErrorCode::Conflict, reason)),
                // The operator is told what a tenant is not.
                Err(e) => Err(ApiError::new(ErrorCode::Internal, e.to_string())),
            }
        }
    }
}

/// Ends the sessions of one instance; or all there are, the operators' among them.
fn revoke(app: &App, id: Option<&InstanceId>) -> Result<(), ApiError> {
    let operator = app.secrets.operator.as_ref().filter(|_| id.is_none());
    if app.secrets.auth.is_none() && operator.is_none() {
        return Err(ApiError::new(ErrorCode::NotFound, "no login is asked for here"));
    }
    for auth in app.secrets.auth.iter().chain(operator) {
        auth.revoke(id).map_err(|e| ApiError::new(ErrorCode::Internal, e.to_string()))?;
    }
    Ok(())
}

/// Whoever gets the id of a purged instance gets nothing else of it.
async fn remove(app: Arc<App>, id: InstanceId, purge: bool) -> Result<Result<(), LaunchError>, ApiError> {
    // Nothing of it starts before that is dropped: neither while its files are deleted, nor while what is remembered of it is.
    let mut removal = match app.instances.begin_removal(&id) {
        Ok(removal) => removal,
        Err(e) => return Ok(Err(e)),
    };
    if purge {
        // First: an open page would make it anew, and its session would be good for whoever has the id next.
        let (app, id) = (Arc::clone(&app), id.clone());
        let revoked = blocking(move || app.secrets.auth.as_ref().map_or(Ok(()), |auth| auth.revoke(Some(&id)))).await?;
        revoked.map_err(ApiError::internal)?;
    }
    let removed = removal.carry_out(purge).await;
    let store = app.store.clone();
    if purge && matches!(removed, Ok(()) | Err(LaunchError::NotRunning)) {
        blocking(move || store.forget(&id)).await?.map_err(ApiError::internal)?;
    } else if removed.is_ok() {
        blocking(move || store.set_removed(&id, store.life(&id), SystemTime::now())).await?.map_err(ApiError::internal)?;
    }
    Ok(removed)
}

/// The surroundings of a request that came through this door to a handler of the public ones.
fn context(app: Arc<App>, instance: InstanceId) -> Context {
    let host = HeaderValue::from_static("localhost");
    Context {
        live: app.live(),
        life: app.store.life(&instance),
        app,
        realm: Realm::Instance,
        instance,
        peer: Peer { client: None, local: None, secure: false, spare: false },
        forwarded: Forwarded { client: None, proto: "http", host, prefix: String::new() },
        address: None,
        rest: "/".to_owned(),
        session: None,
        id: RequestId::next(),
    }
}

fn unknown() -> ApiError {
    ApiError::new(ErrorCode::InstanceNotFound, "there is no such instance")
}

async fn start(app: &App, id: &InstanceId) -> Result<(), ApiError> {
    app.instances.lift(id);
    app.instances.acquire(id, PATIENCE).await?;
    Ok(())
}

/// All instances: those that are remembered, and those that only the disk knows.
async fn rows(app: &App) -> Result<Vec<Row>, ApiError> {
    let known = app.instances.inventory().await.map_err(|e| ApiError::new(ErrorCode::Internal, e.to_string()))?;
    let now = SystemTime::now();
    let row = |known: Known| {
        let (status, clients, idle) = app.instances.status(&known.id);
        let runs = status.state == InstanceState::Running;
        let uptime = known.since.and_then(|since| now.duration_since(since).ok());
        Row {
            generation: status.generation,
            position: status.position,
            frozen: status.frozen,
            clients,
            idle_seconds: idle.filter(|_| runs).map(|idle| idle.as_secs()),
            last_used: last_used(app, &known.id, runs, idle, now),
            removed: status.state.is_at_rest() && clients == 0 && app.store.is_removed(&known.id),
            removal: removal::when(app, &known.id, now).and_then(disks::moment),
            uptime_seconds: uptime.filter(|_| runs).map(|uptime| uptime.as_secs()),
            state: status.state,
            class: known.class,
            engine: known.engine,
            uid: known.uid,
            usage: None,
            disk: disks::shown(app, &known.id),
            id: known.id,
        }
    };
    let mut rows: Vec<Row> = known.into_iter().map(row).collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(rows)
}

/// What each of those that run uses. Several are asked at a time: one that does not answer holds up the others as little as can be.
async fn add_usage(app: &App, rows: &mut [Row]) {
    let turns = tokio::sync::Semaphore::new(MOST_ASKED);
    let asking = rows.iter_mut().map(|row| async {
        let _turn = turns.acquire().await;
        row.usage = app.instances.usage(&row.id).await;
    });
    futures_util::future::join_all(asking).await;
}

/// As far as that is remembered.
fn last_used(app: &App, id: &InstanceId, runs: bool, idle: Option<Duration>, now: SystemTime) -> Option<String> {
    let time = if runs { now.checked_sub(idle.unwrap_or_default()) } else { app.store.last_used(id) };
    disks::moment(time?)
}
