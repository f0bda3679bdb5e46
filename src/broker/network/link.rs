//! Links, addresses and routes of one network namespace: rtnetlink, made blocking.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

/// The address of a network card.
pub(super) type Mac = [u8; 6];

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {subject}: {source}")]
pub(super) struct LinkError {
    action: &'static str,
    subject: String,
    source: io::Error,
}

/// A netlink socket in the network namespace of the thread that opened it.
pub(super) struct Links {
    runtime: tokio::runtime::Runtime,
    handle: Handle,
}

impl Links {
    /// Opens one in the namespace of this thread.
    pub(super) fn open() -> Result<Self, LinkError> {
        let wrap = |source| LinkError { action: "open", subject: "a netlink socket".to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(wrap)?;
        let entered = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().map_err(wrap)?;
        drop(entered);
        // It ends with the runtime, at the end of `self`.
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    fn run<T>(
        &self,
        action: &'static str,
        subject: &str,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, LinkError> {
        let wrap = |error| LinkError { action, subject: subject.to_owned(), source: plain(error) };
        self.runtime.block_on(request).map_err(wrap)
    }

    /// The number of the link `name`, if there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<u32>, LinkError> {
        let mut answers = Box::pin(self.handle.link().get().match_name(name).execute());
        match self.run("look for", name, answers.try_next()) {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(e) if e.source.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The number of the link `name`.
    pub(super) fn need(&self, name: &str) -> Result<u32, LinkError> {
        self.find(name)?.ok_or_else(|| LinkError { action: "find", subject: name.to_owned(), source: io::ErrorKind::NotFound.into() })
    }

    /// Makes the bridge `name`, down, with an address of its own: otherwise it would take that of a port, and change it when ports come
    /// and go, while instances still send to the old one.
    pub(super) fn add_bridge(&self, name: &str, mac: Mac) -> Result<(), LinkError> {
        // Nobody here listens to multicast: there is nothing to snoop for.
        let message = LinkBridge::new(name).down().address(mac.to_vec()).mcast_snooping(false).build();
        self.run("make bridge", name, self.handle.link().add(message).execute())
    }

    /// Makes a pair of linked cards, both down: `name` here, and `peer` in `namespace`, where it never was anywhere else.
    pub(super) fn add_pair(&self, name: &str, peer: &str, peer_mac: Mac, namespace: BorrowedFd<'_>) -> Result<(), LinkError> {
        let there =
            LinkMessageBuilder::<LinkUnspec>::new().name(peer).address(peer_mac.to_vec()).setns_by_fd(namespace.as_raw_fd()).build();
        let message = LinkVeth::new(name, peer).set_info_data(InfoData::Veth(InfoVeth::Peer(there))).build();
        self.run("make link", name, self.handle.link().add(message).execute())
    }

    /// Removes a link, and its peer with it. One that is gone is fine.
    pub(super) fn remove(&self, name: &str) -> Result<(), LinkError> {
        let Some(index) = self.find(name)? else { return Ok(()) };
        match self.run("remove", name, self.handle.link().del(index).execute()) {
            Err(e) if e.source.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Makes `name` a port of the bridge numbered `bridge` that reaches the bridge itself, but no other such port.
    pub(super) fn join_isolated(&self, name: &str, bridge: u32) -> Result<(), LinkError> {
        let index = self.need(name)?;
        let join = LinkUnspec::new_with_index(index).controller(bridge).build();
        self.run("add to the bridge", name, self.handle.link().set(join).execute())?;
        let isolate = LinkBridgePort::new(index).isolated(true).build();
        self.run("isolate", name, self.handle.link().set_port(isolate).execute())
    }

    /// Brings a link up.
    pub(super) fn up(&self, name: &str) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(self.need(name)?).up().build();
        self.run("bring up", name, self.handle.link().set(message).execute())
    }

    /// Brings a link down.
    pub(super) fn down(&self, name: &str) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(self.need(name)?).down().build();
        self.run("bring down", name, self.handle.link().set(message).execute())
    }

    /// Gives a link an address; one that it has already is fine.
    pub(super) fn add_address(&self, name: &str, address: Ipv4Addr, prefix: u8) -> Result<(), LinkError> {
        let request = self.handle.address().add(self.need(name)?, IpAddr::V4(address), prefix);
        self.run("give an address to", name, request.replace().execute())
    }

    /// Sends all that has no other way through `gateway`.
    pub(super) fn add_default_route(&self, gateway: Ipv4Addr) -> Result<(), LinkError> {
        let route: RouteMessage = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        self.run("route through", &gateway.to_string(), self.handle.route().add(route).execute())
    }

    /// How many ports the bridge numbered `bridge` has.
    pub(super) fn ports(&self, bridge: u32) -> Result<usize, LinkError> {
        let links: Vec<LinkMessage> = self.run("list", "links", self.handle.link().get().execute().try_collect())?;
        let is_port = |link: &&LinkMessage| link.attributes.contains(&LinkAttribute::Controller(bridge));
        Ok(links.iter().filter(is_port).count())
    }
}

fn plain(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}
