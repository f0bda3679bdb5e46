//! Front ↔ agent. The agent runs as the tenant, so nothing it says is believed: a descriptor it passes is checked for what it
//! is, a text is shown to the instance's owner only.

use serde::{Deserialize, Serialize};

use crate::model::{AbsolutePath, DiskUse, ExtensionJob, Port, Usage};

/// The most bytes of a message either way: [`LOG_LINES`] of the engine's output.
pub const MAX_AGENT_PACKET: usize = 32 << 10;

/// How many of the engine's last lines are kept.
pub const LOG_LINES: usize = 50;

/// What the front asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum AgentRequest {
    /// A connection to the engine's socket.
    Engine,
    /// A connection to this port of the instance's own loopback.
    Port {
        /// Which.
        port: Port,
    },
    /// What is at a path.
    Look {
        /// Which.
        path: AbsolutePath,
    },
    /// VS Code shall remember a workspace file as it is now.
    Workspace {
        /// The file.
        path: AbsolutePath,
        /// VS Code's number for it; see [`key`](crate::engine::workspace::key).
        key: i32,
    },
    /// A connection on which a job on the extensions is told of, as [`ExtensionNews`](crate::model::ExtensionNews).
    Extensions {
        /// Which job.
        what: ExtensionJob,
    },
    /// What the instance uses, and what of its user's runs.
    Usage,
    /// What the files in the home take. Takes as long as a walk through them; a second one at the same time is refused.
    Disk,
    /// The engine's last lines of output.
    Log,
    /// Answered once, when the engine has ended.
    Watch,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AgentAnswer {
    /// The connection comes with this packet.
    Connected,
    /// It was done.
    Done,
    /// A directory is there.
    Directory,
    /// Something else is there.
    File,
    /// Nothing is there, or nothing the tenant may see.
    Missing,
    /// The port is nobody's of this instance.
    NotYours,
    /// It did not work.
    Failed {
        /// errno(3).
        errno: i32,
    },
    /// What it uses.
    Usage {
        /// As the agent sees it.
        usage: Usage,
    },
    /// What the home takes.
    Disk {
        /// As the agent counted it.
        disk: DiskUse,
    },
    /// What the engine has printed.
    Log {
        /// The last lines, oldest first.
        lines: Vec<String>,
    },
    /// The engine has ended.
    Ended {
        /// How, in words.
        status: String,
        /// Whether the kernel killed it, or something of it, for want of memory.
        out_of_memory: bool,
        /// Its last lines of output, oldest first.
        log: Vec<String>,
    },
}
