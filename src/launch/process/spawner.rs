//! A thread that spawns.
//!
//! A child is told to die with its parent, and for the kernel the parent is the *thread* that spawned it. The runtime's threads
//! come and go; this one lives as long as the launcher.

use std::io;
use std::process::Command;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

type Order = (Command, oneshot::Sender<io::Result<Child>>);

pub(super) struct Spawner {
    orders: mpsc::UnboundedSender<Order>,
}

impl Spawner {
    pub(super) fn start(runtime: Handle) -> io::Result<Self> {
        let (orders, mut inbox) = mpsc::unbounded_channel::<Order>();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            // tokio's child wants a runtime at hand to watch for its end.
            let _entered = runtime.enter();
            while let Some((command, reply)) = inbox.blocking_recv() {
                let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
                // Nobody waiting any more means the child is dropped here, and with that killed.
                let _ = reply.send(child);
            }
        })?;
        Ok(Self { orders })
    }

    /// None when the thread has ended.
    pub(super) async fn spawn(&self, command: Command) -> Option<io::Result<Child>> {
        let (reply, answer) = oneshot::channel();
        self.orders.send((command, reply)).ok()?;
        answer.await.ok()
    }
}
