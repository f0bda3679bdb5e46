//! A client of the control socket: one request, one answer in JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Where an installed daemon takes orders (`systemd/hoody-code-control.socket`).
const INSTALLED: &str = "/run/hoody-code/control.sock";

/// The most bytes of an answer; a thousand instances are about 300 kB.
const MAX_ANSWER: usize = 16 << 20;

/// How long an answer may take: starting and stopping have deadlines of their own below it.
const DEADLINE: Duration = Duration::from_secs(180);

/// A content type, and the bytes.
type Body = Option<(&'static str, Vec<u8>)>;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon answers at {path} ({reason}); --socket names another place")]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The daemon said no.
    #[error("{0}")]
    Refused(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The connection broke, or what came back is no answer.
    #[error("the daemon's answer cannot be read: {0}")]
    Garbled(String),
}

impl ClientError {
    /// Exit status (sysexits.h): EX_UNAVAILABLE, EX_NOUSER's neighbour EX_NOINPUT for what is not there, EX_PROTOCOL, EX_TEMPFAIL.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 69,
            Self::NotFound(_) => 66,
            Self::Refused(_) => 75,
            Self::Garbled(_) => 76,
        }
    }
}

/// The socket to use: `given`, else the installed daemon's, else that of one started by hand in this user's data directory.
pub(super) fn socket(given: Option<&Path>) -> PathBuf {
    if let Some(path) = given {
        return path.to_owned();
    }
    let installed = PathBuf::from(INSTALLED);
    let own = crate::config::default_data_dir().map(|dir| dir.join("control.sock"));
    match own {
        Ok(own) if !installed.exists() && own.exists() => own,
        _ => installed,
    }
}

/// Asks the daemon at `socket`.
///
/// # Errors
/// As [`ClientError`] says.
pub(super) fn ask(socket: &Path, method: Method, path: &str) -> Result<serde_json::Value, ClientError> {
    ask_with(socket, method, path, None)
}

/// As [`ask`], with a body: its content type, and its bytes.
///
/// # Errors
/// As [`ClientError`] says.
pub(super) fn ask_with(socket: &Path, method: Method, path: &str, body: Body) -> Result<serde_json::Value, ClientError> {
    let (status, value) = send(socket, method, path, body)?;
    if status.is_success() {
        return Ok(value);
    }
    let message = value["error"]["message"].as_str().unwrap_or("the daemon refused").to_owned();
    Err(if status == http::StatusCode::NOT_FOUND { ClientError::NotFound(message) } else { ClientError::Refused(message) })
}

/// As [`ask`], for answers that mean something whatever their status is.
///
/// # Errors
/// When there is no answer.
pub(super) fn ask_for_any(socket: &Path, method: Method, path: &str) -> Result<serde_json::Value, ClientError> {
    send(socket, method, path, None).map(|(_, value)| value)
}

fn send(socket: &Path, method: Method, path: &str, body: Body) -> Result<(http::StatusCode, serde_json::Value), ClientError> {
    let garbled = |e: &dyn std::fmt::Display| ClientError::Garbled(e.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| garbled(&e))?;
    runtime.block_on(async {
        let asking = tokio::time::timeout(DEADLINE, exchange(socket, method, path, body));
        asking.await.unwrap_or_else(|_| Err(ClientError::Garbled("it takes too long".to_owned())))
    })
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Body) -> Result<(http::StatusCode, serde_json::Value), ClientError> {
    let garbled = |e: &dyn std::fmt::Display| ClientError::Garbled(e.to_string());
    let unreachable = |e: std::io::Error| ClientError::Unreachable { path: socket.to_owned(), reason: e.to_string() };
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| garbled(&e))?;
    let driving = tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "localhost").header("accept", "application/json");
    let (kind, bytes) = body.unwrap_or_default();
    let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
    let request = request.body(Full::new(Bytes::from(bytes))).map_err(|e| garbled(&e))?;
    let response = sender.send_request(request).await.map_err(|e| garbled(&e))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| garbled(&e))?.to_bytes();
    driving.abort();
    let value = serde_json::from_slice(&body).map_err(|e| garbled(&e))?;
    Ok((status, value))
}
