//! A client of the broker: one connection per request, so that a slow start holds up nobody.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use super::super::LaunchError;
use crate::proto::{BrokerAnswer, BrokerReply, BrokerRequest, MAX_REPLY, RefusalCode};
use crate::sys::PacketSocket;

/// How long the broker may take: longer than its own deadline for one job of systemd's.
const DEADLINE: Duration = Duration::from_secs(150);

/// The time between two tries when the broker's queue is full.
const PAUSE: Duration = Duration::from_millis(20);

/// The broker, behind its socket.
pub(super) struct Broker {
    path: PathBuf,
}

impl Broker {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Asks, and waits for the answer. A broker that ends meanwhile is started anew by systemd; its successor is asked for what can be
    /// asked twice.
    ///
    /// # Errors
    /// [`LaunchError::Lost`] for the rest of what a broker took along, and what it refuses.
    pub(super) async fn ask(&self, request: &BrokerRequest) -> Result<(BrokerAnswer, Option<OwnedFd>), LaunchError> {
        match self.ask_once(request).await {
            Err(LaunchError::Lost) if can_be_asked_twice(request) => self.ask_once(request).await,
            other => other,
        }
    }

    async fn ask_once(&self, request: &BrokerRequest) -> Result<(BrokerAnswer, Option<OwnedFd>), LaunchError> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => LaunchError::Lost,
            _ => LaunchError::Broker(format!("{}: {e}", self.path.display())),
        };
        let exchange = tokio::time::timeout(DEADLINE, self.exchange(request)).await;
        let (reply, fd) = exchange.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        match reply {
            BrokerReply::Ok(answer) => Ok((answer, fd)),
            BrokerReply::Refused { code: RefusalCode::NotFound, .. } => Err(LaunchError::NotRunning),
            BrokerReply::Refused { code: RefusalCode::Conflict, message } => Err(LaunchError::Conflict(message)),
            BrokerReply::Refused { message, .. } => Err(LaunchError::Broker(message)),
        }
    }

    async fn exchange(&self, request: &BrokerRequest) -> io::Result<(BrokerReply, Option<OwnedFd>)> {
        let socket = self.connect().await?;
        socket.send(&serde_json::to_vec(request).map_err(io::Error::other)?, None).await?;
        let packet = socket.receive(MAX_REPLY).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let reply = serde_json::from_slice(&packet.data).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok((reply, packet.fd))
    }

    async fn connect(&self) -> io::Result<PacketSocket> {
        loop {
            match PacketSocket::connect(&self.path) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
                other => return other,
            }
        }
    }
}

/// Whether it is the same to ask twice: all but what deletes or makes files. A start finds what an earlier one has left, whole or half.
fn can_be_asked_twice(request: &BrokerRequest) -> bool {
    !matches!(request, BrokerRequest::Remove { .. } | BrokerRequest::Purge { .. } | BrokerRequest::Disk { .. })
}
