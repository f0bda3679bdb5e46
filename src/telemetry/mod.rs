//! Records: to the journal when systemd runs us, to the terminal otherwise. Field names are those of the journal
//! (`HOODY_INSTANCE` and so on), made from tracing's by `tracing-journald` with our prefix.

#[cfg(feature = "front")]
mod metrics;

use std::io::IsTerminal;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

#[cfg(feature = "front")]
pub use metrics::{Count, Metrics, Open, counted, encode, metrics, to_plain};

/// The prefix of our fields in the journal: `instance` becomes `HOODY_INSTANCE`.
const PREFIX: &str = "HOODY";

/// The target of access records, so that a filter can name them.
pub const ACCESS: &str = "access";

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To the journal when our standard error is connected to it, else to the terminal.
    Auto,
    /// To standard error.
    Terminal,
    /// To the journal.
    Journal,
}

/// Why records cannot be written as asked.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The journal is not there.
    #[error("cannot reach the journal: {0}")]
    Journal(std::io::Error),
    /// A subscriber is set already.
    #[error("records are set up already")]
    Twice,
}

/// Sets up records for the whole process. Keep the guard: its drop writes what is still buffered.
///
/// # Errors
/// When the filter is malformed or the journal was asked for and is not there.
pub fn init(level: &str, sink: Sink) -> Result<Option<WorkerGuard>, TelemetryError> {
    let filter = EnvFilter::try_new(level)?;
    let journal = match sink {
        Sink::Terminal => None,
        // systemd sets JOURNAL_STREAM for what it starts (systemd.exec(5)).
        Sink::Auto if std::env::var_os("JOURNAL_STREAM").is_none() => None,
        Sink::Auto | Sink::Journal => match tracing_journald::layer() {
            Ok(layer) => Some(layer.with_field_prefix(Some(PREFIX.to_owned()))),
            Err(e) if sink == Sink::Journal => return Err(TelemetryError::Journal(e)),
            Err(_) => None,
        },
    };
    if let Some(layer) = journal {
        tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(|_| TelemetryError::Twice)?;
        return Ok(None);
    }
    // A terminal that is stopped (Ctrl-S) or a full pipe must not stop the daemon: records wait aside, and are dropped past that.
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let layer = fmt::layer().with_writer(writer).with_target(false).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(|_| TelemetryError::Twice)?;
    Ok(Some(guard))
}
