//! Tests of clients that are slow, vanish, nest JSON deeply, mutate requests, or come in thousands.

use std::io::Write;
use std::time::{Duration, Instant};

use dht_cli::{Limits, Server, ServerSettings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use socket2::SockRef;

use super::client::{connect, get, head, post, receive};
use super::model::{engine, patient, server, settings};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_client_that_does_not_finish_is_let_go_and_holds_nobody_up() {
    let limits = Limits { reading: Duration::from_millis(400), requests: 2, ..settings().limits };
    let server = Server::start(engine, ServerSettings { limits, ..settings() }).unwrap();
    let address = server.address();
    // There are more connections of each kind than requests in progress are allowed.
    let mut without_head: Vec<_> = (0..4).map(|_| connect(address)).collect();
    let mut half_head: Vec<_> = (0..4).map(|_| connect(address)).collect();
    let mut half_body: Vec<_> = (0..4).map(|_| connect(address)).collect();
    half_head.iter_mut().for_each(|stream| stream.write_all(b"POST /predict HTTP/1.1\r\nHost: l").unwrap());
    let sent = head("POST", "/predict", &[JSON], Some(100)) + "{\"inputs\":";
    half_body.iter_mut().for_each(|stream| stream.write_all(sent.as_bytes()).unwrap());
    assert_eq!(post(address, "/predict", json!({ "inputs": "fine" })).status, 200);
    for stream in &mut half_body {
        let response = receive(stream).expect("a response");
        assert_eq!(response.status, 408);
        assert!(response.refusal().0.contains("took longer than 400ms"));
    }
    // Connections without a head are closed; they have sent no request.
    assert!(
        without_head.iter_mut().chain(&mut half_head).all(|stream| receive(stream).is_none_or(|r| r.status >= 400))
    );
}

#[test]
fn a_client_that_goes_away_costs_nothing_more() {
    let server = patient(|_| {});
    let address = server.address();
    let body = json!({ "texts": vec!["fine"; 5] }).to_string();
    let sent = head("POST", "/v1/classify", &[JSON], Some(body.len())) + &body;
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(sent.as_bytes()).unwrap();
            stream
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(60);
    let settled = |condition: &dyn Fn() -> bool| {
        while !condition() {
            assert!(Instant::now() < until, "{:?}", server.service().metrics());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    settled(&|| server.service().metrics().queued_texts == 50);
    // Resets the connections: a client that only closes looks the same as one that has ended its side and waits for its
    // answer.
    clients.iter().for_each(|stream| SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap());
    drop(clients);
    settled(&|| server.service().metrics().queued_texts == 0);
    let metrics = server.service().metrics();
    assert_eq!((metrics.cancelled, metrics.texts, metrics.answered), (10, 0, 0));
}

#[test]
fn nested_arrays_and_objects_are_refused() {
    let server = server();
    for (open, close) in [("[", "]"), ("{\"texts\":", "}"), ("{\"inputs\":[", "]}")] {
        for depth in [10, 127, 129, 100_000] {
            for path in ["/predict", "/v1/classify"] {
                let body = open.repeat(depth) + &close.repeat(depth);
                let response = post(server.address(), path, body);
                assert_eq!(response.status, 422, "{path} {open} {depth}: {response:?}");
                response.refusal();
            }
        }
    }
    // The same holds for a member that may have any value.
    let id = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let lines = super::client::post_lines(server.address(), format!("{{\"text\": \"fine\", \"id\": {id}}}").as_bytes());
    assert!(lines[0]["error"].as_str().unwrap().starts_with("id has 200000 bytes"), "{lines:?}");
}

#[test]
fn a_thousand_connections_at_once_are_all_answered() {
    let server = server();
    let address = server.address();
    let body = json!({ "inputs": "the food was fine" }).to_string();
    let sent = head("POST", "/predict", &[JSON], Some(body.len())) + &body;
    let mut streams: Vec<_> = (0..1000).map(|_| connect(address)).collect();
    streams.iter_mut().for_each(|stream| stream.write_all(sent.as_bytes()).unwrap());
    let mut statuses = std::collections::BTreeMap::new();
    for stream in &mut streams {
        let response = receive(stream).expect("a response");
        if response.status != 200 {
            assert_eq!(response.refusal().1, "Overloaded");
        }
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    assert!(statuses.keys().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses[&200] >= 300, "{statuses:?}");
    assert_eq!(get(address, "/health").status, 200);
}

/// Number of mutated requests: a few thousand in each run, or set by `DHT_FUZZ_CASES=100000`.
fn cases() -> usize {
    std::env::var("DHT_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000)
}

#[test]
fn mutated_requests_are_always_answered() {
    let server = server();
    let address = server.address();
    let good = [
        (
            "/predict",
            json!({ "inputs": [["fine"], ["bad", "day"]], "truncate": true, "raw_scores": false }).to_string(),
        ),
        ("/predict", json!({ "inputs": "the food was \u{e9}\u{1f600}" }).to_string()),
        ("/v1/classify", json!({ "texts": ["fine", { "text": "a", "pair": "b" }], "speed": 0.5 }).to_string()),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let mut statuses = std::collections::BTreeMap::new();
    for turn in 0..cases() {
        let (path, body) = &good[turn % good.len()];
        let mut bytes = body.clone().into_bytes();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match rng.random_range(0..5) {
                0 if !bytes.is_empty() => bytes[at] = rng.random(),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at.min(bytes.len()), b"[]{}\",:0-eE\\nul"[rng.random_range(0..14)]),
                3 => bytes.truncate(at),
                _ => {
                    let part: Vec<u8> = bytes[at.min(bytes.len())..].iter().take(20).copied().collect();
                    bytes.splice(at..at, part);
                }
            }
        }
        let mut stream = connect(address);
        let sent = head("POST", path, &[JSON], Some(bytes.len()));
        stream.write_all(sent.as_bytes()).unwrap();
        stream.write_all(&bytes).unwrap();
        let response = receive(&mut stream).expect("a response");
        if response.status != 200 {
            response.refusal();
        }
        // Another form may be detected before the point where the body stops being JSON.
        let expected: &[u16] = match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(_) => &[200, 413, 422],
            Err(_) => &[400, 422],
        };
        assert!(expected.contains(&response.status), "{response:?} to {:?}", String::from_utf8_lossy(&bytes));
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    assert!(statuses[&200] > 50 && statuses[&400] > 500 && statuses[&422] > 20, "{statuses:?}");
    assert_eq!(server.service().metrics().failed, 0);
}

#[test]
fn mutated_heads_are_answered_or_closed_and_the_server_goes_on() {
    let server = server();
    let body = r#"{"inputs": "fine"}"#;
    let good = head("POST", "/predict", &[JSON, ("Accept", "*/*")], Some(body.len())) + body;
    let mut rng = ChaCha8Rng::seed_from_u64(18);
    for _ in 0..500 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let mut stream = connect(server.address());
        stream.write_all(&bytes).unwrap();
        // If the mutation made the length larger, the server waits for more: this client ends its side.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        receive(&mut stream);
    }
    assert_eq!(post(server.address(), "/predict", body).status, 200);
}
