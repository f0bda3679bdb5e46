//! The operator's orders to empty the host, on the control socket: `GET`, `POST` and `DELETE` of `/api/v1/drain`.

use std::time::{Duration, SystemTime};

use http::Response;
use serde::Serialize;

use super::answer::{ApiError, ErrorCode, json};
use super::app::App;
use crate::instances::{DRAIN_IDLE, Drain};
use crate::proxy::Body;

/// The longest time that can be asked for, in seconds: what is longer is a mistake.
const LONGEST: u64 = 366 * 24 * 3600;

/// What is asked of a drain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DrainOrder {
    Show,
    Begin { deadline: Option<Duration>, idle: Duration },
    End,
}

/// A drain in answers: times in RFC 3339.
#[derive(Serialize)]
pub(super) struct Shown {
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    idle_seconds: u64,
}

#[derive(Serialize)]
struct Report {
    draining: Option<Shown>,
    /// How many instances run, start or end at the moment.
    active: usize,
}

impl DrainOrder {
    /// Reads the parameters of a `POST`: `deadline` and `idle`, in seconds.
    pub(super) fn begin(query: Option<&str>) -> Result<Self, ApiError> {
        let (mut deadline, mut idle) = (None, DRAIN_IDLE);
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let seconds = value.parse::<u64>().ok().filter(|seconds| *seconds <= LONGEST).map(Duration::from_secs);
            match (name, seconds) {
                ("deadline", Some(time)) => deadline = Some(time),
                ("idle", Some(time)) => idle = time,
                // Stopping people's editors is not done on a guess.
                _ => return Err(ApiError::new(ErrorCode::BadRequest, "the parameters are deadline and idle, in seconds, at most a year")),
            }
        }
        Ok(Self::Begin { deadline, idle })
    }
}

/// The drain in force.
pub(super) fn shown(app: &App) -> Option<Shown> {
    let time = |seconds: u64| jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok().map(|time| time.to_string());
    let Drain { since, until, idle_seconds } = app.instances.drain()?;
    Some(Shown { since: time(since).unwrap_or_default(), until: until.and_then(time), idle_seconds })
}

pub(super) fn answer(app: &App, order: &DrainOrder) -> Result<Response<Body>, ApiError> {
    let failed = |e: std::io::Error| ApiError::new(ErrorCode::Internal, format!("it cannot be written down: {e}"));
    match order {
        DrainOrder::Show => {}
        DrainOrder::Begin { deadline, idle } => {
            app.instances.set_drain(Some(Drain::begin(SystemTime::now(), *deadline, *idle))).map_err(failed)?;
            app.instances.go_on_draining(SystemTime::now());
        }
        DrainOrder::End => app.instances.set_drain(None).map_err(failed)?,
    }
    let census = app.instances.census();
    let active = ["starting", "running", "stopping"].iter().filter_map(|state| census.get(state)).sum();
    Ok(json(&Report { draining: shown(app), active }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let begin = |query| DrainOrder::begin(query).map_err(|e| e.code);
        assert_eq!(begin(None), Ok(DrainOrder::Begin { deadline: None, idle: DRAIN_IDLE }));
        let (deadline, idle) = (Some(Duration::from_secs(1800)), Duration::ZERO);
        assert_eq!(begin(Some("deadline=1800&idle=0")), Ok(DrainOrder::Begin { deadline, idle }));
        for query in ["deadline", "deadline=-1", "idle=1min", "now=1", "deadline=99999999999"] {
            assert_eq!(begin(Some(query)), Err(ErrorCode::BadRequest), "{query}");
        }
    }
}
