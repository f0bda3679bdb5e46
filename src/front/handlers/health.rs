//! `GET /api/v1/code/health`: whether this service can do its work, and what it uses. Needs no login, counts as no use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use serde::Serialize;

use super::super::answer::json;
use super::super::app::{App, Context};
use super::super::vitals::Found;
use crate::proxy::Body;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    status: &'static str,
    service: &'static str,
    started: String,
    built: String,
    pid: u32,
    ip: String,
    memory: Memory,
    fds: u64,
    user_agent: Cow<'a, str>,
    version: &'static str,
    instances: Census,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct Memory {
    rss: u64,
    heap: u64,
}

/// How many instances are in each state.
type ByState = BTreeMap<&'static str, usize>;

#[derive(Serialize)]
struct Census {
    #[serde(flatten)]
    by_state: ByState,
    limit: usize,
}

pub(super) async fn answer(context: &Context, headers: &HeaderMap) -> Response<Body> {
    report(&context.app, context.peer.local.map(|address| address.ip()), headers).await
}

/// The same for whoever has asked at `ip`; none for a unix socket.
pub(in super::super) async fn report(app: &App, ip: Option<IpAddr>, headers: &HeaderMap) -> Response<Body> {
    let census = app.instances.census();
    let Found { used, reasons, .. } = state(app, &census).await;
    let health = Health {
        status: if reasons.is_empty() { "ok" } else { "degraded" },
        service: "hoody-code",
        started: rfc3339(app.started),
        built: rfc3339(built()),
        pid: std::process::id(),
        ip: ip.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_canonical().to_string()),
        memory: Memory { rss: used.rss, heap: used.heap },
        fds: used.fds,
        user_agent: headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION"),
        instances: Census { by_state: census, limit: app.instances.limit() },
        reasons,
    };
    let mut response = json(&health);
    if health.status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// What we use, and what keeps us from doing our work; no reasons when all is well.
pub(in super::super) async fn state(app: &App, census: &ByState) -> Found {
    let mut found = app.vitals.look(app).await;
    found.reasons.extend(find_reasons(app, census));
    found
}

/// What keeps the service from doing its work, if only for the next one who comes.
fn find_reasons(app: &App, census: &ByState) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    let count = |state| census.get(state).copied().unwrap_or(0);
    // One that fails may be its own fault; all of them are ours.
    let some_run = count("running") + count("starting") + count("stopping") > 0;
    if !some_run && count("failed") > 0 && app.instances.unstartable() > 0 {
        reasons.push("starts_failing");
    }
    if app.instances.drain().is_some() {
        reasons.push("draining");
    }
    if app.stopping.is_cancelled() {
        reasons.push("stopping");
    }
    reasons
}

/// When this program was built (`build.rs`).
fn built() -> jiff::Timestamp {
    env!("HOODY_CODE_BUILT").parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).unwrap_or_default()
}

/// RFC 3339 in UTC with milliseconds.
fn rfc3339(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
