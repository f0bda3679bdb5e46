//! TLS from the other side: certificates of our own making, and clients for both kinds of HTTP.

use std::convert::Infallible;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::http::{Response, read_response, request_bytes};
use super::{DEADLINE, Daemon};

/// A certificate for `localhost`, everything below it and 127.0.0.1, signed by itself.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes `NAME.pem` and `NAME.key` in `dir`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let made = Self { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90"])
            .args(["-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1"])
            .arg("-out")
            .arg(&made.certificate)
            .arg("-keyout")
            .arg(&made.key)
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    }

    /// `[tls]` for it.
    pub(crate) fn config(&self) -> String {
        format!("[tls]\ncertificate = '{}'\nkey = '{}'\n", self.certificate.display(), self.key.display())
    }

    fn client(&self, alpn: &[&str], versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate).expect("a certificate")).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// One TLS connection that speaks HTTP/1.1.
pub(crate) struct Tls(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Tls {
    /// Shakes hands with a server that has to show `certificate`.
    pub(crate) fn connect(address: SocketAddr, certificate: &Certificate, alpn: &[&str]) -> std::io::Result<Self> {
        Self::with_versions(address, certificate, alpn, rustls::ALL_VERSIONS)
    }

    pub(crate) fn with_versions(
        address: SocketAddr,
        certificate: &Certificate,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<Self> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(certificate.client(alpn, versions), name).map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        connection.complete_io(&mut stream)?;
        Ok(Self(BufReader::new(StreamOwned::new(connection, stream))))
    }

    pub(crate) fn alpn(&self) -> Option<String> {
        self.0.get_ref().conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// A request, on this connection if the server keeps it.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let address = self.0.get_ref().sock.peer_addr().expect("a peer");
        let bytes = String::from_utf8(request_bytes(address, method, path, headers, body)).expect("text");
        self.write(bytes.replace("Connection: close\r\n", "").as_bytes());
        read_response(&mut self.0, method == "HEAD").expect("an answer")
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
        self.0.get_mut().flush().expect("the server reads");
    }

    pub(crate) fn answer(&mut self) -> Response {
        read_response(&mut self.0, false).expect("an answer")
    }

    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.0.read_exact(&mut got).expect("bytes come back");
        assert!(got == bytes, "what came back differs");
    }
}

/// What is sent over HTTP/2.
pub(crate) type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// One TLS connection that speaks HTTP/2.
pub(crate) struct Http2 {
    sender: SendRequest<Sent>,
    /// Resolves when the server has closed the connection.
    pub(crate) closed: tokio::task::JoinHandle<()>,
    authority: String,
}

impl Http2 {
    pub(crate) async fn connect(daemon: &Daemon, certificate: &Certificate) -> Self {
        let stream = tokio::net::TcpStream::connect(daemon.address).await.expect("the daemon accepts");
        let config = certificate.client(&["h2", "http/1.1"], rustls::ALL_VERSIONS);
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let closed = tokio::spawn(async move { drop(connection.await) });
        Self { sender, closed, authority: format!("localhost:{}", daemon.address.port()) }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> http::request::Builder {
        let mut builder = http::Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder
    }

    /// From here on asks for another host on the same connection, as browsers do where the certificate has both names.
    pub(crate) fn say_host(&mut self, name: &str) {
        let port = self.authority.rsplit(':').next().expect("a port");
        self.authority = format!("{name}:{port}");
    }

    /// A request with a body of any kind, and the answer as it comes.
    pub(crate) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
    ) -> http::Response<Incoming> {
        let request = self.request(method, path, headers).body(body.boxed_unsync()).expect("a request");
        self.sender.ready().await.expect("a connection");
        self.sender.send_request(request).await.expect("an answer")
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let (parts, body) = self.begin(method, path, headers, Empty::new()).await.into_parts();
        let headers = parts.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().expect("text").to_owned())).collect();
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Response { status: parts.status.as_u16(), headers, body }
    }

    /// An extended CONNECT (RFC 8441) for `protocol`; the status instead when it is refused.
    pub(crate) async fn upgrade(
        &mut self,
        protocol: &'static str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<TokioIo<hyper::upgrade::Upgraded>, u16> {
        let mut request = self.request("CONNECT", path, headers).body(Empty::new().boxed_unsync()).expect("a request");
        request.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
        // The server says with its settings that it can do this: they have to be here first.
        self.send("GET", "/robots.txt", &[]).await;
        let response = self.sender.send_request(request).await.expect("an answer");
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade")))
    }
}

/// Whatever is sent comes back, small and large.
pub(crate) async fn expect_echoes(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    for size in [1, 1000, 1_000_000] {
        let sent = vec![b'x'; size];
        let (mut read, mut write) = tokio::io::split(&mut *socket);
        let mut got = vec![0; size];
        let (wrote, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut got));
        wrote.and(read.map(|_| ())).unwrap();
        assert!(got == sent);
    }
}
