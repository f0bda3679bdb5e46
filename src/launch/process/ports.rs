//! The ports of an instance that shares the host's network: only those on which one of its own processes listens, so that no
//! instance is a window into another, into the daemon, or into the operator's services.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpStream;

use super::belonging::Belonging;
use crate::model::Port;
use crate::sys::{self, ListeningSocket, ProcessTable, Stream};

/// How many sockets that were found to be the instance's own are remembered.
const MOST_KNOWN: usize = 1024;

/// Connects to what the processes of one instance listen on.
pub(super) struct OwnPorts {
    belonging: Belonging,
    /// Inodes of listening sockets that were seen in the hands of the instance. Looking at every process takes milliseconds; a
    /// socket does not change hands.
    known: Mutex<HashSet<u64>>,
}

impl OwnPorts {
    pub(super) fn of(belonging: Belonging) -> Self {
        Self { belonging, known: Mutex::default() }
    }

    /// Connects to `port` on loopback, IPv4 first.
    ///
    /// Between the look and the connection another process may take the port over. So the look is repeated afterwards: the very
    /// same sockets have to be listening still. What remains is an instance that gives its port away and takes the same socket
    /// back in that moment, for which it has to hold the socket all the time; no other instance's process can do that to it.
    pub(super) async fn connect(&self, port: Port) -> io::Result<Stream> {
        let mut outcome = io::Error::from(io::ErrorKind::ConnectionRefused);
        for target in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let before = listeners(port, target)?;
            if before.is_empty() {
                continue;
            }
            if !self.owns(&before).await? {
                outcome = io::ErrorKind::PermissionDenied.into();
                continue;
            }
            match TcpStream::connect(SocketAddr::new(target, port.get())).await {
                Ok(stream) if listeners(port, target)? == before => {
                    stream.set_nodelay(true)?;
                    return Ok(Stream::Tcp(stream));
                }
                Ok(_) => outcome = io::ErrorKind::ConnectionAborted.into(),
                Err(e) => outcome = e,
            }
        }
        Err(outcome)
    }

    /// Whether all of `sockets` are in the hands of the instance, and none in ours.
    async fn owns(&self, sockets: &[ListeningSocket]) -> io::Result<bool> {
        let inodes: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
        if inodes.is_subset(&self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(true);
        }
        let (belonging, wanted) = (self.belonging.clone(), inodes.clone());
        // Aside: on a busy host this is thousands of small files.
        let look = move || {
            let members = belonging.members(&ProcessTable::read()?);
            Ok::<_, io::Error>(sys::own_sockets(&wanted).is_empty() && sys::held_sockets(&members, &wanted) == wanted)
        };
        let owned = tokio::task::spawn_blocking(look).await.map_err(io::Error::other)??;
        if owned {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() > MOST_KNOWN {
                known.clear();
            }
            known.extend(inodes);
        }
        Ok(owned)
    }
}

/// The sockets that a connection to `port` at `target` can end at.
fn listeners(port: Port, target: IpAddr) -> io::Result<Vec<ListeningSocket>> {
    let mut sockets = sys::listening_on(port.get())?;
    sockets.sort_by_key(|socket| socket.inode);
    Ok(most_specific(&sockets, target))
}

/// The kernel prefers a socket that is bound to the very address, then one bound to all of its family, then one bound to all of
/// both; of several in one class (`SO_REUSEPORT`) it takes any.
fn most_specific(sockets: &[ListeningSocket], target: IpAddr) -> Vec<ListeningSocket> {
    let classes = match target {
        IpAddr::V4(_) => [Some(target), Some(Ipv4Addr::UNSPECIFIED.into()), Some(Ipv6Addr::UNSPECIFIED.into())],
        IpAddr::V6(_) => [Some(target), Some(Ipv6Addr::UNSPECIFIED.into()), None],
    };
    let of = |class: IpAddr| sockets.iter().filter(|socket| socket.address == class).copied().collect::<Vec<_>>();
    classes.into_iter().flatten().map(of).find(|class| !class.is_empty()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_choice() {
        let socket = |address: &str, inode| ListeningSocket { address: address.parse().unwrap(), inode };
        let all = [socket("0.0.0.0", 1), socket("127.0.0.1", 2), socket("::", 3), socket("127.0.0.1", 4), socket("10.0.0.1", 5)];
        let inodes = |sockets: &[ListeningSocket], target: &str| {
            most_specific(sockets, target.parse().unwrap()).iter().map(|socket| socket.inode).collect::<Vec<_>>()
        };
        assert_eq!(inodes(&all, "127.0.0.1"), [2, 4], "any of those that share the port");
        assert_eq!(inodes(&all[..1], "127.0.0.1"), [1]);
        assert_eq!(inodes(&all[2..3], "127.0.0.1"), [3]);
        assert_eq!(inodes(&all, "::1"), [3]);
        assert_eq!(inodes(&all[4..], "127.0.0.1"), [0; 0], "another address is not loopback");
    }

    #[tokio::test]
    async fn a_port_of_our_own_or_of_nobody_is_none_of_the_instance() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port: Port = listener.local_addr().unwrap().port().to_string().parse().unwrap();
        let ports = OwnPorts::of(Belonging::Instance(None, "/no/such/instance".into()));
        assert_eq!(ports.connect(port).await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        drop(listener);
        // A child that another test is starting listens on until it is another program.
        let mut kind = io::ErrorKind::PermissionDenied;
        for _ in 0..1000 {
            kind = ports.connect(port).await.unwrap_err().kind();
            if kind == io::ErrorKind::ConnectionRefused {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(kind, io::ErrorKind::ConnectionRefused);
    }
}
