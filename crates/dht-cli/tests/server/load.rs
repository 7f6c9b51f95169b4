//! Tests of many clients at once, while the model is replaced and while the server stops.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dht_cli::{Server, ServerSettings};
use serde_json::json;

use super::client::{ask, connect, head, post, receive};
use super::model::{engine, server, settings, texts};

#[test]
fn a_reload_under_load_drops_no_request() {
    let loads = AtomicUsize::new(0);
    let load = move || match loads.fetch_add(1, Ordering::Relaxed) {
        // The directory is being written: the previous model stays.
        2 => Err(dht_dynamic::Error::Argument { name: "model", expected: "a whole one".into(), got: "half".into() }),
        _ => engine(),
    };
    let settings = ServerSettings { token: Some("secret".into()), ..settings() };
    let server = Server::start(load, settings).unwrap();
    let address = server.address();
    let token = ("Authorization", "Bearer secret");
    let body = json!({ "texts": texts(5, 9) }).to_string();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while !ended.load(Ordering::Relaxed) {
                        let headers = [token, ("Content-Type", "application/json")];
                        let response = ask(address, "POST", "/v1/classify", &headers, body.as_bytes());
                        assert_eq!(response.status, 200, "{response:?}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let statuses: Vec<u16> = (0..6).map(|_| ask(address, "POST", "/v1/reload", &[token], b"").status).collect();
        assert_eq!(statuses, [200, 500, 200, 200, 200, 200]);
        assert_eq!(ask(address, "POST", "/v1/reload", &[], b"").status, 401);
        ended.store(true, Ordering::Relaxed);
        assert!(clients.into_iter().map(|client| client.join().unwrap()).sum::<i32>() > 0);
    });
    assert_eq!(server.service().metrics().reloads, 5);
}

#[test]
fn reloads_run_one_at_a_time_when_clients_disconnect() {
    static LOADING: AtomicUsize = AtomicUsize::new(0);
    static LOADS: AtomicUsize = AtomicUsize::new(0);
    let load = || {
        assert_eq!(LOADING.fetch_add(1, Ordering::SeqCst), 0, "two loads at once");
        if LOADS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(200));
        }
        LOADING.fetch_sub(1, Ordering::SeqCst);
        engine()
    };
    let settings = ServerSettings { token: Some("secret".into()), ..settings() };
    let server = Server::start(load, settings).unwrap();
    let token = ("Authorization", "Bearer secret");
    for _ in 0..3 {
        let mut gone = connect(server.address());
        gone.write_all(head("POST", "/v1/reload", &[token], Some(0)).as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    // One reload runs and one waits; a further one is refused.
    let mut told = 0;
    while ask(server.address(), "POST", "/v1/reload", &[token], b"").status == 409 {
        told += 1;
        std::thread::sleep(Duration::from_millis(20));
        assert!(told < 1000, "reloads do not end");
    }
    assert!(told > 0, "three reloads were asked for");
    // The first reload that exceeded its time has run to its end; later ones may have been dropped before they began.
    assert!((2..=4).contains(&server.service().metrics().reloads));
    assert_eq!(LOADS.load(Ordering::SeqCst) as u64, server.service().metrics().reloads + 1);
}

#[test]
fn a_reload_takes_a_token() {
    let refused = post(server().address(), "/v1/reload", "");
    assert_eq!(refused.status, 403);
    assert!(refused.refusal().0.contains("SIGHUP"));
}

#[test]
fn stopping_under_load_answers_every_request_that_was_taken() {
    let server = server();
    let address = server.address();
    let body = json!({ "texts": texts(5, 10) }).to_string();
    let sent = head("POST", "/v1/classify", &[("Content-Type", "application/json")], Some(body.len())) + &body;
    let (answered, refused) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let metrics = std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                // Connects until the server no longer listens.
                while let Ok(mut stream) = std::net::TcpStream::connect(address) {
                    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
                    if stream.write_all(sent.as_bytes()).is_err() {
                        break;
                    }
                    match receive(&mut stream) {
                        Some(response) if response.status == 200 => {
                            assert_eq!(response.json()["answers"].as_array().unwrap().len(), 5);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Some(response) => refused.lock().unwrap().push(response.status),
                        None => break,
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 100 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let service = server.stop_and_keep();
        service.metrics()
    });
    assert_eq!(metrics.accepted, metrics.answered, "{metrics:?}");
    assert_eq!(metrics.answered, answered.into_inner() as u64, "every answer reached its client");
    assert!(refused.into_inner().unwrap().iter().all(|status| *status == 503));
}

#[test]
fn stopping_answers_accepted_requests_and_rejects_new_ones() {
    let server = super::model::patient(|_| {});
    let address = server.address();
    let waiting = std::thread::spawn(move || post(address, "/predict", json!({ "inputs": "fine" })));
    while server.service().metrics().queued_texts < 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut idle = connect(address);
    server.stop();
    assert_eq!(waiting.join().unwrap().status, 200);
    assert!(receive(&mut idle).is_none());
    assert!(std::net::TcpStream::connect(address).is_err());
}
