//! A websocket, as far as the tests need one: a handshake, then whole frames or bare bytes.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::http::{Response, exchange, read_response};

pub(crate) struct WebSocket {
    stream: BufReader<TcpStream>,
}

impl WebSocket {
    /// Upgrades; the answer instead when the server refuses.
    pub(crate) fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Response> {
        Self::open_with_head(address, path, headers).map(|(socket, _)| socket)
    }

    /// The same with the head of the answer.
    pub(crate) fn open_with_head(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<(Self, Response), Response> {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = exchange(address, head.as_bytes());
        let response = read_response(&mut stream, false).expect("an answer");
        if response.status == 101 {
            // The value that RFC 6455, section 1.3, computes for this very key.
            assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
            Ok((Self { stream }, response))
        } else {
            Err(response)
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// A second handle, to write while the first one reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a second handle")
    }

    /// Reads exactly as many bytes as `expected` has and compares.
    #[track_caller]
    pub(crate) fn expect_raw(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        self.stream.read_exact(&mut got).expect("bytes come back");
        assert!(got == expected, "what came back differs");
    }

    /// Whether the other side has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// Sends one masked binary message.
    pub(crate) fn send(&mut self, payload: &[u8]) {
        let mut frame = vec![0x82];
        match u16::try_from(payload.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length as u8),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => panic!("a test's message is short"),
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.send_raw(&frame).expect("the frame is sent");
    }

    /// Receives one unmasked frame's payload.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a frame");
        let length = match head[1] & 0x7f {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).expect("a length");
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a payload");
        payload
    }
}
