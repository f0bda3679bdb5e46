//! `Expect: 100-continue`, from end to end: the client is told to go on when the app says so, not when we feel like it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{Body, BoxError};

/// How long an app may keep silent before the body is sent all the same: many never say it. As long as curl waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that is not asked for its first piece before the app has said that it wants it, or has kept silent for a while. hyper
/// tells the client to go on at that very moment.
pub(super) fn await_continue(parts: &mut Parts, body: Body) -> Body {
    let (go_on, told) = oneshot::channel();
    let go_on = Mutex::new(Some(go_on));
    let mut carrier = Request::new(());
    hyper::ext::on_informational(&mut carrier, move |informational| {
        if informational.status() == StatusCode::CONTINUE
            && let Some(go_on) = go_on.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Nobody waiting any more means that the body is on its way already.
            let _ = go_on.send(());
        }
    });
    parts.extensions.extend(std::mem::take(carrier.extensions_mut()));
    let wait = async move {
        // A final answer drops the callback. hyper asks nobody to go on any more once that answer is being written; until then...
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let wait = Box::pin(async move { drop(timeout(PATIENCE, wait).await) });
    Body::boxed(Waiting { body, wait: Some(wait) })
}

struct Waiting {
    body: Body,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl HttpBody for Waiting {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
