//! The line of those who wait for something of which there is only so much: first come, first served, and each knows its position.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The line, and how many may be past it at the same time.
pub(super) struct Line {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many are past it.
    past: usize,
    last_number: u64,
    waiting: VecDeque<(u64, watch::Sender<usize>)>,
}

impl State {
    /// Lets in who may go in, and tells the others where they stand.
    fn move_up(&mut self, most: usize) {
        while self.past < most
            && let Some((_, position)) = self.waiting.pop_front()
        {
            self.past += 1;
            position.send_replace(0);
        }
        for (at, (_, position)) in self.waiting.iter().enumerate() {
            position.send_if_modified(|known| std::mem::replace(known, at + 1) != at + 1);
        }
    }
}

/// A position in the line, and later a turn. Both are given up when it is dropped.
pub(super) struct Ticket {
    line: Arc<Line>,
    number: u64,
    /// 1 is next, 0 means that it is its turn.
    position: watch::Receiver<usize>,
}

impl Line {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the line.
    pub(super) fn enter(self: &Arc<Self>) -> Ticket {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        let (sender, position) = watch::channel(usize::MAX);
        state.waiting.push_back((number, sender));
        state.move_up(self.most);
        Ticket { line: Arc::clone(self), number, position }
    }
}

impl Ticket {
    /// Comes back when it is its turn; `tell` hears of each position until then.
    pub(super) async fn turn(&mut self, tell: impl Fn(usize)) {
        loop {
            match *self.position.borrow_and_update() {
                0 => return,
                position => tell(position),
            }
            // The sender goes with the turn.
            if self.position.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.line.state();
        let before = state.waiting.len();
        state.waiting.retain(|(number, _)| *number != self.number);
        if state.waiting.len() == before {
            state.past -= 1;
        }
        state.move_up(self.line.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(tickets: &[&Ticket]) -> Vec<usize> {
        tickets.iter().map(|ticket| *ticket.position.borrow()).collect()
    }

    #[test]
    fn first_come_first_served() {
        let line = Line::new(2);
        let [a, b, c, d, e] = std::array::from_fn(|_| line.enter());
        assert_eq!(positions(&[&a, &b, &c, &d, &e]), [0, 0, 1, 2, 3]);
        drop(b);
        assert_eq!(positions(&[&a, &c, &d, &e]), [0, 0, 1, 2]);
        // Who gives up leaves no gap, and nobody overtakes.
        drop(d);
        let f = line.enter();
        assert_eq!(positions(&[&a, &c, &e, &f]), [0, 0, 1, 2]);
        drop((a, c));
        assert_eq!(positions(&[&e, &f]), [0, 0]);
        drop((e, f));
        assert_eq!(line.state().past, 0);
    }

    #[tokio::test]
    async fn a_turn_comes_and_positions_are_told() {
        let line = Line::new(1);
        let first = line.enter();
        let (mut second, mut third) = (line.enter(), line.enter());
        let told = Mutex::new(Vec::new());
        {
            let tell = |position| told.lock().unwrap_or_else(PoisonError::into_inner).push(position);
            let waiting = third.turn(tell);
            tokio::pin!(waiting);
            assert!(futures_util::poll!(&mut waiting).is_pending());
            drop(first);
            second.turn(|_| panic!("it is its turn")).await;
            assert!(futures_util::poll!(&mut waiting).is_pending());
            drop(second);
            waiting.await;
        }
        assert_eq!(told.into_inner().unwrap_or_default(), [2, 1]);
        drop(third);
        assert_eq!(line.state().past, 0);
    }
}
