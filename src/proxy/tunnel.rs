//! Bytes both ways, until either side is done.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, split};
use tokio::time::timeout;

use crate::telemetry::{Count, metrics};

/// How long the other direction may still deliver after one has ended. A websocket says all it has to say before it closes,
/// and the engine would hold a half-closed one for 30 seconds.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes carried at once. They lie on the stack: of a thousand open tunnels, most are silent at any moment, and hold no buffer.
const BUFFER: usize = 16 << 10;

/// Bytes that went through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client to the upstream.
    pub sent: u64,
    /// From the upstream to the client.
    pub received: u64,
}

/// Copies between `client` and `upstream` until one of them ends or `cut` resolves; then both are closed.
pub async fn tunnel<C, U>(client: C, upstream: U, cut: impl Future<Output = ()>) -> Traffic
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client_in, mut client_out) = split(client);
    let (mut upstream_in, mut upstream_out) = split(upstream);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    {
        // Who has said all is told to the other: nothing more comes.
        let up = async {
            copy(&mut client_in, &mut upstream_out, &sent, metrics().tunnelled_in()).await;
            let _ = upstream_out.shutdown().await;
        };
        let down = async {
            copy(&mut upstream_in, &mut client_out, &received, metrics().tunnelled_out()).await;
            let _ = client_out.shutdown().await;
        };
        tokio::pin!(up, down);
        tokio::select! {
            () = &mut up => drop(timeout(LINGER, &mut down).await),
            () = &mut down => drop(timeout(LINGER, &mut up).await),
            () = cut => {}
        }
    }
    Traffic { sent: sent.into_inner(), received: received.into_inner() }
}

/// As [`tunnel`], but an `upstream` that has not ended is not told of the client's end; it is given back.
pub async fn tunnel_keeping<C, U>(client: C, upstream: U, cut: impl Future<Output = ()>) -> (Traffic, Option<U>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client_in, mut client_out) = split(client);
    let (mut upstream_in, mut upstream_out) = split(upstream);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let left = {
        let up = copy(&mut client_in, &mut upstream_out, &sent, metrics().tunnelled_in());
        let down = async {
            let end = copy(&mut upstream_in, &mut client_out, &received, metrics().tunnelled_out()).await;
            let _ = client_out.shutdown().await;
            end
        };
        tokio::pin!(up, down);
        tokio::select! {
            // A client that says goodbye makes the upstream end as well. An upstream that takes nothing more is done for.
            end = &mut up => !matches!(timeout(LINGER, &mut down).await, Ok(End::Source)) && matches!(end, End::Source),
            end = &mut down => matches!(end, End::Target),
            () = cut => false,
        }
    };
    let traffic = Traffic { sent: sent.into_inner(), received: received.into_inner() };
    (traffic, left.then(|| upstream_in.unsplit(upstream_out)))
}

/// Why nothing is copied any more.
enum End {
    /// Where it came from has ended.
    Source,
    /// Where it went to takes nothing.
    Target,
}

/// Copies until `from` ends or either side breaks.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), count: &AtomicU64, metric: Count) -> End {
    loop {
        match poll_fn(|cx| pass_on(cx, from, to)).await {
            Ok((read, rest)) => {
                if to.write_all(&rest).await.is_err() || to.flush().await.is_err() {
                    return End::Target;
                }
                count.fetch_add(read as u64, Ordering::Relaxed);
                metric.inc_by(read as u64);
            }
            Err(end) => return end,
        }
    }
}

/// Reads once, and writes of that what the other side takes at once. How much was read, and what is still to be written.
fn pass_on(
    cx: &mut Context<'_>,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> Poll<Result<(usize, Vec<u8>), End>> {
    let mut room = [const { MaybeUninit::uninit() }; BUFFER];
    let mut buffer = ReadBuf::uninit(&mut room);
    if ready!(Pin::new(from).poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
        return Poll::Ready(Err(End::Source));
    }
    let read = buffer.filled();
    let mut written = 0;
    while written < read.len() {
        match Pin::new(&mut *to).poll_write(cx, &read[written..]) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(End::Target)),
            Poll::Ready(Ok(n)) => written += n,
            Poll::Pending => break,
        }
    }
    Poll::Ready(Ok((read.len(), read[written..].to_vec())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn both_ways_and_both_closed() {
        let (mut browser, client) = duplex(16);
        let (mut engine, upstream) = duplex(16);
        let running = tokio::spawn(tunnel(client, upstream, std::future::pending()));
        browser.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        engine.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        engine.write_all(b"pong!").await.unwrap();
        // The engine goes away with bytes still under way: they arrive, and then the browser's end is closed too.
        drop(engine);
        let mut rest = Vec::new();
        browser.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"pong!");
        drop(browser);
        assert_eq!(running.await.unwrap(), Traffic { sent: 4, received: 5 });
    }

    #[tokio::test]
    async fn an_upstream_outlives_the_client_that_is_gone() {
        let (browser, client) = duplex(16);
        let (mut engine, upstream) = duplex(16);
        let running = tokio::spawn(tunnel_keeping(client, upstream, std::future::pending()));
        drop(browser);
        let (_, kept) = running.await.unwrap();
        let mut kept = kept.unwrap();
        engine.write_all(b"still here").await.unwrap();
        let mut got = [0; 10];
        kept.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"still here");
    }

    #[tokio::test]
    async fn an_upstream_that_has_ended_is_not_kept() {
        let (mut browser, client) = duplex(16);
        let (mut engine, upstream) = duplex(16);
        let running = tokio::spawn(tunnel_keeping(client, upstream, std::future::pending()));
        browser.write_all(b"goodbye").await.unwrap();
        let mut got = [0; 7];
        engine.read_exact(&mut got).await.unwrap();
        drop((browser, engine));
        assert!(running.await.unwrap().1.is_none());
    }

    #[tokio::test]
    async fn more_than_the_other_side_takes_at_once_arrives_whole() {
        let (mut browser, client) = duplex(7);
        let (mut engine, upstream) = duplex(3 * BUFFER);
        let running = tokio::spawn(tunnel(client, upstream, std::future::pending()));
        let sent: Vec<u8> = (0..5 * BUFFER).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            engine.write_all(&sent).await.unwrap();
            engine
        });
        let mut got = vec![0; expected.len()];
        browser.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected);
        drop((browser, writing.await.unwrap()));
        assert_eq!(running.await.unwrap().received, expected.len() as u64);
    }
}
