//! The front's connections: one thread each, because a look at a dead network mount may take for ever.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::engine::Tail;
use super::open::open;
use crate::engine::extensions::Place;
use crate::proto::{AgentAnswer, AgentRequest, MAX_AGENT_PACKET};
use crate::sys::{accept_packets, receive_packet, send_packet};

/// The most connections at a time. The front keeps a handful.
const MOST: usize = 64;

/// How long watchers may take to be told of the end.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(500);

/// The engine's end, for those who watch.
#[derive(Default)]
pub(super) struct Ending {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<AgentAnswer>,
    watchers: usize,
}

impl Ending {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all watchers, and comes back when they have been told.
    pub(super) fn tell(&self, answer: AgentAnswer) {
        let mut state = self.state();
        state.answer = Some(answer);
        self.changed.notify_all();
        let told = |state: &mut State| state.watchers > 0;
        drop(self.changed.wait_timeout_while(state, LAST_WORDS, told));
    }

    fn watch(&self, send: impl FnOnce(&AgentAnswer)) {
        let mut state = self.state();
        state.watchers += 1;
        let answer = loop {
            match &state.answer {
                Some(answer) => break answer.clone(),
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        send(&answer);
        self.state().watchers -= 1;
        self.changed.notify_all();
    }
}

/// Takes connections in the background.
pub(super) fn listen(listener: OwnedFd, ending: Arc<Ending>, place: Option<Place>, tail: Tail) -> io::Result<()> {
    let place = Arc::new(place);
    let open_now = Arc::new(AtomicUsize::new(0));
    let accepting = move || {
        loop {
            let Ok(connection) = accept_packets(listener.as_fd()) else {
                // Out of descriptors, most likely; the front asks again.
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            };
            if open_now.fetch_add(1, Ordering::SeqCst) >= MOST {
                open_now.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (ending, count, place, tail) = (Arc::clone(&ending), Arc::clone(&open_now), Arc::clone(&place), tail.clone());
            let serving = move || {
                serve(&connection, &ending, place.as_ref().as_ref(), &tail);
                count.fetch_sub(1, Ordering::SeqCst);
            };
            if thread("connection").spawn(serving).is_err() {
                // The tenant has used up its tasks: the connection is closed, the front is told nothing and tries again.
                open_now.fetch_sub(1, Ordering::SeqCst);
            }
        }
    };
    thread("listener").spawn(accepting).map(drop)
}

fn thread(name: &str) -> std::thread::Builder {
    // Enough for a packet's buffer and a path; the default of 2 MiB is address space only, but it counts against limits.
    std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10)
}

fn serve(connection: &OwnedFd, ending: &Ending, place: Option<&Place>, tail: &Tail) {
    while let Ok(Some(packet)) = receive_packet(connection.as_fd(), MAX_AGENT_PACKET) {
        let Ok(request) = serde_json::from_slice::<AgentRequest>(&packet.data) else { return };
        if request == AgentRequest::Watch {
            ending.watch(|answer| drop(send(connection, answer, None)));
            return;
        }
        let (answer, fd) = match request {
            AgentRequest::Log => (AgentAnswer::Log { lines: tail.lines() }, None),
            request => open(&request, place),
        };
        if send(connection, &answer, fd.as_ref()).is_err() {
            return;
        }
    }
}

fn send(connection: &OwnedFd, answer: &AgentAnswer, fd: Option<&OwnedFd>) -> io::Result<()> {
    let mut answer = answer.clone();
    loop {
        let text = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        if text.len() <= MAX_AGENT_PACKET {
            return send_packet(connection.as_fd(), &text, fd.map(AsFd::as_fd));
        }
        // Control characters grow when they are written down: then fewer lines.
        match &mut answer {
            AgentAnswer::Ended { log, .. } | AgentAnswer::Log { lines: log } if !log.is_empty() => drop(log.remove(0)),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::{connect_packets, listen_packets};

    fn ask(connection: &OwnedFd, request: &AgentRequest) {
        send_packet(connection.as_fd(), &serde_json::to_vec(request).unwrap(), None).unwrap();
    }

    fn answer(connection: &OwnedFd) -> Option<AgentAnswer> {
        let packet = receive_packet(connection.as_fd(), MAX_AGENT_PACKET).unwrap()?;
        Some(serde_json::from_slice(&packet.data).unwrap())
    }

    #[test]
    fn answers_and_tells_of_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let ending = Arc::new(Ending::default());
        listen(listen_packets(&path).unwrap(), Arc::clone(&ending), None, Tail::default()).unwrap();

        let asking = connect_packets(&path).unwrap();
        ask(&asking, &AgentRequest::Look { path: "/proc".parse().unwrap() });
        assert_eq!(answer(&asking), Some(AgentAnswer::Directory));
        ask(&asking, &AgentRequest::Log);
        assert_eq!(answer(&asking), Some(AgentAnswer::Log { lines: Vec::new() }));

        let watching = connect_packets(&path).unwrap();
        ask(&watching, &AgentRequest::Watch);
        let log = vec!["\u{1}".repeat(400); 50];
        let teller = std::thread::spawn({
            let ending = Arc::clone(&ending);
            move || ending.tell(AgentAnswer::Ended { status: "exit status: 1".into(), out_of_memory: false, log })
        });
        match answer(&watching) {
            Some(AgentAnswer::Ended { log, .. }) => assert!(!log.is_empty() && log.len() < 50, "as many lines as fit"),
            other => panic!("{other:?}"),
        }
        teller.join().unwrap();

        send_packet(asking.as_fd(), b"nonsense", None).unwrap();
        assert_eq!(answer(&asking), None, "who talks nonsense is hung up on");
    }
}
