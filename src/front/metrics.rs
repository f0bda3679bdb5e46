//! `GET /metrics`: what is counted, and what can be looked up at the moment, for Prometheus. On the control socket, and on a listener
//! of its own where the configuration has one; never where people come in.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::answer::{self, ApiError, ErrorCode};
use super::app::App;
use super::disks;
use super::gate;
use super::handlers::health;
use super::vitals::Found;
use crate::auth::HostPolicy;
use crate::model::{HostName, InstanceId};
use crate::proxy::Body;
use crate::sys;
use crate::telemetry;

/// What is sent to who asks for OpenMetrics, and to everybody else.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on the listener that has nothing else.
pub(super) async fn answer<B>(app: &App, request: &Request<B>) -> Response<Body> {
    let live = app.live();
    let answered = match check(request, &live.config.server.domains) {
        Ok(()) => scrape(app, request.headers()).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| error.answer(false, &live.config.page))
}

fn check<B>(request: &Request<B>, domains: &[String]) -> Result<(), ApiError> {
    gate::check_framing(request)?;
    let host = gate::any_host(request)?;
    // Whoever asks by number has not been led here by a name of somebody else's.
    if !is_number(&host) && !(HostPolicy { domains }).admits(&host) {
        return Err(ApiError::new(ErrorCode::OriginRefused, format!("'{}' is not a host name of this service", host.name())));
    }
    match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET) => Ok(()),
        ("/metrics", _) => Err(ApiError::new(ErrorCode::MethodNotAllowed, "only GET")),
        _ => Err(ApiError::not_found()),
    }
}

fn is_number(host: &HostName) -> bool {
    host.name().parse::<std::net::IpAddr>().is_ok()
}

/// The text.
pub(super) async fn scrape(app: &App, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let counted = telemetry::counted().map_err(ApiError::internal)?;
    let text = telemetry::encode(counted, &snapshot(app).await).map_err(ApiError::internal)?;
    let open = headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains("openmetrics")));
    let mut response = answer::plain("text/plain", if open { text } else { telemetry::to_plain(&text) });
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(if open { OPEN_METRICS } else { PLAIN }));
    Ok(response)
}

/// Everything that is looked up rather than counted.
async fn snapshot(app: &App) -> Registry {
    let mut registry = Registry::default();
    process(app, &mut registry);
    let ours = registry.sub_registry_with_prefix("hoody_code");
    service(app, ours).await;
    host(ours);
    merged(ours);
    instances(app, ours).await;
    registry
}

/// The process, under the names that all of Prometheus's libraries give it.
fn process(app: &App, registry: &mut Registry) {
    let Ok(used) = sys::resources() else { return };
    let registry = registry.sub_registry_with_prefix("process");
    registry.register_with_unit("cpu", "Processor time", Unit::Seconds, ConstCounter::new(used.cpu_seconds));
    registry.register_with_unit("resident_memory", "Resident memory", Unit::Bytes, gauge(used.rss));
    registry.register("open_fds", "Open descriptors", gauge(used.fds));
    registry.register("max_fds", "The most descriptors there may be", gauge(used.fd_limit));
    let started = ConstGauge::new(app.started.as_duration().as_secs_f64());
    registry.register_with_unit("start_time", "When the process came up, since the epoch", Unit::Seconds, started);
}

async fn service(app: &App, registry: &mut Registry) {
    let census = app.instances.census();
    let Found { used, free, reasons } = health::state(app, &census).await;
    if let Some(free) = free {
        registry.register_with_unit("data_dir_free", "Room where instances' state is kept", Unit::Bytes, gauge(free));
    }
    registry.register_with_unit("heap", "Memory that the allocator has handed out", Unit::Bytes, gauge(used.heap));
    registry.register("healthy", "1 when the service can do its work, else 0", gauge(u64::from(reasons.is_empty())));
    let degraded = reasons.iter().map(|reason| ([("reason", *reason)], 1));
    registry.register("degraded", "Why it is not healthy, as health says", family(degraded));
    let info = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("engine", app.engine.product().version.clone())];
    registry.register("build_info", "What runs, and the version of VS Code in it", family([(info, 1)]));
    let states = census.iter().map(|(state, count)| ([("state", *state)], *count as u64));
    registry.register("instances", "Instances by state", family(states));
    let frozen = gauge(app.instances.frozen() as u64);
    registry.register("instances_frozen", "Running instances whose processes stand still until somebody uses them", frozen);
    registry.register("instances_limit", "The most instances that may run", gauge(app.instances.limit() as u64));
    registry.register("tunnels_open", "Websockets that are open", gauge(app.tunnels.len() as u64));
}

fn host(registry: &mut Registry) {
    let (shares, seconds) = (Family::<_, FloatGauge>::default(), Family::<_, FloatCounter>::default());
    for resource in sys::PRESSURES {
        let Some(pressure) = sys::pressure(resource) else { continue };
        for (kind, share, total) in [("some", pressure.some, pressure.some_seconds), ("full", pressure.full, pressure.full_seconds)] {
            let labels = [("resource", resource), ("kind", kind)];
            shares.get_or_create(&labels).set(share);
            seconds.get_or_create(&labels).inc_by(total);
        }
    }
    registry.register_with_unit(
        "host_pressure",
        "Share of the last ten seconds in which something (some) or all work (full) waited",
        Unit::Other("ratio".to_owned()),
        shares,
    );
    registry.register_with_unit("host_stalled", "Time in which something (some) or all work (full) waited", Unit::Seconds, seconds);
}

/// What the kernel saves by keeping equal pages once, where it knows.
fn merged(registry: &mut Registry) {
    if let Some(profit) = sys::host_merge_profit() {
        let saved = ConstGauge::new(profit);
        registry.register_with_unit("ksm_profit", "Memory of the host that is saved by KSM, less what that costs", Unit::Bytes, saved);
    }
}

type FloatCounter = Counter<f64, AtomicU64>;

type FloatGauge = Gauge<f64, AtomicU64>;

/// Figures of single instances: of those that run, the most recently used first, and of only so many.
async fn instances(app: &App, registry: &mut Registry) {
    let mut running: Vec<_> = app.instances.idle_clocks().into_keys().map(|id| (app.instances.status(&id), id)).collect();
    running.sort_by_key(|((_, _, idle), _)| *idle);
    let leases: usize = running.iter().map(|((_, clients, _), _)| clients).sum();
    registry.register("leases", "Requests and websockets that use an instance", gauge(leases as u64));
    let most = app.live().config.metrics.instances;
    registry.register(
        "instances_untold",
        "Instances that run and have no figures of their own here",
        gauge(running.len().saturating_sub(most) as u64),
    );
    running.truncate(most);
    let asking = running.iter().map(|(_, id)| app.instances.usage(id));
    let usage = futures_util::future::join_all(asking).await;
    // Not "instance": that is the daemon's own name where it is stored.
    let named = |id: &InstanceId| [("id", id.to_string())];
    let clients = family(running.iter().map(|((_, clients, _), id)| (named(id), *clients as u64)));
    registry.register("instance_clients", "Requests and websockets that use it", clients);
    let idle = family(running.iter().map(|((_, _, idle), id)| (named(id), idle.unwrap_or_default().as_secs())));
    registry.register_with_unit("instance_idle", "How long nobody has used it", Unit::Seconds, idle);
    let told: Vec<_> = running.iter().zip(usage).filter_map(|((_, id), used)| used.map(|used| (named(id), used))).collect();
    let memory = family(told.iter().map(|(name, used)| (name.clone(), used.memory)));
    registry.register_with_unit("instance_memory", "Memory that it has for itself", Unit::Bytes, memory);
    let disk = running.iter().filter_map(|(_, id)| Some((named(id), disks::shown(app, id)?.bytes)));
    registry.register_with_unit("instance_disk", "What its files take on the disk, as it was counted last", Unit::Bytes, family(disk));
    registry.register("instance_processes", "Its processes", family(told.iter().map(|(name, used)| (name.clone(), used.processes as u64))));
    let cpu = Family::<_, FloatCounter>::default();
    for (name, used) in &told {
        cpu.get_or_create(name).inc_by(Duration::from_micros(used.cpu_usec).as_secs_f64());
    }
    registry.register_with_unit("instance_cpu", "Processor time of this run", Unit::Seconds, cpu);
}

fn gauge(value: u64) -> ConstGauge<u64> {
    ConstGauge::new(value)
}

type Numbers<L> = Family<L, Gauge<u64, AtomicU64>>;

fn family<L: EncodeLabelSet + Clone + std::hash::Hash + Eq>(values: impl IntoIterator<Item = (L, u64)>) -> Numbers<L> {
    let family = Numbers::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(value);
    }
    family
}
