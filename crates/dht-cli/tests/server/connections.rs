//! Tests of connections: clients that do not read, idle ones, half-closed ones, and the limit.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use dht_cli::{Limits, Server, ServerSettings};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::client::{connect, get, head, post, receive};
use super::model::{engine, patient, server, settings};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Duration that is longer than any test.
const NEVER: Duration = Duration::from_secs(600);

fn limited(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits { reading: NEVER, writing: NEVER, idle: NEVER, ..settings().limits };
    change(&mut limits);
    Server::start(engine, ServerSettings { limits, ..settings() }).expect("a server")
}

/// Creates a client that requests the page until the connection takes no more, and that reads nothing.
fn never_reads(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a success");
    socket.connect(&address.into()).expect("a success");
    socket.set_write_timeout(Some(Duration::from_millis(200))).expect("a success");
    let mut stream = TcpStream::from(socket);
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    while stream.write_all(request.as_bytes()).is_ok() {}
    stream
}

/// Sends a request that keeps its connection, and reads the response's head and body.
fn ask_and_keep(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("a success");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).expect("a response");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..read]);
    }
    String::from_utf8(bytes).expect("a success")
}

/// Waits until the metrics have a line.
fn wait_for(address: SocketAddr, line: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = String::from_utf8(get(address, "/metrics").body).expect("a success");
        if metrics.lines().any(|other| other == line) {
            return;
        }
        assert!(Instant::now() < until, "no {line} in {metrics}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits up to twenty seconds until the other side closes the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a success");
    let mut rest = Vec::new();
    // The connection ended or was reset; it did not time out.
    let closed = !matches!(stream.read_to_end(&mut rest), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    assert_eq!(rest, b"");
    closed
}

#[test]
fn clients_that_never_read_do_not_block_health() {
    let server = limited(|limits| limits.connections = 4);
    let _clients: Vec<_> = (0..8).map(|_| never_reads(server.address())).collect();
    for _ in 0..20 {
        let mut stream = connect(server.address());
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head("GET", "/health", &[], None).as_bytes()).unwrap();
        assert_eq!(receive(&mut stream).expect("an answer").status, 200);
    }
}

#[test]
fn a_response_that_is_not_read_ends_its_connection() {
    let server = limited(|limits| limits.writing = Duration::from_millis(200));
    let mut client = never_reads(server.address());
    wait_for(server.address(), "dht_connections_closed_total{reason=\"unread_response\"} 1");
    assert!(client.write_all(&[b'a'; 1 << 20]).is_err());
}

#[test]
fn the_longest_idle_connection_gives_way_at_the_limit() {
    let server = limited(|limits| limits.connections = 2);
    let (mut first, mut second) = (connect(server.address()), connect(server.address()));
    ask_and_keep(&mut first, "/health");
    // Each connection has a thread, which may record the end of a request late on a busy machine.
    std::thread::sleep(Duration::from_millis(100));
    ask_and_keep(&mut second, "/health");
    let until = Instant::now() + Duration::from_secs(20);
    // A connection is only closed after a second without a request: before, its next request may be in flight.
    while post(server.address(), "/predict", json!({ "inputs": "fine" })).status == 429 {
        assert!(Instant::now() < until, "no connection was closed");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(is_closed(&mut first));
    assert!(ask_and_keep(&mut second, "/health").contains("200 OK"));
}

#[test]
fn beyond_the_limit_only_health_is_answered() {
    let server = patient(|settings| settings.limits.connections = 1);
    let body = json!({ "texts": ["fine"] }).to_string();
    let mut busy = connect(server.address());
    let sent = head("POST", "/v1/classify", &[JSON], Some(body.len())) + &body;
    busy.write_all(sent.as_bytes()).unwrap();
    while server.service().metrics().queued_texts == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    for body in [json!({ "inputs": "fine" }), json!({ "inputs": "fine ".repeat(300_000) })] {
        let refused = post(server.address(), "/predict", body);
        assert_eq!(refused.status, 429);
        assert!(refused.refusal().0.contains("1 connections are open already"), "{refused:?}");
        assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    }
    assert_eq!(get(server.address(), "/health").status, 200);
    let mut held: Vec<_> = (0..200).map(|_| connect(server.address())).collect();
    assert_eq!(get(server.address(), "/health").status, 200, "beside connections that ask nothing");
    assert!(is_closed(&mut held[0]));
    server.stop();
    assert_eq!(receive(&mut busy).expect("an answer").status, 200);
}

#[test]
fn half_closed_clients_are_answered() {
    let server = server();
    let body = json!({ "inputs": "fine" }).to_string();
    let lines = "{\"text\": \"fine\"}\n".repeat(100);
    let request = |path: &str, kind: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let predict = request("/predict", "application/json", &body);
    let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (sent, answers) in [
        (predict.clone(), 1),
        (health.to_owned(), 1),
        (format!("{predict}{health}{predict}"), 3),
        (request("/v1/classify", "application/x-ndjson", &lines), 1),
    ] {
        for _ in 0..10 {
            let mut stream = connect(server.address());
            stream.write_all(sent.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut received = String::new();
            stream.read_to_string(&mut received).unwrap();
            assert_eq!(received.matches("HTTP/1.1 200 OK").count(), answers, "{received}");
            let lines = sent.matches("\"text\"").count();
            assert!(received.matches("\"label\":").count() >= lines, "{received}");
        }
    }
    // An incomplete request gets no answer.
    let mut stream = connect(server.address());
    stream.write_all(&predict.as_bytes()[..predict.len() - 3]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&mut stream).expect("a refusal").status, 400);
}

#[test]
fn an_idle_connection_has_its_own_limit() {
    let server = limited(|limits| limits.reading = Duration::from_millis(100));
    let mut stream = connect(server.address());
    ask_and_keep(&mut stream, "/health");
    std::thread::sleep(Duration::from_millis(400));
    ask_and_keep(&mut stream, "/health");
    stream.write_all(b"GET /he").unwrap();
    wait_for(server.address(), "dht_connections_closed_total{reason=\"head_timeout\"} 1");
    assert!(is_closed(&mut stream));

    let server = limited(|limits| limits.idle = Duration::from_millis(100));
    let mut stream = connect(server.address());
    ask_and_keep(&mut stream, "/health");
    wait_for(server.address(), "dht_connections_closed_total{reason=\"idle\"} 1");
    assert!(is_closed(&mut stream));
}

#[test]
fn heads_that_cannot_be_read_are_answered_and_counted() {
    let server = server();
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let long = "a".repeat(70_000);
    for (sent, status) in [
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nX: {long}{long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), 414),
        ("GET / HTTP/1.1\r\nX y: z\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1} a greeting of TLS\r\n\r\n".into(), 400),
    ] {
        for _ in 0..10 {
            let mut stream = connect(server.address());
            let _ = stream.write_all(sent.as_bytes());
            let shown = &sent[..20];
            assert_eq!(
                receive(&mut stream).unwrap_or_else(|| panic!("no answer to {shown}")).status,
                status,
                "{shown}"
            );
        }
    }
    for (status, count) in [(431, 20), (414, 10), (400, 20)] {
        let line = format!("dht_responses_total{{route=\"unparsed\",status=\"{status}\"}} {count}");
        wait_for(server.address(), &line);
    }
}
