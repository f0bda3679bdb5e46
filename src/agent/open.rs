//! What the agent opens: sockets, a look at a path, jobs on the extensions.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::engine::extensions::{Place, work};
use crate::engine::workspace::remember;
use crate::model::{AbsolutePath, ExtensionJob, Port};
use crate::proto::place::SOCKET;
use crate::proto::{AgentAnswer, AgentRequest};

/// A listener on one's own loopback takes a connection at once, or its queue is full.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// The state of a listening socket in `/proc/net/tcp` (the kernel's tcp_states.h).
const LISTENING: &str = "0A";

/// Does what is asked; the descriptor goes with the answer.
pub(super) fn open(request: &AgentRequest, place: Option<&Place>) -> (AgentAnswer, Option<OwnedFd>) {
    match request {
        AgentRequest::Engine => connected(UnixStream::connect(SOCKET).map(OwnedFd::from)),
        AgentRequest::Port { port } => port_of_ours(*port),
        AgentRequest::Look { path } => (look(path.as_path()), None),
        AgentRequest::Workspace { path, key } => (remembered(place, path, *key).map_or_else(|e| failed(&e), |()| AgentAnswer::Done), None),
        AgentRequest::Extensions { what } => connected(begin(what.clone(), place)),
        AgentRequest::Usage => (super::usage::usage().map_or_else(|e| failed(&e), |usage| AgentAnswer::Usage { usage }), None),
        AgentRequest::Disk => (super::disk::measure().map_or_else(|e| failed(&e), |disk| AgentAnswer::Disk { disk }), None),
        AgentRequest::Log | AgentRequest::Watch => (AgentAnswer::Failed { errno: libc::EINVAL }, None),
    }
}

/// Begins a job in a thread of its own, which goes on when the front has gone away.
fn begin(job: ExtensionJob, place: Option<&Place>) -> io::Result<OwnedFd> {
    let place = place.cloned().ok_or_else(unsupported)?;
    let (ours, theirs) = UnixStream::pair()?;
    std::thread::Builder::new().name("extensions".to_owned()).spawn(move || work(&place, job, ours))?;
    Ok(theirs.into())
}

fn remembered(place: Option<&Place>, path: &AbsolutePath, key: i32) -> io::Result<()> {
    remember(place.ok_or_else(unsupported)?, path, key)
}

/// There is no engine's command line to tell where things are.
fn unsupported() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSYS)
}

fn connected(result: io::Result<OwnedFd>) -> (AgentAnswer, Option<OwnedFd>) {
    match result {
        Ok(fd) => (AgentAnswer::Connected, Some(fd)),
        Err(e) => (failed(&e), None),
    }
}

fn failed(error: &io::Error) -> AgentAnswer {
    AgentAnswer::Failed { errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

fn look(path: &Path) -> AgentAnswer {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => AgentAnswer::Directory,
        Ok(_) => AgentAnswer::File,
        Err(e) if matches!(e.kind(), NotFound | NotADirectory | PermissionDenied | InvalidFilename) => AgentAnswer::Missing,
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => AgentAnswer::Missing,
        Err(e) => failed(&e),
    }
}

/// A dev server binds one of the two loopback addresses; which one is up to its runtime.
fn port_of_ours(port: Port) -> (AgentAnswer, Option<OwnedFd>) {
    let uid = rustix::process::getuid().as_raw();
    let mut refused = AgentAnswer::Failed { errno: libc::ECONNREFUSED };
    let families = [("/proc/net/tcp", IpAddr::V4(Ipv4Addr::LOCALHOST)), ("/proc/net/tcp6", IpAddr::V6(Ipv6Addr::LOCALHOST))];
    for (table, address) in families {
        let listeners = fs::read_to_string(table).map(|text| listeners(&text, port)).unwrap_or_default();
        if listeners.is_empty() {
            continue;
        }
        // In the host's network, which a class may ask for, others listen as well.
        if listeners.iter().any(|owner| *owner != uid) {
            refused = AgentAnswer::NotYours;
            continue;
        }
        // A socket on `::` is listed under IPv6 only and takes IPv4 as well, most of the time.
        let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.get());
        let tried = TcpStream::connect_timeout(&SocketAddr::new(address, port.get()), CONNECT_DEADLINE)
            .or_else(|_| TcpStream::connect_timeout(&v4, CONNECT_DEADLINE));
        match tried {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return (AgentAnswer::Connected, Some(stream.into()));
            }
            Err(e) => refused = failed(&e),
        }
    }
    (refused, None)
}

/// The user ids of those who listen on `port`, from the text of `/proc/net/tcp` or `tcp6` (proc_net_tcp.rst).
fn listeners(table: &str, port: Port) -> Vec<u32> {
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let uid = fields.nth(3)?;
        let (_, hex) = local.rsplit_once(':')?;
        (state == LISTENING && u16::from_str_radix(hex, 16).ok()? == port.get()).then(|| uid.parse().ok())?
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:0BB8 0100007F:D431 01 00000000:00000000 00:00000000 00000000     7        0 1 1 0 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
";

    #[test]
    fn only_listeners_count() {
        assert_eq!(listeners(TABLE, "3000".parse().unwrap()), [1000]);
        assert_eq!(listeners(TABLE, "22".parse().unwrap()), [0]);
        assert!(listeners(TABLE, "3001".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_port_of_ours_is_opened() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port().to_string().parse().unwrap();
            let (answer, fd) = open(&AgentRequest::Port { port }, None);
            assert_eq!((answer, fd.is_some()), (AgentAnswer::Connected, true), "{address}");
        }
    }

    #[test]
    fn a_job_is_told_of_on_a_connection_of_its_own() {
        use std::io::Read;
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("out/server-main.js");
        let words = ["node".as_ref(), main.as_os_str(), "--extensions-dir".as_ref(), dir.path().as_os_str()];
        let words =
            words.into_iter().chain(["--user-data-dir".as_ref(), dir.path().as_os_str(), "--server-data-dir".as_ref(), "/".as_ref()]);
        let place = Place::of(&words.map(Into::into).collect::<Vec<_>>(), None).unwrap();
        let request = AgentRequest::Extensions { what: ExtensionJob::List { sizes: false } };
        let (answer, fd) = open(&request, Some(&place));
        assert_eq!(answer, AgentAnswer::Connected);
        let mut text = String::new();
        UnixStream::from(fd.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"news\":\"listed\",\"extensions\":[]}\n");
        assert_eq!(open(&request, None).0, AgentAnswer::Failed { errno: libc::ENOSYS });
    }

    #[test]
    fn looks() {
        assert_eq!(look(Path::new("/proc")), AgentAnswer::Directory);
        assert_eq!(look(Path::new("/proc/self/stat")), AgentAnswer::File);
        assert_eq!(look(Path::new("/proc/self/stat/x")), AgentAnswer::Missing);
        assert_eq!(look(Path::new("/nowhere")), AgentAnswer::Missing);
    }
}
