//! `hoody code extensions …` and `hoody code open`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::Method;
use serde_json::{Value, json};

use super::args::{AskOptions, ExtensionsCommand, OpenArgs};
use super::caller::{Caller, at_socket};
use super::client::ClientError;
use super::instances::{InstancesError, print, text};
use super::progress::Progress;
use super::table::Table;
use crate::model::InstanceId;

/// Runs a command on extensions.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run_extensions(command: &ExtensionsCommand) -> Result<(), InstancesError> {
    match command {
        ExtensionsCommand::List { all, instance, ask } => {
            let (mut caller, id) = caller(ask, instance)?;
            let answer = caller.of_instance(&id, Method::GET, "extensions", None)?;
            let own = |one: &&Value| *all || one["built_in"] != true;
            let rows: Vec<&Value> = answer.as_array().into_iter().flatten().filter(own).collect();
            if ask.control.json {
                return print(&json!(rows));
            }
            let mut table = Table::new(&["EXTENSION", "VERSION", "NAME"]);
            for row in rows {
                table.row(vec![text(&row["id"]), text(&row["version"]), text(&row["display_name"])]);
            }
            Ok(table.print(&mut io::stdout().lock())?)
        }
        ExtensionsCommand::Install { extension, instance, ask } => {
            let body = body_of(extension)?;
            let (mut caller, id) = caller(ask, instance)?;
            caller.sign_in_for(&id)?;
            let progress = Progress::of(format!("installing {extension}"));
            let answer = caller.of_instance(&id, Method::POST, "extensions", Some(body))?;
            drop(progress);
            said(ask, &answer, "installed", extension)
        }
        ExtensionsCommand::Uninstall { extension, instance, ask } => {
            let (mut caller, id) = caller(ask, instance)?;
            let answer = caller.of_instance(&id, Method::DELETE, &format!("extensions/{extension}"), None)?;
            said(ask, &answer, "uninstalled", extension)
        }
    }
}

/// Whom to ask, and of which instance.
fn caller(ask: &AskOptions, instance: &Option<InstanceId>) -> Result<(Caller, InstanceId), InstancesError> {
    let caller = Caller::of(ask)?;
    let id = instance.clone().or_else(|| caller.named().cloned()).unwrap_or_else(InstanceId::default_instance);
    Ok((caller, id))
}

/// What is sent for an id, or for a file.
fn body_of(extension: &str) -> Result<(&'static str, Vec<u8>), InstancesError> {
    let path = Path::new(extension);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vsix")) {
        return Ok(("application/octet-stream", std::fs::read(path).map_err(|source| InstancesError::File { path: path.into(), source })?));
    }
    Ok(("application/json", json!({ "id": extension }).to_string().into_bytes()))
}

fn said(ask: &AskOptions, answer: &Value, what: &str, asked: &str) -> Result<(), InstancesError> {
    if ask.control.json {
        return print(answer);
    }
    let id = answer["id"].as_str().unwrap_or(asked);
    let version = answer["version"].as_str().map(|version| format!("@{version}")).unwrap_or_default();
    writeln!(io::stdout().lock(), "{what} {id}{version}")?;
    Ok(())
}

/// Starts an instance, prints the URL of what is to be opened in it, and shows it to a browser where there is one.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run_open(args: &OpenArgs) -> Result<(), InstancesError> {
    let daemon = at_socket(&args.control);
    let progress = Progress::of(format!("starting {}", args.instance));
    match daemon.order(Method::POST, &format!("/api/v1/instances/{}/start", args.instance)) {
        // The daemon is elsewhere: its page starts the instance when it is opened.
        Err(ClientError::Unreachable { .. }) if args.url.is_some() => {}
        started => drop(started?),
    }
    drop(progress);
    let base = match &args.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let answer = daemon.order(Method::GET, "/api/v1/address")?;
            let none = || ClientError::Refused("the daemon listens on a unix socket only: --url says where browsers find it".to_owned());
            answer["address"].as_str().ok_or_else(none)?.to_owned()
        }
    };
    let url = address(&base, args)?;
    if args.control.json {
        print(&json!({ "url": url, "instance": args.instance }))?;
    } else {
        writeln!(io::stdout().lock(), "{url}")?;
    }
    if !args.no_browser && std::env::var_os("DISPLAY").or_else(|| std::env::var_os("WAYLAND_DISPLAY")).is_some() {
        // None installed is no failure: the URL is there to be copied.
        let _ = Command::new("xdg-open").arg(&url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
    Ok(())
}

fn address(base: &str, args: &OpenArgs) -> Result<String, InstancesError> {
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|source| InstancesError::File { path: path.clone(), source });
    let mut query = Vec::new();
    for (name, path) in [("folder", &args.folder), ("workspace", &args.workspace)] {
        if let Some(path) = path {
            query.push(format!("{name}={}", encode(&absolute(path)?.to_string_lossy())));
        }
    }
    for (name, value) in [("extension", &args.extension), ("locale", &args.locale)] {
        if let Some(value) = value {
            query.push(format!("{name}={}", encode(value)));
        }
    }
    let root = if args.instance == InstanceId::default_instance() { String::new() } else { format!("/i/{}", args.instance) };
    Ok(format!("{base}{root}/?{}", query.join("&")))
}

fn encode(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    /// What stays readable in a query (RFC 3986, section 3.4).
    const READABLE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, READABLE).to_string()
}
