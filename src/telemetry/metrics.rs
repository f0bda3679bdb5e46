//! What is counted while the daemon runs. One set for the whole process, as records are; [`encode`] writes it down for Prometheus.
//!
//! Every label here has few values, none of which a client can make up: routes and states by our own names, statuses by class.

use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Labels and their values, in order.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The same for causes, whose names are made where they are needed.
type Cause = [(&'static str, String); 1];

/// Bounds of the time that an answer takes to begin, in seconds: a static file is there in under a millisecond, a cold start takes
/// a quarter of a second, and thirty are the most that anybody waits.
const ANSWER: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Bounds of the time that a start takes, in seconds.
const START: [f64; 10] = [0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0];

/// A counter that somebody keeps at hand.
pub type Count = Counter;

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The counters of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels<2>, Counter>,
    answers: Family<Labels<1>, Histogram>,
    sent: Family<Labels<1>, Counter>,
    connections: Family<Labels<1>, Gauge>,
    tunnelled_in: Counter,
    tunnelled_out: Counter,
    logins: Family<Labels<1>, Counter>,
    starts: Histogram,
    start_failures: Family<Cause, Counter>,
    ends: Family<Cause, Counter>,
    removed: Counter,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("hoody_code");
        let tunnelled = Family::<Labels<1>, Counter>::default();
        let towards = |direction| tunnelled.get_or_create_owned(&[("direction", direction)]);
        let metrics = Self {
            requests: Family::default(),
            answers: Family::new_with_constructor(|| Histogram::new(ANSWER)),
            sent: Family::default(),
            connections: Family::default(),
            tunnelled_in: towards("in"),
            tunnelled_out: towards("out"),
            logins: Family::default(),
            starts: Histogram::new(START),
            start_failures: Family::default(),
            ends: Family::default(),
            removed: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests by route and class of the answer's status", metrics.requests.clone());
        registry.register_with_unit(
            "answer_time",
            "Time from a request to the head of its answer, by route",
            Unit::Seconds,
            metrics.answers.clone(),
        );
        registry.register_with_unit("sent", "Bytes of bodies that were sent, by route", Unit::Bytes, metrics.sent.clone());
        registry.register("connections_open", "Connections that are open, by kind of listener", metrics.connections.clone());
        registry.register_with_unit("tunnelled", "Bytes through websockets: in from clients, out to them", Unit::Bytes, tunnelled);
        registry.register("logins", "Passwords that were tried, by what became of it", metrics.logins.clone());
        registry.register_with_unit(
            "start_time",
            "Time from the wish for an instance to its first answer",
            Unit::Seconds,
            metrics.starts.clone(),
        );
        registry.register("start_failures", "Starts that failed, by cause", metrics.start_failures.clone());
        registry.register("instance_ends", "Runs that ended, by cause; stopped is what somebody wanted", metrics.ends.clone());
        registry.register("instances_removed", "Instances that were removed because nobody used them", metrics.removed.clone());
        // A counter that is not there before the first time has no rate that first time.
        for outcome in ["admitted", "wrong", "throttled"] {
            drop(metrics.logins.get_or_create(&[("outcome", outcome)]));
        }
        Self { registry, ..metrics }
    }

    /// A request was answered: the head of the answer was there after `time`.
    pub fn answered(&self, route: &'static str, status: u16, time: Duration) {
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&[("route", route), ("status", class)]).inc();
        self.answers.get_or_create(&[("route", route)]).observe(time.as_secs_f64());
    }

    /// Bytes of an answer's body were sent.
    pub fn sent(&self, route: &'static str, bytes: u64) {
        self.sent.get_or_create(&[("route", route)]).inc_by(bytes);
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self, listener: &'static str) -> Open {
        let open = self.connections.get_or_create_owned(&[("listener", listener)]);
        open.inc();
        Open(open)
    }

    /// Bytes that clients send through websockets.
    pub fn tunnelled_in(&self) -> Count {
        self.tunnelled_in.clone()
    }

    /// Bytes that clients get through websockets.
    pub fn tunnelled_out(&self) -> Count {
        self.tunnelled_out.clone()
    }

    /// Somebody tried a password.
    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// An instance runs, `time` after it was wanted.
    pub fn started(&self, time: Duration) {
        self.starts.observe(time.as_secs_f64());
    }

    /// A start failed; `cause` is the name of one.
    pub fn start_failed(&self, cause: &str) {
        self.start_failures.get_or_create(&[("cause", cause.to_owned())]).inc();
    }

    /// A run ended; `cause` is the name of one.
    pub fn ended(&self, cause: &str) {
        self.ends.get_or_create(&[("cause", cause.to_owned())]).inc();
    }

    /// An instance that nobody has used for long was removed.
    pub fn removed(&self) {
        self.removed.inc();
    }
}

/// An open connection.
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Writes down what is counted. To be asked for before anything is looked up: what is counted as ended is then found ended.
///
/// # Errors
/// Never: the text grows in memory.
pub fn counted() -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode_registry(&mut text, &METRICS.registry)?;
    Ok(text)
}

/// Adds to what is [`counted`] what `now` holds: figures that were looked up afterwards.
///
/// # Errors
/// Never: the text grows in memory.
pub fn encode(counted: String, now: &Registry) -> Result<String, fmt::Error> {
    let mut text = counted;
    encode_registry(&mut text, now)?;
    encode_eof(&mut text)?;
    Ok(text)
}

/// The same in the older text format, where a counter's own name ends in `_total`, and nothing is said of units and ends.
pub fn to_plain(text: &str) -> String {
    let counters: HashSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) if counters.contains(name) => {
                plain.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => plain.push_str(line),
        }
        plain.push('\n');
    }
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_written() {
        let metrics = metrics();
        metrics.answered("a-test", 204, Duration::from_millis(3));
        metrics.answered("a-test", 404, Duration::from_millis(3));
        metrics.sent("a-test", 1000);
        let open = metrics.connection("a-test");
        let text = encode(counted().unwrap(), &Registry::default()).unwrap();
        for line in [
            "hoody_code_requests_total{route=\"a-test\",status=\"2xx\"} 1",
            "hoody_code_answer_time_seconds_bucket{le=\"0.005\",route=\"a-test\"} 2",
            "hoody_code_sent_bytes_total{route=\"a-test\"} 1000",
            "hoody_code_connections_open{listener=\"a-test\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        let plain = to_plain(&text);
        assert!(
            plain.contains("\n# TYPE hoody_code_sent_bytes_total counter\n") && plain.contains("\n# HELP hoody_code_sent_bytes_total ")
        );
        assert!(plain.contains("\n# TYPE hoody_code_connections_open gauge\n") && !plain.contains("# EOF") && !plain.contains("# UNIT"));
        drop(open);
        let text = encode(counted().unwrap(), &Registry::default()).unwrap();
        assert!(text.contains("hoody_code_connections_open{listener=\"a-test\"} 0") && text.ends_with("# EOF\n"));
    }
}
