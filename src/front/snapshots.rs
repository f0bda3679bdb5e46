//! The operator's orders on the files of an instance, on the control socket: `…/snapshots`, `…/restore/NAME`, `…/template/CLASS`.

use http::{Method, Response};
use serde::Serialize;

use super::answer::{ApiError, ErrorCode, json};
use super::app::App;
use crate::launch::LaunchError;
use crate::model::{DiskAnswer, DiskJob, InstanceId, SnapshotName};
use crate::proxy::Body;

/// What is asked with this method, verb and name behind an instance's path; none when it is nothing of ours.
pub(super) fn job(method: &Method, verb: Option<&str>, name: Option<&str>) -> Option<Result<DiskJob, ApiError>> {
    let wrong = |e: &dyn std::fmt::Display| ApiError::new(ErrorCode::BadRequest, e.to_string());
    let named = |text: &str| text.parse::<SnapshotName>().map_err(|e| wrong(&e));
    Some(match (method.as_str(), verb?, name) {
        ("GET", "snapshots", None) => Ok(DiskJob::List {}),
        ("POST", "snapshots", None) => Ok(DiskJob::Snapshot { name: None }),
        ("POST", "snapshots", Some(name)) => named(name).map(|name| DiskJob::Snapshot { name: Some(name) }),
        ("DELETE", "snapshots", Some(name)) => named(name).map(|name| DiskJob::Delete { name }),
        ("POST", "restore", Some(name)) => named(name).map(|name| DiskJob::Restore { name }),
        ("POST", "template", Some(class)) => match class.parse::<InstanceId>() {
            Ok(class) => Ok(DiskJob::Template { class }),
            Err(_) => Err(wrong(&format!("'{class}' is not the name of a class"))),
        },
        _ => return None,
    })
}

#[derive(Serialize)]
struct Row {
    name: SnapshotName,
    /// RFC 3339.
    made: Option<String>,
}

#[derive(Serialize)]
struct Listing<'a> {
    id: &'a InstanceId,
    snapshots: Vec<Row>,
}

/// What was done, to what.
#[derive(Serialize)]
struct Done<'a> {
    id: &'a InstanceId,
    state: &'static str,
    /// Of the snapshot, or of the class.
    name: Option<String>,
    /// The snapshot that was the home until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<SnapshotName>,
    /// How many subvolumes within the home are not part of the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    without: Option<usize>,
}

/// Has it done, and says what came of it.
pub(super) async fn answer(app: &App, id: &InstanceId, job: DiskJob) -> Result<Response<Body>, ApiError> {
    let (state, name) = match &job {
        DiskJob::List {} => ("listed", None),
        DiskJob::Snapshot { name } => ("snapshot", name.as_ref().map(ToString::to_string)),
        DiskJob::Delete { name } => ("deleted", Some(name.to_string())),
        DiskJob::Restore { name } => ("restored", Some(name.to_string())),
        DiskJob::Template { class } => ("template", Some(class.to_string())),
    };
    let done = Done { id, state, name, kept: None, without: None };
    Ok(match app.instances.disk(id, job).await.map_err(failure)? {
        DiskAnswer::Done => json(&done),
        DiskAnswer::Snapshots(snapshots) => {
            let time = |seconds: u64| jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok().map(|time| time.to_string());
            let rows = snapshots.into_iter().map(|one| Row { name: one.name, made: one.made.and_then(time) });
            json(&Listing { id, snapshots: rows.collect() })
        }
        DiskAnswer::Made { name, without } => json(&Done { name: Some(name.to_string()), without: Some(without), ..done }),
        DiskAnswer::Restored { kept } => json(&Done { kept, ..done }),
    })
}

/// The operator is told what a tenant is not.
fn failure(e: LaunchError) -> ApiError {
    let code = match e {
        LaunchError::NotRunning => ErrorCode::InstanceNotFound,
        LaunchError::Conflict(_) | LaunchError::Unsupported(_) => ErrorCode::Conflict,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, e.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn jobs() {
        let ask = |method, verb, name| job(&method, Some(verb), name).map(|job| job.map_err(|e| e.code));
        let name: SnapshotName = "before-exam".parse().unwrap();
        assert_eq!(ask(Method::GET, "snapshots", None), Some(Ok(DiskJob::List {})));
        assert_eq!(ask(Method::POST, "snapshots", None), Some(Ok(DiskJob::Snapshot { name: None })));
        assert_eq!(ask(Method::POST, "restore", Some("before-exam")), Some(Ok(DiskJob::Restore { name: name.clone() })));
        assert_eq!(ask(Method::DELETE, "snapshots", Some("before-exam")), Some(Ok(DiskJob::Delete { name })));
        for name in ["..", "", "A", "%2e"] {
            assert_eq!(ask(Method::POST, "restore", Some(name)), Some(Err(ErrorCode::BadRequest)), "{name}");
            assert_eq!(ask(Method::POST, "template", Some(name)), Some(Err(ErrorCode::BadRequest)), "{name}");
        }
        for (method, verb, name) in [
            (Method::DELETE, "snapshots", None),
            (Method::GET, "restore", Some("x")),
            (Method::POST, "restore", None),
            (Method::POST, "start", None),
        ] {
            assert!(ask(method, verb, name).is_none(), "{verb}");
        }
    }
}
