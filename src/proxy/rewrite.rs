//! The answer of an app that does not know under which path it is seen: where it points to itself, it points there.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::model::HostName;

/// Where an app is seen, and where one request for it went.
#[derive(Clone, Debug)]
pub struct Mount<'a> {
    /// The path in the browser that stands for the app's `/`, without the slash: `/i/alice/proxy/3000`.
    pub prefix: &'a str,
    /// The request's path as the app saw it, without query.
    pub path: &'a str,
    /// The port that the app listens on.
    pub port: u16,
    /// The host that the browser asked for.
    pub host: &'a HostName,
}

/// Headers that speak for the whole origin. Where the app shares it with the editor they are not the app's to say: a service
/// worker for everything, a wiped storage, another server for the same name, a tab that keeps hold of the editor's.
const ORIGIN_WIDE: [&str; 9] = [
    "alt-svc",
    "clear-site-data",
    "cross-origin-opener-policy",
    "nel",
    "public-key-pins",
    "report-to",
    "service-worker-allowed",
    "set-login",
    "strict-transport-security",
];

/// Removes what an app on a shared origin must not say for all of it.
pub(super) fn strip_origin_wide(headers: &mut HeaderMap) {
    for name in ORIGIN_WIDE {
        headers.remove(name);
    }
}

/// Removes a `Clear-Site-Data` that would have the browser forget cookies: it forgets those of the whole registered domain then
/// (Clear Site Data, section 3.2.2), and that is the editor's and its other ports', whatever origin the app has.
pub(super) fn strip_wiping_cookies(headers: &mut HeaderMap) {
    let wipes = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.contains(&b'*') || value.windows(b"cookies".len()).any(|word| word == b"cookies")
    };
    // The lines make one list.
    if headers.get_all("clear-site-data").iter().any(wipes) {
        headers.remove("clear-site-data");
    }
}

/// Rewrites `Location`, `Content-Location` and `Refresh`. Other origins are left alone, and so is what is relative already.
pub(super) fn rewrite_references(headers: &mut HeaderMap, mount: &Mount<'_>) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        rewrite_each(headers, &name, |value| mount.rewrite(value));
    }
    rewrite_each(headers, &header::REFRESH, |value| {
        let (before, url) = split_refresh(value)?;
        mount.rewrite(url).map(|url| format!("{before}{url}"))
    });
}

/// What stands before the URL of a `Refresh`, and the URL, as browsers read it (HTML, "shared declarative refresh steps"): `5; url=/x`,
/// with or without `url=` and quotes.
fn split_refresh(value: &str) -> Option<(&str, &str)> {
    let space = |c: char| c.is_ascii_whitespace();
    let behind_time = value.trim_start_matches(space).trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let rest = behind_time.trim_start_matches(space);
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start_matches(space);
    if rest.len() == behind_time.len() {
        return None;
    }
    let word = rest.get(..3).filter(|word| word.eq_ignore_ascii_case("url")).map(|_| rest[3..].trim_start_matches(space));
    let url = word.and_then(|rest| rest.strip_prefix('=')).unwrap_or(rest).trim_start_matches(space);
    let before = &value[..value.len() - url.len()];
    match url.chars().next() {
        Some(quote @ ('"' | '\'')) => url[1..].split(quote).next().map(|url| (before, url)),
        _ => Some((before, url)),
    }
}

fn rewrite_each(headers: &mut HeaderMap, name: &HeaderName, rewrite: impl Fn(&str) -> Option<String>) {
    let lines: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for line in lines {
        let rewritten = line.to_str().ok().and_then(&rewrite).and_then(|text| HeaderValue::from_str(&text).ok());
        headers.append(name, rewritten.unwrap_or(line));
    }
}

impl Mount<'_> {
    /// The reference as the browser has to see it; none when it is right as it is.
    ///
    /// It comes out relative to the request's own URL, so that it is right behind a proxy that strips a prefix, too.
    fn rewrite(&self, reference: &str) -> Option<String> {
        let reference = reference.trim();
        let lower = reference.to_ascii_lowercase();
        let scheme = [("http:", 80), ("https:", 443)].into_iter().find(|(scheme, _)| lower.starts_with(scheme));
        let rest = &reference[scheme.map_or(0, |(scheme, _)| scheme.len())..];
        // To a browser a backslash is a slash.
        let slashes = rest.bytes().take_while(|b| matches!(b, b'/' | b'\\')).count();
        let tail = match (scheme, slashes) {
            (Some(_), 2) | (None, 2) => {
                let rest = &rest[2..];
                let (authority, tail) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
                self.is_app(authority, scheme.map(|(_, port)| port)).then_some(tail)?
            }
            (None, 1) => rest,
            _ => return None,
        };
        Some(self.relative(tail))
    }

    /// Whether an authority means the app: by its own address, or by the host that the browser asked for, which the app was told.
    /// `default` is the port of the reference's scheme, if it has one.
    fn is_app(&self, authority: &str, default: Option<u16>) -> bool {
        let Ok(host) = authority.parse::<HostName>() else { return false };
        let local = matches!(host.name(), "localhost" | "127.0.0.1" | "0.0.0.0" | "::1" | "::");
        // The scheme is left out of it, and so is which of them a default port belongs to: an app behind a proxy that ends TLS says http.
        let asked = |host: &HostName| host.port().filter(|port| !matches!(port, 80 | 443));
        (local && host.port().or(default) == Some(self.port)) || (host.name() == self.host.name() && asked(&host) == asked(self.host))
    }

    /// `tail` is a path of the app's, with query and fragment; or of the browser's, when the app knows its prefix.
    fn relative(&self, tail: &str) -> String {
        let (path, rest) = tail.split_at(tail.find(['?', '#']).unwrap_or(tail.len()));
        let path = path.replace('\\', "/");
        let path = match path.strip_prefix(self.prefix) {
            Some(below) if below.is_empty() || below.starts_with('/') => below,
            _ => &path,
        };
        let up = "../".repeat(self.path.bytes().filter(|b| *b == b'/').count().saturating_sub(1));
        let up = if up.is_empty() { "./" } else { &up };
        format!("{up}{}{rest}", clamp(path.strip_prefix('/').unwrap_or(path)))
    }
}

/// Carries `.` and `..` out, so that they end at the app's root and not above it.
fn clamp(path: &str) -> String {
    let is_dot = |part: &str, dots: usize| {
        let plain = part.to_ascii_lowercase().replace("%2e", ".");
        plain.len() == dots && plain.bytes().all(|b| b == b'.')
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match (is_dot(part, 1), is_dot(part, 2)) {
            (false, false) => kept.push(part),
            (_, up) => {
                if up {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
        }
    }
    kept.join("/")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rewritten(path: &str, reference: &str) -> Option<String> {
        let host = "code.example.com:8443".parse().unwrap();
        Mount { prefix: "/i/a/proxy/3000", path, port: 3000, host: &host }.rewrite(reference)
    }

    #[test]
    fn own_references_become_relative() {
        for (path, reference, expected) in [
            ("/", "/login?next=/a#b", "./login?next=/a#b"),
            ("/a", "/login", "./login"),
            ("/a/b", "/login", "../login"),
            ("/a/b/", "/", "../../"),
            ("//a", "/x", "../x"),
            ("/a/b", "http://localhost:3000/x?y", "../x?y"),
            ("/", "https://127.0.0.1:3000", "./"),
            ("/", "HTTP://[::1]:3000?x=1", "./?x=1"),
            ("/", "http://0.0.0.0:3000/x", "./x"),
            ("/", "https://code.example.com:8443/x", "./x"),
            ("/", "http://CODE.example.com:8443/x", "./x"),
            ("/", "//code.example.com:8443/x", "./x"),
            ("/a", "/i/a/proxy/3000/x", "./x"),
            ("/a", "/i/a/proxy/3000?x", "./?x"),
            ("/a", "/i/a/proxy/30001/x", "./i/a/proxy/30001/x"),
            ("/", "http://localhost:3000//evil.com/x", ".//evil.com/x"),
            ("/", "/javascript:alert(1)", "./javascript:alert(1)"),
            ("/", "/../../mint-key", "./mint-key"),
            ("/a/b", "/x/%2e%2E/../..\\mint-key", "../mint-key"),
            ("/", "/x/..", "./"),
            ("/", "/x/.", "./x/"),
        ] {
            assert_eq!(rewritten(path, reference).as_deref(), Some(expected), "{reference} at {path}");
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for reference in [
            "https://example.com/x",
            "//example.com/x",
            "/\\example.com/x",
            "\\\\example.com",
            "http://localhost:3001/x",
            "http://localhost/x",
            "http://localhost:3000@evil.com/x",
            "http://code.example.com/x",
            "https:///localhost:3000/x",
            "///code.example.com:8443/x",
            "login",
            "../x",
            "?q",
            "#f",
            "",
            "mailto:a@b.c",
            "javascript:alert(1)",
        ] {
            assert_eq!(rewritten("/a/b", reference), None, "{reference}");
        }
    }

    #[test]
    fn a_port_that_a_scheme_has_anyway_need_not_be_said() {
        let rewritten = |host: &str, port, reference| {
            let host = host.parse().unwrap();
            Mount { prefix: "/proxy/80", path: "/", port, host: &host }.rewrite(reference)
        };
        for (host, port, reference) in [
            ("code.example.com", 3000, "https://code.example.com:443/x"),
            ("code.example.com", 3000, "http://code.example.com:80/x"),
            ("code.example.com", 3000, "//code.example.com:443/x"),
            ("code.example.com:443", 3000, "https://code.example.com/x"),
            ("code.example.com:80", 3000, "http://code.example.com/x"),
            ("code.example.com", 80, "http://localhost/x"),
            ("code.example.com", 80, "http://127.0.0.1:80/x"),
            ("code.example.com", 443, "https://localhost/x"),
        ] {
            assert_eq!(rewritten(host, port, reference).as_deref(), Some("./x"), "{reference} at {host}, for {port}");
        }
        for (host, port, reference) in [
            ("code.example.com", 3000, "https://code.example.com:8443/x"),
            ("code.example.com:8443", 3000, "https://code.example.com:443/x"),
            ("code.example.com", 443, "http://localhost/x"),
            ("code.example.com", 3000, "http://localhost:80/x"),
            ("code.example.com", 80, "//localhost/x"),
        ] {
            assert_eq!(rewritten(host, port, reference), None, "{reference} at {host}, for {port}");
        }
    }

    #[test]
    fn a_refresh_is_read_as_browsers_do() {
        for (value, expected) in [
            ("5; url=/x", Some(("5; url=", "/x"))),
            ("5;URL = '/x' and more", Some(("5;URL = ", "/x"))),
            ("0, \"/x", Some(("0, ", "/x"))),
            ("5; /x", Some(("5; ", "/x"))),
            (" 1.5 /x?url=/y", Some((" 1.5 ", "/x?url=/y"))),
            ("5; url/x", Some(("5; ", "url/x"))),
            ("5;", Some(("5;", ""))),
            ("5; ü", Some(("5; ", "ü"))),
            ("5", None),
            ("5/x", None),
            ("", None),
        ] {
            assert_eq!(split_refresh(value), expected, "{value}");
        }
    }

    #[test]
    fn headers() {
        let host = "localhost:8080".parse().unwrap();
        let mount = Mount { prefix: "/proxy/3000", path: "/a/b", port: 3000, host: &host };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("location", "/x"),
            ("content-location", "http://localhost:3000/y"),
            ("refresh", "5; URL='/z'"),
            ("service-worker-allowed", "/"),
            ("clear-site-data", "*"),
            ("x-other", "/x"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for other in ["10", "5; /z"] {
            headers.append(header::REFRESH, HeaderValue::from_static(other));
        }
        rewrite_references(&mut headers, &mount);
        strip_origin_wide(&mut headers);
        assert_eq!(headers["location"], "../x");
        assert_eq!(headers["content-location"], "../y");
        assert_eq!(headers.get_all("refresh").iter().collect::<Vec<_>>(), ["5; URL=../z", "10", "5; ../z"]);
        assert_eq!(headers["x-other"], "/x");
        assert!(!headers.contains_key("service-worker-allowed") && !headers.contains_key("clear-site-data"));
    }

    #[test]
    fn nobody_wipes_the_cookies_of_others() {
        let kept = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("clear-site-data", HeaderValue::from_static(line));
            }
            strip_wiping_cookies(&mut headers);
            headers.get_all("clear-site-data").iter().count()
        };
        assert_eq!((kept(&["\"cache\", \"storage\""]), kept(&["\"cache\"", "\"storage\""])), (1, 2));
        for lines in [&["\"*\""][..], &["\"cookies\""], &["\"cache\",\"COOKIES\""], &["\"cache\"", "\"cookies\""]] {
            assert_eq!(kept(lines), 0, "{lines:?}");
        }
    }
}
