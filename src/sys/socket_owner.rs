//! Who listens on a TCP port: the listening sockets that `/proc/net` shows, and the processes that hold them.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::procfs::Pid;

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListeningSocket {
    /// The address it is bound to; an IPv4 address in IPv6 clothes is IPv4.
    pub address: IpAddr,
    /// Its inode, a number that no other socket has while this one is there.
    pub inode: u64,
}

/// The state `TCP_LISTEN` (include/net/tcp_states.h) as `/proc/net/tcp` writes it.
const LISTEN: &str = "0A";

/// The sockets that listen on `port`, in the network namespace of this process.
///
/// # Errors
/// When `/proc/net` cannot be read.
pub fn listening_on(port: u16) -> io::Result<Vec<ListeningSocket>> {
    let mut found = Vec::new();
    for (file, required) in [("/proc/self/net/tcp", true), ("/proc/self/net/tcp6", false)] {
        let file = match fs::File::open(file) {
            Ok(file) => file,
            // A kernel without IPv6 has no such file.
            Err(e) if !required && e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        // Sockets that listen come first (Documentation/networking/proc_net_tcp.rst). What follows are connections, on a busy host
        // thousands of them, and each one read costs.
        for line in io::BufReader::with_capacity(4096, file).lines().skip(1) {
            let line = line?;
            match listener(&line) {
                Some((socket, listens_on)) if listens_on == port => found.push(socket),
                Some(_) => {}
                None => break,
            }
        }
    }
    Ok(found)
}

/// Of `inodes`, those of sockets that one of `processes` holds. A process that ends meanwhile, or that may not be looked at,
/// holds none.
pub fn held_sockets(processes: &[Pid], inodes: &HashSet<u64>) -> HashSet<u64> {
    let mut held = HashSet::new();
    for pid in processes {
        collect(&format!("/proc/{}/fd", pid.as_raw_nonzero()), inodes, &mut held);
        if held.len() == inodes.len() {
            break;
        }
    }
    held
}

/// Of `inodes`, those of sockets that this process itself holds.
pub fn own_sockets(inodes: &HashSet<u64>) -> HashSet<u64> {
    let mut held = HashSet::new();
    collect("/proc/self/fd", inodes, &mut held);
    held
}

fn collect(fd_dir: &str, inodes: &HashSet<u64>, held: &mut HashSet<u64>) {
    for entry in fs::read_dir(fd_dir).into_iter().flatten().flatten() {
        let Ok(link) = fs::read_link(entry.path()) else { continue };
        let inode = link.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        held.extend(inode.filter(|inode| inodes.contains(inode)));
    }
}

/// The socket and its port; none for a connection. `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …` (proc_pid_net(5)).
fn listener(line: &str) -> Option<(ListeningSocket, u16)> {
    let mut fields = line.split_ascii_whitespace();
    let (address, local_port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(local_port, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some((ListeningSocket { address: parse_address(address)?, inode }, port))
}

/// Words of 32 bits, each in the byte order of this machine.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => word(0).map(|bytes| Ipv4Addr::from(bytes).into()),
        32 => {
            let mut bytes = [0; 16];
            for (i, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(8 * i)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn finds_listeners_and_who_holds_them() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = listener.local_addr().unwrap();
            let sockets = listening_on(local.port()).unwrap();
            assert!(sockets.iter().any(|socket| socket.address == local.ip()), "{address}: {sockets:?}");
            let inodes: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
            assert_eq!(own_sockets(&inodes), inodes);
            assert_eq!(held_sockets(&[rustix::process::getpid()], &inodes), inodes);
            assert!(held_sockets(&[rustix::process::getppid().unwrap()], &inodes).is_empty());
            drop(listener);
            let is_gone = || !listening_on(local.port()).unwrap().iter().any(|socket| inodes.contains(&socket.inode));
            assert!(crate::sys::comes_true(is_gone), "{address}");
        }
    }

    #[test]
    fn lines() {
        let line = "   1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0";
        let found = listener(line);
        if cfg!(target_endian = "little") {
            assert_eq!(found, Some((ListeningSocket { address: Ipv4Addr::LOCALHOST.into(), inode: 4711 }, 3000)));
            let mapped = line.replace("0100007F", "0000000000000000FFFF00000100007F");
            assert_eq!(listener(&mapped), found);
        }
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None, "a connection does not listen");
        assert_eq!(listener(""), None);
    }
}
