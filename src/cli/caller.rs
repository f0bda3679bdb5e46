//! Whom a command asks: the control socket by default, the public API of an instance with `--url`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::args::{AskOptions, ControlOptions};
use super::client::{self, Body, ClientError, Place, Sent};
use super::url::ServiceUrl;
use crate::model::{InstanceId, Password};
use crate::sys;

/// How long a start is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two looks at an instance that starts.
const PACE: Duration = Duration::from_millis(200);

/// Somebody who is asked. It signs in when it has to, and once.
pub(super) struct Caller {
    place: Place,
    password_file: Option<PathBuf>,
    cookie: Option<String>,
}

impl Caller {
    /// As the options say: `--url` wins over `--socket`, and that over `HOODY_CODE_URL`.
    ///
    /// # Errors
    /// When the variable holds no URL.
    pub(super) fn of(options: &AskOptions) -> Result<Self, ClientError> {
        let socket = options.control.socket.as_deref();
        let url = match (&options.url, socket) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(_)) => None,
            (None, None) => from_environment()?,
        };
        let place = url.map_or_else(|| Place::Socket(client::socket(socket)), Place::Url);
        Ok(Self { place, password_file: options.password_file.clone(), cookie: None })
    }

    /// The control socket, for what exists nowhere else.
    ///
    /// # Errors
    /// When the options or the environment lead elsewhere.
    pub(super) fn operator(options: &AskOptions) -> Result<Self, ClientError> {
        let caller = Self::of(options)?;
        match &caller.place {
            Place::Socket(_) => Ok(caller),
            Place::Url(url) => Err(ClientError::NeedsSocket(url.to_string())),
        }
    }

    /// Asks a route of the control socket.
    pub(super) fn order(&self, method: Method, path: &str) -> Result<Value, ClientError> {
        self.success(client::send(&self.place, Sent { method, path, cookie: None, body: None })?)
    }

    /// How the daemon is, whatever the status of its answer.
    pub(super) fn health(&self) -> Result<Value, ClientError> {
        let path = match &self.place {
            Place::Socket(_) => "/api/v1/code/health".to_owned(),
            Place::Url(url) => format!("{}/api/v1/code/health", url.any_root()),
        };
        client::send(&self.place, Sent { method: Method::GET, path: &path, cookie: None, body: None }).map(|answer| answer.value)
    }

    /// Asks an instance's own route: `what` is its path behind `/api/v1/code/`, on the control socket behind the instance's id.
    pub(super) fn of_instance(&mut self, id: &InstanceId, method: Method, what: &str, body: Body) -> Result<Value, ClientError> {
        let path = match &self.place {
            Place::Socket(_) => format!("/api/v1/instances/{id}{}{what}", if what.is_empty() { "" } else { "/" }),
            Place::Url(url) => {
                let root = url.root(id).ok_or_else(|| ClientError::OtherInstance { url: url.to_string(), id: id.clone() })?;
                self.sign_in(&root)?;
                // There is one route less there: the state is at a path of its own.
                format!("{root}/api/v1/code/{}", if what.is_empty() { "status" } else { what })
            }
        };
        self.success(client::send(&self.place, Sent { method, path: &path, cookie: self.cookie.as_deref(), body })?)
    }

    /// Asks for the password now, where one is asked for: before anything moves on the terminal.
    pub(super) fn sign_in_for(&mut self, id: &InstanceId) -> Result<(), ClientError> {
        let root = match &self.place {
            Place::Socket(_) => return Ok(()),
            Place::Url(url) => url.root(id),
        };
        // Another instance's is an error, and the command's own to say.
        root.map_or(Ok(()), |root| self.sign_in(&root))
    }

    /// Starts an instance and waits until it runs. Gives what the control socket answers.
    pub(super) fn start(&mut self, id: &InstanceId) -> Result<Value, ClientError> {
        let answer = self.of_instance(id, Method::POST, "start", None)?;
        if matches!(self.place, Place::Socket(_)) {
            return Ok(answer);
        }
        let began = Instant::now();
        loop {
            let status = self.of_instance(id, Method::GET, "", None)?;
            match status["state"].as_str() {
                Some("running") => return Ok(json!({"id": id, "state": "running"})),
                Some("failed") => {
                    return Err(ClientError::Refused(format!(
                        "the instance does not come up: {}",
                        status["cause"]["kind"].as_str().unwrap_or("failed")
                    )));
                }
                _ if began.elapsed() > PATIENCE => return Err(ClientError::Refused("the instance is still starting".to_owned())),
                _ => std::thread::sleep(PACE),
            }
        }
    }

    /// The instance that the URL names, if any.
    pub(super) fn named(&self) -> Option<&InstanceId> {
        match &self.place {
            Place::Url(url) => url.named(),
            Place::Socket(_) => None,
        }
    }

    fn success(&self, answer: client::Answer) -> Result<Value, ClientError> {
        if answer.status.is_success() {
            return Ok(answer.value);
        }
        let message = answer.value["error"]["message"].as_str().unwrap_or("the daemon refused").to_owned();
        Err(match answer.status.as_u16() {
            404 => ClientError::NotFound(message),
            401 => ClientError::Unauthorized(message),
            _ => ClientError::Refused(message),
        })
    }

    /// Gets a session for the instance at `root`, when one is asked for.
    fn sign_in(&mut self, root: &str) -> Result<(), ClientError> {
        if self.cookie.is_some() {
            return Ok(());
        }
        let path = format!("{root}/api/v1/code/status");
        let looked = client::send(&self.place, Sent { method: Method::GET, path: &path, cookie: None, body: None })?;
        if looked.status != http::StatusCode::UNAUTHORIZED {
            // The answer to the question itself says what else is wrong.
            return Ok(());
        }
        let password = self.password()?;
        let password =
            String::from_utf8(password.as_bytes().to_vec()).map_err(|_| ClientError::NoPassword("it is not UTF-8".to_owned()))?;
        let body = Some(("application/json", json!({ "password": password }).to_string().into_bytes()));
        let path = format!("{root}/api/v1/code/login");
        let answer = client::send(&self.place, Sent { method: Method::POST, path: &path, cookie: None, body })?;
        self.cookie.clone_from(&answer.session);
        self.success(answer).map(|_| ())
    }

    fn password(&self) -> Result<Password, ClientError> {
        let none = |why: String| ClientError::NoPassword(why);
        match &self.password_file {
            Some(path) => {
                let content = std::fs::read(path).map_err(|e| none(format!("{}: {e}", path.display())))?;
                Password::from_line(&content).map_err(|e| none(format!("{}: {e}", path.display())))
            }
            None if io::stdin().is_terminal() => {
                let typed = sys::read_hidden("Password: ").map_err(|e| none(e.to_string()))?;
                Password::new(typed).map_err(|e| none(e.to_string()))
            }
            None => Err(none("--password-file says where it is".to_owned())),
        }
    }
}

fn from_environment() -> Result<Option<ServiceUrl>, ClientError> {
    match std::env::var("HOODY_CODE_URL") {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|e| ClientError::BadUrl(format!("HOODY_CODE_URL is '{text}': {e}"))),
        _ => Ok(None),
    }
}

/// The control socket that `options` name, for commands that know no URL.
pub(super) fn at_socket(options: &ControlOptions) -> Caller {
    Caller { place: Place::Socket(client::socket(options.socket.as_deref())), password_file: None, cookie: None }
}
