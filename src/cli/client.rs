//! A client of a daemon: one request, one answer in JSON, over the control socket, TCP or TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::url::ServiceUrl;
use crate::model::InstanceId;

/// Where an installed daemon takes orders (`systemd/hoody-code-control.socket`).
const INSTALLED: &str = "/run/hoody-code/control.sock";

/// The most bytes of an answer; a thousand instances are about 300 kB.
const MAX_ANSWER: usize = 16 << 20;

/// How long an answer may take: starting and stopping have deadlines of their own below it.
const DEADLINE: Duration = Duration::from_secs(180);

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(20);

/// A content type, and the bytes.
pub(super) type Body = Option<(&'static str, Vec<u8>)>;

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Socket(PathBuf),
    Url(ServiceUrl),
}

/// What is asked.
pub(super) struct Sent<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) cookie: Option<&'a str>,
    pub(super) body: Body,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) value: serde_json::Value,
    /// The session's cookie, as it is sent back.
    pub(super) session: Option<String>,
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon answers at {path} ({reason}); --socket names another place, --url one that browsers know")]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Nobody answers there.
    #[error("no daemon answers at {url} ({reason})")]
    NoAnswer {
        /// Where.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The text is no URL.
    #[error("{0}")]
    BadUrl(String),
    /// An operator's command with the URL of everybody.
    #[error("this is the operator's: it goes through the control socket (--socket), not to {0} (--url or HOODY_CODE_URL)")]
    NeedsSocket(String),
    /// A URL of one instance, and the name of another.
    #[error("{url} is not the address of the instance '{id}'")]
    OtherInstance {
        /// The URL.
        url: String,
        /// The name.
        id: InstanceId,
    },
    /// A password is asked for, and there is none to give.
    #[error("a password is asked for: {0}")]
    NoPassword(String),
    /// The password is not the right one.
    #[error("{0}")]
    Unauthorized(String),
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
    /// Exit status (sysexits.h): EX_UNAVAILABLE, EX_USAGE, EX_NOPERM, EX_NOUSER's neighbour EX_NOINPUT for what is not there,
    /// EX_TEMPFAIL, EX_PROTOCOL.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => 69,
            Self::BadUrl(_) | Self::NeedsSocket(_) | Self::OtherInstance { .. } => 64,
            Self::NoPassword(_) | Self::Unauthorized(_) => 77,
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

/// Asks, and waits for the answer, whatever it is.
///
/// # Errors
/// When there is none.
pub(super) fn send(place: &Place, what: Sent<'_>) -> Result<Answer, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| garbled(&e))?;
    runtime.block_on(async {
        let asking = tokio::time::timeout(DEADLINE, exchange(place, what));
        asking.await.unwrap_or_else(|_| Err(ClientError::Garbled("it takes too long".to_owned())))
    })
}

fn garbled(e: &dyn std::fmt::Display) -> ClientError {
    ClientError::Garbled(e.to_string())
}

async fn exchange(place: &Place, what: Sent<'_>) -> Result<Answer, ClientError> {
    match place {
        Place::Socket(path) => {
            let unreachable = |e: io::Error| ClientError::Unreachable { path: path.clone(), reason: e.to_string() };
            over(UnixStream::connect(path).await.map_err(unreachable)?, "localhost", what).await
        }
        Place::Url(url) => {
            let no_answer = |reason: String| ClientError::NoAnswer { url: url.to_string(), reason };
            let connecting = tokio::time::timeout(CONNECT, TcpStream::connect((url.host.name(), url.port())));
            let stream = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| no_answer(e.to_string()))?;
            let host = url.host.to_string();
            if !url.https {
                return over(stream, &host, what).await;
            }
            let name = ServerName::try_from(url.host.name().to_owned()).map_err(|e| no_answer(e.to_string()))?;
            let handshake = tokio::time::timeout(CONNECT, connector().map_err(|e| no_answer(e.to_string()))?.connect(name, stream));
            let stream = handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| no_answer(e.to_string()))?;
            over(stream, &host, what).await
        }
    }
}

/// TLS that believes whom this machine believes (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
fn connector() -> io::Result<tokio_rustls::TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

async fn over<S>(stream: S, host: &str, what: Sent<'_>) -> Result<Answer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| garbled(&e))?;
    let driving = tokio::spawn(connection);
    let mut request = Request::builder().method(what.method).uri(what.path).header(header::HOST, host);
    request = request.header(header::ACCEPT, "application/json");
    request = request.header(header::USER_AGENT, concat!("hoody-code/", env!("CARGO_PKG_VERSION")));
    if let Some(cookie) = what.cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let (kind, bytes) = what.body.unwrap_or_default();
    let request = if kind.is_empty() { request } else { request.header(header::CONTENT_TYPE, kind) };
    let request = request.body(Full::new(Bytes::from(bytes))).map_err(|e| garbled(&e))?;
    let response = sender.send_request(request).await.map_err(|e| garbled(&e))?;
    let (status, session) = (response.status(), session(response.headers()));
    if status.is_redirection() {
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        return Err(ClientError::Refused(format!("the daemon is elsewhere: {location}")));
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| garbled(&e))?.to_bytes();
    driving.abort();
    let value = serde_json::from_slice(&body).map_err(|e| garbled(&e))?;
    Ok(Answer { status, value, session })
}

/// `NAME=VALUE` of the session that an answer sets.
fn session(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.filter_map(|line| line.split(';').next());
    pairs.find(|pair| pair.split('=').next().is_some_and(|name| name.contains("hoody-code-session-"))).map(str::to_owned)
}
