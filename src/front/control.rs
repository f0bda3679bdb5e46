//! The operator's own door: routes, and a page, that exist on the control socket and nowhere else. Who may come in is said by the socket's
//! mode and asked of the kernel again for the record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde::Serialize;

use super::answer::{ApiError, ErrorCode, json};
use super::app::{App, Context, Peer};
use super::drain::{self, DrainOrder};
use super::handlers::open::blocking;
use super::handlers::{extensions, health};
use super::request_id::RequestId;
use super::{dashboard, gate, metrics, snapshots};
use crate::instances::AcquireError;
use crate::launch::{Known, LaunchError};
use crate::model::{DiskJob, InstanceId, InstanceState, Usage};
use crate::proxy::{Body, Forwarded};
use crate::sys;

/// How long a start that the operator asked for is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many instances are asked at a time what they use.
const MOST_ASKED: usize = 16;

/// The routes on instances begin with this.
const ROOT: &str = "/api/v1/instances";

/// The routes on sessions begin with this.
const SESSIONS: &str = "/api/v1/sessions";

/// The emptying of the host.
const DRAIN: &str = "/api/v1/drain";

/// Answers one request; `peer` is the user who sent it.
pub(super) async fn answer(app: Arc<App>, request: Request<Incoming>, peer: Option<u32>) -> Response<Body> {
    let page = app.live().config.page.clone();
    let answered = handle(app, request, peer).await;
    answered.unwrap_or_else(|error| error.answer(false, &page))
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    List,
    Show(InstanceId),
    Start(InstanceId),
    Stop(InstanceId),
    Restart(InstanceId),
    Remove {
        id: InstanceId,
        purge: bool,
    },
    /// List or install extensions of an instance.
    Extensions(InstanceId),
    RemoveExtension(InstanceId, String),
    /// Snapshots and templates.
    Disk(InstanceId, DiskJob),
    /// End the sessions of one instance, or all.
    Revoke(Option<InstanceId>),
    Health,
    Drain(DrainOrder),
    /// What is counted.
    Metrics,
    /// Where browsers find us.
    Address,
}

fn order(method: &Method, path: &str, query: Option<&str>) -> Result<Order, ApiError> {
    match (method.as_str(), path) {
        ("GET", "/api/v1/code/health") => return Ok(Order::Health),
        ("GET", "/metrics") => return Ok(Order::Metrics),
        ("GET", "/api/v1/address") => return Ok(Order::Address),
        ("GET", DRAIN) => return Ok(Order::Drain(DrainOrder::Show)),
        ("POST", DRAIN) => return DrainOrder::begin(query).map(Order::Drain),
        ("DELETE", DRAIN) => return Ok(Order::Drain(DrainOrder::End)),
        ("DELETE", SESSIONS) => return Ok(Order::Revoke(None)),
        _ => {}
    }
    if let Some(id) = path.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/')) {
        let id = id.parse().map_err(|_| ApiError::new(ErrorCode::InvalidInstance, "not an instance id"))?;
        return if method == Method::DELETE { Ok(Order::Revoke(Some(id))) } else { Err(ApiError::not_found()) };
    }
    let rest = path.strip_prefix(ROOT).ok_or_else(ApiError::not_found)?;
    let mut parts = rest.split('/').skip(1);
    let id = parts.next().map(|id| id.parse::<InstanceId>());
    let verb = parts.next();
    let name = parts.next();
    let (None, true) = (parts.next(), rest.is_empty() || rest.starts_with('/')) else { return Err(ApiError::not_found()) };
    let id = id.transpose().map_err(|e| ApiError::new(ErrorCode::InvalidInstance, e.to_string()))?;
    if let Some(id) = &id
        && let Some(job) = snapshots::job(method, verb, name)
    {
        return job.map(|job| Order::Disk(id.clone(), job));
    }
    if let Some(name) = name {
        return match (method.as_str(), id, verb) {
            ("DELETE", Some(id), Some("extensions")) => Ok(Order::RemoveExtension(id, name.to_owned())),
            _ => Err(ApiError::not_found()),
        };
    }
    match (method.as_str(), id, verb) {
        ("GET" | "POST", Some(id), Some("extensions")) => Ok(Order::Extensions(id)),
        ("GET", None, None) => Ok(Order::List),
        ("GET", Some(id), None) => Ok(Order::Show(id)),
        ("POST", Some(id), Some("start")) => Ok(Order::Start(id)),
        ("POST", Some(id), Some("stop")) => Ok(Order::Stop(id)),
        ("POST", Some(id), Some("restart")) => Ok(Order::Restart(id)),
        ("DELETE", Some(id), None) => match query {
            None | Some("" | "purge=false") => Ok(Order::Remove { id, purge: false }),
            Some("purge=true") => Ok(Order::Remove { id, purge: true }),
            // Deleting files is not done on a guess.
            Some(_) => Err(ApiError::new(ErrorCode::BadRequest, "the only parameter is purge, which is true or false")),
        },
        ("GET" | "HEAD" | "POST" | "DELETE", ..) => Err(ApiError::not_found()),
        _ => Err(ApiError::new(ErrorCode::MethodNotAllowed, "only GET, POST and DELETE")),
    }
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
}

impl Host {
    fn look(app: &App) -> Self {
        let share = |resource| sys::pressure(resource).map(|pressure| (resource, pressure.some));
        Self { limit: app.instances.limit(), pressure: sys::PRESSURES.into_iter().filter_map(share).collect() }
    }
}

#[derive(Serialize)]
struct Row {
    id: InstanceId,
    #[serde(flatten)]
    state: InstanceState,
    generation: u64,
    clients: usize,
    idle_seconds: Option<u64>,
    uptime_seconds: Option<u64>,
    /// When it was used last (RFC 3339); now, while it is.
    last_used: Option<String>,
    class: Option<String>,
    engine: Option<String>,
    uid: Option<u32>,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Done<'a> {
    id: &'a InstanceId,
    state: &'static str,
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
        && let Some(response) = dashboard::file(request.uri().path())
    {
        return Ok(response);
    }
    let order = order(request.method(), request.uri().path(), request.uri().query())?;
    match &order {
        Order::Disk(_, DiskJob::List {})
        | Order::List
        | Order::Show(_)
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
    let done = |id: &InstanceId, state| Ok(json(&Done { id, state }));
    let order = match order {
        Order::Extensions(id) => return extensions::answer(&context(app, id), request).await,
        Order::RemoveExtension(id, name) => return extensions::remove(&context(app, id), &name).await,
        order => order,
    };
    let app = &*app;
    match &order {
        Order::Extensions(_) | Order::RemoveExtension(..) => Err(ApiError::not_found()),
        Order::Disk(id, job) => snapshots::answer(app, id, job.clone()).await,
        Order::Address => Ok(json(&Address { address: app.address() })),
        Order::Drain(what) => drain::answer(app, what),
        Order::Metrics => metrics::scrape(app, request.headers()).await,
        Order::Health => Ok(health::report(app, None, request.headers())),
        Order::Revoke(id) => {
            let auth = app.secrets.auth.as_ref().ok_or_else(|| ApiError::new(ErrorCode::NotFound, "no login is asked for here"))?;
            auth.revoke(id.as_ref()).map_err(|e| ApiError::new(ErrorCode::Internal, e.to_string()))?;
            Ok(json(&Revoked { revoked: id.as_ref().map_or("all", InstanceId::as_str) }))
        }
        Order::List => {
            let mut instances = rows(app).await?;
            add_usage(app, &mut instances).await;
            Ok(json(&Listing { draining: drain::shown(app), instances, host: Host::look(app) }))
        }
        Order::Show(id) => {
            let mut found: Vec<Row> = rows(app).await?.into_iter().filter(|row| row.id == *id).collect();
            add_usage(app, &mut found).await;
            found.first().map(json).ok_or_else(unknown)
        }
        Order::Start(id) => {
            start(app, id).await?;
            done(id, "running")
        }
        Order::Stop(id) => {
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
        Order::Remove { id, purge } => match remove(app, id, *purge).await? {
            Ok(()) => done(id, if *purge { "purged" } else { "removed" }),
            Err(LaunchError::NotRunning) => Err(unknown()),
            // The operator is told what a tenant is not.
            Err(e) => Err(ApiError::new(ErrorCode::Internal, e.to_string())),
        },
    }
}

/// Whoever gets the id of a purged instance gets nothing else of it.
async fn remove(app: &App, id: &InstanceId, purge: bool) -> Result<Result<(), LaunchError>, ApiError> {
    let removed = app.instances.remove(id, purge).await;
    if purge && matches!(removed, Ok(()) | Err(LaunchError::NotRunning)) {
        let (store, id) = (app.store.clone(), id.clone());
        blocking(move || store.forget(&id)).await?.map_err(ApiError::internal)?;
    }
    Ok(removed)
}

/// The surroundings of a request that came through this door to a handler of the public ones.
fn context(app: Arc<App>, instance: InstanceId) -> Context {
    let host = HeaderValue::from_static("localhost");
    Context {
        live: app.live(),
        app,
        instance,
        peer: Peer { client: None, local: None, secure: false },
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
            clients,
            idle_seconds: idle.filter(|_| runs).map(|idle| idle.as_secs()),
            last_used: last_used(app, &known.id, runs, idle, now),
            uptime_seconds: uptime.filter(|_| runs).map(|uptime| uptime.as_secs()),
            state: status.state,
            class: known.class,
            engine: known.engine,
            uid: known.uid,
            usage: None,
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
    let time = jiff::Timestamp::try_from(time?).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let id = |text: &str| text.parse::<InstanceId>().unwrap();
        let ask = |method: Method, path: &str, query| order(&method, path, query).map_err(|e| e.code);
        assert_eq!(ask(Method::GET, "/api/v1/instances", None), Ok(Order::List));
        assert_eq!(ask(Method::GET, "/api/v1/instances/a", None), Ok(Order::Show(id("a"))));
        assert_eq!(ask(Method::POST, "/api/v1/instances/a/extensions", None), Ok(Order::Extensions(id("a"))));
        let removal = Order::RemoveExtension(id("a"), "x.y".into());
        assert_eq!(ask(Method::DELETE, "/api/v1/instances/a/extensions/x.y", None), Ok(removal));
        assert_eq!(ask(Method::DELETE, "/api/v1/sessions", None), Ok(Order::Revoke(None)));
        assert_eq!(ask(Method::DELETE, "/api/v1/sessions/a", None), Ok(Order::Revoke(Some(id("a")))));
        assert_eq!(ask(Method::POST, "/api/v1/instances/a/restart", None), Ok(Order::Restart(id("a"))));
        assert_eq!(ask(Method::DELETE, "/api/v1/instances/a", Some("purge=true")), Ok(Order::Remove { id: id("a"), purge: true }));
        assert_eq!(ask(Method::DELETE, "/api/v1/instances/a", None), Ok(Order::Remove { id: id("a"), purge: false }));
        for (method, path, query, code) in [
            (Method::DELETE, "/api/v1/instances/a", Some("purge=yes"), ErrorCode::BadRequest),
            (Method::DELETE, "/api/v1/instances", None, ErrorCode::NotFound),
            (Method::GET, "/api/v1/instancesx", None, ErrorCode::NotFound),
            (Method::GET, "/api/v1/instances/..", None, ErrorCode::InvalidInstance),
            (Method::GET, "/api/v1/instances/a/start", None, ErrorCode::NotFound),
            (Method::POST, "/api/v1/instances/a/start/x", None, ErrorCode::NotFound),
            (Method::GET, "/api/v1/instances/a/extensions/x.y", None, ErrorCode::NotFound),
            (Method::DELETE, "/api/v1/instances/a/extensions", None, ErrorCode::NotFound),
            (Method::DELETE, "/api/v1/instances/a/extensions/x.y/z", None, ErrorCode::NotFound),
            (Method::PUT, "/api/v1/instances/a", None, ErrorCode::MethodNotAllowed),
            (Method::GET, "/", None, ErrorCode::NotFound),
            (Method::GET, "/api/v1/sessions", None, ErrorCode::NotFound),
            (Method::DELETE, "/api/v1/sessions/../x", None, ErrorCode::InvalidInstance),
        ] {
            assert_eq!(ask(method, path, query), Err(code), "{path}");
        }
    }
}
