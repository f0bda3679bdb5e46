//! Packets over unix sockets of type `SOCK_SEQPACKET`: whole or not at all, with descriptors beside them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType, recvmsg, sendmsg, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The most descriptors taken with one packet; the kernel closes what comes beyond, and we refuse the packet.
const MAX_FDS: usize = 1;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 64;

/// One packet.
#[derive(Debug, Default)]
pub struct Packet {
    /// What it says.
    pub data: Vec<u8>,
    /// The descriptor that came with it.
    pub fd: Option<OwnedFd>,
}

/// A connected packet socket, for async code.
#[derive(Debug)]
pub struct PacketSocket(AsyncFd<OwnedFd>);

/// A listening packet socket, for async code.
#[derive(Debug)]
pub struct PacketListener(AsyncFd<OwnedFd>);

/// Sends one packet, and `pass` with it. Blocks when `socket` does.
///
/// # Errors
/// As sendmsg(2).
pub fn send_packet(socket: BorrowedFd<'_>, data: &[u8], pass: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = pass.into_iter().collect();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(socket, &[IoSlice::new(data)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one packet of at most `limit` bytes; none when the peer has closed. Blocks when `socket` does.
///
/// # Errors
/// As recvmsg(2); `InvalidData` for a packet that is longer or carries more than one descriptor.
pub fn receive_packet(socket: BorrowedFd<'_>, limit: usize) -> io::Result<Option<Packet>> {
    let mut data = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut data)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) || fds.len() > MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet is too large"));
    }
    // An empty packet cannot be told from the end; nobody sends one.
    if received.bytes == 0 && fds.is_empty() {
        return Ok(None);
    }
    data.truncate(received.bytes);
    Ok(Some(Packet { data, fd: fds.pop() }))
}

/// A socket that listens at `path`, mode 0600; what was there is removed.
///
/// # Errors
/// When the directory refuses.
pub fn listen_packets(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to the packet socket at `path`. Never waits: who listens there may be a tenant who has stopped listening.
///
/// # Errors
/// As connect(2); `WouldBlock` when its queue is full.
pub fn connect_packets(path: &Path) -> io::Result<OwnedFd> {
    let kind = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, kind, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

/// Takes the next connection of a listening packet socket. Blocks when `listener` does.
///
/// # Errors
/// As accept(2).
pub fn accept_packets(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?)
}

/// The user id of whoever connected, or listened, at the other end of a unix socket, as of that moment.
///
/// # Errors
/// As getsockopt(2).
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(socket)?.uid.as_raw())
}

fn nonblocking(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    watched(fd)
}

fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, stays the same descriptor for as long as it lives, and lives inside the `AsyncFd`.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register(fd) };
    Ok(watched?)
}

impl PacketSocket {
    /// Takes over a connected packet socket.
    ///
    /// # Errors
    /// When it is not connected, or of another type.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let is_packets = sockopt::socket_domain(&fd)? == AddressFamily::UNIX && sockopt::socket_type(&fd)? == SocketType::SEQPACKET;
        if !is_packets || sockopt::socket_acceptconn(&fd)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a connected packet socket"));
        }
        nonblocking(fd).map(Self)
    }

    /// Connects to the packet socket at `path`.
    ///
    /// # Errors
    /// As connect(2); `WouldBlock` when its queue is full.
    pub fn connect(path: &Path) -> io::Result<Self> {
        nonblocking(connect_packets(path)?).map(Self)
    }

    /// Sends one packet, and `pass` with it.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub async fn send(&self, data: &[u8], pass: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |fd| send_packet(fd.as_fd(), data, pass)).await
    }

    /// Receives one packet of at most `limit` bytes; none when the peer has closed.
    ///
    /// # Errors
    /// As [`receive_packet`].
    pub async fn receive(&self, limit: usize) -> io::Result<Option<Packet>> {
        self.0.async_io(Interest::READABLE, |fd| receive_packet(fd.as_fd(), limit)).await
    }

    /// As [`peer_uid`].
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn peer_uid(&self) -> io::Result<u32> {
        peer_uid(self.0.get_ref().as_fd())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl PacketListener {
    /// Takes over a listening packet socket.
    ///
    /// # Errors
    /// When it does not listen, or is of another type.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let is_packets = sockopt::socket_domain(&fd)? == AddressFamily::UNIX && sockopt::socket_type(&fd)? == SocketType::SEQPACKET;
        if !is_packets || !sockopt::socket_acceptconn(&fd)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening packet socket"));
        }
        nonblocking(fd).map(Self)
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// As accept(2).
    pub async fn accept(&self) -> io::Result<PacketSocket> {
        let fd = self.0.async_io(Interest::READABLE, |fd| accept_packets(fd.as_fd())).await?;
        PacketSocket::from_fd(fd)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_keep_their_bounds_and_carry_a_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = PacketListener::from_fd(listen_packets(&path).unwrap()).unwrap();
        let client = PacketSocket::connect(&path).unwrap();
        let server = listener.accept().await.unwrap();
        assert_eq!(server.peer_uid().unwrap(), rustix::process::getuid().as_raw());

        let file = std::fs::File::open("/dev/null").unwrap();
        client.send(b"one", None).await.unwrap();
        client.send(b"two", Some(file.as_fd())).await.unwrap();
        let one = server.receive(16).await.unwrap().unwrap();
        assert_eq!((one.data.as_slice(), one.fd.is_some()), (&b"one"[..], false));
        let two = server.receive(16).await.unwrap().unwrap();
        assert_eq!((two.data.as_slice(), two.fd.is_some()), (&b"two"[..], true));

        client.send(&[7; 17], None).await.unwrap();
        assert_eq!(server.receive(16).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(client);
        assert!(server.receive(16).await.unwrap().is_none());
    }

    #[test]
    fn many_descriptors_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = listen_packets(&path).unwrap();
        let client = connect_packets(&path).unwrap();
        let server = accept_packets(listener.as_fd()).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let fds = [file.as_fd(), file.as_fd(), file.as_fd(), file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&client, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        assert_eq!(receive_packet(server.as_fd(), 16).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
