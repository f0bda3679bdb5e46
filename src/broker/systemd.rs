//! systemd on the bus: the few methods that are needed, and waiting for a job to be done. Thin: it decides nothing.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::error::BrokerError;

/// A property's name and value.
pub(super) type Property = (&'static str, Variant<'static>);

/// How long a job may take. systemd's own limits on units are far below it.
const JOB_DEADLINE: Duration = Duration::from_secs(120);

/// How long a unit may take to come to a halt, or to go on.
const FREEZE_DEADLINE: Duration = Duration::from_secs(5);

/// How systemd says that a signal ended a process (waitid(2)).
const CLD_KILLED: i32 = 2;

/// One row of `ListUnitsByPatterns` (org.freedesktop.systemd1(5)).
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn freeze_unit(&self, name: &str) -> zbus::Result<()>;
    fn thaw_unit(&self, name: &str) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn set_unit_properties(&self, name: &str, runtime: bool, properties: &[(&str, Variant<'_>)]) -> zbus::Result<()>;
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Variant<'_>)],
        aux: &[(&str, Vec<(&str, Variant<'_>)>)],
    ) -> zbus::Result<OwnedObjectPath>;
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<Row>>;
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// A connection to PID 1 by way of the system bus.
#[derive(Clone)]
pub(super) struct Systemd {
    connection: zbus::Connection,
    manager: ManagerProxy<'static>,
}

/// A unit's state, in systemd's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnitState {
    pub(super) name: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating` …
    pub(super) active: String,
    /// `success`, `oom-kill`, `timeout` …
    pub(super) result: String,
    /// The signal that ended its main process; 0 when none did.
    pub(super) signal: i32,
    /// Microseconds of the epoch; 0 when it never was.
    pub(super) active_since: u64,
    /// How long it ran, in microseconds, whatever was done to the clock meanwhile; 0 when it has not ended.
    pub(super) ran: u64,
    /// How long it may run, in microseconds; `u64::MAX` for ever.
    pub(super) run_time: u64,
    /// `running`, `frozen` …
    pub(super) freezer: String,
}

fn failed<'a>(action: &'static str, unit: &'a str) -> impl FnOnce(zbus::Error) -> BrokerError + 'a {
    move |error| {
        // The text that systemd sends, without the bus's own name for it.
        let reason = match error {
            zbus::Error::MethodError(_, Some(text), _) => text,
            other => other.to_string(),
        };
        BrokerError::Unit { action, unit: unit.to_owned(), reason }
    }
}

/// Whether systemd says that it does not know the unit.
fn is_unknown(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, ..) if name.as_str() == "org.freedesktop.systemd1.NoSuchUnit")
}

impl Systemd {
    /// Connects, and asks for news of jobs.
    pub(super) async fn connect() -> Result<Self, BrokerError> {
        let action = "cannot reach";
        let connection = zbus::Connection::system().await.map_err(failed(action, "systemd"))?;
        let manager = ManagerProxy::new(&connection).await.map_err(failed(action, "systemd"))?;
        manager.subscribe().await.map_err(failed(action, "systemd"))?;
        Ok(Self { connection, manager })
    }

    /// Comes back when the connection has ended.
    pub(super) async fn gone(&self) {
        self.connection.closed().await;
    }

    /// Starts a transient unit; comes back when its job is done, which means that its program runs, or has run.
    pub(super) async fn start_transient(&self, unit: &str, properties: &[Property]) -> Result<(), BrokerError> {
        let start = || async { self.manager.start_transient_unit(unit, "fail", properties, &[]).await };
        self.job("start", unit, start).await
    }

    /// Starts a unit that is installed.
    pub(super) async fn start(&self, unit: &str) -> Result<(), BrokerError> {
        self.job("start", unit, || async { self.manager.start_unit(unit, "replace").await }).await
    }

    /// Has a unit that runs read its configuration again; one that does not run is fine.
    pub(super) async fn reload(&self, unit: &str) -> Result<(), BrokerError> {
        match self.state(unit).await? {
            Some(state) if state.active == "active" => {
                self.job("reload", unit, || async { self.manager.reload_unit(unit, "replace").await }).await
            }
            _ => Ok(()),
        }
    }

    /// Stops a unit; one that does not run is fine.
    pub(super) async fn stop(&self, unit: &str) -> Result<(), BrokerError> {
        match self.manager.get_unit(unit).await {
            Err(e) if is_unknown(&e) => return Ok(()),
            Err(e) => return Err(failed("cannot stop", unit)(e)),
            Ok(_) => {}
        }
        match self.job("stop", unit, || async { self.manager.stop_unit(unit, "replace").await }).await {
            // It ended by itself meanwhile.
            Err(BrokerError::Unit { reason, .. }) if reason.contains("not loaded") => Ok(()),
            other => other,
        }
    }

    /// Calls a method that makes a job and waits until the job is done.
    async fn job<F>(&self, verb: &'static str, unit: &str, call: impl FnOnce() -> F) -> Result<(), BrokerError>
    where
        F: Future<Output = zbus::Result<OwnedObjectPath>>,
    {
        let action = match verb {
            "start" => "cannot start",
            "reload" => "cannot reload",
            _ => "cannot stop",
        };
        let waiting = async {
            // Asked for before the call: a quick job would be done before we listen.
            let mut done = self.manager.receive_job_removed().await?;
            let calling = call();
            tokio::pin!(calling);
            // Drained while the call is on its way: the connection waits for whoever does not read its signals.
            let mut early: Vec<(OwnedObjectPath, String)> = Vec::new();
            let job = loop {
                tokio::select! {
                    job = &mut calling => break job?,
                    Some(signal) = done.next() => early.extend(signal.args().ok().map(|told| (told.job.clone(), told.result.clone()))),
                }
            };
            if let Some((_, result)) = early.into_iter().find(|(other, _)| *other == job) {
                return Ok(result);
            }
            while let Some(signal) = done.next().await {
                if let Ok(told) = signal.args()
                    && told.job == job
                {
                    return Ok(told.result.clone());
                }
            }
            Ok("the bus hung up".to_owned())
        };
        let late = || Ok("the job does not end".to_owned());
        let result = tokio::time::timeout(JOB_DEADLINE, waiting).await.unwrap_or_else(|_| late()).map_err(failed(action, unit))?;
        if result == "done" {
            return Ok(());
        }
        Err(BrokerError::Unit { action, unit: unit.to_owned(), reason: format!("job result {result}") })
    }

    /// Has all processes of a unit stand still. One that does not come to a halt in time, because it is stuck in the kernel, goes on as
    /// it was.
    pub(super) async fn freeze(&self, unit: &str) -> Result<(), BrokerError> {
        match tokio::time::timeout(FREEZE_DEADLINE, self.manager.freeze_unit(unit)).await {
            Ok(frozen) => frozen.map_err(failed("cannot freeze", unit)),
            Err(_) => {
                self.thaw(unit).await?;
                Err(BrokerError::Unit { action: "cannot freeze", unit: unit.to_owned(), reason: "it does not come to a halt".to_owned() })
            }
        }
    }

    /// Lets them go on.
    pub(super) async fn thaw(&self, unit: &str) -> Result<(), BrokerError> {
        let late = || BrokerError::Unit { action: "cannot thaw", unit: unit.to_owned(), reason: "no answer".to_owned() };
        let thawed = tokio::time::timeout(FREEZE_DEADLINE, self.manager.thaw_unit(unit)).await;
        thawed.map_err(|_| late())?.map_err(failed("cannot thaw", unit))
    }

    /// Forgets that a unit failed, so that one of its name can be started again. One that did not is fine.
    pub(super) async fn reset_failed(&self, unit: &str) {
        let _ = self.manager.reset_failed_unit(unit).await;
    }

    /// Changes properties of a unit that runs, until it ends.
    pub(super) async fn set_properties(&self, unit: &str, properties: &[Property]) -> Result<(), BrokerError> {
        self.manager.set_unit_properties(unit, true, properties).await.map_err(failed("cannot change", unit))
    }

    /// The names of the loaded units that match `pattern`.
    pub(super) async fn list(&self, pattern: &str) -> Result<Vec<String>, BrokerError> {
        let rows = self.manager.list_units_by_patterns(&[], &[pattern]).await.map_err(failed("cannot list", pattern))?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// The state of a unit; none when systemd does not know it.
    pub(super) async fn state(&self, unit: &str) -> Result<Option<UnitState>, BrokerError> {
        let path = match self.manager.get_unit(unit).await {
            Ok(path) => path,
            Err(e) if is_unknown(&e) => return Ok(None),
            Err(e) => return Err(failed("cannot look at", unit)(e)),
        };
        // One call for all properties: they are of one moment.
        let of_unit = self.properties(&path, "org.freedesktop.systemd1.Unit").await;
        let of_service = self.properties(&path, "org.freedesktop.systemd1.Service").await;
        let (of_unit, of_service) = match (of_unit, of_service) {
            (Ok(of_unit), Ok(of_service)) => (of_unit, of_service),
            // It went away between the two calls.
            (Err(zbus::Error::MethodError(..)), _) | (_, Err(zbus::Error::MethodError(..))) => return Ok(None),
            (Err(e), _) | (_, Err(e)) => return Err(failed("cannot look at", unit)(e)),
        };
        let text = |map: &HashMap<String, OwnedVariant>, name: &str| {
            map.get(name).and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default().to_owned()
        };
        let number =
            |map: &HashMap<String, OwnedVariant>, name: &str| map.get(name).and_then(|v| u64::try_from(v).ok()).unwrap_or_default();
        let small = |name: &str| of_service.get(name).and_then(|v| i32::try_from(v).ok()).unwrap_or_default();
        Ok(Some(UnitState {
            name: unit.to_owned(),
            active: text(&of_unit, "ActiveState"),
            result: text(&of_service, "Result"),
            signal: if small("ExecMainCode") == CLD_KILLED { small("ExecMainStatus") } else { 0 },
            active_since: number(&of_unit, "ActiveEnterTimestamp"),
            ran: number(&of_unit, "ActiveExitTimestampMonotonic").saturating_sub(number(&of_unit, "ActiveEnterTimestampMonotonic")),
            run_time: number(&of_service, "RuntimeMaxUSec"),
            freezer: text(&of_unit, "FreezerState"),
        }))
    }

    async fn properties(&self, path: &OwnedObjectPath, interface: &str) -> zbus::Result<HashMap<String, OwnedVariant>> {
        let interface_of_properties = Some("org.freedesktop.DBus.Properties");
        let service = Some("org.freedesktop.systemd1");
        let reply = self.connection.call_method(service, path.as_str(), interface_of_properties, "GetAll", &(interface)).await?;
        reply.body().deserialize()
    }
}
