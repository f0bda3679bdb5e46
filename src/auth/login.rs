//! The way in: one object that knows the passwords, the sessions and who tries too often.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::ended::Ended;
use super::error::AuthError;
use super::keys::{made_password, session_key};
use super::password::Hash;
use super::sessions::{self, LONGEST, Session, Token};
use super::throttle::{Client, Throttle, Ticket};
use super::token::{Audience, Seconds, Signer};
use super::transfer::Tickets;
use super::verifiers::{Epoch, Verifiers, verify};
use crate::config::{Login, PasswordSource};
use crate::model::{InstanceId, Password};
use crate::sys;

/// Passwords that are checked at the same time: each takes a core and 32 MiB. Known browsers have a place of their own.
const CHECKS: usize = 2;
const CHECKS_OF_KNOWN: usize = 1;

/// The most checks that wait or run, of all and of one password: a crowd in front of one door does not fill the street, and a door
/// that has many names is one door.
const WAITING: usize = 32;
const WAITING_OF_PASSWORD: usize = 8;

/// What those who find no place in the queue are told to wait.
const QUEUE_FULL: Duration = Duration::from_secs(2);

/// The way in. Cheap to share.
#[derive(Debug)]
pub struct Auth {
    dir: PathBuf,
    state: RwLock<State>,
    /// Held by whoever changes what is on the disk, from reading it to putting it into force.
    writing: Mutex<()>,
    throttle: Mutex<Throttle>,
    queue: Mutex<HashMap<Epoch, usize>>,
    /// The line of browsers that have been here before: strangers cannot fill it.
    queue_of_known: Mutex<HashMap<Epoch, usize>>,
    tickets: Mutex<Tickets>,
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
    /// Moves whenever sessions may have ended.
    endings: watch::Sender<()>,
    began: Instant,
}

struct State {
    key: [u8; 32],
    verifiers: Verifiers,
    ended: Ended,
    lifetime: Seconds,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// What was read anew, and is not in force yet.
#[derive(Debug)]
pub struct Prepared<'a> {
    auth: &'a Auth,
    state: State,
    made: Option<MadePassword>,
    _writing: MutexGuard<'a, ()>,
}

impl Prepared<'_> {
    /// Takes it into force. The password is there when one had to be made.
    pub fn apply(self) -> Option<MadePassword> {
        *self.auth.write() = self.state;
        self.auth.endings.send_replace(());
        self.made
    }
}

/// A password that was made because nobody had set one.
#[derive(Debug)]
pub struct MadePassword {
    /// The password.
    pub password: Password,
    /// Where it is kept.
    pub path: PathBuf,
}

/// One try.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// What is to be opened.
    pub instance: &'a InstanceId,
    /// By which password.
    pub password: Password,
    /// Who tries.
    pub client: Client,
    /// The token of a known device, if the client showed one.
    pub device: Option<&'a str>,
}

/// What became of it.
#[derive(Debug)]
pub enum Outcome {
    /// Come in.
    Admitted {
        /// The session.
        session: Token,
        /// What makes the browser a known one, next time.
        device: Token,
    },
    /// The password is another one.
    Wrong,
    /// Not now: the password was not looked at.
    Throttled(Duration),
}

impl Auth {
    /// Opens the login that keeps its secrets in `dir`, made when missing. Blocks: hashes passwords that are not hashed.
    ///
    /// # Errors
    /// When a configured hash is none, or the directory cannot be used.
    pub fn open(dir: PathBuf, login: &Login) -> Result<(Self, Option<MadePassword>), AuthError> {
        sys::create_private_dir(&dir).map_err(|source| AuthError::File { path: dir.clone(), source })?;
        let (state, made) = State::open(&dir, login)?;
        let auth = Self {
            dir,
            state: RwLock::new(state),
            writing: Mutex::default(),
            throttle: Mutex::new(Throttle::new()),
            queue: Mutex::default(),
            queue_of_known: Mutex::default(),
            tickets: Mutex::default(),
            strangers: Arc::new(Semaphore::new(CHECKS)),
            known: Arc::new(Semaphore::new(CHECKS_OF_KNOWN)),
            endings: watch::Sender::new(()),
            began: Instant::now(),
        };
        Ok((auth, made))
    }

    /// Takes new passwords, a new session key and new times into force; sessions of passwords that are gone end. Blocks.
    ///
    /// # Errors
    /// As [`Auth::open`]; then everything stays as it was.
    pub fn reload(&self, login: &Login) -> Result<Option<MadePassword>, AuthError> {
        Ok(self.prepare(login)?.apply())
    }

    /// The first half of [`Auth::reload`]: reads all of it, and leaves what is in force as it is until that is applied. Blocks.
    ///
    /// # Errors
    /// As [`Auth::open`].
    pub fn prepare(&self, login: &Login) -> Result<Prepared<'_>, AuthError> {
        let writing = lock(&self.writing);
        let (state, made) = State::open(&self.dir, login)?;
        Ok(Prepared { auth: self, state, made, _writing: writing })
    }

    /// Tries a password. The check itself runs aside, and only so many at a time.
    ///
    /// # Errors
    /// When the system fails, not when the password is wrong.
    pub async fn login(&self, attempt: Attempt<'_>) -> Result<Outcome, AuthError> {
        let Attempt { instance, password, client, device } = attempt;
        let known = device.and_then(|token| self.check(token, instance, Audience::Device)).map(|device| device.id);
        // Not the instance: a service-wide password opens every name that somebody makes up.
        let tried = self.read().verifiers.of(instance).epoch;
        let ticket = match lock(&self.throttle).take(client, known, tried, self.began.elapsed()) {
            Ok(ticket) => ticket,
            Err(wait) => return Ok(Outcome::Throttled(wait)),
        };
        let Some(_place) = Place::take(if known.is_some() { &self.queue_of_known } else { &self.queue }, tried) else {
            lock(&self.throttle).give_back(&ticket);
            return Ok(Outcome::Throttled(QUEUE_FULL));
        };
        let turns = if known.is_some() { &self.known } else { &self.strangers };
        let turn = Arc::clone(turns).acquire_owned().await.map_err(|_| AuthError::Broken)?;
        // What is looked at is what is in force when it is looked at.
        let verifier = self.read().verifiers.of(instance).clone();
        let old = verifier.hash.clone();
        let epoch = verifier.epoch;
        let checked = tokio::task::spawn_blocking(move || {
            // Held by the work, not by who waits for it: a client that goes away makes no room for another check.
            let _turn = turn;
            verify(&verifier, &password)
        });
        let (right, renewed) = checked.await.map_err(|_| AuthError::Broken)?;
        if !right {
            return Ok(Outcome::Wrong);
        }
        self.admit(instance, &ticket, epoch, old, renewed)
    }

    fn admit(&self, instance: &InstanceId, ticket: &Ticket, epoch: Epoch, old: Hash, renewed: Option<Hash>) -> Result<Outcome, AuthError> {
        lock(&self.throttle).give_back(ticket);
        // Once per hash that another program made: not worth a thread of its own, nor waiting for a reload; there is a next time.
        if let (Some(new), Ok(_writing)) = (renewed, self.writing.try_lock()) {
            let verifiers = self.read().verifiers.renewed(instance, &old, new);
            match verifiers {
                Ok(verifiers) => self.write().verifiers = verifiers,
                // The old hash goes on admitting.
                Err(e) => tracing::error!("{e}"),
            }
        }
        let state = self.read();
        if state.verifiers.of(instance).epoch != epoch {
            // Changed while it was checked: that password opens nothing any more.
            return Ok(Outcome::Wrong);
        }
        let (signer, now) = (state.signer(instance), sessions::now());
        let session = sessions::begin(&signer, instance, state.lifetime, now)?;
        let device = sessions::begin(&signer, instance, LONGEST, now)?;
        Ok(Outcome::Admitted {
            session: sessions::write(&signer, &session, Audience::Instance, now),
            device: sessions::write(&signer, &device, Audience::Device, now),
        })
    }

    /// The session that `token` is, if it opens `instance` for `audience` at this moment. Takes microseconds.
    pub fn check(&self, token: &str, instance: &InstanceId, audience: Audience<'_>) -> Option<Session> {
        let state = self.read();
        let longest = if audience == Audience::Device { LONGEST } else { state.lifetime };
        let session = sessions::read(&state.signer(instance), token, instance, audience, longest, sessions::now())?;
        (!state.ended.contains(instance, &session.id)).then_some(session)
    }

    /// A longer life for `session` when half of its own is over: who comes every day signs in once.
    pub fn renew(&self, session: &Session) -> Option<Token> {
        let state = self.read();
        let now = sessions::now();
        if session.expires.saturating_sub(now) > state.lifetime / 2 {
            return None;
        }
        let longer = Session { expires: now + state.lifetime, ..session.clone() };
        let signer = state.signer(&session.instance);
        (signer.key_id() == session.key).then(|| sessions::write(&signer, &longer, Audience::Instance, now))
    }

    /// Ends one session: it is signed out, everywhere. Blocks on the disk.
    ///
    /// # Errors
    /// When that cannot be kept: it has ended, but a restart would revive it.
    pub fn end(&self, session: &Session) -> Result<(), AuthError> {
        let now = sessions::now();
        // A renewed copy of it may be about that lasts longer.
        let expires = now + self.read().lifetime.max(session.expires.saturating_sub(now));
        let _writing = lock(&self.writing);
        let state = self.read();
        let has_own = |name: &str| name.parse().is_ok_and(|id| state.verifiers.has_own(&id));
        let ended = state.ended.with(&session.instance, &session.id, expires, now, has_own)?;
        drop(state);
        self.put(ended)
    }

    /// Ends all sessions of `instance`; none: all there are. For operators. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Auth::end`].
    pub fn revoke(&self, instance: Option<&InstanceId>) -> Result<(), AuthError> {
        let _writing = lock(&self.writing);
        let old = self.read().ended.clone();
        self.put(instance.map_or_else(|| old.with_everything(), |id| old.with_instance(id))?)
    }

    /// Saves first, so that nobody waits for the disk; a disk that is full revives no session before the next start.
    fn put(&self, ended: Ended) -> Result<(), AuthError> {
        let saved = ended.save();
        self.write().ended = ended;
        self.endings.send_replace(());
        saved
    }

    /// Waits until `session` has ended, by whatever means: for what goes on long after it was let in, such as a websocket.
    pub async fn until_ended(&self, session: &Session) {
        let mut endings = self.endings.subscribe();
        while self.is_good(session) {
            // In steps, because the wall clock that decides may be set meanwhile.
            let step = session.left().clamp(Duration::from_secs(1), Duration::from_secs(3600));
            let _ = tokio::time::timeout(step, endings.changed()).await;
        }
    }

    fn is_good(&self, session: &Session) -> bool {
        let state = self.read();
        state.signer(&session.instance).key_id() == session.key
            && session.expires > sessions::now()
            && !state.ended.contains(&session.instance, &session.id)
    }

    /// A ticket that carries `session` to `host`, another host name of its instance.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn issue_ticket(&self, session: &Session, host: &str) -> Result<String, AuthError> {
        lock(&self.tickets).issue(session, host, self.began.elapsed())
    }

    /// The token with which the session that `ticket` carries is known on `host`. The ticket is used up.
    pub fn redeem_ticket(&self, ticket: &str, host: &str) -> Option<(Session, Token)> {
        let session = lock(&self.tickets).redeem(ticket, host, self.began.elapsed())?;
        if !self.is_good(&session) {
            return None;
        }
        let signer = self.read().signer(&session.instance);
        let token = sessions::write(&signer, &session, Audience::Host(host), sessions::now());
        Some((session, token))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(dir: &Path, login: &Login) -> Result<(Self, Option<MadePassword>), AuthError> {
        let (service, made) = match &login.service {
            Some(source) => (source.clone(), None),
            None => {
                let path = dir.join("password");
                let (password, new) = made_password(&path)?;
                let made = new.then(|| MadePassword { password: password.clone(), path });
                (PasswordSource::Plain(password), made)
            }
        };
        let state = Self {
            key: session_key(&dir.join("session-key"))?,
            verifiers: Verifiers::open(dir.join("verifiers.json"), &service, &login.instances)?,
            ended: Ended::open(dir.join("ended.json"))?,
            lifetime: login.session.as_secs(),
        };
        Ok((state, made))
    }

    fn signer(&self, instance: &InstanceId) -> Signer {
        let [all, own] = self.ended.marks(instance, self.verifiers.has_own(instance));
        Signer::new(&self.key, instance, &[&self.verifiers.of(instance).epoch, all, own])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the queue of checks, given back when dropped.
struct Place<'a> {
    queue: &'a Mutex<HashMap<Epoch, usize>>,
    password: Epoch,
}

impl<'a> Place<'a> {
    fn take(queue: &'a Mutex<HashMap<Epoch, usize>>, password: Epoch) -> Option<Self> {
        let mut waiting = lock(queue);
        let of_password = waiting.get(&password).copied().unwrap_or(0);
        if of_password >= WAITING_OF_PASSWORD || waiting.values().sum::<usize>() >= WAITING {
            return None;
        }
        waiting.insert(password, of_password + 1);
        Some(Self { queue, password })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(self.queue);
        if let Some(count) = waiting.get_mut(&self.password) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.password);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
