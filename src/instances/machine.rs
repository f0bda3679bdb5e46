//! The life of one instance as a pure state machine: events in, at most one action out, time as a parameter.

use std::time::{Duration, Instant};

use crate::model::{EndCause, FailureCause, InstanceState, Stage};

/// How long a failed start is remembered before the next request tries again: a page that polls must not become a start loop.
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    /// Counts starts, so that news of an earlier run cannot be taken for news of this one.
    generation: u64,
    leases: usize,
    /// Since when nobody holds a lease.
    idle_since: Instant,
    /// Whether it is being removed. Protects what its removal does once it is held (delete the files, forget the state): no run may begin
    /// before that is done, so nothing lifts the hold.
    leaving: bool,
}

#[derive(Debug)]
enum State {
    Stopped,
    Starting(Stage),
    Running,
    /// `again`: somebody asked for it meanwhile.
    Stopping {
        again: bool,
        /// The operator wants it so: no wish of others counts.
        hold: bool,
    },
    Failed {
        cause: FailureCause,
        at: Instant,
    },
}

#[derive(Debug)]
pub(super) enum Event {
    /// A request wants it to run.
    Wanted,
    /// The start has reached this stage.
    Reached(Stage),
    /// Its engine answers.
    Ready,
    /// The start has failed, and nothing of it runs.
    StartFailed(FailureCause),
    /// Its engine has ended, and nothing of it runs.
    Exited(EndCause),
    /// Somebody wants it stopped.
    StopWanted,
    /// It is unused and can go, unless somebody has begun to use it.
    Unneeded,
    /// The operator wants it stopped, and to stay so.
    HoldWanted,
    /// What holds it is lifted.
    Lifted,
    LeaseTaken,
    LeaseDropped,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start { generation: u64 },
    Stop,
}

impl Machine {
    pub(super) fn new(now: Instant) -> Self {
        Self { state: State::Stopped, generation: 0, leases: 0, idle_since: now, leaving: false }
    }

    /// Whether `Wanted` would start it now: then it needs a place among the running ones first.
    pub(super) fn would_start(&self, now: Instant) -> bool {
        match &self.state {
            State::Stopped => true,
            State::Failed { cause, .. } if cause.is_held() => false,
            State::Failed { at, cause } => retries_at_once(cause) || now.duration_since(*at) >= RETRY_PAUSE,
            State::Starting(_) | State::Running | State::Stopping { .. } => false,
        }
    }

    pub(super) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        let would_start = self.would_start(now);
        match (&mut self.state, event) {
            (State::Stopped | State::Failed { .. }, Event::Wanted) if would_start => return Some(self.start()),
            (State::Stopping { again, hold: false }, Event::Wanted) => *again = true,
            (State::Starting(at), Event::Reached(stage)) => *at = stage,
            (State::Starting(_), Event::Ready) => {
                self.state = State::Running;
                // Whoever it was started for has had no time to come for it.
                self.idle_since = now;
            }
            (State::Starting(_), Event::StartFailed(cause)) => self.state = State::Failed { cause, at: now },
            (State::Running, Event::Unneeded) if self.leases == 0 => {
                self.state = State::Stopping { again: false, hold: false };
                return Some(Action::Stop);
            }
            (State::Starting(_) | State::Running, Event::StopWanted) => {
                self.state = State::Stopping { again: false, hold: false };
                return Some(Action::Stop);
            }
            (State::Starting(_) | State::Running, Event::HoldWanted) => {
                self.state = State::Stopping { again: false, hold: true };
                return Some(Action::Stop);
            }
            (State::Stopping { again, .. }, Event::StopWanted) => *again = false,
            (State::Stopping { again, hold }, Event::HoldWanted) => (*again, *hold) = (false, true),
            (State::Stopped | State::Failed { .. }, Event::HoldWanted) => {
                self.state = State::Failed { cause: FailureCause::StoppedByOperator, at: now };
            }
            (State::Failed { .. }, Event::Lifted | Event::StopWanted) if !self.leaving => self.state = State::Stopped,
            (State::Running, Event::Exited(cause)) => self.state = State::Failed { cause: cause.into(), at: now },
            (State::Stopping { hold: true, .. }, Event::Exited(_) | Event::StartFailed(_)) => {
                self.state = State::Failed { cause: FailureCause::StoppedByOperator, at: now };
            }
            (State::Stopping { again, .. }, Event::Exited(_) | Event::StartFailed(_)) => {
                let again = *again;
                self.state = State::Stopped;
                if again {
                    return Some(self.start());
                }
            }
            (_, Event::LeaseTaken) => self.leases += 1,
            (_, Event::LeaseDropped) => {
                self.leases = self.leases.saturating_sub(1);
                if self.leases == 0 {
                    self.idle_since = now;
                }
            }
            // Everything else is late news, or a wish that is granted already.
            _ => {}
        }
        None
    }

    /// One that an earlier daemon has left running, unused for `idle`.
    pub(super) fn adopted(now: Instant, idle: Duration) -> Self {
        let idle_since = now.checked_sub(idle).unwrap_or(now);
        Self { state: State::Running, generation: 1, idle_since, ..Self::new(now) }
    }

    /// One that has ended while no daemon was there to see it.
    pub(super) fn found_ended(now: Instant, cause: EndCause) -> Self {
        Self { state: State::Failed { cause: cause.into(), at: now }, ..Self::new(now) }
    }

    fn start(&mut self) -> Action {
        self.generation += 1;
        self.state = State::Starting(Stage::Queued);
        Action::Start { generation: self.generation }
    }

    /// Counts its starts from `base`.
    pub(super) fn count_from(&mut self, base: u64) {
        self.generation += base;
    }

    /// Begins its removal; false when that has begun already. Whoever begins it has it held next.
    pub(super) fn begin_removal(&mut self) -> bool {
        !std::mem::replace(&mut self.leaving, true)
    }

    /// The removal has not worked: it is like any other again.
    pub(super) fn end_removal(&mut self) {
        self.leaving = false;
    }

    /// Whether it is being removed.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn leases(&self) -> usize {
        self.leases
    }

    /// Whether it runs and nobody uses it.
    pub(super) fn is_idle(&self) -> bool {
        self.leases == 0 && matches!(self.state, State::Running)
    }

    /// How long nobody has held a lease; none while somebody does.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        (self.leases == 0).then(|| now.duration_since(self.idle_since))
    }

    pub(super) fn state(&self) -> InstanceState {
        match &self.state {
            State::Stopped => InstanceState::Stopped,
            State::Starting(stage) => InstanceState::Starting { stage: *stage },
            State::Running => InstanceState::Running,
            State::Stopping { .. } => InstanceState::Stopping,
            State::Failed { cause, .. } => InstanceState::Failed { cause: cause.clone() },
        }
    }
}

/// A crash in mid-run is mended by the very next request; a start that failed will likely fail the same way again.
fn retries_at_once(cause: &FailureCause) -> bool {
    matches!(cause, FailureCause::Crashed { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed(status: String) -> EndCause {
        EndCause::Crashed { status }
    }

    #[test]
    fn what_was_meant_is_held_until_somebody_lifts_it() {
        let (mut machine, now) = started();
        machine.on(Event::Ready, now);
        machine.on(Event::Exited(EndCause::StoppedByOperator), now);
        let later = now + RETRY_PAUSE * 100;
        assert_eq!(machine.on(Event::Wanted, later), None, "an open tab that reconnects undoes nothing");
        machine.on(Event::StopWanted, later);
        assert_eq!(machine.on(Event::Wanted, later), Some(Action::Start { generation: 2 }));
    }

    #[test]
    fn an_operators_stop_is_not_undone_by_an_open_tab() {
        let (mut machine, now) = started();
        machine.on(Event::Ready, now);
        assert_eq!(machine.on(Event::HoldWanted, now), Some(Action::Stop));
        assert_eq!(machine.on(Event::Wanted, now), None);
        assert_eq!(machine.on(Event::Exited(crashed("signal: 15".into())), now), None);
        assert_eq!(machine.state(), InstanceState::Failed { cause: FailureCause::StoppedByOperator });
        assert_eq!(machine.on(Event::Wanted, now), None);
        machine.on(Event::Lifted, now);
        assert_eq!(machine.on(Event::Wanted, now), Some(Action::Start { generation: 2 }));
        machine.on(Event::Lifted, now);
        assert!(matches!(machine.state(), InstanceState::Starting { .. }), "only what is held is lifted");
    }

    #[test]
    fn what_is_being_removed_is_started_by_nobody() {
        let (mut machine, now) = started();
        machine.on(Event::Ready, now);
        assert!(machine.begin_removal() && !machine.begin_removal(), "by one of two");
        assert_eq!(machine.on(Event::HoldWanted, now), Some(Action::Stop));
        let held = InstanceState::Failed { cause: FailureCause::StoppedByOperator };
        for event in [Event::Exited(crashed("signal: 15".into())), Event::Lifted, Event::StopWanted, Event::HoldWanted, Event::Lifted] {
            assert_eq!(machine.on(event, now), None);
            assert_eq!((machine.state(), machine.on(Event::Wanted, now)), (held.clone(), None));
        }
        machine.end_removal();
        assert_eq!((machine.state(), machine.on(Event::Wanted, now)), (held, None), "it did not work: held like any other");
        machine.on(Event::Lifted, now);
        assert_eq!(machine.on(Event::Wanted, now), Some(Action::Start { generation: 2 }));
    }

    #[test]
    fn an_adopted_one_keeps_its_idle_clock() {
        let now = Instant::now();
        let machine = Machine::adopted(now, Duration::from_secs(60));
        assert_eq!(machine.state(), InstanceState::Running);
        assert_eq!(machine.idle_for(now), Some(Duration::from_secs(60)));
    }

    fn fresh() -> (Machine, Instant) {
        let now = Instant::now();
        (Machine::new(now), now)
    }

    fn started() -> (Machine, Instant) {
        let (mut machine, now) = fresh();
        assert_eq!(machine.on(Event::Wanted, now), Some(Action::Start { generation: 1 }));
        (machine, now)
    }

    #[test]
    fn many_want_one_start() {
        let (mut machine, now) = started();
        for _ in 0..100 {
            assert_eq!(machine.on(Event::Wanted, now), None);
        }
        machine.on(Event::Reached(Stage::Connecting), now);
        assert_eq!(machine.state(), InstanceState::Starting { stage: Stage::Connecting });
        machine.on(Event::Ready, now);
        assert_eq!(machine.on(Event::Wanted, now), None);
        assert_eq!(machine.state(), InstanceState::Running);
    }

    #[test]
    fn a_failed_start_pauses_a_crash_does_not() {
        let (mut machine, now) = started();
        machine.on(Event::StartFailed(FailureCause::Timeout { seconds: 1 }), now);
        assert_eq!(machine.on(Event::Wanted, now), None);
        assert_eq!(machine.on(Event::Wanted, now + RETRY_PAUSE), Some(Action::Start { generation: 2 }));
        machine.on(Event::Ready, now);
        machine.on(Event::Exited(crashed("signal: 9".into())), now);
        assert!(matches!(machine.state(), InstanceState::Failed { cause: FailureCause::Crashed { .. } }));
        assert_eq!(machine.on(Event::Wanted, now), Some(Action::Start { generation: 3 }));
    }

    #[test]
    fn wanted_while_stopping_starts_again_afterwards() {
        let (mut machine, now) = started();
        machine.on(Event::Ready, now);
        assert_eq!(machine.on(Event::StopWanted, now), Some(Action::Stop));
        assert_eq!(machine.on(Event::StopWanted, now), None);
        assert_eq!(machine.on(Event::Wanted, now), None);
        assert_eq!(machine.on(Event::Exited(crashed("0".into())), now), Some(Action::Start { generation: 2 }));
        machine.on(Event::StopWanted, now);
        machine.on(Event::Wanted, now);
        machine.on(Event::StopWanted, now);
        assert_eq!(machine.on(Event::Exited(crashed("0".into())), now), None, "the last wish counts");
    }

    #[test]
    fn stopped_while_starting_is_stopped_not_failed() {
        let (mut machine, now) = started();
        assert_eq!(machine.on(Event::StopWanted, now), Some(Action::Stop));
        machine.on(Event::Ready, now);
        assert_eq!(machine.state(), InstanceState::Stopping, "ready came too late");
        machine.on(Event::Exited(crashed("signal: 15".into())), now);
        assert_eq!(machine.state(), InstanceState::Stopped);
    }

    #[test]
    fn who_has_come_for_it_keeps_it() {
        let (mut machine, now) = started();
        machine.on(Event::Unneeded, now);
        machine.on(Event::Ready, now + Duration::from_secs(7));
        assert_eq!(machine.idle_for(now + Duration::from_secs(8)), Some(Duration::from_secs(1)), "the clock starts when it can be used");
        machine.on(Event::LeaseTaken, now);
        assert!(!machine.is_idle());
        assert_eq!(machine.on(Event::Unneeded, now), None);
        assert_eq!(machine.state(), InstanceState::Running);
        machine.on(Event::LeaseDropped, now);
        assert!(machine.is_idle());
        assert_eq!(machine.on(Event::Unneeded, now), Some(Action::Stop));
        machine.on(Event::Wanted, now);
        assert_eq!(machine.on(Event::Exited(crashed("signal: 15".into())), now), Some(Action::Start { generation: 2 }));
    }

    #[test]
    fn the_last_lease_starts_the_idle_clock() {
        let (mut machine, now) = started();
        machine.on(Event::Ready, now);
        machine.on(Event::LeaseTaken, now);
        machine.on(Event::LeaseTaken, now);
        machine.on(Event::LeaseDropped, now + Duration::from_secs(5));
        assert_eq!(machine.idle_for(now + Duration::from_secs(9)), None);
        machine.on(Event::LeaseDropped, now + Duration::from_secs(10));
        assert_eq!(machine.idle_for(now + Duration::from_secs(12)), Some(Duration::from_secs(2)));
        assert_eq!(machine.leases(), 0);
    }
}
