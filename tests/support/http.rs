//! A client that sends exactly what it is told, so that a test can say what no library would.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, self.text()))
    }

    /// The code of an error answer.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request on a connection of its own.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut stream = exchange(address, &request_bytes(address, method, path, headers, body));
    read_response(&mut stream, method == "HEAD").expect("an answer")
}

/// The same as bytes.
pub(crate) fn request_bytes(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Connects and sends `bytes` as they are.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("the daemon accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    // Who is refused early need not get rid of all of it: the answer says.
    let _ = stream.write_all(bytes);
    BufReader::new(stream)
}

/// Reads one answer; none when the connection was closed instead.
pub(crate) fn read_response(stream: &mut impl BufRead, head: bool) -> Option<Response> {
    let mut line = String::new();
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if head || status == 304 || status == 101 || status == 204 {
        return Some(response);
    }
    if response.header("transfer-encoding").is_some() {
        while let Some(chunk) = read_chunk(stream) {
            response.body.extend(chunk);
        }
    } else if let Some(length) = response.header("content-length") {
        response.body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut response.body).ok()?;
    } else {
        stream.read_to_end(&mut response.body).ok()?;
    }
    Some(response)
}

fn read_chunk(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}
