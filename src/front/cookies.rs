//! The maker and reader of our cookies. Their names all begin with `hoody-code` (after the prefixes of RFC 6265bis), by which the
//! port proxy knows what it must not pass on.
//!
//! Instances below `/i/` share an origin: each has its own names and its own path, so that none shadows another.

use http::HeaderMap;
use http::header::{self, HeaderValue};

use crate::auth::Token;
use crate::model::InstanceId;

/// Values of one name that are looked at. A neighbour's host name may set cookies for ours; more than a few are an attack.
const MOST_VALUES: usize = 8;

/// The longest path that goes into a cookie; browsers ignore longer ones (RFC 6265bis, section 5.5: 1024).
const MOST_PATH: usize = 1024;

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Who is signed in.
    Session,
    /// That somebody was, with this browser.
    Device,
}

/// Whose login a cookie belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    Instance(&'a InstanceId),
    /// Whoever runs the service. Its cookies have names that no instance's can have: browsers send those of a host name to all of its
    /// ports.
    Operator,
}

/// Where a cookie belongs.
#[derive(Clone, Debug)]
pub(super) struct Jar<'a> {
    pub(super) owner: Owner<'a>,
    /// The browser speaks HTTPS.
    pub(super) secure: bool,
    /// The answer is shown in a frame of another site's page: a cookie that is to come back from there must say so, and is kept
    /// apart for that site.
    pub(super) embedded: bool,
}

/// The part of the origin that sends a cookie back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it.
    Origin,
    /// Below this path, which does not end in `/`.
    Path(String),
    /// Below the path of the request that is answered, up to its last `/`: what a browser takes when nothing is said. Right where
    /// a proxy in front has put us below a path that we do not know.
    Here,
}

impl Jar<'_> {
    /// All values of the cookie `kind` in `headers`.
    pub(super) fn values<'h>(&self, kind: Kind, headers: &'h HeaderMap) -> Vec<&'h str> {
        let plain = self.name(kind);
        // Only these cannot come from an unencrypted page or, the first of them, from a neighbour's host name: of the others he could send
        // so many that it is not looked at.
        let prefixes: &[&str] = if self.secure { &["__Host-", "__Secure-"] } else { &[""] };
        let names: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}{plain}=")).collect();
        let of = |name: &String| {
            let values = pairs(headers).filter_map(|pair| std::str::from_utf8(pair.strip_prefix(name.as_bytes())?).ok());
            values.take(MOST_VALUES).collect::<Vec<_>>()
        };
        names.iter().flat_map(of).take(MOST_VALUES).collect()
    }

    /// The scope under which the cookie `kind` came with `headers`.
    pub(super) fn scope(&self, kind: Kind, headers: &HeaderMap) -> Scope {
        let host = format!("__Host-{}=", self.name(kind));
        if pairs(headers).any(|pair| pair.starts_with(host.as_bytes())) { Scope::Origin } else { Scope::Here }
    }

    /// Has the browser keep `token`.
    pub(super) fn set(&self, headers: &mut HeaderMap, kind: Kind, token: &Token, scope: &Scope) {
        self.append(headers, kind, &token.text, token.lasts.as_secs(), scope);
    }

    /// Has the browser forget the cookie.
    pub(super) fn clear(&self, headers: &mut HeaderMap, kind: Kind, scope: &Scope) {
        self.append(headers, kind, "", 0, scope);
    }

    fn append(&self, headers: &mut HeaderMap, kind: Kind, value: &str, seconds: u64, scope: &Scope) {
        let prefix = match (self.secure, scope) {
            (false, _) => "",
            (true, Scope::Origin) => "__Host-",
            (true, _) => "__Secure-",
        };
        let path = match scope {
            Scope::Origin => "; Path=/".to_owned(),
            Scope::Path(path) => format!("; Path={path}"),
            Scope::Here => String::new(),
        };
        let site = match (self.secure, self.embedded) {
            (false, _) => "; SameSite=Lax",
            (true, false) => "; Secure; SameSite=Lax",
            (true, true) => "; Secure; SameSite=None; Partitioned",
        };
        let cookie = format!("{prefix}{}={value}{path}; Max-Age={seconds}; HttpOnly{site}", self.name(kind));
        match HeaderValue::from_str(&cookie) {
            Ok(cookie) => {
                headers.append(header::SET_COOKIE, cookie);
            }
            Err(_) => tracing::error!("a cookie cannot be written"),
        }
    }

    fn name(&self, kind: Kind) -> String {
        let kind = match kind {
            Kind::Session => "session",
            Kind::Device => "device",
        };
        match self.owner {
            Owner::Instance(id) => format!("hoody-code-{kind}-{id}"),
            Owner::Operator => format!("hoody-code-operator-{kind}"),
        }
    }
}

/// The cookies of a request, one by one and as bytes: what others have set may be no text, and says nothing about ours.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).map(<[u8]>::trim_ascii)
}

impl Scope {
    /// The scope of an instance whose root is `root` (`/` or `/i/ID/`) as we see it. Its pages say in `Referer` how the browser
    /// sees it, which is longer when a proxy strips a prefix: `pages` are the parts behind the root that they may have, the longest
    /// first.
    pub(super) fn of_root(root: &str, headers: &HeaderMap, pages: &[&str]) -> Self {
        let seen = headers.get(header::REFERER).and_then(|value| value.to_str().ok()).and_then(|url| {
            let (_, rest) = url.split_once("://")?;
            let path = rest[rest.find('/')?..].split(['?', '#']).next()?;
            pages.iter().find_map(|page| path.strip_suffix(page)).filter(|seen| seen.ends_with(root) && is_plain(seen))
        });
        match seen.unwrap_or(root).trim_end_matches('/') {
            "" => Self::Origin,
            path => Self::Path(path.to_owned()),
        }
    }
}

/// A path that can stand in a cookie as it is.
fn is_plain(path: &str) -> bool {
    path.len() <= MOST_PATH
        && !path.contains("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'\\'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn made(secure: bool, embedded: bool, scope: &Scope) -> String {
        let instance = "alice".parse().unwrap();
        let mut headers = HeaderMap::new();
        let token = Token { text: "t.1".into(), lasts: Duration::from_secs(60) };
        Jar { owner: Owner::Instance(&instance), secure, embedded }.set(&mut headers, Kind::Session, &token, scope);
        headers[header::SET_COOKIE].to_str().unwrap().to_owned()
    }

    #[test]
    fn as_strict_as_the_place_allows() {
        let path = Scope::Path("/i/alice".into());
        assert_eq!(made(false, false, &path), "hoody-code-session-alice=t.1; Path=/i/alice; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(
            made(true, false, &Scope::Origin),
            "__Host-hoody-code-session-alice=t.1; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
        assert_eq!(
            made(true, true, &path),
            "__Secure-hoody-code-session-alice=t.1; Path=/i/alice; Max-Age=60; HttpOnly; Secure; SameSite=None; Partitioned"
        );
        assert!(!made(true, false, &Scope::Here).contains("Path"));
        assert!(made(false, true, &path).ends_with("SameSite=Lax"), "None needs Secure");
    }

    #[test]
    fn only_own_names_and_only_a_few() {
        let instance = "alice".parse().unwrap();
        let jar = |secure| Jar { owner: Owner::Instance(&instance), secure, embedded: false };
        let sent = headers(
            "cookie",
            &[
                "a=1; hoody-code-session-alice=x;hoody-code-session-alice2=no",
                "__Host-hoody-code-session-alice=y; __Secure-hoody-code-session-alice=z; hoody-code-session-alice",
            ],
        );
        assert_eq!(jar(false).values(Kind::Session, &sent), ["x"]);
        assert_eq!(jar(true).values(Kind::Session, &sent), ["y", "z"], "an unencrypted page's cookie counts for nothing");
        assert!(jar(true).values(Kind::Device, &sent).is_empty());
        let neighbours = "__Secure-hoody-code-session-alice=no; ".repeat(100);
        let crowded = headers("cookie", &[format!("{neighbours}__Host-hoody-code-session-alice=own").as_str()]);
        assert_eq!(jar(true).values(Kind::Session, &crowded)[0], "own", "what only this host can have set comes first");
        let many = headers("cookie", &["hoody-code-session-alice=1; ".repeat(100).as_str()]);
        assert_eq!(jar(false).values(Kind::Session, &many).len(), MOST_VALUES);
    }

    #[test]
    fn the_operators_are_no_instances() {
        fn names(owner: Owner<'_>, secure: bool) -> Vec<String> {
            let mut headers = HeaderMap::new();
            let token = Token { text: "t".into(), lasts: Duration::from_secs(60) };
            let jar = Jar { owner, secure, embedded: false };
            jar.set(&mut headers, Kind::Session, &token, &Scope::Origin);
            jar.set(&mut headers, Kind::Device, &token, &Scope::Origin);
            headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap().split('=').next().unwrap().to_owned()).collect()
        }
        let operators = names(Owner::Operator, false);
        assert_eq!(operators, ["hoody-code-operator-session", "hoody-code-operator-device"]);
        for id in ["operator", "operator-session", "session"] {
            let id = id.parse().unwrap();
            let instances = names(Owner::Instance(&id), false);
            assert!(instances.iter().all(|name| !operators.contains(name)), "{instances:?}");
        }
        assert_eq!(names(Owner::Operator, true)[0], "__Host-hoody-code-operator-session");
    }

    #[test]
    fn what_is_no_text_hides_nothing() {
        let instance = "alice".parse().unwrap();
        let jar = Jar { owner: Owner::Instance(&instance), secure: true, embedded: false };
        let mut sent = HeaderMap::new();
        for line in [&b"name=J\xc3\xb6rg; __Host-hoody-code-session-alice=x; b=\xff"[..], b"__Secure-hoody-code-session-alice=\xff"] {
            sent.append(header::COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        assert_eq!(jar.values(Kind::Session, &sent), ["x"]);
        assert_eq!(jar.scope(Kind::Session, &sent), Scope::Origin);
    }

    #[test]
    fn the_path_is_the_one_that_the_browser_sees() {
        let of = |root: &str, referer: &str| Scope::of_root(root, &headers("referer", &[referer]), &["api/v1/code/login", "login"]);
        let path = |path: &str| Scope::Path(path.to_owned());
        assert_eq!(of("/", "https://h/login?to=x"), Scope::Origin);
        assert_eq!(of("/i/alice/", "https://h/i/alice/login"), path("/i/alice"));
        assert_eq!(of("/", "https://h/code/api/v1/code/login"), path("/code"));
        assert_eq!(of("/i/alice/", "https://h/code/i/alice/api/v1/code/login"), path("/code/i/alice"));
        assert_eq!(of("/", "https://h/code/login"), path("/code"));
        for odd in [
            "",
            "x",
            "https://h",
            "https://h/elsewhere",
            "https://h/i/bob/login",
            "https://h/a;b/i/alice/login",
            "https://h//i/alice/login",
        ] {
            assert_eq!(of("/i/alice/", odd), path("/i/alice"), "{odd}");
        }
    }
}
