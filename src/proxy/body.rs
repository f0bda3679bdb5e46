//! Bodies: what is sent, what is forwarded, and what rides along with them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The most bytes of one piece of a body that is held.
const PIECE: usize = 64 << 10;

/// A body of ours. The common cases carry no box.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// One piece, taken when sent.
    Full(Bytes),
    /// Forwarded as it comes.
    Incoming(Incoming),
    /// Anything else.
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// Boxes a body of another type.
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::Boxed(body.map_err(Into::into).boxed_unsync())
    }

    /// Holds `guard` until all is sent: however many clients ask for much and read nothing, the memory for it is that of as many as
    /// the guard lets through. For what is small, [`PIECE`], it is not held, and neither for what comes from elsewhere.
    #[must_use]
    pub fn hold(self, guard: impl Send + 'static) -> Self {
        match self {
            Self::Full(bytes) if bytes.len() > PIECE => Self::boxed(Guarded::new(Pieces(bytes), guard)),
            other => other,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Full(bytes.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => {
                let Self::Full(bytes) = std::mem::take(this) else { return Poll::Ready(None) };
                Poll::Ready(if bytes.is_empty() { None } else { Some(Ok(Frame::data(bytes))) })
            }
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Incoming(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

/// Bytes, a copy of a piece at a time: what is sent of a whole would keep all of it in memory until its last byte is gone.
struct Pieces(Bytes);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let length = self.0.len().min(PIECE);
        let piece = self.0.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

pin_project_lite::pin_project! {
    /// A body that keeps something alive until it has ended or is dropped: a lease, for example.
    pub struct Guarded<B, G> {
        #[pin]
        body: B,
        guard: Option<G>,
    }
}

impl<B, G> Guarded<B, G> {
    /// Ties `guard` to `body`.
    pub fn new(body: B, guard: G) -> Self {
        Self { body, guard: Some(guard) }
    }
}

impl<B: HttpBody, G> HttpBody for Guarded<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if frame.is_none() {
            this.guard.take();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project_lite::pin_project! {
    /// A body that fails when nothing comes for a while. The clock runs only while somebody waits for the next piece.
    pub struct IdleTimeout<B> {
        #[pin]
        body: B,
        limit: Duration,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<B> IdleTimeout<B> {
    /// Allows `limit` between two pieces of `body`.
    pub fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, timer: None }
    }
}

impl<B> HttpBody for IdleTimeout<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            this.timer.set(None);
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        }
        if this.timer.is_none() {
            this.timer.set(Some(sleep(*this.limit)));
        }
        match this.timer.as_pin_mut() {
            Some(timer) => {
                ready!(timer.poll(cx));
                Poll::Ready(Some(Err("nothing came for too long".into())))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project_lite::pin_project! {
    /// A body that fails as soon as `end` resolves, whatever is still to come: a session that is over, for example.
    pub struct CutOff<B, F> {
        #[pin]
        body: B,
        // None once it has resolved.
        #[pin]
        end: Option<F>,
    }
}

impl<B, F> CutOff<B, F> {
    /// Cuts `body` off at `end`.
    pub fn new(body: B, end: F) -> Self {
        Self { body, end: Some(end) }
    }
}

impl<B, F> HttpBody for CutOff<B, F>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
    F: Future<Output = ()>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        // First, because a body that always has something would never let it have its turn.
        let Some(end) = this.end.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        if end.poll(cx).is_pending() {
            return this.body.poll_frame(cx).map_err(Into::into);
        }
        this.end.set(None);
        Poll::Ready(Some(Err("cut off".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_is_held_is_held_to_the_end() {
        let content = Bytes::from(vec![7; 2 * PIECE + 1]);
        let guard = Arc::new(());
        let mut body = Body::from(content.clone()).hold(Arc::clone(&guard));
        assert_eq!(body.size_hint().exact(), Some(content.len() as u64));
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            assert_eq!(Arc::strong_count(&guard), 2);
            got.extend(frame.unwrap().into_data().unwrap());
        }
        assert!(got == content && Arc::strong_count(&guard) == 1);
        let _small = Body::from(content.slice(..PIECE)).hold(Arc::clone(&guard));
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
