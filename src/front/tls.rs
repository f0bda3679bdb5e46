//! TLS: certificates that can be replaced while connections go on, and the handshake with its deadline.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::ServeError;
use super::linger::Lingering;
use crate::config::Tls;
use crate::sys::Stream;

/// The time for a whole handshake. It takes two or three round trips; a client that needs longer holds a place for nothing.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first byte of every TLS connection: the record type "handshake" (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// What a browser sees that speaks plain HTTP here.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
    Content-Length: 45\r\n\r\nThis port speaks HTTPS: the URL is https://.\n";

/// What the next handshake is done with.
pub(super) struct Certificate(RwLock<Arc<ServerConfig>>);

/// What a connection speaks above TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Certificate {
    pub(super) fn open(tls: &Tls) -> Result<Self, ServeError> {
        load(tls).map(|config| Self(RwLock::new(config)))
    }

    /// Takes what [`load`] has read into force. Connections that exist are not touched.
    pub(super) fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Shakes hands. None when there is nobody to serve; whatever a client may be told, it has been.
    pub(super) async fn accept(&self, mut stream: Stream) -> Option<(TlsStream<Lingering<Stream>>, Protocol)> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)));
        let handshake = async {
            match stream.peek().await {
                Ok(None | Some(TLS_HANDSHAKE)) => acceptor.accept(Lingering::new(stream)).await,
                Ok(Some(_)) => {
                    stream.write_all(SPEAK_TLS).await?;
                    // The request that nobody reads must not reset the answer away.
                    Lingering::new(stream).shutdown().await?;
                    Err(std::io::ErrorKind::InvalidData.into())
                }
                Err(e) => Err(e),
            }
        };
        match tokio::time::timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => {
                let protocol = if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
                Some((stream, protocol))
            }
            // Scanners and browsers that do not like the certificate: the day's business.
            Ok(Err(e)) => {
                tracing::debug!("no TLS: {e}");
                None
            }
            Err(_) => {
                tracing::debug!("no TLS within {HANDSHAKE:?}");
                None
            }
        }
    }
}

/// Whether certificate and key can be read by whoever asks, and belong together.
///
/// # Errors
/// With the file that cannot be used, and why.
pub fn check_certificate(tls: &Tls) -> Result<(), ServeError> {
    load(tls).map(drop)
}

/// Reads certificate and key, and sees that they belong together.
pub(super) fn load(tls: &Tls) -> Result<Arc<ServerConfig>, ServeError> {
    let bad = |path: &Path, why: &dyn std::fmt::Display| ServeError::Certificate { path: path.to_owned(), why: why.to_string() };
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(&tls.certificate, &e))?;
    if chain.is_empty() {
        return Err(bad(&tls.certificate, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|e| match e {
        pem::Error::NoItemsFound => bad(&tls.key, &"there is no private key in it"),
        e => bad(&tls.key, &e),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&tls.certificate, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| bad(&tls.certificate, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The better of two good ciphers, whatever an old client thinks of them.
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}
