//! `hoody code instances snapshot|snapshots|restore|template`: an instance's files, for its operator.

use std::io::{self, Write};

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use super::args::AskOptions;
use super::caller::Caller;
use super::instances::{InstancesError, print, text};
use super::table::Table;
use crate::model::{InstanceId, SnapshotName};

/// The commands on an instance's files.
#[derive(Debug, Subcommand)]
pub enum DiskCommand {
    /// Make a snapshot of an instance's files that nothing can change, or delete one.
    Snapshot {
        /// Whose.
        id: InstanceId,
        /// Its name; the time, if left out.
        #[arg(required_if_eq("delete", "true"))]
        name: Option<SnapshotName>,
        /// Delete the one of this name. There is no way back.
        #[arg(long)]
        delete: bool,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// List the snapshots of an instance.
    Snapshots {
        /// Whose.
        id: InstanceId,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Put a snapshot in the place of a stopped instance's files, which are kept as a snapshot themselves.
    Restore {
        /// Whose.
        id: InstanceId,
        /// Which.
        name: SnapshotName,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Have new instances of a class begin with the extensions and settings of a stopped one.
    Template {
        /// Whose.
        id: InstanceId,
        /// For which class; "default" is the one of who is named nowhere.
        class: InstanceId,
        /// How to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
}

/// Runs the command.
pub(super) fn run(command: &DiskCommand) -> Result<(), InstancesError> {
    let (ask, method, path) = match command {
        DiskCommand::Snapshot { id, name, delete, ask } => {
            let name = name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
            (ask, if *delete { Method::DELETE } else { Method::POST }, format!("{id}/snapshots{name}"))
        }
        DiskCommand::Snapshots { id, ask } => (ask, Method::GET, format!("{id}/snapshots")),
        DiskCommand::Restore { id, name, ask } => (ask, Method::POST, format!("{id}/restore/{name}")),
        DiskCommand::Template { id, class, ask } => (ask, Method::POST, format!("{id}/template/{class}")),
    };
    let answer = Caller::operator(ask)?.order(method, &format!("/api/v1/instances/{path}"))?;
    if ask.control.json {
        return print(&answer);
    }
    let mut out = io::stdout().lock();
    if let DiskCommand::Snapshots { .. } = command {
        return Ok(list(&answer).print(&mut out)?);
    }
    writeln!(out, "{} {} {}", text(&answer["id"]), text(&answer["state"]), text(&answer["name"]))?;
    if let Some(kept) = answer["kept"].as_str() {
        writeln!(out, "what was there is the snapshot {kept}")?;
    }
    if let Some(without @ 1..) = answer["without"].as_u64() {
        eprintln!("{without} subvolumes within the home are not part of it");
    }
    Ok(())
}

fn list(answer: &Value) -> Table {
    let mut table = Table::new(&["SNAPSHOT", "MADE"]);
    for snapshot in answer["snapshots"].as_array().into_iter().flatten() {
        table.row(vec![text(&snapshot["name"]), text(&snapshot["made"])]);
    }
    table
}
