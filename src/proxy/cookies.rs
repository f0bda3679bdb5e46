//! Which cookies pass between a browser and what the tenant runs, an app on a port or the engine: ours never, in neither direction.

use http::header::{self, HeaderMap, HeaderValue};

/// Every cookie of ours begins with this, behind a prefix that browsers give a meaning (RFC 6265bis, section 4.1.3).
const OURS: &[u8] = b"hoody-code";
const PREFIXES: [&[u8]; 2] = [b"__host-", b"__secure-"];

/// Whether a cookie is ours, or could be taken for one of ours.
pub fn is_own_cookie(name: &[u8]) -> bool {
    let name = name.trim_ascii().to_ascii_lowercase();
    let bare = PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix)).unwrap_or(&name);
    bare.starts_with(OURS)
}

/// Removes our cookies from a request on its way to what the tenant runs: below `/i/`, that is sent the cookies of the instance at
/// the root, too. What is left of a line keeps its order.
pub fn strip_request_cookies(headers: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for line in lines {
        let pairs = line.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty());
        let kept: Vec<&[u8]> = pairs.filter(|pair| !is_own_cookie(&effective(pair))).collect();
        if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !value.is_empty()
        {
            headers.append(header::COOKIE, value);
        }
    }
}

/// Removes cookies from an app's answer that would shadow ours; with `mount`, moves the others below the path that the app is
/// seen at.
pub(super) fn filter_set_cookies(headers: &mut HeaderMap, mount: Option<&str>) {
    let lines: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for line in lines {
        let pair = line.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
        if is_own_cookie(&effective(pair)) {
            continue;
        }
        let moved = mount.and_then(|mount| move_cookie(&line, mount)).unwrap_or(line);
        headers.append(header::SET_COOKIE, moved);
    }
}

/// The name by which a pair comes back in a request. A browser keeps a cookie without a name, and sends its bare value, which may
/// look like a pair again: `=a=b` and `a=b` come back the same.
fn effective(pair: &[u8]) -> Vec<u8> {
    let pair = pair.trim_ascii();
    let rest = pair.strip_prefix(b"=").unwrap_or(pair);
    rest.split(|b| *b == b'=').next().unwrap_or_default().to_vec()
}

/// Puts `mount` before the path, and takes the domain away: below our host name a domain of the app's own means nothing. None
/// when there is nothing to change.
fn move_cookie(line: &HeaderValue, mount: &str) -> Option<HeaderValue> {
    let mut parts = line.as_bytes().split(|b| *b == b';');
    let pair = parts.next()?;
    // Such a cookie is valid for the whole host or not at all.
    let whole_host = pair.trim_ascii().to_ascii_lowercase().starts_with(b"__host-");
    let mut moved = pair.to_vec();
    for part in parts {
        let (name, value) = match part.iter().position(|b| *b == b'=') {
            Some(at) => (&part[..at], part[at + 1..].trim_ascii()),
            None => (part, &b""[..]),
        };
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"domain") {
            continue;
        }
        moved.push(b';');
        if !whole_host && name.eq_ignore_ascii_case(b"path") && value.starts_with(b"/") && !is_below(value, mount.as_bytes()) {
            moved.extend_from_slice(b" Path=");
            moved.extend_from_slice(mount.as_bytes());
            moved.extend_from_slice(value);
        } else {
            moved.extend_from_slice(part);
        }
    }
    HeaderValue::from_bytes(&moved).ok()
}

fn is_below(path: &[u8], mount: &[u8]) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    fn sent(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        strip_request_cookies(&mut headers);
        headers
    }

    fn set(line: &str, mount: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, HeaderValue::from_str(line).unwrap());
        filter_set_cookies(&mut headers, mount);
        all(&headers, &header::SET_COOKIE).first().map(|&line| line.to_owned())
    }

    #[test]
    fn ours_stay_here() {
        let headers = sent(&["a=1; hoody-code-session=s3cr3t;b=2", "__Host-hoody-code-session-x=s3cr3t", "__SECURE-Hoody-Code=s;c"]);
        assert_eq!(all(&headers, &header::COOKIE), ["a=1; b=2", "c"]);
        for line in ["hoody-code-session=1", " \thoody-code-session = 1", "=hoody-code-session=1", ";;hoody-code"] {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
            strip_request_cookies(&mut headers);
            assert!(headers.is_empty(), "{line}");
        }
        assert_eq!(all(&sent(&["my-hoody-code=1; hoody=2; x=hoody-code-session=3"]), &header::COOKIE).len(), 1);
        let mut odd = HeaderMap::new();
        odd.append(header::COOKIE, HeaderValue::from_bytes(b"a=\xff; hoody-code-session=1").unwrap());
        strip_request_cookies(&mut odd);
        assert_eq!(odd[header::COOKIE].as_bytes(), b"a=\xff");
    }

    #[test]
    fn theirs_do_not_shadow_ours() {
        for line in [
            "hoody-code-session=evil; Path=/",
            "__Host-hoody-code-session=evil; Secure; Path=/",
            "HOODY-CODE-SESSION=evil",
            "  hoody-code-session=evil",
            "=hoody-code-session=evil",
            "hoody-code-session",
            "; hoody-code",
        ] {
            let kept = set(line, Some("/proxy/3000"));
            assert!(
                kept.as_deref().is_none_or(|kept| !kept.trim_start().to_ascii_lowercase().starts_with("hoody") && kept.starts_with(';')),
                "{line}: {kept:?}"
            );
        }
        assert_eq!(set("sid=1; Path=/; Domain=example.com; Secure", None).as_deref(), Some("sid=1; Path=/; Domain=example.com; Secure"));
    }

    #[test]
    fn paths_move_below_the_mount() {
        let set = |line| set(line, Some("/i/a/proxy/3000")).unwrap();
        assert_eq!(set("sid=1; Path=/; HttpOnly"), "sid=1; Path=/i/a/proxy/3000/; HttpOnly");
        assert_eq!(set("sid=1;path = /app;Domain=localhost"), "sid=1; Path=/i/a/proxy/3000/app");
        assert_eq!(set("sid=1"), "sid=1", "a browser's default is below the mount already");
        assert_eq!(set("sid=1; Path=/i/a/proxy/3000/x"), "sid=1; Path=/i/a/proxy/3000/x", "the app knows its prefix");
        assert_eq!(set("sid=1; Path=/i/a/proxy/30001"), "sid=1; Path=/i/a/proxy/3000/i/a/proxy/30001");
        assert_eq!(set("__Host-sid=1; Secure; Path=/"), "__Host-sid=1; Secure; Path=/");
        assert_eq!(set("sid=1; Path=relative; Max-Age=0"), "sid=1; Path=relative; Max-Age=0");
    }
}
