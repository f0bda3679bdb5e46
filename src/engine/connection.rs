//! Ends a connection that a page has left behind, in the engine's own words: as the page itself does when it is closed.
//!
//! An editor's page has two connections, each of which outlives its websocket for the grace time: one to the server (files,
//! terminals, and a file watcher of its own), one to an extension host, which is a process for this page alone. Whoever comes with a
//! connection's token takes it over. So we come with it, take it over, and say goodbye; the engine ends exactly what belongs to it.
//!
//! A message is a header of 13 bytes (its kind, two counters of four bytes that the handshake leaves at 0, the number of bytes that
//! follow, big endian) and its content; control messages are JSON. Asked for `skipWebSocketFrames`, the engine speaks them without
//! a websocket's frames around them. Seen with VS Code 1.139; the client's order is `auth`, `connectionType`, the server's `sign`, and
//! anything but `error`.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::model::ReconnectionToken;

const CONTROL: u8 = 2;
const DISCONNECT: u8 = 5;
const PAUSE: u8 = 7;
const RESUME: u8 = 8;
const HEADER: usize = 13;

/// The most bytes of one message of a handshake, and of the answer to the upgrade.
const MOST: usize = 64 << 10;

/// The most characters of an engine's reason that are told: they go to everybody's log.
const MOST_SAID: usize = 200;

/// How many messages may come before the answer: those that are for flow control come in between.
const MOST_MESSAGES: usize = 16;

/// How long an engine may take for all of it. One that is busy is asked again another time.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long it may take to close the connection after the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a token may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The page's connection to the server, with its file watcher.
    Management,
    /// The page's extension host.
    ExtensionHost,
}

/// Ends the connection that `token` stands for, over a fresh connection to the engine; false when it stands for none of this kind, or
/// when `still` says in the last moment that nobody wants that any more. Comes back when the engine has been told, and has had a
/// moment to act on it.
///
/// # Errors
/// When the engine does not answer, or not as expected.
pub async fn end(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    token: &ReconnectionToken,
    part: Part,
    still: impl Fn() -> bool,
) -> io::Result<bool> {
    timeout(DEADLINE, exchange(stream, token, part, still)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    token: &ReconnectionToken,
    part: Part,
    still: impl Fn() -> bool,
) -> io::Result<bool> {
    stream.write_all(upgrade(token).as_bytes()).await?;
    let answer = head(&mut stream).await?;
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(odd("it refused the upgrade"));
    }
    stream.write_all(&message(CONTROL, &json!({ "type": "auth", "auth": "00000000000000000000", "data": "" }))).await?;
    let mut paused = false;
    if reply(&mut stream, &mut paused).await?["type"] != "sign" {
        return Err(odd("it did not ask who we are"));
    }
    let kind = match part {
        Part::Management => 1,
        Part::ExtensionHost => 2,
    };
    // No commit: whichever version it is.
    stream.write_all(&message(CONTROL, &json!({ "type": "connectionType", "signedData": "", "desiredConnectionType": kind }))).await?;
    let reply = reply(&mut stream, &mut paused).await?;
    if reply["type"] == "error" {
        return match reply["reason"].as_str() {
            Some(reason) if reason.starts_with("Unknown reconnection token") => Ok(false),
            reason => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                reason.unwrap_or("no reason given").chars().take(MOST_SAID).collect::<String>(),
            )),
        };
    }
    // The server hands the connection over to another process: what it would read meanwhile would be lost.
    while paused {
        let (kind, length) = header(&mut stream).await?;
        let mut content = (&mut stream).take(length);
        tokio::io::copy(&mut content, &mut tokio::io::sink()).await?;
        paused = kind != RESUME;
    }
    if !still() {
        // Without the goodbye the engine takes this for a network that broke, and the page comes back as after any such.
        return Ok(false);
    }
    stream.write_all(&message(DISCONNECT, &Value::Null)).await?;
    // What it still had to say to the page is nobody's any more. An extension host takes its time to end; it has heard us.
    let mut rest = [0; 8192];
    let hearing = async { while stream.read(&mut rest).await.unwrap_or(0) > 0 {} };
    let _ = timeout(GOODBYE, hearing).await;
    Ok(true)
}

fn upgrade(token: &ReconnectionToken) -> String {
    format!(
        "GET /?reconnectionToken={token}&reconnection=true&skipWebSocketFrames=true HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aG9vZHktY29kZS1lbmRzIQ==\r\n\r\n"
    )
}

fn message(kind: u8, content: &Value) -> Vec<u8> {
    let content = if content.is_null() { String::new() } else { content.to_string() };
    let length = u32::try_from(content.len()).unwrap_or_default();
    [&[kind], &[0; 8][..], &length.to_be_bytes(), content.as_bytes()].concat()
}

/// An answer's head, up to and with the empty line; byte by byte, because the messages follow at once.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MOST {
            return Err(odd("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// A message's kind, and the number of bytes that follow.
async fn header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, u64)> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let [kind, .., a, b, c, d] = header;
    Ok((kind, u64::from(u32::from_be_bytes([a, b, c, d]))))
}

/// The next control message; notes when the engine wants nothing more to be said to it.
async fn reply(stream: &mut (impl AsyncRead + Unpin), paused: &mut bool) -> io::Result<Value> {
    for _ in 0..MOST_MESSAGES {
        let (kind, length) = header(stream).await?;
        if length > MOST as u64 {
            return Err(odd("its message is too long"));
        }
        let mut content = Vec::new();
        (&mut *stream).take(length).read_to_end(&mut content).await?;
        match kind {
            CONTROL => return serde_json::from_slice(&content).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)),
            PAUSE => *paused = true,
            _ => {}
        }
    }
    Err(odd("it does not come to the point"))
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    /// Plays the engine's part, with `last` as its last word; gives what the client asked for, and whether it said goodbye.
    async fn play(mut engine: DuplexStream, last: Value) -> (Value, bool) {
        let request = String::from_utf8(head(&mut engine).await.unwrap()).unwrap();
        assert!(request.starts_with("GET /?reconnectionToken=0fd2a1b4-61f0&reconnection=true&skipWebSocketFrames=true HTTP/1.1\r\n"));
        engine.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
        let mut paused = false;
        assert_eq!(reply(&mut engine, &mut paused).await.unwrap()["type"], "auth");
        engine.write_all(&message(CONTROL, &json!({ "type": "sign", "data": "x", "signedData": "y" }))).await.unwrap();
        let asked = reply(&mut engine, &mut paused).await.unwrap();
        engine.write_all(&message(PAUSE, &Value::Null)).await.unwrap();
        engine.write_all(&message(CONTROL, &last)).await.unwrap();
        if last["type"] != "error" {
            // What the page has missed, and not a word from the client before we are ready.
            engine.write_all(&message(1, &json!("x".repeat(1000)))).await.unwrap();
            let early = timeout(Duration::from_millis(20), engine.read_u8()).await;
            assert!(early.is_err(), "it speaks while it was asked not to");
            engine.write_all(&message(RESUME, &Value::Null)).await.unwrap();
        }
        let said = header(&mut engine).await;
        (asked, said.is_ok_and(|(kind, _)| kind == DISCONNECT))
    }

    async fn ending(part: Part, last: Value) -> (io::Result<bool>, Value, bool) {
        let token = "0fd2a1b4-61f0".parse().unwrap();
        let (ours, theirs) = duplex(64);
        let (ended, (asked, goodbye)) = tokio::join!(end(ours, &token, part, || true), play(theirs, last));
        (ended, asked, goodbye)
    }

    #[tokio::test]
    async fn takes_over_and_says_goodbye() {
        let (ended, asked, goodbye) = ending(Part::ExtensionHost, json!({})).await;
        assert!(ended.unwrap() && goodbye);
        assert_eq!(asked["desiredConnectionType"], 2);
        let (ended, asked, goodbye) = ending(Part::Management, json!({ "type": "ok" })).await;
        assert!(ended.unwrap() && goodbye);
        assert_eq!(asked["desiredConnectionType"], 1);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_ended() {
        let (ended, _, goodbye) =
            ending(Part::ExtensionHost, json!({ "type": "error", "reason": "Unknown reconnection token (seen before)" })).await;
        assert!(!ended.unwrap() && !goodbye);
        let (ended, ..) = ending(Part::ExtensionHost, json!({ "type": "error", "reason": "Unauthorized client refused" })).await;
        assert_eq!(ended.unwrap_err().to_string(), "Unauthorized client refused");
    }

    #[tokio::test]
    async fn nonsense_is_an_error() {
        let token = "0fd2a1b4-61f0".parse().unwrap();
        for answer in
            ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 101 ok\r\n\r\n\u{2}\0\0\0\0\0\0\0\0\u{7f}\u{7f}\u{7f}\u{7f}", "HTTP/1.1 101"]
        {
            let (ours, mut theirs) = duplex(4096);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
            assert!(end(ours, &token, Part::Management, || true).await.is_err(), "{answer:?}");
        }
    }
}
