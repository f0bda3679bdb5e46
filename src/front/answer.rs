//! The only place that picks a status, and the makers of every kind of answer.

use std::fmt;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

pub(super) use super::accept::wants_html;
use super::pages::{self, Failure, Retry};
use crate::config::Page;
use crate::instances::{AcquireError, RoamingError, StoreError};
use crate::proxy::{Body, ProxyError};

/// What a client may be told went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    BadRequest,
    InvalidFolder,
    InvalidWorkspace,
    InvalidLocale,
    InvalidExtension,
    InvalidInstance,
    Unauthorized,
    WrongPassword,
    TooManyAttempts,
    TooLarge,
    UnsupportedMediaType,
    InvalidPort,
    OriginRefused,
    PortRefused,
    FolderNotFound,
    InstanceNotFound,
    WorkspaceNotFound,
    ExtensionNotFound,
    ExtensionFailed,
    NotFound,
    MethodNotAllowed,
    RangeNotSatisfiable,
    Conflict,
    Internal,
    InstanceFailed,
    InstanceStopped,
    PortUnreachable,
    TooManyInstances,
    TooManyConnections,
    Draining,
    Starting,
    StartTimeout,
}

/// Names the code of an error of ours beside its body, where a page has to tell it from an app's own answer.
pub(super) const ERROR_HEADER: HeaderName = HeaderName::from_static("hoody-code-error");

impl ErrorCode {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::InvalidFolder
            | Self::InvalidWorkspace
            | Self::InvalidLocale
            | Self::InvalidExtension
            | Self::InvalidInstance
            | Self::InvalidPort => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OriginRefused | Self::PortRefused => StatusCode::FORBIDDEN,
            Self::ExtensionNotFound | Self::FolderNotFound | Self::WorkspaceNotFound | Self::InstanceNotFound | Self::NotFound => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ExtensionFailed | Self::InstanceFailed | Self::PortUnreachable => StatusCode::BAD_GATEWAY,
            Self::TooManyInstances | Self::TooManyConnections | Self::Draining | Self::Starting | Self::InstanceStopped => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::StartTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The code by which a program knows it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidFolder => "invalid_folder",
            Self::InvalidWorkspace => "invalid_workspace",
            Self::InvalidLocale => "invalid_locale",
            Self::InvalidExtension => "invalid_extension",
            Self::ExtensionNotFound => "extension_not_found",
            Self::ExtensionFailed => "extension_failed",
            Self::InvalidInstance => "invalid_instance",
            Self::Unauthorized => "unauthorized",
            Self::WrongPassword => "wrong_password",
            Self::TooManyAttempts => "too_many_attempts",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidPort => "invalid_port",
            Self::OriginRefused => "origin_refused",
            Self::PortRefused => "port_refused",
            Self::FolderNotFound => "folder_not_found",
            Self::WorkspaceNotFound => "workspace_not_found",
            Self::InstanceNotFound => "instance_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::Conflict => "conflict",
            Self::Internal => "internal",
            Self::InstanceFailed => "instance_failed",
            Self::InstanceStopped => "instance_stopped",
            Self::PortUnreachable => "port_unreachable",
            Self::TooManyInstances => "too_many_instances",
            Self::TooManyConnections => "too_many_connections",
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::StartTimeout => "instance_start_timeout",
        }
    }

    /// What a person sees as heading, and what they can do.
    fn advice(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => ("This request cannot be read", "Open the link again, or type it anew."),
            Self::InvalidFolder => {
                ("This folder cannot be opened", "A folder is an absolute path without “..”, for example ?folder=/home/user/project.")
            }
            Self::InvalidWorkspace => ("This workspace cannot be opened", "A workspace is the absolute path of a .code-workspace file."),
            Self::InvalidLocale => ("This language is not known", "A language is a tag such as “fr” or “zh-cn”."),
            Self::InvalidExtension => (
                "This extension cannot be used",
                "An extension is named PUBLISHER.NAME, for example ?extension=redhat.vscode-yaml, and has to be one for this editor.",
            ),
            Self::ExtensionNotFound => (
                "This extension is not there",
                "Check its name. The gallery may not have it: a VSIX can be installed by hand in the full editor.",
            ),
            Self::ExtensionFailed => (
                "This extension was not installed",
                "Try again in a moment. If it fails the same way, the gallery cannot be reached from here.",
            ),
            Self::InvalidInstance => ("There is no such instance", "An instance is named by 1 to 63 of a–z, 0–9 and “-”."),
            Self::Unauthorized => ("Sign in first", "Open the editor’s own address: it asks for the password."),
            Self::WrongPassword => ("This password is not the right one", "Try again."),
            Self::TooManyAttempts => ("Too many attempts", "Wait a while, then try again."),
            Self::TooLarge => ("This is too large", "Send less."),
            Self::UnsupportedMediaType => ("This cannot be read", "Send a form or JSON."),
            Self::InvalidPort => ("This is no port", "A port is a number from 1 to 65535 without leading zeros: /proxy/3000/."),
            Self::PortRefused => (
                "This port is not open",
                "Only servers that run in this editor, in one of its terminals for example, can be reached, on ports that the operator’s configuration ([ports]) leaves open.",
            ),
            Self::OriginRefused => (
                "Not from here",
                "This address is not one that the service answers to, or another site’s page sent the request. Open the editor’s own URL; operators add host names to “domains” in the configuration.",
            ),
            Self::FolderNotFound => {
                ("This folder is not there", "Check the path, or create the folder first. “?ew=true” opens an empty window.")
            }
            Self::WorkspaceNotFound => {
                ("This workspace is not there", "Check the path of the .code-workspace file. “?ew=true” opens an empty window.")
            }
            Self::InstanceNotFound => ("There is no such instance", "`hoody-code instances list` shows those that there are."),
            Self::NotFound => ("Nothing is here", "The editor is at the root of this address."),
            Self::MethodNotAllowed => ("This cannot be done here", "The address exists, but not for this kind of request."),
            Self::RangeNotSatisfiable => ("There is no such part", "The file is shorter. Ask for all of it."),
            Self::Conflict => ("Not as things are", "Do what the message says first, then try again."),
            Self::Internal => ("Something went wrong on our side", "Try again; the service’s log says more."),
            Self::InstanceFailed => ("The editor did not come up", "Try again. If it fails the same way, the lines below say why."),
            Self::InstanceStopped => {
                ("The editor was stopped", "Your files are as they were. Open it again, or ask whoever runs this server.")
            }
            Self::PortUnreachable => {
                ("Nothing listens here yet", "Start the server in the editor’s terminal. This page opens it as soon as it is up.")
            }
            Self::TooManyInstances => ("All places are taken", "As many editors as this server allows are running. Try again in a while."),
            Self::TooManyConnections => ("There are too many connections", "Close tabs of the editor that nobody needs, then try again."),
            Self::Draining => (
                "This server is being drained",
                "Somebody is about to work on it. Editors that run go on, and your files are as they were. Try again later, or ask whoever runs this server.",
            ),
            Self::Starting => ("The editor is starting", "Try again in a moment."),
            Self::StartTimeout => ("The editor takes too long to start", "The server is busy, or the editor hangs. Try again."),
        }
    }
}

/// A failure on its way to the client.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) code: ErrorCode,
    /// For the client: nothing of paths, stacks or other tenants.
    message: String,
    retry_after: Option<Duration>,
    /// The engine's last lines, for the instance's owner.
    log: Vec<String>,
    place: Option<Place>,
}

/// Where a page of an error is shown: the ways from there to the instance's root, and from the root to what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) root: String,
    pub(super) to: String,
}

impl ApiError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None, log: Vec::new(), place: None }
    }

    /// The same for somebody who may go on from where it is shown.
    pub(super) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Too many wrong passwords; the next one is looked at after `wait`.
    pub(super) fn too_many_attempts(wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::new(ErrorCode::TooManyAttempts, "too many wrong passwords") }
    }

    pub(super) fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "nothing is here")
    }

    /// `whose`, an instance's or the service's, connections are all taken.
    pub(super) fn too_many_connections(whose: &str) -> Self {
        let error = Self::new(ErrorCode::TooManyConnections, format!("{whose} has as many connections as it may have"));
        Self { retry_after: Some(Duration::from_secs(10)), ..error }
    }

    /// An engine that takes connections and answers nothing.
    pub(super) fn no_answer() -> Self {
        Self::new(ErrorCode::StartTimeout, "the instance does not answer")
    }

    /// A failure of ours: the cause goes to the log, not to the client.
    pub(super) fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!("{cause}");
        Self::new(ErrorCode::Internal, "something went wrong; the log says more")
    }

    /// The answer: a page for a person (`html`), JSON for everything else.
    pub(super) fn answer(self, html: bool, page: &Page) -> Response<Body> {
        let status = self.code.status();
        let mut response = if html {
            let (heading, advice) = self.code.advice();
            let retry = match self.code {
                ErrorCode::InstanceStopped => Retry::Start,
                ErrorCode::ExtensionFailed
                | ErrorCode::InstanceFailed
                | ErrorCode::Starting
                | ErrorCode::StartTimeout
                | ErrorCode::TooManyInstances
                | ErrorCode::Draining => Retry::Again,
                _ => Retry::No,
            };
            if self.code == ErrorCode::PortUnreachable {
                pages::wait_for_port(page, heading, &self.message, advice)
            } else {
                let (root, to) = self.place.as_ref().map_or(("./", ""), |place| (&place.root, &place.to));
                pages::error(page, &Failure { heading, message: &self.message, advice, log: &self.log, retry, root, to })
            }
        } else {
            #[derive(Serialize)]
            struct Outer<'a> {
                error: Inner<'a>,
            }
            #[derive(Serialize)]
            struct Inner<'a> {
                code: &'static str,
                message: &'a str,
                #[serde(skip_serializing_if = "<[String]>::is_empty")]
                log: &'a [String],
            }
            json(&Outer { error: Inner { code: self.code.text(), message: &self.message, log: &self.log } })
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if self.code == ErrorCode::PortUnreachable {
            headers.insert(ERROR_HEADER, HeaderValue::from_static(self.code.text()));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        response
    }
}

impl From<AcquireError> for ApiError {
    fn from(error: AcquireError) -> Self {
        use crate::model::FailureCause;
        let message = match &error {
            AcquireError::Failed { cause, .. } => format!("the instance {}", cause.for_client()),
            other => other.to_string(),
        };
        let (code, retry_after, log) = match error {
            AcquireError::TooMany { .. } => (ErrorCode::TooManyInstances, Some(Duration::from_secs(10)), Vec::new()),
            AcquireError::Draining => (ErrorCode::Draining, Some(Duration::from_secs(60)), Vec::new()),
            AcquireError::Starting { .. } | AcquireError::ShuttingDown => (ErrorCode::Starting, Some(Duration::from_secs(2)), Vec::new()),
            AcquireError::Failed { cause: FailureCause::Timeout { .. }, log } => (ErrorCode::StartTimeout, None, log),
            AcquireError::Failed { cause, log } if cause.is_held() => (ErrorCode::InstanceStopped, None, log),
            AcquireError::Failed { log, .. } => (ErrorCode::InstanceFailed, None, log),
        };
        Self { code, message, retry_after, log, place: None }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_of_a_name_too_many() { Self::new(ErrorCode::TooManyInstances, error.source.to_string()) } else { Self::internal(error) }
    }
}

impl From<RoamingError> for ApiError {
    fn from(error: RoamingError) -> Self {
        match error {
            RoamingError::TooLarge(_) => Self::new(ErrorCode::TooLarge, error.to_string()),
            RoamingError::InvalidScope => Self::new(ErrorCode::BadRequest, error.to_string()),
            RoamingError::Forgotten => Self::new(ErrorCode::InstanceNotFound, error.to_string()),
            RoamingError::Lost => Self::new(ErrorCode::Starting, error.to_string()),
            RoamingError::Store(error) => error.into(),
        }
    }
}

impl From<ProxyError> for ApiError {
    fn from(error: ProxyError) -> Self {
        tracing::warn!("{error}");
        Self::new(ErrorCode::InstanceFailed, "the instance broke off; try again")
    }
}

/// Bytes of a type, never cached, never sniffed.
pub(super) fn plain(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => plain("application/json", bytes),
        Err(e) => {
            tracing::error!("cannot encode an answer: {e}");
            let mut response = plain("application/json", &b"{}"[..]);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Sends the browser to `location`, which is relative so that it works behind a proxy that strips a prefix.
pub(super) fn redirect(location: &str) -> Result<Response<Body>, ApiError> {
    let location = HeaderValue::from_str(location).map_err(|_| ApiError::new(ErrorCode::BadRequest, "the address cannot be read"))?;
    let mut response = plain("text/plain; charset=utf-8", Body::Empty);
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The same with 303: whatever was asked, the other address is for a GET.
pub(super) fn see_other(location: &str) -> Result<Response<Body>, ApiError> {
    let mut response = redirect(location)?;
    *response.status_mut() = StatusCode::SEE_OTHER;
    Ok(response)
}

/// A time to wait as clients are told: rounded up, and never none.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// 405 with what would be allowed.
pub(super) fn method_not_allowed(allow: &'static str, html: bool, page: &Page) -> Response<Body> {
    let mut response = ApiError::new(ErrorCode::MethodNotAllowed, format!("only {allow}")).answer(html, page);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Adds a header whose value we made ourselves; one that does not fit is left out and logged.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => tracing::error!("{name} cannot carry {value:?}"),
    }
}
