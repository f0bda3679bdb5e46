//! The way of a session to another host name of its instance, `PORT--LABEL.domain`, where browsers do not send the cookie of
//! `LABEL.domain`:
//!
//! 1. the port's host has no session: [`ask`] sends the browser to `LABEL.domain/api/v1/code/session-transfer?port=…&to=…`;
//! 2. there a session is needed, if need be by way of the login; [`grant`] sends the browser back to [`REDEEM`] on the port's host
//!    with a ticket: one use, half a minute, good on that host only;
//! 3. there [`redeem`] turns it into a cookie of that host, which is good for nothing else and ends with the session.
//!
//! All addresses on the way leave the scheme to the browser: a proxy in front that ends TLS may not say so, or not be believed, and a
//! ticket must not cross the network in the clear for that.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::access::{self, safe_page};
use super::answer::{self, ApiError, ErrorCode};
use super::app::{App, Live};
use super::cookies::{Jar, Kind, Owner, Scope};
use super::gate;
use super::query::QUERY;
use crate::auth::{Audience, Session, is_sibling};
use crate::model::{HostName, InstanceHost, InstanceId, Port};
use crate::proxy::{Body, Forwarded};

/// The path on a port's host that takes tickets. No app has anything there (RFC 8615).
const REDEEM: &str = "/.well-known/hoody-code/session";

/// The path on the instance's own host that gives them, behind its root.
const GRANT: &str = "/api/v1/code/session-transfer";

/// A host name of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortHost {
    port: Port,
    pub(super) instance: InstanceId,
    /// The host that the instance itself is on, with the port that the browser connects to.
    own: String,
    /// The instance's root there, without the closing slash.
    root: String,
}

impl PortHost {
    /// Reads `PORT--LABEL.domain`. The instance is on `LABEL.domain`, or below `/i/LABEL` of `domain` when its label is not one
    /// that names an instance by itself.
    pub(super) fn parse(host: &HostName) -> Option<Self> {
        let InstanceHost::Port(port, instance) = host.instance() else { return None };
        let (_, name) = host.name().split_once("--")?;
        let outer = host.port().map(|outer| format!(":{outer}")).unwrap_or_default();
        let named = name.parse::<HostName>().is_ok_and(|own| matches!(own.instance(), InstanceHost::Instance(_)));
        let (own, root) = if named { (name, String::new()) } else { (name.split_once('.')?.1, format!("/i/{instance}")) };
        Some(Self { port, own: format!("{own}{outer}"), root, instance })
    }
}

/// Whether `request` may go on to the port that its `host` names: the session of its instance on this host, none where no login is
/// asked for; or the answer to it, which gets a browser a session or says 401.
pub(super) fn admit<B>(
    app: &App,
    live: &Live,
    request: &Request<B>,
    host: &HostName,
    port_host: &PortHost,
    proto: &'static str,
) -> Result<Option<Session>, Box<Response<Body>>> {
    if app.secrets.auth.is_none() {
        return Ok(None);
    }
    if let Some(answer) = preflight(request, host, proto) {
        return Err(Box::new(answer));
    }
    let (html, page) = (answer::wants_html(request.headers()), &live.config.page);
    let (path, query, secure) = (request.uri().path(), request.uri().query(), proto == "https");
    if path == REDEEM {
        let embedded = access::is_embedded(live, request.headers());
        let redeemed = redeem(app, host, Jar { owner: Owner::Instance(&port_host.instance), secure, embedded }, query.unwrap_or_default());
        return Err(Box::new(redeemed.unwrap_or_else(|error| error.answer(html, page))));
    }
    let session = access::session(app, &port_host.instance, request.headers(), secure, Audience::Host(host.name()));
    if session.is_some() {
        return Ok(session);
    }
    // Another site's frame sends no cookies, and keeps none: the way would lead round in circles.
    if gate::opens_in_frame(request) && request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Box::new(access::offer_tab(page)));
    }
    if access::is_visit(request) {
        let asked = request.uri().path_and_query().map_or(path, |asked| asked.as_str());
        return Err(Box::new(ask(port_host, asked).unwrap_or_else(|error| error.answer(html, page))));
    }
    Err(Box::new(access::unauthorized(html, page)))
}

/// The answer to a browser that asks whether a page on another port of the same instance may send something here. It asks without
/// cookies, so that no session can be seen and the app must not be asked; what is sent then comes with them, or is refused.
fn preflight<B>(request: &Request<B>, host: &HostName, proto: &str) -> Option<Response<Body>> {
    let headers = request.headers();
    let (origin, method) = (headers.get(header::ORIGIN)?, headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?);
    if request.method() != Method::OPTIONS || !origin.to_str().is_ok_and(|origin| is_sibling(host, proto, origin)) {
        return None;
    }
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = response.headers_mut();
    allowed.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    allowed.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(names) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    allowed.insert(header::VARY, HeaderValue::from_static("Origin"));
    Some(response)
}

/// Sends a browser without a session on a port's host, which asked for `page` (path and query), to where it can get one.
fn ask(host: &PortHost, page: &str) -> Result<Response<Body>, ApiError> {
    let to = utf8_percent_encode(page.trim_start_matches('/'), QUERY);
    answer::see_other(&format!("//{}{}{GRANT}?port={}&to={to}", host.own, host.root, host.port))
}

/// Answers [`GRANT`] for who has `session`: back to the port's host, with a ticket.
pub(super) fn grant(app: &App, session: &Session, forwarded: &Forwarded, query: &str) -> Result<Response<Body>, ApiError> {
    let auth = app.secrets.auth.as_ref().ok_or_else(ApiError::not_found)?;
    let host = behind(query, forwarded, session.instance())
        .ok_or_else(|| ApiError::new(ErrorCode::BadRequest, "this leads to no port of this instance"))?;
    let ticket = auth.issue_ticket(session, host.name()).map_err(ApiError::internal)?;
    let to = utf8_percent_encode(safe_page(&value(query, "to").unwrap_or_default()), QUERY).to_string();
    let mut response = answer::see_other(&format!("//{host}{REDEEM}?ticket={ticket}&to={to}"))?;
    quiet(response.headers_mut());
    Ok(response)
}

/// Answers [`REDEEM`] on the port's host `host`, whose cookies `jar` makes.
fn redeem(app: &App, host: &HostName, jar: Jar<'_>, query: &str) -> Result<Response<Body>, ApiError> {
    let auth = app.secrets.auth.as_ref().ok_or_else(ApiError::not_found)?;
    let ticket = value(query, "ticket").unwrap_or_default();
    let to = format!("/{}", safe_page(&value(query, "to").unwrap_or_default()));
    // A ticket that is used up, by going back in the browser for example: the page asks for another one if it has to.
    let mut response = answer::see_other(&to)?;
    if let Some((_, token)) = auth.redeem_ticket(&ticket, host.name()) {
        jar.set(response.headers_mut(), Kind::Session, &token, &Scope::Origin);
    }
    quiet(response.headers_mut());
    Ok(response)
}

/// The host that the login's page may lead to in the end, when the page `to` is [`GRANT`]: browsers hold a form's answer to the
/// page's own policy even over redirects. In such a policy a host without a scheme is one of the page's own.
pub(super) fn host_behind(to: &str, forwarded: &Forwarded, instance: &InstanceId) -> Option<String> {
    let query = to.strip_prefix(GRANT.trim_start_matches('/'))?.strip_prefix('?')?;
    behind(query, forwarded, instance).map(|host| host.to_string())
}

/// The port's host that `query` names. Made of the host that was asked, so that it cannot be anybody else's.
fn behind(query: &str, forwarded: &Forwarded, instance: &InstanceId) -> Option<HostName> {
    let own = forwarded.host.to_str().ok()?.parse::<HostName>().ok()?;
    let label = match own.instance() {
        InstanceHost::Instance(_) => String::new(),
        _ => format!("{instance}."),
    };
    let host = format!("{}--{label}{own}", value(query, "port")?).parse::<HostName>().ok()?;
    PortHost::parse(&host).is_some_and(|host| host.instance == *instance).then_some(host)
}

fn value(query: &str, name: &str) -> Option<String> {
    let (_, value) = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?;
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The ticket in the address is nobody else's business.
fn quiet(headers: &mut HeaderMap) {
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn forwarded(host: &'static str) -> Forwarded {
        Forwarded { client: None, proto: "https", host: HeaderValue::from_static(host), prefix: String::new() }
    }

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_of_ports() {
        let host = |text: &str| PortHost::parse(&text.parse().unwrap());
        let known = host("3000--acme-web-code-1.srv7.example.com:8443").unwrap();
        let seen = (known.port.get(), known.instance.as_str(), known.own.as_str(), known.root.as_str());
        assert_eq!(seen, (3000, "acme-web-code-1", "acme-web-code-1.srv7.example.com:8443", ""));
        let below = host("3000--alice.example.com").unwrap();
        assert_eq!((below.own.as_str(), below.root.as_str()), ("example.com", "/i/alice"));
        for other in ["acme-web-code-1.example.com", "03000--a-b-code-1.x", "99999--a-b-code-1.x", "x--a-b-code-1.x", "0--a-b-code-1.x"] {
            assert_eq!(host(other), None, "{other}");
        }
    }

    #[test]
    fn the_way_there_leads_nowhere_else() {
        let (own, acme) = (forwarded("acme-web-code-1.example.com"), id("acme-web-code-1"));
        let to = |query: &str| behind(query, &own, &acme).map(|host| host.to_string());
        assert_eq!(to("port=3000&to=x"), Some("3000--acme-web-code-1.example.com".into()));
        for query in
            ["", "port=", "port=x", "port=3000.evil.example/", "port=evil.example/%23", "port=3000%40evil", "port=3000--4000", "port=70000"]
        {
            assert_eq!(to(query), None, "{query}");
        }
        let below = behind("port=3000", &forwarded("example.com"), &id("alice")).map(|host| host.to_string());
        assert_eq!(below.as_deref(), Some("3000--alice.example.com"));
        assert_eq!(behind("port=3000", &own, &id("bob")), None, "another instance's host is not on the way");
        let host = host_behind("api/v1/code/session-transfer?port=3000&to=", &own, &acme);
        assert_eq!(host.as_deref(), Some("3000--acme-web-code-1.example.com"));
        assert_eq!(host_behind("?port=3000", &own, &acme), None);
    }

    #[test]
    fn the_question() {
        let ask = |host: &str| {
            let host = PortHost::parse(&host.parse().unwrap()).unwrap();
            ask(&host, "/x?y=1").unwrap().headers()["location"].to_str().unwrap().to_owned()
        };
        let location = "//a-b-code-1.example.com:8443/api/v1/code/session-transfer?port=3000&to=x%3Fy%3D1";
        assert_eq!(ask("3000--a-b-code-1.example.com:8443"), location);
        assert_eq!(ask("3000--alice.x"), "//x/i/alice/api/v1/code/session-transfer?port=3000&to=x%3Fy%3D1");
    }
}
