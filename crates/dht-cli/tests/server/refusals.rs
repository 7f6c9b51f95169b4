//! Tests of rejected requests: each gets a status, a reason and its type, and does not affect other requests.

use std::io::Write;
use std::time::{Duration, Instant};

use dht_cli::{Limits, Server, ServerSettings};
use dht_dynamic::serving::ServiceSettings;
use serde_json::json;

use super::client::{ask, get, post};
use super::model::{engine, patient, server, settings};

#[test]
fn what_cannot_be_read_is_refused_with_what_was_expected() {
    let server = server();
    let long = "fine ".repeat(300);
    let many = vec!["fine"; 257];
    let large = "a ".repeat(40_000);
    let cases = [
        ("/predict", json!({ "inputs": long, "truncate": false }).to_string(), 413, "let it be truncated"),
        ("/predict", json!({ "inputs": [many] }).to_string(), 422, "invalid length 3"),
        ("/predict", json!({ "inputs": vec![["fine"]; 257] }).to_string(), 413, "at most 256"),
        ("/predict", "{}".into(), 422, "missing field `inputs`"),
        ("/predict", r#"{"inputs": {"text": "a"}}"#.into(), 422, "expected a string, a pair"),
        ("/predict", r#"{"inputs": "a", "truncate": "yes"}"#.into(), 422, "expected a boolean"),
        ("/v1/classify", "".into(), 400, "EOF"),
        ("/v1/classify", "fine".into(), 400, "line 1 column"),
        ("/v1/classify", "{\"texts\": [\"a\"]".into(), 400, "EOF"),
        ("/v1/classify", "{\"texts\": [\"a\"]} {}".into(), 400, "trailing"),
        ("/v1/classify", "[]".into(), 422, "expected an object"),
        ("/v1/classify", " [[\"a\"], 0.5, 9]".into(), 422, "expected an object"),
        ("/predict", "[\"a\"]".into(), 422, "expected an object"),
        ("/v1/classify", "{}".into(), 422, "missing field `texts`"),
        ("/v1/classify", "7".into(), 422, "expected an object with `texts`"),
        ("/v1/classify", json!({ "texts": "fine" }).to_string(), 422, "expected a sequence"),
        ("/v1/classify", json!({ "texts": [1] }).to_string(), 422, "a string, or an object with `text`"),
        ("/v1/classify", json!({ "texts": [["a", "b"]] }).to_string(), 422, "a string, or an object with `text`"),
        ("/v1/classify", json!({ "texts": [{ "pair": "a" }] }).to_string(), 422, "missing field `text`"),
        ("/v1/classify", json!({ "texts": [{ "text": "a", "pairs": "b" }] }).to_string(), 422, "unknown field `pairs`"),
        ("/v1/classify", json!({ "texts": ["a"], "sped": 1 }).to_string(), 422, "unknown field `sped`"),
        ("/v1/classify", json!({ "texts": ["a"], "speed": -1 }).to_string(), 422, "speed is -1"),
        ("/v1/classify", json!({ "texts": ["a"], "speed": "fast" }).to_string(), 422, "expected f64"),
        ("/v1/classify", json!({ "texts": ["a"], "deadline_ms": -5 }).to_string(), 422, "expected u64"),
        ("/v1/classify", r#"{"texts": ["a"], "speed": 1e999}"#.into(), 400, "number out of range"),
        ("/v1/classify", json!({ "texts": many }).to_string(), 413, "at most 256"),
        ("/v1/classify", json!({ "texts": ["a", "b"], "explain": true }).to_string(), 422, "true for 2 texts"),
        ("/v1/classify", json!({ "texts": [], "explain": true }).to_string(), 422, "true for 0 texts"),
        ("/v1/classify", json!({ "texts": ["a"], "explain": "yes" }).to_string(), 422, "expected a boolean"),
        ("/v1/classify", json!({ "texts": ["a"], "explained": true }).to_string(), 422, "unknown field `explained`"),
        ("/v1/classify", json!({ "texts": [&large], "explain": true }).to_string(), 413, "at most 65536"),
        ("/predict", json!({ "inputs": "a", "explain": true }).to_string(), 422, "unknown field `explain`"),
        ("/v1/classify", json!({ "texts": ["a"], "deadline_ms": 0 }).to_string(), 504, "deadline"),
    ];
    for (path, body, status, reason) in cases {
        let shown = &body[..body.len().min(60)];
        let response = post(server.address(), path, &body);
        let (error, kind) = response.refusal();
        assert_eq!(response.status, status, "{path} {shown}: {error}");
        assert!(error.contains(reason), "{path} {shown}: {error}");
        assert_eq!(kind, if status == 504 { "Deadline" } else { "Validation" });
    }
    assert_eq!(post(server.address(), "/predict", json!({ "inputs": "fine" })).status, 200);
}

#[test]
fn invalid_oversized_and_mistyped_bodies_are_rejected() {
    let limits = Limits { body_bytes: 1000, ..settings().limits };
    let server = Server::start(engine, ServerSettings { limits, ..settings() }).unwrap();
    let address = server.address();
    let json = ("Content-Type", "application/json");
    let broken = |start: &[u8], end: &[u8]| [start, &[0xff, 0xfe, 0xc3, 0x28], end].concat();
    let cases = [
        ("/predict", broken(b"{\"inputs\": \"fine", b"\"}"), 400),
        ("/v1/classify", broken(b"{\"texts\": [\"fine", b"\"]}"), 400),
        ("/predict", vec![0; 900], 400),
        ("/v1/classify", vec![0; 900], 400),
        ("/predict", vec![b' '; 1001], 413),
        ("/v1/classify", vec![b'x'; 7000], 413),
    ];
    for (path, body, status) in cases {
        let response = ask(address, "POST", path, &[json], &body);
        assert_eq!(response.status, status, "{path}: {response:?}");
        assert_eq!(response.refusal().1, "Validation");
    }
    // The body has no length and comes in chunks.
    let chunked = [json, ("Transfer-Encoding", "chunked")];
    let mut stream = super::client::connect(address);
    let head = super::client::head("POST", "/predict", &chunked, None);
    let chunk = format!("190\r\n{}\r\n", " ".repeat(400));
    let _ = stream.write_all(format!("{head}{chunk}{chunk}{chunk}0\r\n\r\n").as_bytes());
    assert_eq!(super::client::receive(&mut stream).unwrap().status, 413);
    for types in [&[][..], &[("Content-Type", "text/plain")], &[("Content-Type", "application/x-www-form-urlencoded")]]
    {
        let response = ask(address, "POST", "/v1/classify", types, b"{}");
        assert_eq!(response.status, 415);
        assert!(response.refusal().0.contains("expected application/json"));
    }
    for path in ["/predict", "/v1/classify"] {
        let response = ask(address, "POST", path, &[json, ("Content-Encoding", "gzip")], b"\x1f\x8b\x08");
        assert_eq!((response.status, response.refusal().0.contains("Content-Encoding is gzip")), (415, true));
    }
    assert_eq!(get(address, "/nowhere").status, 404);
    assert_eq!(get(address, "/nowhere").refusal().1, "NotFound");
    assert_eq!(get(address, "/predict").status, 405);
    assert!(get(address, "/v1/classify").refusal().0.contains("another method"));
}

#[test]
fn a_full_queue_answers_429_while_health_answers_200() {
    let service = |settings: &mut ServerSettings| {
        settings.service.queue_texts = 4;
        settings.limits.requests = 3;
    };
    let server = patient(service);
    let address = server.address();
    let four = json!({ "texts": vec!["fine"; 4] });
    let waiting = std::thread::spawn({
        let four = four.clone();
        move || post(address, "/v1/classify", four)
    });
    while server.service().metrics().queued_texts < 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let full = post(address, "/v1/classify", json!({ "texts": ["fine"] }));
    assert_eq!((full.status, full.refusal().1), (429, "Overloaded".into()));
    assert!(full.head.contains("retry-after: 1"));
    assert_eq!(post(address, "/predict", json!({ "inputs": "fine" })).status, 429);
    assert_eq!(post(address, "/v1/classify", json!({ "texts": vec!["fine"; 5] })).status, 413);
    assert_eq!(get(address, "/health").status, 200);
    server.stop();
    assert_eq!(waiting.join().unwrap().status, 200, "what was taken is answered");
}

#[test]
fn more_requests_at_once_than_allowed_are_429() {
    let server = patient(|settings| settings.limits.requests = 3);
    let address = server.address();
    let ask = move || post(address, "/predict", json!({ "inputs": "fine" }));
    let waiting: Vec<_> = (0..3).map(|_| std::thread::spawn(ask)).collect();
    while server.service().metrics().queued_texts < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = ask();
    assert_eq!(refused.status, 429);
    assert!(refused.refusal().0.contains("3 requests"));
    server.stop();
    for client in waiting {
        assert_eq!(client.join().unwrap().status, 200);
    }
}

#[test]
fn a_deadline_is_answered_in_time_and_its_text_is_not_computed() {
    let server = patient(|_| {});
    let asked = Instant::now();
    let late = post(server.address(), "/v1/classify", json!({ "texts": ["fine"], "deadline_ms": 150 }));
    assert_eq!((late.status, late.refusal().1), (504, "Deadline".into()));
    assert!(asked.elapsed() < Duration::from_secs(40), "the batch waits a minute");
    let metrics = server.service().metrics();
    assert_eq!((metrics.late, metrics.texts, metrics.queued_texts), (1, 0, 0));
}

#[test]
fn invalid_limits_and_origins_are_rejected_at_the_start() {
    let service = ServiceSettings { batch_tokens: 0, ..ServiceSettings::default() };
    let error = Server::start(engine, ServerSettings { service, ..settings() }).unwrap_err();
    assert!(error.to_string().contains("batch_tokens is 0"), "{error}");
    for (limits, flag) in [
        (Limits { body_bytes: 0, ..Limits::default() }, "--max-body-bytes is 0, expected 1 to "),
        (Limits { deadline: Duration::ZERO, ..Limits::default() }, "--deadline-ms is 0, expected at least 1"),
        (Limits { requests: usize::MAX, ..Limits::default() }, "expected 1 to 1048576"),
    ] {
        let error = Server::start(engine, ServerSettings { limits, ..settings() }).unwrap_err();
        assert!(error.to_string().contains(flag), "{error}");
    }
    for origin in
        ["https://example.org\n", "https://a.b/", "https://a.b/x", "https://A.b", "https://a.b:443", "foo", ""]
    {
        let cors = vec![origin.to_owned()];
        let error = Server::start(engine, ServerSettings { cors, ..settings() }).unwrap_err();
        assert!(error.to_string().starts_with("--cors is"), "{origin}: {error}");
    }
    for token in ["a\nb", "s\u{e9}cret", "a\0b", &"a".repeat(5000)] {
        let error = Server::start(engine, ServerSettings { token: Some(token.into()), ..settings() }).unwrap_err();
        assert!(error.to_string().contains("one line of at most"), "{error}");
    }
    let server = server();
    let taken = ServerSettings { address: server.address(), ..settings() };
    let error = Server::start(engine, taken).unwrap_err();
    assert!(error.to_string().starts_with("127.0.0.1:"), "{error}");
}
