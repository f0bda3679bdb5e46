//! `hoody code instances …`: what runs, for people and for programs.

use std::io::{self, Write};
use std::process::Command;

use http::Method;
use serde_json::Value;

use super::args::{AskOptions, ControlOptions, InstancesCommand, SessionsCommand};
use super::caller::{Caller, at_socket};
use super::client::ClientError;
use super::progress::Progress;
use super::table::Table;
use super::units::{ago, ahead, size, time};
use super::{disk, drain};
use crate::model::InstanceId;

/// Why a command on instances failed.
#[derive(Debug, thiserror::Error)]
pub enum InstancesError {
    /// The daemon cannot be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The journal cannot be read.
    #[error("cannot run journalctl: {0}")]
    Journal(io::Error),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody has ended the drain that was waited for.
    #[error("the drain has been ended meanwhile")]
    Undrained,
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl InstancesError {
    /// Exit status (sysexits.h).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Journal(_) => 69,
            Self::File { .. } => 66,
            Self::Undrained => 75,
            Self::Write(_) => 74,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run(command: &InstancesCommand) -> Result<(), InstancesError> {
    let order = |ask: &AskOptions, method: Method, path: String| Caller::operator(ask)?.order(method, &path);
    let of = |id: &InstanceId| format!("/api/v1/instances/{id}");
    match command {
        InstancesCommand::List { all, ask } => {
            let query = if *all { "?all=true" } else { "" };
            let answer = order(ask, Method::GET, format!("/api/v1/instances{query}"))?;
            if ask.control.json {
                return print(&answer["instances"]);
            }
            if !answer["draining"].is_null() {
                eprintln!("{}; `hoody-code drain --off` ends that", drain::line(&answer));
            }
            Ok(list(answer["instances"].as_array().map(Vec::as_slice).unwrap_or_default())?)
        }
        InstancesCommand::Show { id, ask } => {
            let answer = Caller::of(ask)?.of_instance(id, Method::GET, "", None)?;
            if ask.control.json {
                return print(&answer);
            }
            let mut out = io::stdout().lock();
            for (name, value) in answer.as_object().into_iter().flatten() {
                match (name.as_str(), value.as_object()) {
                    ("usage", Some(usage)) => usage.iter().try_for_each(|(name, value)| writeln!(out, "{name:>14}  {}", text(value)))?,
                    ("removal", None) if value.is_string() => {
                        let ahead = value.as_str().and_then(|text| ahead(text, jiff::Timestamp::now())).unwrap_or_default();
                        writeln!(out, "{name:>14}  {} ({ahead})", text(value))?;
                    }
                    ("disk", Some(_)) => writeln!(out, "{name:>14}  {} ({})", disk(value), text(&value["measured"]))?,
                    _ => writeln!(out, "{name:>14}  {}", text(value))?,
                }
            }
            Ok(())
        }
        InstancesCommand::Start { id, ask } => {
            let mut caller = Caller::of(ask)?;
            caller.sign_in_for(id)?;
            let progress = Progress::of(format!("starting {id}"));
            let answer = caller.start(id)?;
            drop(progress);
            report(ask.control.json, &answer)
        }
        InstancesCommand::Stop { id, ask } => report(ask.control.json, &order(ask, Method::POST, of(id) + "/stop")?),
        InstancesCommand::Restart { id, ask } => report(ask.control.json, &order(ask, Method::POST, of(id) + "/restart")?),
        InstancesCommand::Remove { id, purge, ask } => {
            let query = if *purge { "?purge=true" } else { "" };
            report(ask.control.json, &order(ask, Method::DELETE, of(id) + query)?)
        }
        InstancesCommand::Disk(command) => disk::run(command),
        InstancesCommand::Logs { id, follow, lines, control } => logs(id, *follow, *lines, control),
    }
}

/// Ends sessions.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run_sessions(command: &SessionsCommand) -> Result<(), InstancesError> {
    let SessionsCommand::Revoke { id, ask, .. } = command;
    let path = id.as_ref().map_or_else(|| "/api/v1/sessions".to_owned(), |id| format!("/api/v1/sessions/{id}"));
    let answer = Caller::operator(ask)?.order(Method::DELETE, &path)?;
    if ask.control.json {
        return print(&answer);
    }
    writeln!(io::stdout().lock(), "sessions revoked: {}", text(&answer["revoked"]))?;
    Ok(())
}

/// Asks how the daemon is; false when it is degraded.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run_health(ask: &AskOptions) -> Result<bool, InstancesError> {
    let answer = Caller::of(ask)?.health()?;
    let healthy = answer["status"] == "ok";
    if ask.control.json {
        print(&answer)?;
        return Ok(healthy);
    }
    let mut out = io::stdout().lock();
    for (name, value) in answer.as_object().into_iter().flatten() {
        writeln!(out, "{name:>10}  {}", text(value))?;
    }
    Ok(healthy)
}

pub(super) fn print(value: &Value) -> Result<(), InstancesError> {
    writeln!(io::stdout().lock(), "{value:#}")?;
    Ok(())
}

fn report(json: bool, answer: &Value) -> Result<(), InstancesError> {
    if json {
        return print(answer);
    }
    writeln!(io::stdout().lock(), "{} {}", text(&answer["id"]), text(&answer["state"]))?;
    Ok(())
}

fn list(instances: &[Value]) -> io::Result<()> {
    let mut headings = vec!["INSTANCE", "STATE", "CLIENTS", "LAST USED", "UPTIME", "MEMORY", "DISK", "CPU", "RUNS", "CLASS", "ENGINE"];
    // Only where instances are removed at all.
    let announces = instances.iter().any(|instance| instance["removal"].is_string());
    if announces {
        headings.push("REMOVED");
    }
    let mut table = Table::new(&headings);
    let now = jiff::Timestamp::now();
    let figure = |value: &Value, show: fn(u64) -> String| value.as_u64().map_or_else(|| "-".to_owned(), show);
    for instance in instances {
        let state = match (instance["removed"] == true, instance["frozen"] == true) {
            (true, _) => "removed".to_owned(),
            (_, true) => "frozen".to_owned(),
            _ => text(&instance["state"]),
        };
        let mut cells = vec![
            text(&instance["id"]),
            state,
            text(&instance["clients"]),
            instance["last_used"].as_str().and_then(|text| ago(text, now)).unwrap_or_else(|| "-".to_owned()),
            figure(&instance["uptime_seconds"], time),
            figure(&instance["usage"]["memory"], size),
            disk(&instance["disk"]),
            figure(&instance["usage"]["cpu_usec"], |micros| time(micros / 1_000_000)),
            programs(&instance["usage"]),
            text(&instance["class"]),
            text(&instance["engine"]),
        ];
        if announces {
            cells.push(instance["removal"].as_str().and_then(|text| ahead(text, now)).unwrap_or_else(|| "-".to_owned()));
        }
        table.row(cells);
    }
    table.print(&mut io::stdout().lock())
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What its files take; more than that when not all was counted.
pub(super) fn disk(disk: &Value) -> String {
    let more = if disk["complete"] == false { "+" } else { "" };
    disk["bytes"].as_u64().map_or_else(|| "-".to_owned(), |bytes| size(bytes) + more)
}

/// What of the user's runs: the names of some of it.
fn programs(usage: &Value) -> String {
    let names: Vec<_> = usage["programs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

/// One tenant's whole story: our own records of it, and what its unit said. Without systemd there is no unit, but a daemon that remembers
/// the last lines itself.
fn logs(id: &InstanceId, follow: bool, lines: u32, control: &ControlOptions) -> Result<(), InstancesError> {
    // "+" is "or" (journalctl(1)).
    let of_unit = [format!("INSTANCE={id}"), "+".to_owned(), format!("UNIT=hoody-code-instance@{id}.service")];
    let has_unit = || {
        let found = Command::new("journalctl").args(["--quiet", "--no-pager", "--lines=1", "--output=cat"]).args(&of_unit).output();
        found.is_ok_and(|output| !output.stdout.is_empty())
    };
    if !follow && !has_unit() {
        return remembered(id, lines, control);
    }
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--lines", &lines.to_string(), "--output", if control.json { "json" } else { "short-iso" }]);
    if follow {
        command.arg("--follow");
    }
    let status = command.args(of_unit).arg("+").arg(format!("HOODY_INSTANCE={id}")).status().map_err(InstancesError::Journal)?;
    if status.success() { Ok(()) } else { Err(InstancesError::Journal(io::Error::other(status.to_string()))) }
}

/// The last lines that the daemon still has.
fn remembered(id: &InstanceId, lines: u32, control: &ControlOptions) -> Result<(), InstancesError> {
    let answer = at_socket(control).order(Method::GET, &format!("/api/v1/instances/{id}/logs"))?;
    let all = answer["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = io::stdout().lock();
    for line in &all[all.len().saturating_sub(lines as usize)..] {
        if control.json {
            writeln!(out, "{}", serde_json::json!({ "MESSAGE": line }))?;
        } else {
            writeln!(out, "{}", text(line))?;
        }
    }
    if all.is_empty() {
        writeln!(io::stderr().lock(), "hoody-code: neither the journal nor the daemon has lines of {id}")?;
    }
    Ok(())
}
