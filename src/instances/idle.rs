//! When an instance that nobody uses is looked into, trimmed and stopped, as a pure state machine: how long it has been unused
//! and what runs in it go in, one step comes out.
//!
//! Nothing is stopped on one look alone: a loop that a person has typed into a shell has moments in which only the shell is there.

use std::time::Duration;

use crate::model::Usage;

/// The least time that one has to be unused before it is stopped to make room for another: nothing holds it while its page is
/// being loaded either, which takes a phone or a busy host its time, or while a phone changes its network.
const SETTLED: Duration = Duration::from_secs(60);

/// The time between the two looks that find nothing.
const CONFIRM: Duration = Duration::from_millis(300);

/// How long to wait when nothing is to be done unasked: until the configuration says something else.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// Why an instance is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It may have been unused for long enough.
    Time,
    /// Another one needs its place or its memory.
    Room,
}

impl Need {
    /// How long one has to be unused for it; none means that none is stopped unasked. `stop_after` is the operator's.
    pub(super) fn wait(self, stop_after: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Time => stop_after,
            Self::Room => stop_after.map(|time| time.min(SETTLED)),
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody uses it, or it does not run: it is news again when that has ended.
    Forget,
    /// Look again after this time.
    Later(Duration),
    /// Ask what runs in it.
    Ask,
    /// Something of the user's runs and goes on: push out the memory it does not use, and look again after this time.
    Trim(Duration),
    /// Stop it.
    Stop,
}

/// What is remembered of an instance between two looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Seen,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Seen {
    /// Nobody has looked since it was used last.
    #[default]
    Unknown,
    /// Nothing of the user's ran, when it had been unused for so long.
    Quiet(Duration),
    /// Something did.
    Busy,
    /// Nobody could tell.
    Silent,
}

impl Watch {
    /// Its time has come. `idle`: how long nobody has used it, none when somebody does or it does not run; `wait`: see [`Need`].
    pub(super) fn due(&mut self, idle: Option<Duration>, wait: Option<Duration>) -> Step {
        match (idle, wait) {
            (None, _) => {
                self.seen = Seen::Unknown;
                Step::Forget
            }
            (Some(_), None) => Step::Later(FOR_EVER),
            (Some(idle), Some(wait)) if idle < wait => {
                self.seen = Seen::Unknown;
                Step::Later(wait - idle)
            }
            _ => Step::Ask,
        }
    }

    /// What runs in it was asked; none when nobody could tell, and then it is not stopped.
    pub(super) fn answered(&mut self, idle: Option<Duration>, wait: Option<Duration>, usage: Option<&Usage>) -> Step {
        let step = self.due(idle, wait);
        let Some(wait) = wait.filter(|_| step == Step::Ask) else { return step };
        let users = usage.map(|usage| usage.user_processes);
        match (users, &self.seen) {
            (None, _) => {
                self.seen = Seen::Silent;
                Step::Later(wait)
            }
            (Some(1..), Seen::Busy) => Step::Later(wait),
            (Some(1..), _) => {
                self.seen = Seen::Busy;
                Step::Trim(wait)
            }
            // Whoever asked first: two who ask at the same moment have looked once.
            (Some(0), Seen::Quiet(at)) => match (*at + CONFIRM).saturating_sub(idle.unwrap_or_default()) {
                Duration::ZERO => Step::Stop,
                rest => Step::Later(rest),
            },
            (Some(0), _) => {
                self.seen = Seen::Quiet(idle.unwrap_or_default());
                Step::Later(CONFIRM)
            }
        }
    }

    /// Whether the last look found something of the user's, or nothing at all: others are asked first.
    pub(super) fn was_busy(&self) -> bool {
        matches!(self.seen, Seen::Busy | Seen::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Option<Duration> = Some(Duration::from_secs(600));

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn runs(user_processes: usize) -> Usage {
        Usage { processes: 3 + user_processes, user_processes, ..Usage::default() }
    }

    #[test]
    fn an_unused_one_is_stopped_after_its_time_and_two_looks() {
        let mut watch = Watch::default();
        assert_eq!(watch.due(secs(0), WAIT), Step::Later(Duration::from_secs(600)));
        assert_eq!(watch.due(secs(599), WAIT), Step::Later(Duration::from_secs(1)));
        assert_eq!(watch.due(secs(600), WAIT), Step::Ask);
        assert_eq!(watch.answered(secs(600), WAIT, Some(&runs(0))), Step::Later(CONFIRM));
        assert_eq!(watch.due(secs(601), WAIT), Step::Ask);
        assert_eq!(watch.answered(secs(601), WAIT, Some(&runs(0))), Step::Stop);
    }

    #[test]
    fn one_with_something_of_the_users_stays_and_is_trimmed_once() {
        let mut watch = Watch::default();
        let again = Duration::from_secs(600);
        assert_eq!(watch.answered(secs(600), WAIT, Some(&runs(2))), Step::Trim(again));
        assert!(watch.was_busy());
        assert_eq!(watch.answered(secs(1200), WAIT, Some(&runs(1))), Step::Later(again));
        // It has ended: again two looks.
        assert_eq!(watch.answered(secs(1800), WAIT, Some(&runs(0))), Step::Later(CONFIRM));
        // A loop between two of its commands.
        assert_eq!(watch.answered(secs(1801), WAIT, Some(&runs(1))), Step::Trim(again));
        assert_eq!(watch.answered(secs(2401), WAIT, Some(&runs(0))), Step::Later(CONFIRM));
        assert_eq!(watch.answered(secs(2402), WAIT, Some(&runs(0))), Step::Stop);
    }

    #[test]
    fn whoever_comes_while_it_is_looked_at_wins() {
        let mut watch = Watch::default();
        assert_eq!(watch.answered(secs(600), WAIT, Some(&runs(0))), Step::Later(CONFIRM));
        assert_eq!(watch.answered(None, WAIT, Some(&runs(0))), Step::Forget);
        // Used for a moment meanwhile: the clock and the looks begin anew.
        assert_eq!(watch.answered(secs(600), WAIT, Some(&runs(0))), Step::Later(CONFIRM));
        assert_eq!(watch.answered(secs(1), WAIT, Some(&runs(0))), Step::Later(Duration::from_secs(599)));
        assert_eq!(watch.answered(secs(600), WAIT, Some(&runs(0))), Step::Later(CONFIRM));
    }

    #[test]
    fn who_cannot_be_asked_is_not_stopped() {
        let mut watch = Watch::default();
        for _ in 0..10 {
            assert_eq!(watch.answered(secs(9999), WAIT, None), Step::Later(Duration::from_secs(600)));
        }
    }

    #[test]
    fn never_is_never_also_for_room() {
        let mut watch = Watch::default();
        for need in [Need::Time, Need::Room] {
            assert_eq!(watch.due(secs(999_999), need.wait(None)), Step::Later(FOR_EVER));
            assert_eq!(watch.answered(secs(999_999), need.wait(None), Some(&runs(0))), Step::Later(FOR_EVER));
        }
        assert_eq!(Need::Room.wait(WAIT), Some(SETTLED));
        assert_eq!(Need::Room.wait(secs(2)), secs(2));
    }
}
