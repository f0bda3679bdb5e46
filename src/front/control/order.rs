//! What an operator's request asks for. Pure.

use http::Method;

use super::super::answer::{ApiError, ErrorCode};
use super::super::drain::DrainOrder;
use super::super::snapshots;
use crate::model::{DiskJob, InstanceId};

/// The routes on instances begin with this.
const ROOT: &str = "/api/v1/instances";

/// The routes on sessions begin with this.
const SESSIONS: &str = "/api/v1/sessions";

/// The emptying of the host.
const DRAIN: &str = "/api/v1/drain";

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Order {
    List {
        /// Also those that were removed.
        all: bool,
    },
    Show(InstanceId),
    /// What it has printed last.
    Log(InstanceId),
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

pub(in super::super) fn order(method: &Method, path: &str, query: Option<&str>) -> Result<Order, ApiError> {
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
        ("GET", None, None) => match query {
            None | Some("" | "all=false") => Ok(Order::List { all: false }),
            Some("all=true") => Ok(Order::List { all: true }),
            Some(_) => Err(ApiError::new(ErrorCode::BadRequest, "the only parameter is all, which is true or false")),
        },
        ("GET", Some(id), None) => Ok(Order::Show(id)),
        ("GET", Some(id), Some("logs")) => Ok(Order::Log(id)),
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

impl Order {
    /// Whether it is one of those that the page has, wherever it is shown: to look, to start, to stop. What deletes or opens something is
    /// for the control socket alone.
    pub(in super::super) fn is_of_page(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Show(_) | Self::Log(_) | Self::Start(_) | Self::Stop(_) | Self::Restart(_))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let id = |text: &str| text.parse::<InstanceId>().unwrap();
        let ask = |method: Method, path: &str, query| order(&method, path, query).map_err(|e| e.code);
        assert_eq!(ask(Method::GET, "/api/v1/instances", None), Ok(Order::List { all: false }));
        assert_eq!(ask(Method::GET, "/api/v1/instances", Some("all=true")), Ok(Order::List { all: true }));
        assert_eq!(ask(Method::GET, "/api/v1/instances/a", None), Ok(Order::Show(id("a"))));
        assert_eq!(ask(Method::GET, "/api/v1/instances/a/logs", None), Ok(Order::Log(id("a"))));
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
            (Method::GET, "/api/v1/instances", Some("all"), ErrorCode::BadRequest),
            (Method::DELETE, "/api/v1/instances", None, ErrorCode::NotFound),
            (Method::GET, "/api/v1/instancesx", None, ErrorCode::NotFound),
            (Method::GET, "/api/v1/instances/..", None, ErrorCode::InvalidInstance),
            (Method::GET, "/api/v1/instances/a/start", None, ErrorCode::NotFound),
            (Method::POST, "/api/v1/instances/a/logs", None, ErrorCode::NotFound),
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
