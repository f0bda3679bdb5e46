//! Bytes both ways, until either side is done.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::time::timeout;

/// How long the other direction may still deliver after one has ended. A websocket says all it has to say before it closes,
/// and the engine would hold a half-closed one for 30 seconds.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that went through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client to the upstream.
    pub sent: u64,
    /// From the upstream to the client.
    pub received: u64,
}

/// Copies between `client` and `upstream` until one of them ends; then both are closed.
///
/// Counts are of whole directions: when the tunnel is cut (dropped) they are lost.
pub async fn tunnel<C, U>(client: C, upstream: U) -> Traffic
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (client_in, client_out) = split(client);
    let (upstream_in, upstream_out) = split(upstream);
    let up = direction(client_in, upstream_out);
    let down = direction(upstream_in, client_out);
    tokio::pin!(up, down);
    tokio::select! {
        sent = &mut up => Traffic { sent, received: timeout(LINGER, &mut down).await.unwrap_or(0) },
        received = &mut down => Traffic { received, sent: timeout(LINGER, &mut up).await.unwrap_or(0) },
    }
}

/// Copies until `from` ends or either side breaks, then tells `to` that nothing more comes.
async fn direction(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> u64 {
    let bytes = copy(&mut from, &mut to).await.unwrap_or(0);
    let _ = to.shutdown().await;
    bytes
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
        let running = tokio::spawn(tunnel(client, upstream));
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
