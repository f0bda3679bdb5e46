//! `Accept` (RFC 9110, 12.5.1), as far as it matters here: a page, or JSON. Pure.

use http::header::{self, HeaderMap};

use crate::assets::quality;

/// Whether the client would rather see a page: it names `text/html`, and likes nothing of JSON better. `*/*` alone is JSON.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (None, [None; 3]);
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "text/html" => &mut html,
                "application/json" => &mut json[0],
                "application/*" => &mut json[1],
                "*/*" => &mut json[2],
                _ => continue,
            };
            *slot = (*slot).max(Some(quality(parameters)));
        }
    }
    // The most particular range counts.
    let json = json.into_iter().flatten().next().unwrap_or(0);
    html.is_some_and(|html| html > 0 && html >= json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_or_json() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("text/html, application/xhtml+xml, */*", true),
            ("text/html", true),
            ("TEXT/HTML", true),
            ("text/html;level=1;q=0.4", true),
            ("application/json;q=0, text/html;q=0.1, */*", true),
            ("text/html;q=0", false),
            ("application/json, text/html;q=0.5", false),
            ("text/html;q=0.5, */*", false),
            ("*/*", false),
            ("application/json", false),
            ("x/text/html", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_html(&headers), html, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
