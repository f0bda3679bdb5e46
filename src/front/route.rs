//! What is asked, of which instance. Pure.

use crate::model::{HostName, InstanceHost, InstanceId, Port};

/// A request's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/i/ID` without the slash that relative links need.
    AddSlash(InstanceId),
    /// Something of an instance.
    Of(InstanceId, Target),
    /// `/i/…`, or a host name that is meant as an instance's, with something that is no id.
    InvalidInstance,
    /// `/proxy/…` or a host `…--ID` with something that is no port.
    InvalidPort,
    /// Nothing we know.
    NotFound,
}

/// What is asked of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Workbench,
    Embed,
    MintKey,
    Health,
    /// What all of this is, for programs.
    Description,
    Status,
    /// Lifts what holds an instance that was stopped on purpose.
    Start,
    Events,
    /// The list of extensions, and new ones.
    Extensions,
    /// How far an install is.
    ExtensionEvents,
    /// One extension: its name, as sent.
    Extension(String),
    /// The workbench's state, of all browsers.
    State,
    /// A file of the engine's static set: its path there, still percent-encoded.
    Asset(String),
    /// A file of our own, below `/_static/`.
    OwnFile(String),
    Manifest,
    /// The login's page.
    Login,
    /// Where passwords are sent to; shows the page, too.
    LoginApi,
    Logout,
    LogoutApi,
    /// The way of a session to the host name of a port.
    SessionTransfer,
    UpdateCheck,
    Robots,
    /// Anything that only the running engine can answer.
    Engine,
    /// The same of another engine than the one we serve: an editor that was opened before an upgrade.
    OtherEngine,
    /// Something of an app that listens on a port of the instance.
    Port(PortForm, Port),
    /// `/proxy/PORT` without the slash that relative links need.
    PortSlash(Port),
}

/// How a URL names a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortForm {
    /// `/proxy/PORT/x`: the app sees `/x`.
    Stripped,
    /// `/absproxy/PORT/x`: the app sees the path that the browser sees.
    Absolute,
    /// `PORT--ID.…/x`: the app has an origin of its own.
    Host,
}

impl Target {
    /// The route's name in records.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Workbench => "workbench",
            Self::Embed => "embed",
            Self::MintKey => "mint-key",
            Self::Health => "health",
            Self::Description => "openapi",
            Self::Status => "status",
            Self::Start => "start",
            Self::Events => "events",
            Self::Extensions | Self::Extension(_) => "extensions",
            Self::ExtensionEvents => "extension-events",
            Self::State => "state",
            Self::Asset(_) => "asset",
            Self::OwnFile(_) => "own-file",
            Self::Manifest => "manifest",
            Self::Login | Self::LoginApi => "login",
            Self::Logout | Self::LogoutApi => "logout",
            Self::SessionTransfer => "session-transfer",
            Self::UpdateCheck => "update-check",
            Self::Robots => "robots",
            Self::Engine | Self::OtherEngine => "engine",
            Self::Port(PortForm::Host, _) => "port-host",
            Self::Port(..) => "port",
            Self::PortSlash(_) => "add-slash",
        }
    }
}

/// Reads `host` and `path` (as sent, without query). `base` is the engine's own prefix, `/stable-<commit>`.
pub(super) fn route(host: &HostName, path: &str, base: &str) -> Route {
    let (id, rest) = match (host.instance(), path.strip_prefix("/i/")) {
        (InstanceHost::Instance(id), _) => (id, path),
        // All of that origin is the app's: none of our own routes is there.
        (InstanceHost::Port(port, id), _) => return Route::Of(id, Target::Port(PortForm::Host, port)),
        (InstanceHost::InvalidPort, _) => return Route::InvalidPort,
        (InstanceHost::InvalidInstance, _) => return Route::InvalidInstance,
        (InstanceHost::Other, Some(named)) => {
            let (id, rest) = named.find('/').map_or((named, ""), |at| named.split_at(at));
            match (id.parse::<InstanceId>(), rest) {
                (Err(_), _) => return Route::InvalidInstance,
                (Ok(id), "") => return Route::AddSlash(id),
                (Ok(id), rest) => (id, rest),
            }
        }
        (InstanceHost::Other, None) => (InstanceId::default_instance(), path),
    };
    for (prefix, form) in [("/proxy/", PortForm::Stripped), ("/absproxy/", PortForm::Absolute)] {
        if let Some(rest) = rest.strip_prefix(prefix) {
            return port(rest, form).map_or(Route::InvalidPort, |target| Route::Of(id, target));
        }
    }
    target(rest, base).map_or(Route::NotFound, |target| Route::Of(id, target))
}

/// `rest` is what follows `/proxy/`. Whether an app wants a slash behind its base path is its own affair on `/absproxy`.
fn port(rest: &str, form: PortForm) -> Option<Target> {
    let (digits, slash) = rest.find('/').map_or((rest, false), |at| (&rest[..at], true));
    let port = digits.parse().ok()?;
    Some(if slash || form == PortForm::Absolute { Target::Port(form, port) } else { Target::PortSlash(port) })
}

/// Whether `path` begins as those of a VS Code server do, `/stable-COMMIT`.
fn is_engine(path: &str) -> bool {
    let first = path.strip_prefix('/').unwrap_or_default().split('/').next().unwrap_or_default();
    first.split_once('-').is_some_and(|(quality, commit)| {
        let plain = !quality.is_empty() && quality.bytes().all(|byte| byte.is_ascii_lowercase());
        plain && commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn target(path: &str, base: &str) -> Option<Target> {
    if let Some(rest) = path.strip_prefix(base) {
        return match rest.strip_prefix("/static/") {
            Some(asset) => Some(Target::Asset(asset.to_owned())),
            None if rest.is_empty() || rest.starts_with('/') => Some(Target::Engine),
            None => None,
        };
    }
    if is_engine(path) {
        return Some(Target::OtherEngine);
    }
    if let Some(name) = path.strip_prefix("/_static/") {
        return Some(Target::OwnFile(name.to_owned()));
    }
    match path {
        "/" => Some(Target::Workbench),
        "/api/v1/code" => Some(Target::Embed),
        "/mint-key" | "/api/v1/code/mint-key" => Some(Target::MintKey),
        "/api/v1/code/health" => Some(Target::Health),
        "/api/v1/code/openapi.json" => Some(Target::Description),
        "/api/v1/code/status" => Some(Target::Status),
        "/api/v1/code/start" => Some(Target::Start),
        "/api/v1/code/events" => Some(Target::Events),
        "/api/v1/code/extensions" => Some(Target::Extensions),
        "/api/v1/code/extensions/events" => Some(Target::ExtensionEvents),
        "/api/v1/code/state" => Some(Target::State),
        "/manifest.json" => Some(Target::Manifest),
        "/login" => Some(Target::Login),
        "/api/v1/code/login" => Some(Target::LoginApi),
        "/logout" => Some(Target::Logout),
        "/api/v1/code/logout" => Some(Target::LogoutApi),
        "/api/v1/code/session-transfer" => Some(Target::SessionTransfer),
        "/update/check" => Some(Target::UpdateCheck),
        "/robots.txt" => Some(Target::Robots),
        "/favicon.ico" => Some(Target::OwnFile("src/browser/media/favicon.ico".to_owned())),
        "/vscode-remote-resource" | "/callback" => Some(Target::Engine),
        _ if path.starts_with("/api/v1/code/extensions/") => path.rsplit('/').next().map(|name| Target::Extension(name.to_owned())),
        _ if path.starts_with("/web-extension-resource/") => Some(Target::Engine),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BASE: &str = "/stable-abc";

    fn at(host: &str, path: &str) -> Route {
        route(&host.parse().unwrap(), path, BASE)
    }

    fn of(id: &str, target: Target) -> Route {
        Route::Of(id.parse().unwrap(), target)
    }

    #[test]
    fn instances_by_host_by_path_or_default() {
        assert_eq!(at("acme-web-code-1.srv7.example.com", "/"), of("acme-web-code-1", Target::Workbench));
        assert_eq!(at("127.0.0.1:8080", "/i/alice/"), of("alice", Target::Workbench));
        assert_eq!(at("127.0.0.1:8080", "/"), of("default", Target::Workbench));
        assert_eq!(at("127.0.0.1", "/i/alice"), Route::AddSlash("alice".parse().unwrap()));
        assert_eq!(at("127.0.0.1", "/i/alice/mint-key"), of("alice", Target::MintKey));
    }

    #[test]
    fn one_tenants_origin_never_reaches_another() {
        assert_eq!(at("acme-web-code-1.localhost", "/i/alice/"), Route::NotFound);
        assert_eq!(at("acme-web-code-1.localhost", "/i/acme-web-code-1/"), Route::NotFound);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for path in ["/i/", "/i//", "/i/Alice/", "/i/../", "/i/%61/", "/i/-a/", "/i/a.b/", "/i/a%2f..%2fb/"] {
            assert_eq!(at("127.0.0.1", path), Route::InvalidInstance, "{path}");
        }
    }

    #[test]
    fn ports() {
        let port: Port = "3000".parse().unwrap();
        for (host, path, id, target) in [
            ("localhost", "/proxy/3000/", "default", Target::Port(PortForm::Stripped, port)),
            ("localhost", "/proxy/3000/../mint-key", "default", Target::Port(PortForm::Stripped, port)),
            ("localhost", "/proxy/3000//x%2Fy", "default", Target::Port(PortForm::Stripped, port)),
            ("localhost", "/proxy/3000", "default", Target::PortSlash(port)),
            ("localhost", "/i/alice/proxy/3000/x", "alice", Target::Port(PortForm::Stripped, port)),
            ("localhost", "/absproxy/3000", "default", Target::Port(PortForm::Absolute, port)),
            ("acme-web-code-1.localhost", "/absproxy/3000/x", "acme-web-code-1", Target::Port(PortForm::Absolute, port)),
            ("3000--acme-web-code-1.localhost", "/mint-key", "acme-web-code-1", Target::Port(PortForm::Host, port)),
            ("3000--alice.localhost", "/i/bob/", "alice", Target::Port(PortForm::Host, port)),
            ("3000--alice.localhost", "", "alice", Target::Port(PortForm::Host, port)),
        ] {
            assert_eq!(at(host, path), of(id, target), "{host}{path}");
        }
        for path in ["/proxy/", "/proxy//", "/proxy/0/", "/proxy/65536/", "/proxy/007/", "/proxy/%33000/", "/proxy/3000;x/", "/absproxy/x/"]
        {
            assert_eq!(at("localhost", path), Route::InvalidPort, "{path}");
        }
        assert_eq!(at("007--alice.localhost", "/"), Route::InvalidPort);
        assert_eq!(at("localhost", "/proxy"), Route::NotFound);
        assert_eq!(at("localhost", "/proxyx/3000/"), Route::NotFound);
    }

    #[test]
    fn targets() {
        let target = |path: &str| match at("localhost", path) {
            Route::Of(_, target) => Some(target),
            _ => None,
        };
        assert_eq!(target("/stable-abc/static/out/a.js"), Some(Target::Asset("out/a.js".into())));
        assert_eq!(target("/stable-abc"), Some(Target::Engine));
        assert_eq!(target("/stable-abc/vscode-remote-resource"), Some(Target::Engine));
        for path in ["", "/static/out/a.js", "/vscode-remote-resource"] {
            let path = format!("/stable-0123456789abcdef0123456789abcdef01234567{path}");
            assert_eq!(target(&path), Some(Target::OtherEngine), "{path}");
        }
        for path in [
            "/stable-abcd/static/a",
            "/stable-abcd",
            "/stable-other/static/a",
            "/stable-0123456789abcdef0123456789abcdef0123456z/a",
            "/-0123456789abcdef0123456789abcdef01234567/a",
            "/static/a",
            "/api/v1/code/",
            "/version",
            "",
            "/index.html",
            "//",
            "/delay-shutdown",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
    }
}
