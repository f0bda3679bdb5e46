//! `If-None-Match`, `If-Range` and `Range` (RFC 9110, 13 and 14). Pure.

use std::ops::Range;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE};

/// Whether `If-None-Match` names `etag` (or is `*`), so that 304 is the answer. Compares weakly, as the standard wants.
pub(super) fn not_modified(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let value = value.as_bytes().trim_ascii();
        // Our tags hold no comma, so a tag of somebody else that does cannot be taken for one of them.
        value == b"*"
            || value.split(|byte| *byte == b',').any(|tag| {
                let tag = tag.trim_ascii();
                tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes()
            })
    })
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: no range, one that is to be ignored, or several.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes that are not there.
    Unsatisfiable,
}

/// The part of `size` bytes with the tag `etag` that is asked for. `If-Range` must be exactly that strong tag; a date never is,
/// because no `Last-Modified` is ever sent.
pub(super) fn part(headers: &HeaderMap, etag: &HeaderValue, size: u64) -> Part {
    let Some(range) = single(headers, &RANGE) else { return Part::Whole };
    if headers.contains_key(IF_RANGE) && single(headers, &IF_RANGE) != Some(etag) {
        return Part::Whole;
    }
    range.to_str().ok().and_then(|range| parse(range, size)).unwrap_or(Part::Whole)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// `None` for what is no single valid byte range: such a header is ignored.
fn parse(range: &str, size: u64) -> Option<Part> {
    let (unit, spec) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let bytes = match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        _ => return None,
    };
    Some(if bytes.start < bytes.end { Part::Bytes(bytes) } else { Part::Unsatisfiable })
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too large to count with is larger than any file.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-9", Some(Part::Bytes(0..10))),
            ("bytes=90-", Some(Part::Bytes(90..100))),
            ("bytes=-10", Some(Part::Bytes(90..100))),
            ("bytes=-1000", Some(Part::Bytes(0..100))),
            ("bytes=50-5000", Some(Part::Bytes(50..100))),
            ("Bytes=0-99999999999999999999999", Some(Part::Bytes(0..100))),
            ("bytes=100-", Some(Part::Unsatisfiable)),
            ("bytes=-0", Some(Part::Unsatisfiable)),
            ("bytes=9-3", None),
            ("bytes=0-1,5-6", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("lines=1-2", None),
            ("bytes", None),
        ] {
            assert_eq!(parse(text, 100), expected, "{text}");
        }
    }
}
