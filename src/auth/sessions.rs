//! Sessions: made at a login, looked at with every request, ended by signing out, by time, by another password, or by an operator.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::AuthError;
use super::keys::random;
use super::token::{Audience, Claims, KeyId, Seconds, SessionId, Signer};
use crate::model::InstanceId;

/// How much longer than we would make one today a session may last, in seconds. One that lasts longer was made while the clock
/// was wrong.
const SLACK: Seconds = 24 * 3600;

/// The longest session a configuration can ask for, in seconds (`config`), and the life of the mark of a known device.
pub(super) const LONGEST: Seconds = 400 * 24 * 3600;

/// A session that is good at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub(super) instance: InstanceId,
    pub(super) id: SessionId,
    pub(super) expires: Seconds,
    pub(super) key: KeyId,
}

impl Session {
    /// The instance that it opens, and no other.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// How long it is still good for.
    pub fn left(&self) -> Duration {
        Duration::from_secs(self.expires.saturating_sub(now()))
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(super) fn for_tests(instance: &str) -> Self {
        Self { instance: instance.parse().unwrap(), id: [1; 16], expires: 1, key: [2; 8] }
    }
}

/// A session's text for a browser to keep, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// ASCII letters, digits, `.` and `-`.
    pub text: String,
    /// How long it is good for.
    pub lasts: Duration,
}

/// The wall clock: sessions outlive us.
pub(super) fn now() -> Seconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A new session of `instance` that lasts `lifetime`.
pub(super) fn begin(signer: &Signer, instance: &InstanceId, lifetime: Seconds, now: Seconds) -> Result<Session, AuthError> {
    Ok(Session { instance: instance.clone(), id: random()?, expires: now + lifetime, key: signer.key_id() })
}

/// The text of `session` for `audience`.
pub(super) fn write(signer: &Signer, session: &Session, audience: Audience<'_>, now: Seconds) -> Token {
    let claims = Claims { instance: session.instance.clone(), expires: session.expires, id: session.id };
    Token { text: signer.sign(&claims, audience), lasts: Duration::from_secs(session.expires.saturating_sub(now)) }
}

/// The session that `token` is, unless its time is over or cannot be right. Whether it was ended is for the caller to look up.
pub(super) fn read(
    signer: &Signer,
    token: &str,
    instance: &InstanceId,
    audience: Audience<'_>,
    longest: Seconds,
    now: Seconds,
) -> Option<Session> {
    let Claims { instance: named, expires, id } = signer.read(token, audience)?;
    let timely = expires > now && expires <= now.saturating_add(longest).saturating_add(SLACK);
    (named == *instance && timely).then(|| Session { instance: named, id, expires, key: signer.key_id() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: Seconds = 24 * 3600;

    #[test]
    fn a_session_ends_with_its_time_and_a_clock_set_back_makes_none_eternal() {
        let alice = "alice".parse().unwrap();
        let signer = Signer::new(&[1; 32], &alice, &[]);
        let now = 1_800_000_000;
        let session = begin(&signer, &alice, 30 * DAY, now).unwrap();
        let token = write(&signer, &session, Audience::Instance, now);
        assert_eq!(token.lasts, Duration::from_secs(30 * DAY));
        let read = |now| read(&signer, &token.text, &alice, Audience::Instance, 30 * DAY, now);
        assert_eq!(read(now), Some(session.clone()));
        assert_eq!(read(now + 30 * DAY - 1), Some(session.clone()));
        assert_eq!(read(now + 30 * DAY), None);
        assert_eq!(read(now - DAY), Some(session), "a clock that is put right by a little does no harm");
        assert_eq!(read(now - DAY - 1), None);
        assert_eq!(read(0), None);
    }

    #[test]
    fn another_instance_is_another_instance() {
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        // Even if the keys were the same.
        let signer = Signer::new(&[1; 32], &alice, &[]);
        let token = write(&signer, &begin(&signer, &alice, 100, 5).unwrap(), Audience::Instance, 5);
        assert_eq!(read(&signer, &token.text, &bob, Audience::Instance, 100, 5), None);
    }
}
