//! `Accept-Encoding` (RFC 9110, 12.5.3). Pure.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::engine::manifest::Encoding;

/// What a client accepts, in thousandths: 0 is "not acceptable".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    br: u16,
    zstd: u16,
    gzip: u16,
    identity: u16,
}

/// Whether an answer that is made for one request alone may be sent with gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    Accepted::from_headers(headers).choose(&[(Encoding::Gzip, ())]).is_some()
}

impl Accepted {
    /// From a request's headers. Without the header, only the plain content: a client that names no coding may know none.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let (mut br, mut zstd, mut gzip, mut identity, mut any) = (None, None, None, None, None);
        for value in headers.get_all(ACCEPT_ENCODING) {
            // A value that is not ASCII says nothing we could honour.
            for item in value.to_str().unwrap_or_default().split(',') {
                let (name, parameters) = item.split_once(';').map_or((item, ""), |(name, rest)| (name, rest));
                let name = name.trim();
                let slot = match name {
                    "*" => &mut any,
                    _ if name.eq_ignore_ascii_case("br") => &mut br,
                    _ if name.eq_ignore_ascii_case("zstd") => &mut zstd,
                    _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => &mut gzip,
                    _ if name.eq_ignore_ascii_case("identity") => &mut identity,
                    _ => continue,
                };
                *slot = Some(quality(parameters));
            }
        }
        let coded = any.unwrap_or(0);
        Self {
            br: br.unwrap_or(coded),
            zstd: zstd.unwrap_or(coded),
            gzip: gzip.unwrap_or(coded),
            // Not named means acceptable, but less than anything that is named.
            identity: identity.unwrap_or(if any == Some(0) { 0 } else { 1 }),
        }
    }

    /// The best of `variants` (smallest first): the highest quality, then the smallest. `None` is the plain content, also when
    /// the client refuses that: an answer it can hardly be surprised by is better than 406.
    pub(super) fn choose<'a, T>(&self, variants: &'a [(Encoding, T)]) -> Option<&'a (Encoding, T)> {
        let mut best = None;
        let mut best_quality = self.identity.saturating_sub(1);
        for variant in variants {
            let quality = self.quality(variant.0);
            if quality > best_quality {
                best = Some(variant);
                best_quality = quality;
            }
        }
        best
    }

    fn quality(&self, encoding: Encoding) -> u16 {
        match encoding {
            Encoding::Br => self.br,
            Encoding::Zstd => self.zstd,
            Encoding::Gzip => self.gzip,
        }
    }
}

/// `q=0.5` in thousandths; 1000 when there is none. What cannot be read is "not acceptable".
pub(crate) fn quality(parameters: &str) -> u16 {
    for parameter in parameters.split(';') {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if !name.trim().eq_ignore_ascii_case("q") {
            continue;
        }
        let value = value.trim();
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
        return match whole {
            "1" if digits => 1000,
            "0" if digits => {
                fraction.bytes().fold((0, 100), |(sum, weight), digit| (sum + u16::from(digit - b'0') * weight, weight / 10)).0
            }
            _ => 0,
        };
    }
    1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Encoding, ()); 3] = [(Encoding::Br, ()), (Encoding::Zstd, ()), (Encoding::Gzip, ())];

    fn pick(header: &str) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, header.parse().expect("header"));
        Accepted::from_headers(&headers).choose(&ALL).map_or("identity", |(encoding, ())| encoding.token())
    }

    #[test]
    fn smallest_acceptable_wins_unless_qualities_differ() {
        for (header, expected) in [
            ("gzip, deflate, br, zstd", "br"),
            ("zstd, gzip", "zstd"),
            ("gzip", "gzip"),
            ("X-GZIP", "gzip"),
            ("br;q=0.5, gzip;q=0.8", "gzip"),
            ("br;q=0, *", "zstd"),
            ("*", "br"),
            ("*;q=0", "identity"),
            ("*;q=0, gzip", "gzip"),
            ("identity", "identity"),
            ("identity;q=0", "identity"),
            ("identity;q=0, gzip;q=0.001", "gzip"),
            ("identity;q=1, br;q=0.9", "identity"),
            ("br ; q=0.000", "identity"),
            ("br;q=2, gzip;q=0.1", "gzip"),
            ("deflate", "identity"),
            ("", "identity"),
        ] {
            assert_eq!(pick(header), expected, "{header:?}");
        }
        assert!(Accepted::from_headers(&HeaderMap::new()).choose(&ALL).is_none());
    }
}
