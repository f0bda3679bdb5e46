//! `hoody code drain`: empties a host, and waits for it if asked to.

use std::io::{self, Write};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::args::DrainArgs;
use super::caller::Caller;
use super::instances::{InstancesError, print, text};

const PATH: &str = "/api/v1/drain";

/// How often the daemon is asked whether it is empty.
const POLL: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run(args: &DrainArgs) -> Result<(), InstancesError> {
    let daemon = Caller::operator(&args.ask)?;
    let mut answer = if args.off {
        daemon.order(Method::DELETE, PATH)?
    } else {
        let deadline = args.deadline.map(|time| format!("&deadline={}", time.as_secs())).unwrap_or_default();
        daemon.order(Method::POST, &format!("{PATH}?idle={}{deadline}", args.idle.as_secs()))?
    };
    let mut said = None;
    while args.wait && answer["active"] != 0 {
        if said.as_ref() != Some(&answer["active"]) {
            eprintln!("{} still active", text(&answer["active"]));
            said = Some(answer["active"].clone());
        }
        std::thread::sleep(POLL);
        answer = daemon.order(Method::GET, PATH)?;
        if answer["draining"].is_null() {
            return Err(InstancesError::Undrained);
        }
    }
    if args.ask.control.json { print(&answer) } else { Ok(writeln!(io::stdout().lock(), "{}", line(&answer))?) }
}

/// A drain in words; `answer` has `draining` as the daemon tells it.
pub(super) fn line(answer: &Value) -> String {
    let drain = &answer["draining"];
    if drain.is_null() {
        return "not draining: instances start as they are asked for".to_owned();
    }
    let until = drain["until"].as_str().map(|until| format!(", until {until}")).unwrap_or_default();
    let active = if answer["active"].is_null() { String::new() } else { format!("; {} still active", text(&answer["active"])) };
    format!("draining since {}{until}{active}", text(&drain["since"]))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn words() {
        let answer = serde_json::json!({ "draining": { "since": "A", "until": "B", "idle_seconds": 1 }, "active": 2 });
        assert_eq!(line(&answer), "draining since A, until B; 2 still active");
        assert!(line(&serde_json::json!({ "draining": null, "active": 0 })).starts_with("not draining"));
    }
}
