//! Tickets that carry a session from an instance's own host name to another one of its host names, where the browser does not
//! send the cookie: one use, half a minute, one host. They live in memory only.

use std::collections::HashMap;
use std::time::Duration;

use super::error::AuthError;
use super::keys::random;
use super::sessions::Session;

/// How long a ticket is good for: a redirect on a bad line.
const GOOD_FOR: Duration = Duration::from_secs(30);

/// The most tickets that are out at a time.
const MOST: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Tickets(HashMap<[u8; 16], Ticket>);

#[derive(Debug)]
struct Ticket {
    session: Session,
    host: String,
    until: Duration,
}

impl Tickets {
    /// A ticket that carries `session` to `host`.
    pub(super) fn issue(&mut self, session: &Session, host: &str, now: Duration) -> Result<String, AuthError> {
        self.0.retain(|_, ticket| ticket.until > now);
        if self.0.len() >= MOST {
            // Who is signed in can ask for many; whose is dropped, his browser asks again.
            let oldest = self.0.iter().min_by_key(|(_, ticket)| ticket.until).map(|(name, _)| *name);
            oldest.and_then(|name| self.0.remove(&name));
        }
        let name: [u8; 16] = random()?;
        self.0.insert(name, Ticket { session: session.clone(), host: host.to_owned(), until: now + GOOD_FOR });
        Ok(hex::encode(name))
    }

    /// The session that `ticket` carries to `host`. Shown anywhere, it is used up.
    pub(super) fn redeem(&mut self, ticket: &str, host: &str, now: Duration) -> Option<Session> {
        let name: [u8; 16] = hex::decode(ticket).ok()?.try_into().ok()?;
        let ticket = self.0.remove(&name)?;
        (ticket.host == host && ticket.until > now).then_some(ticket.session)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOST: &str = "3000--acme-web-code-1.example.com";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_use_one_host_half_a_minute() {
        let session = Session::for_tests("acme-web-code-1");
        let mut tickets = Tickets::default();
        let issue = |tickets: &mut Tickets| tickets.issue(&session, HOST, at(100)).unwrap();
        let ticket = issue(&mut tickets);
        assert_eq!(tickets.redeem(&ticket, HOST, at(129)), Some(session.clone()));
        assert_eq!(tickets.redeem(&ticket, HOST, at(129)), None, "used");
        let ticket = issue(&mut tickets);
        assert_eq!(tickets.redeem(&ticket, HOST, at(130)), None, "late");
        let ticket = issue(&mut tickets);
        assert_eq!(tickets.redeem(&ticket, "3001--acme-web-code-1.example.com", at(101)), None, "elsewhere");
        assert_eq!(tickets.redeem(&ticket, HOST, at(101)), None, "and with that used");
        for text in ["", "00", "zz", &"0".repeat(32)] {
            assert_eq!(tickets.redeem(text, HOST, at(101)), None);
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let session = Session::for_tests("alice");
        let mut tickets = Tickets::default();
        let first = tickets.issue(&session, HOST, at(1)).unwrap();
        let rest: Vec<_> = (0..MOST).map(|_| tickets.issue(&session, HOST, at(2)).unwrap()).collect();
        assert_eq!(tickets.0.len(), MOST);
        assert_eq!(tickets.redeem(&first, HOST, at(2)), None);
        assert!(tickets.redeem(&rest[MOST - 1], HOST, at(2)).is_some());
    }
}
