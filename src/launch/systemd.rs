//! The production launcher: instances are transient units, started by the broker; sockets into them are opened by their agents.
//! This process has no right to do either.

mod agent;
mod broker;
mod usage;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;

use super::{Connector, Exit, Known, LaunchError, Launched, Launcher, Left, PathKind};
use crate::config::HOMES;
use crate::model::{AbsolutePath, DiskAnswer, DiskJob, DiskUse, EndCause, ExtensionJob, InstanceId, Port, Usage};
use crate::proto::{AgentAnswer, AgentRequest, BrokerAnswer, BrokerRequest, KILLED, RunState, STOPPED_BY_OPERATOR, UnitStatus};
use crate::sys::{PacketSocket, Stream};
use agent::Agent;
use broker::Broker;

/// Where the broker listens (`systemd/hoody-code-broker.socket`).
const BROKER: &str = "/run/hoody-code/broker.sock";

/// How long a tenant's file system may take to say what is at a path: a dead network mount never does.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// How long systemd may take to end what an engine has left behind: longer than the unit's own `TimeoutStopSec`.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// How often is looked whether it has.
const END_POLL: Duration = Duration::from_millis(50);

/// How systemd says that all went well.
const SUCCESS: &str = "success";

/// The production launcher.
#[derive(Clone)]
pub struct SystemdLauncher {
    broker: Arc<Broker>,
    /// The agents of what runs, whose connections are kept.
    agents: Arc<Mutex<HashMap<InstanceId, Weak<Agent>>>>,
}

impl Default for SystemdLauncher {
    fn default() -> Self {
        Self { broker: Arc::new(Broker::new(PathBuf::from(BROKER))), agents: Arc::default() }
    }
}

impl SystemdLauncher {
    async fn start(&self, id: InstanceId) -> Result<Launched, LaunchError> {
        let started = self.broker.ask(&BrokerRequest::Start { id: id.clone() }).await;
        let attached = match started {
            Ok(_) => self.attach(id.clone()).await,
            Err(e) => Err(e),
        };
        // Nothing of a start that failed may go on by itself: nobody would account for it.
        if attached.is_err()
            && let Err(e) = self.broker.ask(&BrokerRequest::Stop { id: id.clone() }).await
        {
            tracing::warn!(instance = %id, "{e}");
        }
        attached
    }

    /// What is needed to use an instance that runs.
    async fn attach(&self, id: InstanceId) -> Result<Launched, LaunchError> {
        let agent = Arc::new(Agent::new(id.clone(), Arc::clone(&self.broker)));
        let watch = agent.watch().await.map_err(|e| LaunchError::Broker(format!("no agent of {id}: {e}")))?;
        {
            let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
            agents.retain(|_, agent| agent.strong_count() > 0);
            agents.insert(id.clone(), Arc::downgrade(&agent));
        }
        let exit = wait(Arc::clone(&self.broker), id, watch);
        Ok(Launched { connector: agent, exit: Box::pin(exit) })
    }

    /// All instances that the broker knows, a page at a time.
    async fn units(&self) -> Result<Vec<UnitStatus>, LaunchError> {
        let mut all: Vec<UnitStatus> = Vec::new();
        loop {
            let after = all.last().map(|unit| unit.id.clone());
            match self.broker.ask(&BrokerRequest::List { after }).await? {
                (BrokerAnswer::Units(page), _) if page.is_empty() => return Ok(all),
                (BrokerAnswer::Units(page), _) => all.extend(page),
                (other, _) => return Err(LaunchError::Broker(format!("answered {other:?}"))),
            }
        }
    }

    /// Whether somebody uses it already.
    fn has(&self, id: &InstanceId) -> bool {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.get(id).is_some_and(|agent| agent.strong_count() > 0)
    }

    async fn left(&self) -> Result<Vec<(InstanceId, Left)>, LaunchError> {
        let mut all = Vec::new();
        for unit in self.units().await? {
            match unit.state {
                // A request was here first.
                RunState::Active if self.has(&unit.id) => {}
                RunState::Active => match tokio::time::timeout(LOOK_DEADLINE, self.attach(unit.id.clone())).await {
                    Ok(Ok(launched)) => all.push((unit.id, Left::Running { launched, frozen: unit.frozen })),
                    // It ended between the two questions, or is past help: the next request finds out which.
                    Ok(Err(e)) => tracing::warn!(instance = %unit.id, "not taken over: {e}"),
                    Err(_) => tracing::warn!(instance = %unit.id, "not taken over: its agent does not answer"),
                },
                RunState::Inactive if unit.result == STOPPED_BY_OPERATOR => all.push((unit.id, Left::Ended(EndCause::StoppedByOperator))),
                RunState::Failed => all.push((unit.id.clone(), Left::Ended(cause(&unit.result, None)))),
                RunState::Changing => all.push((unit.id, Left::Changing)),
                RunState::Inactive => {}
            }
        }
        Ok(all)
    }

    async fn inventory(&self) -> Result<Vec<Known>, LaunchError> {
        let since = |micros| (micros > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        let known = |unit: UnitStatus| Known {
            id: unit.id,
            uid: Some(unit.uid),
            class: Some(unit.class),
            engine: unit.engine,
            since: since(unit.since),
        };
        Ok(self.units().await?.into_iter().map(known).collect())
    }

    async fn forget(&self, id: InstanceId, purge: bool) -> Result<(), LaunchError> {
        let request = if purge { BrokerRequest::Purge { id } } else { BrokerRequest::Remove { id } };
        match self.broker.ask(&request).await? {
            (BrokerAnswer::Left(left), _) => Err(LaunchError::Broker(left)),
            _ => Ok(()),
        }
    }
}

/// Waits for the end of an instance, and for the end of everything of it.
async fn wait(broker: Arc<Broker>, id: InstanceId, watch: PacketSocket) -> Exit {
    let told = agent::ended(&watch).await;
    // Its dev servers go with it; systemd is at it already.
    let deadline = tokio::time::Instant::now() + END_DEADLINE;
    let unit = loop {
        match show(&broker, &id).await {
            Ok(unit) if !unit.as_ref().is_some_and(|unit| matches!(unit.state, RunState::Active | RunState::Changing)) => break Ok(unit),
            Ok(_) if tokio::time::Instant::now() > deadline => {
                // Its main process is gone and systemd has not noticed, or something of it does not end.
                if let Err(e) = broker.ask(&BrokerRequest::Stop { id: id.clone() }).await {
                    tracing::warn!(instance = %id, "{e}");
                }
                break Ok(None);
            }
            // The broker is being restarted.
            Err(e) if tokio::time::Instant::now() > deadline => break Err(e),
            Ok(_) | Err(_) => tokio::time::sleep(END_POLL).await,
        }
    };
    let result = match unit {
        Ok(unit) => unit.map_or_else(|| SUCCESS.to_owned(), |unit| unit.result),
        // Nobody is blamed, and nothing held, for what is not known.
        Err(e) => format!("unknown: {e}"),
    };
    let log = match &told {
        Some(AgentAnswer::Ended { log, .. }) => log.clone(),
        _ => Vec::new(),
    };
    Exit { cause: cause(&result, told.as_ref()), log }
}

async fn show(broker: &Broker, id: &InstanceId) -> Result<Option<UnitStatus>, LaunchError> {
    match broker.ask(&BrokerRequest::Show { id: id.clone() }).await {
        Ok((BrokerAnswer::Unit(unit), _)) => Ok(Some(unit)),
        Ok(_) | Err(LaunchError::NotRunning) => Ok(None),
        Err(e) => Err(e),
    }
}

/// From systemd's result, and what the agent said if it could say something, to a cause.
fn cause(result: &str, told: Option<&AgentAnswer>) -> EndCause {
    match (told, result) {
        (_, "oom-kill") | (Some(AgentAnswer::Ended { out_of_memory: true, .. }), _) => EndCause::OutOfMemory,
        (_, "time-limit") => EndCause::TimeLimit,
        (_, KILLED) => EndCause::Killed,
        (Some(AgentAnswer::Ended { status, .. }), _) => EndCause::Crashed { status: status.clone() },
        // Ended in good order, and not by us: `systemctl stop`. `timeout` is the same with a process that would not listen.
        (_, SUCCESS | STOPPED_BY_OPERATOR | "timeout") => EndCause::StoppedByOperator,
        (_, other) => EndCause::Crashed { status: other.to_owned() },
    }
}

impl Launcher for SystemdLauncher {
    fn launch(&self, id: &InstanceId) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        Box::pin(self.start(id.clone()))
    }

    fn stop(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let request = BrokerRequest::Stop { id: id.clone() };
        Box::pin(async move { self.broker.ask(&request).await.map(drop) })
    }

    fn look(&self, id: &InstanceId, path: &AbsolutePath) -> BoxFuture<'_, io::Result<PathKind>> {
        let running = self.agents.lock().unwrap_or_else(PoisonError::into_inner).get(id).and_then(Weak::upgrade);
        let agent = running.unwrap_or_else(|| Arc::new(Agent::new(id.clone(), Arc::clone(&self.broker))));
        let request = AgentRequest::Look { path: path.clone() };
        Box::pin(async move {
            let asking = tokio::time::timeout(LOOK_DEADLINE, agent.ask(&request));
            match asking.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
                Ok((AgentAnswer::Directory, _)) => Ok(PathKind::Directory),
                Ok((AgentAnswer::File, _)) => Ok(PathKind::File),
                Ok((AgentAnswer::Missing, _)) => Ok(PathKind::Missing),
                Ok((AgentAnswer::Failed { errno }, _)) => Err(io::Error::from_raw_os_error(errno)),
                Ok(_) => Err(io::ErrorKind::InvalidData.into()),
                Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(PathKind::Unknown),
                Err(e) => Err(e),
            }
        })
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<(InstanceId, Left)>, LaunchError>> {
        Box::pin(self.left())
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Vec<Known>, LaunchError>> {
        Box::pin(self.inventory())
    }

    fn remove(&self, id: &InstanceId, purge: bool) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(self.forget(id.clone(), purge))
    }

    fn files(&self, id: &InstanceId) -> PathBuf {
        Path::new(HOMES).join(id.as_str())
    }

    fn disk(&self, id: &InstanceId, job: DiskJob) -> BoxFuture<'_, Result<DiskAnswer, LaunchError>> {
        let request = BrokerRequest::Disk { id: id.clone(), what: job };
        Box::pin(async move {
            match self.broker.ask(&request).await? {
                (BrokerAnswer::Disk(answer), _) => Ok(answer),
                (other, _) => Err(LaunchError::Broker(format!("answered {other:?}"))),
            }
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LaunchError>> {
        Box::pin(async { self.broker.ask(&BrokerRequest::Reload {}).await.map(drop) })
    }

    fn lower(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let request = BrokerRequest::Lower { id: id.clone() };
        Box::pin(async move { self.broker.ask(&request).await.map(drop) })
    }

    fn freeze(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let request = BrokerRequest::Freeze { id: id.clone() };
        Box::pin(async move { self.broker.ask(&request).await.map(drop) })
    }

    fn thaw(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let request = BrokerRequest::Thaw { id: id.clone() };
        Box::pin(async move { self.broker.ask(&request).await.map(drop) })
    }

    fn raise(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), LaunchError>> {
        let request = BrokerRequest::Raise { id: id.clone() };
        Box::pin(async move { self.broker.ask(&request).await.map(drop) })
    }

    fn freezes(&self) -> bool {
        true
    }

    fn trim(&self, id: &InstanceId, bytes: u64) -> BoxFuture<'_, Result<(), LaunchError>> {
        let request = BrokerRequest::Reclaim { id: id.clone(), bytes };
        Box::pin(async move { self.broker.ask(&request).await.map(drop) })
    }

    fn memory_pressure(&self) -> Option<f32> {
        usage::memory_pressure()
    }

    fn outlives_daemon(&self) -> bool {
        true
    }

    fn sees_files_at_rest(&self) -> bool {
        false
    }
}

impl Connector for Agent {
    fn engine(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.open(AgentRequest::Engine))
    }

    fn port(&self, port: Port) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.open(AgentRequest::Port { port }))
    }

    fn extensions(&self, job: ExtensionJob) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.open(AgentRequest::Extensions { what: job }))
    }

    fn remember_workspace(&self, path: AbsolutePath, key: i32) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            match self.ask_soon(&AgentRequest::Workspace { path, key }).await? {
                AgentAnswer::Done => Ok(()),
                AgentAnswer::Failed { errno } => Err(io::Error::from_raw_os_error(errno)),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, io::Result<Usage>> {
        Box::pin(usage::of(self))
    }

    fn disk(&self) -> BoxFuture<'_, io::Result<DiskUse>> {
        Box::pin(usage::disk_of(self))
    }

    fn log(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        Box::pin(self.last_lines())
    }

    fn recount(&self, usage: Usage) -> Usage {
        usage::recount(&self.id, usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes() {
        let ended = |out_of_memory| AgentAnswer::Ended { status: "signal: 9".into(), out_of_memory, log: Vec::new() };
        assert_eq!(cause(SUCCESS, None), EndCause::StoppedByOperator);
        assert_eq!(cause("timeout", None), EndCause::StoppedByOperator);
        assert_eq!(cause("time-limit", None), EndCause::TimeLimit);
        assert_eq!(cause("oom-kill", None), EndCause::OutOfMemory);
        assert_eq!(cause(KILLED, None), EndCause::Killed);
        assert_eq!(cause(KILLED, Some(&ended(false))), EndCause::Killed, "the engine went first");
        assert_eq!(cause("exit-code", Some(&ended(true))), EndCause::OutOfMemory);
        assert_eq!(cause("exit-code", Some(&ended(false))), EndCause::Crashed { status: "signal: 9".into() });
        assert_eq!(cause("core-dump", None), EndCause::Crashed { status: "core-dump".into() });
    }
}
