//! accept → peer credentials → packet → policy → execute → audit → reply.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::error::BrokerError;
use super::execute::{Executed, Executor};
use super::policy::{self, Asker, Service};
use crate::proto::{BrokerReply, BrokerRequest, MAX_REPLY, MAX_REQUEST};
use crate::sys::{self, PacketListener, PacketSocket};

/// The most connections at a time. The front opens one per request; what comes beyond waits in the kernel's queue.
const MOST_CONNECTIONS: usize = 64;

/// How many of them may be those of further services, all together: what they do, the host's main one must not feel.
const MOST_OF_FURTHER: usize = 32;

/// How long a connection may say nothing. The front sends at once.
const IDLE: Duration = Duration::from_secs(10);

/// How long requests under way may take once we are told to stop: within the unit's `TimeoutStopSec`.
const LAST_CALL: Duration = Duration::from_secs(60);

/// EX_UNAVAILABLE (sysexits.h)
const UNAVAILABLE: u8 = 69;

/// Serves the socket that systemd has passed, until it is told to stop.
pub fn run() -> ExitCode {
    let passed = sys::inherited_listeners();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match (passed, runtime) {
        (Ok(passed), Ok(runtime)) => runtime.block_on(serve(passed)),
        (Err(e), _) | (_, Err(e)) => Err(e.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

async fn serve(passed: Vec<(String, std::os::fd::OwnedFd)>) -> Result<(), String> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|e| e.to_string())?;
    let Ok([(_, socket)]) = <[_; 1]>::try_from(passed) else {
        return Err("started without its one socket: hoody-code-broker.socket starts it".to_owned());
    };
    let listener = PacketListener::from_fd(socket).map_err(|e| format!("the socket that was passed: {e}"))?;
    let executor = Arc::new(Executor::new().await.map_err(|e| e.to_string())?);
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let further = Arc::new(Semaphore::new(MOST_OF_FURTHER));
    let conversations = TaskTracker::new();
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    loop {
        let accepted = tokio::select! {
            _ = terminate.recv() => break,
            () = executor.gone() => return Err("the bus hung up".to_owned()),
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((socket, permit)) => {
                let executor = Arc::clone(&executor);
                let is_main =
                    matches!(socket.peer_uid().map(|peer| executor.asker(peer)), Ok(Ok(Asker::Root | Asker::Front(Service(None)))));
                let place = if is_main { None } else { Some(Arc::clone(&further).try_acquire_owned()) };
                // Too many of them: hung up on, and asked again.
                let Ok(place) = place.transpose() else { continue };
                conversations.spawn(async move {
                    converse(&executor, &socket).await;
                    drop((permit, place));
                });
            }
            Err(e) => {
                tracing::warn!("cannot accept a connection: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // What was begun is finished: half a start is something that somebody would have to clean up.
    conversations.close();
    let _ = tokio::time::timeout(LAST_CALL, conversations.wait()).await;
    Ok(())
}

async fn accept(listener: &PacketListener, slots: &Arc<Semaphore>) -> std::io::Result<(PacketSocket, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    Ok((listener.accept().await?, permit))
}

/// Answers one connection's requests, one after the other. Whoever sends what cannot be understood is hung up on.
async fn converse(executor: &Executor, socket: &PacketSocket) {
    let Ok(peer) = socket.peer_uid() else { return };
    loop {
        let packet = match tokio::time::timeout(IDLE, socket.receive(MAX_REQUEST)).await {
            Ok(Ok(Some(packet))) => packet,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(e)) => {
                tracing::warn!(verb = "none", peer, outcome = "refused", "a packet was refused: {e}");
                return;
            }
        };
        // A request has no descriptor with it; one that has is from somebody who tries things.
        let admitted = match packet.fd {
            None => executor.asker(peer).and_then(|asker| Ok((asker, policy::parse(&packet.data)?))),
            Some(_) => Err(BrokerError::Malformed("a descriptor came with it".to_owned())),
        };
        let began = Instant::now();
        let (request, outcome) = match admitted {
            Ok((asker, request)) => {
                let outcome = executor.execute(&asker, &request).await;
                (Some(request), outcome)
            }
            Err(e) => (None, Err(e)),
        };
        audit(peer, request.as_ref(), &outcome, began.elapsed());
        let hang_up = request.is_none();
        if reply(socket, outcome).await.is_err() || hang_up {
            return;
        }
    }
}

/// One record per decision.
fn audit(peer: u32, request: Option<&BrokerRequest>, outcome: &Executed, elapsed: Duration) {
    let verb = request.map_or("none", BrokerRequest::verb);
    let instance = request.and_then(BrokerRequest::id).map(|id| id.as_str());
    let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    match outcome {
        // Looking changes nothing, and is done all the time. A connection is a way into an instance, and kept for long.
        Ok(_) if matches!(verb, "show" | "list" | "snapshots") => {
            tracing::debug!(instance, verb, peer, duration_us, outcome = "done", "{verb}");
        }
        Ok(_) => tracing::info!(instance, verb, peer, duration_us, outcome = "done", "{verb}"),
        Err(BrokerError::NotFound(_)) if matches!(verb, "show" | "connect") => {
            tracing::debug!(instance, verb, peer, duration_us, outcome = "not found", "{verb}");
        }
        Err(e) => tracing::warn!(instance, verb, peer, duration_us, outcome = "refused", "{verb}: {e}"),
    }
}

async fn reply(socket: &PacketSocket, outcome: Executed) -> std::io::Result<()> {
    let (reply, fd) = match outcome {
        Ok((answer, fd)) => (BrokerReply::Ok(answer), fd),
        Err(e) => (BrokerReply::Refused { code: e.code(), message: shorten(e.to_string()) }, None),
    };
    let text = serde_json::to_vec(&reply).map_err(std::io::Error::other)?;
    debug_assert!(text.len() <= MAX_REPLY);
    socket.send(&text, fd.as_ref().map(std::os::fd::AsFd::as_fd)).await
}

/// Long enough for any message of ours; a configuration's parse error quotes its line.
fn shorten(mut message: String) -> String {
    const MOST: usize = 2000;
    if message.len() > MOST {
        let end = (0..=MOST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
    }
    message
}
