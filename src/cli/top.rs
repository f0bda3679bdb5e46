//! `hoody code top`: who is busy, as it changes.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use super::args::AskOptions;
use super::caller::Caller;
use super::instances::{InstancesError, disk, print, text};
use super::table::Table;
use super::units::{ago, size, time};
use crate::sys::{KeyPress, Screen};

/// Shows the instances, again and again on a terminal, once everywhere else.
///
/// # Errors
/// As [`InstancesError`] says.
pub fn run_top(ask: &AskOptions, pause: Duration) -> Result<(), InstancesError> {
    let daemon = Caller::operator(ask)?;
    let look = || daemon.order(Method::GET, "/api/v1/instances");
    if ask.control.json {
        return print(&look()?);
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        let view = View::new(&look()?, &HashMap::new(), Duration::ZERO);
        return Ok(io::stdout().lock().write_all(view.lines(usize::MAX, usize::MAX).as_bytes())?);
    }
    // The first look decides whether there is anything to clear a screen for.
    let mut now = look()?;
    let screen = Screen::take()?;
    let keys = keys();
    let (mut before, mut then) = (HashMap::new(), Instant::now());
    loop {
        let view = View::new(&now, &before, then.elapsed());
        let (columns, rows) = screen.size();
        // Home, then each line with what is left of the old one cleared, then everything below: nothing flickers.
        let lines = view.lines(columns, rows).replace('\n', "\x1b[K\r\n");
        let mut out = io::stdout().lock();
        write!(out, "\x1b[H{lines}\x1b[J")?;
        out.flush()?;
        drop(out);
        (before, then) = (view.cpu, Instant::now());
        match keys.recv_timeout(pause) {
            Ok(KeyPress::Quit) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(KeyPress::Other) | Err(RecvTimeoutError::Timeout) => {}
        }
        now = look()?;
    }
}

fn keys() -> Receiver<KeyPress> {
    let (sender, keys) = channel();
    std::thread::spawn(move || while KeyPress::read().is_ok_and(|key| sender.send(key).is_ok()) {});
    keys
}

/// Processor time of each instance's run, in microseconds.
type Cpu = HashMap<(String, u64), u64>;

/// What is shown.
struct View {
    heading: String,
    table: Table,
    cpu: Cpu,
}

impl View {
    /// `before` and `elapsed` are of the last view; without one, the processor time is that of the whole run.
    fn new(answer: &Value, before: &Cpu, elapsed: Duration) -> Self {
        let rows = answer["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
        let cpu: Cpu = rows.iter().filter_map(|row| Some((key(row)?, row["usage"]["cpu_usec"].as_u64()?))).collect();
        let share = |row: &Value| {
            let key = key(row)?;
            let used = cpu.get(&key)?.checked_sub(*before.get(&key)?)?;
            let elapsed = u64::try_from(elapsed.as_micros()).ok().filter(|elapsed| *elapsed > 0)?;
            Some(used.saturating_mul(100) / elapsed)
        };
        let mut order: Vec<&Value> = rows.iter().collect();
        let memory = |row: &Value| row["usage"]["memory"].as_u64().unwrap_or_default();
        let rank = |row: &Value| (row["state"] == "running", share(row).unwrap_or_default(), row["clients"].as_u64(), memory(row));
        order.sort_by_key(|row| std::cmp::Reverse(rank(row)));
        let mut table = Table::new(&["INSTANCE", "STATE", "CPU", "MEMORY", "DISK", "PROCESSES", "CLIENTS", "LAST USED", "UPTIME", "CLASS"]);
        let now = jiff::Timestamp::now();
        let figure = |value: &Value, show: fn(u64) -> String| value.as_u64().map_or_else(|| "-".to_owned(), show);
        for row in order {
            let cpu = match share(row) {
                Some(percent) => format!("{percent}%"),
                None => figure(&row["usage"]["cpu_usec"], |micros| time(micros / 1_000_000)),
            };
            table.row(vec![
                text(&row["id"]),
                text(&row["state"]),
                cpu,
                figure(&row["usage"]["memory"], size),
                disk(&row["disk"]),
                text(&row["usage"]["processes"]),
                text(&row["clients"]),
                row["last_used"].as_str().and_then(|text| ago(text, now)).unwrap_or_else(|| "-".to_owned()),
                figure(&row["uptime_seconds"], time),
                text(&row["class"]),
            ]);
        }
        Self { heading: heading(rows, &answer["host"]), table, cpu }
    }

    /// As many lines as fit on a screen, none longer than it is wide.
    fn lines(&self, columns: usize, rows: usize) -> String {
        let mut out = Vec::new();
        // Into memory: nothing can fail.
        let _ = self.table.print(&mut out);
        let table = String::from_utf8_lossy(&out).into_owned();
        let cut = |line: &str| line.chars().take(columns).collect::<String>() + "\n";
        // The last line of a screen stays empty: its end would scroll.
        let lines = [self.heading.as_str(), ""].into_iter().chain(table.lines());
        lines.take(rows.saturating_sub(1)).map(cut).collect()
    }
}

/// One run of one instance.
fn key(row: &Value) -> Option<(String, u64)> {
    Some((row["id"].as_str()?.to_owned(), row["generation"].as_u64()?))
}

fn heading(rows: &[Value], host: &Value) -> String {
    let count = |state: &str| rows.iter().filter(|row| row["state"] == state).count();
    let clients: u64 = rows.iter().filter_map(|row| row["clients"].as_u64()).sum();
    let mut heading = format!(
        "{} of {} running, {} starting, {} failed, {} in all, {clients} clients",
        count("running"),
        text(&host["limit"]),
        count("starting"),
        count("failed"),
        rows.len()
    );
    for (resource, share) in host["pressure"].as_object().into_iter().flatten() {
        let percent = share.as_f64().unwrap_or_default() * 100.0;
        heading.push_str(&format!("; {resource} pressure {percent:.0}%"));
    }
    heading
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(cpu: u64) -> Value {
        json!({"instances": [
            {"id": "asleep", "state": "stopped", "generation": 1, "clients": 0, "last_used": "2020-01-01T00:00:00Z", "disk": {"bytes": 9 << 20, "complete": false}},
            {"id": "idle", "state": "running", "generation": 1, "clients": 0, "uptime_seconds": 90, "usage": {"cpu_usec": 5_000_000, "memory": 90 << 20, "processes": 3}},
            {"id": "busy", "state": "running", "generation": 2, "clients": 2, "uptime_seconds": 30, "usage": {"cpu_usec": cpu, "memory": 45 << 20, "processes": 7}},
        ], "host": {"limit": 200, "pressure": {"cpu": 0.126, "memory": 0.0}}})
    }

    #[test]
    fn the_busy_come_first() {
        let first = View::new(&answer(1_000_000), &HashMap::new(), Duration::ZERO);
        let then = View::new(&answer(2_500_000), &first.cpu, Duration::from_secs(1));
        let text = then.lines(usize::MAX, usize::MAX);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "2 of 200 running, 0 starting, 0 failed, 3 in all, 2 clients; cpu pressure 13%; memory pressure 0%");
        assert!(lines[3].starts_with("busy") && lines[3].contains("150%") && lines[3].contains("45M"), "{text}");
        assert!(lines[4].starts_with("idle") && lines[4].contains("0%") && lines[4].contains("1min 30s"), "{text}");
        assert!(lines[5].starts_with("asleep") && lines[5].contains(" ago") && lines[5].contains("  9M+  "), "{text}");
        assert!(first.lines(usize::MAX, usize::MAX).contains("1s"), "the first time, that of the whole run");
    }

    #[test]
    fn it_fits_on_the_screen() {
        let view = View::new(&answer(0), &HashMap::new(), Duration::ZERO);
        let text = view.lines(20, 5);
        assert_eq!(text.lines().count(), 4);
        assert!(text.lines().all(|line| line.chars().count() <= 20), "{text}");
    }

    #[test]
    fn a_run_that_began_anew_is_no_negative_share() {
        let first = View::new(&answer(9_000_000), &HashMap::new(), Duration::ZERO);
        let text = View::new(&answer(1_000_000), &first.cpu, Duration::from_secs(1)).lines(usize::MAX, usize::MAX);
        assert!(text.lines().any(|line| line.starts_with("busy") && line.contains("  1s  ")), "{text}");
    }
}
