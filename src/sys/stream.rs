//! Listeners and streams, TCP or unix, as one type each.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

/// A socket that accepts.
#[derive(Debug)]
pub enum Listener {
    /// On a TCP address.
    Tcp(TcpListener),
    /// On a unix socket.
    Unix(UnixListener),
}

impl Stream {
    /// Takes over a connected stream socket that somebody else opened. It is checked for what it is, because that somebody may
    /// be a tenant.
    ///
    /// # Errors
    /// When it is not a connected stream socket, TCP or unix.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketType, getpeername, sockopt};
        let unfit = || io::Error::new(io::ErrorKind::InvalidInput, "what was passed is no connected stream socket");
        if sockopt::socket_type(&fd)? != SocketType::STREAM || getpeername(&fd)?.is_none() {
            return Err(unfit());
        }
        match sockopt::socket_domain(&fd)? {
            AddressFamily::UNIX => {
                let stream = std::os::unix::net::UnixStream::from(fd);
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Self::Unix)
            }
            AddressFamily::INET | AddressFamily::INET6 => {
                let stream = std::net::TcpStream::from(fd);
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            _ => Err(unfit()),
        }
    }

    /// The user at the other end of a unix socket; none for TCP.
    pub fn peer_uid(&self) -> Option<u32> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(stream) => stream.peer_cred().ok().map(|peer| peer.uid()),
        }
    }

    /// Our own TCP address on this connection; none for a unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Waits for the first byte and leaves it to be read; none when nothing comes any more, or from a unix socket.
    ///
    /// # Errors
    /// As recv(2).
    pub async fn peek(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        match self {
            Self::Tcp(stream) => stream.peek(&mut byte).await.map(|n| (n > 0).then_some(byte[0])),
            Self::Unix(_) => Ok(None),
        }
    }
}

impl Listener {
    /// Binds a TCP address.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// Binds a unix socket, mode 0600. A stale socket file is removed first; a live one, or any other file, is not.
    ///
    /// # Errors
    /// `AddrInUse` when somebody still answers there or when the path is not a socket.
    pub fn unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() && std::os::unix::net::UnixStream::connect(path).is_err() => {
                std::fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self::Unix(listener))
    }

    /// Takes over a socket that somebody else opened and bound.
    ///
    /// # Errors
    /// When it is not a listening stream socket.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        use rustix::net::{AddressFamily, sockopt};
        if !sockopt::socket_acceptconn(&fd)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the inherited socket does not listen"));
        }
        match sockopt::socket_domain(&fd)? {
            AddressFamily::UNIX => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = std::net::TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the inherited socket is neither TCP nor unix")),
        }
    }

    /// Waits for the next connection. Its peer's address comes with it when it has one.
    ///
    /// # Errors
    /// As accept(2); the caller decides which of them pass by themselves.
    pub async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Editors send many small frames; waiting to fill a segment only adds latency.
                stream.set_nodelay(true)?;
                notice_dead_peers(&stream)?;
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), None)),
        }
    }

    /// The TCP address it is bound to; none for a unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// A phone that fell asleep or left the network says nothing: the kernel asks after a minute, and gives up after two.
fn notice_dead_peers(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    use std::time::Duration;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    // The same for one that takes nothing any more while we have something to send.
    sockopt::set_tcp_user_timeout(stream, 120_000)?;
    Ok(())
}

/// The sockets that systemd passed (sd_listen_fds(3)) with the names it gave them. Call once, early.
///
/// # Errors
/// When the variables are malformed.
pub fn inherited_listeners() -> io::Result<Vec<(String, OwnedFd)>> {
    let passed = sd_notify::listen_fds_with_names()?;
    let mut taken = Vec::new();
    for (fd, name) in passed {
        // SAFETY: systemd says these descriptors are open and ours; this function is called once, before anything else
        // could have taken them.
        #[allow(unsafe_code)]
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        taken.push((name, fd));
    }
    Ok(taken)
}

/// A directory held open, through which sockets in it can be reached by a path of fixed length.
///
/// A unix socket's address has room for 107 bytes; a data directory may be deeper than that.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// When it is not there or no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// A short path of `name` in this directory, good in this process while the directory is held.
    pub fn short_path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }

    /// Connects to the unix socket `name` in this directory.
    ///
    /// # Errors
    /// As connect(2).
    pub async fn connect(&self, name: &str) -> io::Result<Stream> {
        UnixStream::connect(self.short_path(name)).await.map(Stream::Unix)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
