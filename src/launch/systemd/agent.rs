//! A client of one instance's agent. It runs as the tenant: what it passes is checked, how long it takes is limited.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::LaunchError;
use super::broker::Broker;
use crate::model::InstanceId;
use crate::proto::{AgentAnswer, AgentRequest, BrokerRequest, MAX_AGENT_PACKET};
use crate::sys::{PacketSocket, Stream};

/// How long opening a socket may take. The agent's own limit is two seconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// The most connections that are kept for the next question.
const MOST_IDLE: usize = 4;

/// The agent of one run of an instance.
pub(super) struct Agent {
    pub(super) id: InstanceId,
    broker: Arc<Broker>,
    idle: Mutex<Vec<PacketSocket>>,
}

impl Agent {
    pub(super) fn new(id: InstanceId, broker: Arc<Broker>) -> Self {
        Self { id, broker, idle: Mutex::default() }
    }

    /// Opens a socket inside the instance.
    pub(super) async fn open(&self, request: AgentRequest) -> io::Result<Stream> {
        match tokio::time::timeout(DEADLINE, self.ask(&request)).await?? {
            (AgentAnswer::Connected, Some(fd)) => Stream::from_fd(fd),
            (AgentAnswer::Failed { errno }, _) => Err(io::Error::from_raw_os_error(errno)),
            (AgentAnswer::NotYours, _) => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the agent answered nonsense")),
        }
    }

    /// Asks, over a connection that is kept if all goes well.
    ///
    /// # Errors
    /// `NotConnected` when the instance does not run.
    pub(super) async fn ask(&self, request: &AgentRequest) -> io::Result<(AgentAnswer, Option<OwnedFd>)> {
        let kept = self.idle().pop();
        if let Some(socket) = kept
            && let Ok(answered) = exchange(&socket, request).await
        {
            self.keep(socket);
            return Ok(answered);
        }
        // None was kept, or it has gone stale meanwhile.
        let socket = self.connect().await?;
        let answered = exchange(&socket, request).await?;
        self.keep(socket);
        Ok(answered)
    }

    /// What the agent answers without a descriptor. One that is older than the question hangs up on it.
    pub(super) async fn ask_soon(&self, request: &AgentRequest) -> io::Result<AgentAnswer> {
        Ok(tokio::time::timeout(DEADLINE, self.ask(request)).await??.0)
    }

    /// What the engine has printed last.
    pub(super) async fn last_lines(&self) -> io::Result<Vec<String>> {
        match self.ask_soon(&AgentRequest::Log).await? {
            AgentAnswer::Log { lines } => Ok(lines),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the agent answered nonsense")),
        }
    }

    /// A connection on which the end will be told.
    pub(super) async fn watch(&self) -> io::Result<PacketSocket> {
        let socket = self.connect().await?;
        let text = serde_json::to_vec(&AgentRequest::Watch).map_err(io::Error::other)?;
        socket.send(&text, None).await?;
        Ok(socket)
    }

    async fn connect(&self) -> io::Result<PacketSocket> {
        match self.broker.ask(&BrokerRequest::Connect { id: self.id.clone() }).await {
            Ok((_, Some(fd))) => PacketSocket::from_fd(fd),
            Ok((_, None)) => Err(io::Error::new(io::ErrorKind::InvalidData, "the broker passed nothing")),
            Err(LaunchError::NotRunning) => Err(io::ErrorKind::NotConnected.into()),
            Err(e) => Err(io::Error::other(e)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PacketSocket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, socket: PacketSocket) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push(socket);
        }
    }
}

async fn exchange(socket: &PacketSocket, request: &AgentRequest) -> io::Result<(AgentAnswer, Option<OwnedFd>)> {
    socket.send(&serde_json::to_vec(request).map_err(io::Error::other)?, None).await?;
    let packet = socket.receive(MAX_AGENT_PACKET).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let answer = serde_json::from_slice(&packet.data).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok((answer, packet.fd))
}

/// Waits for what the agent says at the end; none when it could not say anything.
pub(super) async fn ended(watch: &PacketSocket) -> Option<AgentAnswer> {
    let packet = watch.receive(MAX_AGENT_PACKET).await.ok()??;
    match serde_json::from_slice(&packet.data).ok()? {
        answer @ AgentAnswer::Ended { .. } => Some(answer),
        _ => None,
    }
}
