//! The last lines that an engine printed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::task::JoinHandle;

use crate::model::InstanceId;

/// How many lines are kept, and how many bytes of each.
const LINES: usize = 50;
const LINE_BYTES: usize = 1000;

/// The last lines of an engine, as they come.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    /// As they are at this moment, oldest first.
    pub(super) fn now(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Follows an engine's output until it ends: each line is a record, the last ones are kept.
pub(super) struct OutputTail {
    lines: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl OutputTail {
    pub(super) fn follow(
        id: &InstanceId,
        out: Option<impl AsyncRead + Unpin + Send + 'static>,
        err: Option<impl AsyncRead + Unpin + Send + 'static>,
    ) -> Self {
        let lines = Lines::default();
        let mut readers = Vec::new();
        if let Some(out) = out {
            readers.push(tokio::spawn(read(id.clone(), out, lines.clone())));
        }
        if let Some(err) = err {
            readers.push(tokio::spawn(read(id.clone(), err, lines.clone())));
        }
        Self { lines, readers }
    }

    /// What it prints, as it prints it.
    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Reads what is still in the pipes and gives the last lines.
    pub(super) async fn finish(self) -> Vec<String> {
        for mut reader in self.readers {
            // A pipe that leaked to a process outside of the instance would never end.
            if tokio::time::timeout(Duration::from_secs(1), &mut reader).await.is_err() {
                reader.abort();
            }
        }
        self.lines.now()
    }
}

async fn read(id: InstanceId, pipe: impl AsyncRead + Unpin, lines: Lines) {
    let mut pipe = BufReader::with_capacity(4096, pipe);
    let mut line = Vec::new();
    loop {
        let piece = pipe.fill_buf().await.unwrap_or_default();
        if piece.is_empty() {
            // The last words often come without an end of line.
            if !line.is_empty() {
                keep(&id, &line, &lines);
            }
            return;
        }
        let (piece, complete) = match piece.iter().position(|b| *b == b'\n') {
            Some(end) => (&piece[..=end], true),
            None => (piece, false),
        };
        // A line without end must not grow without end.
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = piece.len();
        pipe.consume(used);
        if complete {
            keep(&id, &line, &lines);
            line.clear();
        }
    }
}

fn keep(id: &InstanceId, line: &[u8], lines: &Lines) {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    tracing::debug!(target: "engine", instance = %id, "{text}");
    lines.push(text);
}
