//! Minimal HTTP client over a socket, which sends exactly what a test specifies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// Returns the reason and the type of a refusal.
    pub fn refusal(&self) -> (String, String) {
        let body = self.json();
        let field = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
        (field("error"), field("error_type"))
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_secs(120))).expect("a timeout");
    stream
}

/// Creates the head of a request that closes its connection.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        head += &format!("Content-Length: {length}\r\n");
    }
    head + "\r\n"
}

/// Reads a response to the end of its connection; `None` if none arrived.
pub fn receive(stream: &mut TcpStream) -> Option<Response> {
    let mut bytes = Vec::new();
    // A server that refuses before it has read everything may reset the connection after its response.
    let _ = stream.read_to_end(&mut bytes);
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &bytes[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
    Some(Response { status, head, body })
}

/// Joins the content of the chunks that arrived.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..end]), 16).unwrap_or(0);
        let Some(chunk) = bytes.get(end + 2..end + 2 + size).filter(|_| size > 0) else { break };
        content.extend_from_slice(chunk);
        bytes = bytes.get(end + 4 + size..).unwrap_or_default();
    }
    content
}

/// Sends a request and reads its response.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut stream = connect(address);
    let head = head(method, path, headers, (method == "POST").then_some(body.len()));
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    receive(&mut stream).expect("a response")
}

pub fn get(address: SocketAddr, path: &str) -> Response {
    ask(address, "GET", path, &[], b"")
}

/// Posts JSON.
pub fn post(address: SocketAddr, path: &str, body: impl ToString) -> Response {
    ask(address, "POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

/// Posts lines.
pub fn post_lines(address: SocketAddr, body: &[u8]) -> Vec<Value> {
    let response = ask(address, "POST", "/v1/classify", &[("Content-Type", "application/x-ndjson")], body);
    assert_eq!(response.status, 200, "{response:?}");
    let lines = response.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
}
