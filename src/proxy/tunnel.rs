//! Bytes both ways, until either side is done.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

use crate::telemetry::{Count, metrics};

/// How long the other direction may still deliver after one has ended. A websocket says all it has to say before it closes,
/// and the engine would hold a half-closed one for 30 seconds.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes carried at once, per direction. An editor's frames are mostly smaller, and a thousand open tunnels hold two each.
const BUFFER: usize = 8 << 10;

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
    let (client_in, client_out) = split(client);
    let (upstream_in, upstream_out) = split(upstream);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    {
        let up = direction(client_in, upstream_out, &sent, metrics().tunnelled_in());
        let down = direction(upstream_in, client_out, &received, metrics().tunnelled_out());
        tokio::pin!(up, down);
        tokio::select! {
            () = &mut up => drop(timeout(LINGER, &mut down).await),
            () = &mut down => drop(timeout(LINGER, &mut up).await),
            () = cut => {}
        }
    }
    Traffic { sent: sent.into_inner(), received: received.into_inner() }
}

/// Copies until `from` ends or either side breaks, then tells `to` that nothing more comes.
async fn direction(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64, metric: Count) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => {
                if to.write_all(&buffer[..n]).await.is_err() || to.flush().await.is_err() {
                    break;
                }
                count.fetch_add(n as u64, Ordering::Relaxed);
                metric.inc_by(n as u64);
            }
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::duplex;

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
}
