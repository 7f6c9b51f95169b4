//! Tests of probes and of the port for metrics: without a token, also while the model is loaded and while other clients
//! hang.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use dht_cli::{Limits, Server, ServerSettings};
use serde_json::json;

use super::client::{ask, connect, get, post, receive};
use super::model::{engine, settings, texts};

fn monitored() -> ServerSettings {
    ServerSettings { metrics_port: Some(0), token: Some("secret".into()), ..settings() }
}

fn status(address: SocketAddr, path: &str) -> u16 {
    get(address, path).status
}

fn metrics(address: SocketAddr) -> String {
    String::from_utf8(get(address, "/metrics").body).expect("text")
}

/// Number of files that this process may open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

/// Returns a port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

#[test]
fn metrics_and_probes_need_no_token_on_their_port() {
    let server = Server::start(engine, monitored()).unwrap();
    let (address, own) = (server.address(), server.metrics_address().unwrap());
    for path in ["/livez", "/readyz", "/health", "/ping"] {
        assert_eq!(status(address, path), 200, "{path}");
    }
    for path in ["/metrics", "/v1/models"] {
        assert_eq!(status(address, path), 401, "{path}");
    }
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        assert_eq!(status(own, path), 200, "{path}");
    }
    for path in ["/", "/info", "/predict", "/v1/reload"] {
        assert_eq!(status(own, path), 404, "{path}");
    }
    let body = json!({ "texts": texts(20, 6) }).to_string();
    let headers = [("Authorization", "Bearer secret"), ("Content-Type", "application/json")];
    let answers = ask(address, "POST", "/v1/classify", &headers, body.as_bytes()).json()["answers"].clone();
    let good = answers.as_array().unwrap().iter().filter(|answer| answer["label"] == "good").count();
    let text = metrics(own);
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("dht_labels_total{{label=\"good\"}} {good}"),
        format!("dht_build_info{{version=\"{version}\"}} 1"),
        "dht_model_info{name=\"reviews\",sha256=\"\"} 1".into(),
        "dht_stage_seconds_count{stage=\"wait\"} 1".into(),
        "dht_latency_seconds_count 1".into(),
        "dht_truncated_texts_total 0".into(),
        "dht_ready 1".into(),
        "# TYPE te_request_count counter".into(),
        "# TYPE te_batch_next_size histogram".into(),
    ] {
        // Families without a value are left out, as those of text-embeddings-inference until its first request.
        let is_te = line.contains("te_request_count");
        assert!(is_te || text.lines().any(|other| other == line), "no {line} in {text}");
    }
    assert!(text.contains("dht_latency_seconds_bucket{le=\"0.0001\"}"), "{text}");
    #[cfg(target_os = "linux")]
    assert!(text.contains("process_resident_memory_bytes ") && text.contains("process_cpu_seconds_total "), "{text}");
    let exits = text
        .lines()
        .filter(|line| line.starts_with("dht_exits_total{layers="))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(exits.sum::<u64>(), 20);
}

#[test]
fn a_server_that_loads_is_alive_and_not_ready() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let port = free_port();
    let load = move || {
        let _ = wait.lock().unwrap().recv();
        engine()
    };
    let settings = ServerSettings { metrics_port: Some(port), ..settings() };
    let starting = std::thread::spawn(move || Server::start(load, settings).unwrap());
    let own = SocketAddr::from(([127, 0, 0, 1], port));
    let until = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(own).is_err() {
        assert!(Instant::now() < until, "nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((status(own, "/livez"), status(own, "/metrics")), (200, 200));
    let refused = get(own, "/readyz");
    assert_eq!((refused.status, refused.refusal()), (503, ("the model is being loaded".into(), "Unhealthy".into())));
    go.send(()).unwrap();
    let server = starting.join().unwrap();
    assert_eq!((status(own, "/readyz"), status(server.address(), "/readyz")), (200, 200));
}

#[test]
fn silent_sockets_and_unread_scrapes_hold_up_no_probe() {
    let limits = Limits { connections: 1024, ..settings().limits };
    let server = Server::start(engine, ServerSettings { limits, ..monitored() }).unwrap();
    let (address, own) = (server.address(), server.metrics_address().unwrap());
    // Both ends of a connection are file descriptors of this process.
    let most = (open_files().saturating_sub(300) / 2).min(1100);
    let silent: Vec<_> = (0..most).map(|at| connect(if at % 2 == 0 { address } else { own })).collect();
    let mut unread: Vec<_> = (0..8).map(|_| connect(own)).collect();
    for stream in &mut unread {
        let _ = stream.write_all("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50).as_bytes());
    }
    for _ in 0..5 {
        assert_eq!((status(address, "/livez"), status(own, "/livez"), status(own, "/readyz")), (200, 200, 200));
        assert!(metrics(own).contains("dht_connections "));
    }
    let body = br#"{"inputs": "fine"}"#;
    let headers = [("Authorization", "Bearer secret"), ("Content-Type", "application/json")];
    assert_eq!(ask(address, "POST", "/predict", &headers, body).status, 200);
    drop(silent);
}

#[test]
fn a_port_in_use_is_reported_before_the_model_is_loaded() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let never = || -> dht_dynamic::Result<dht_dynamic::Engine> { panic!("it was loaded") };
    for settings in [
        ServerSettings { address: ([127, 0, 0, 1], port).into(), ..settings() },
        ServerSettings { metrics_port: Some(port), ..settings() },
    ] {
        let is_of_metrics = settings.metrics_port.is_some();
        let error = Server::start(never, settings).unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
        assert_eq!(error.contains("--metrics-port"), is_of_metrics, "{error}");
    }
}

#[test]
fn request_ids_and_traces_come_back() {
    let server = super::model::server();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut stream = connect(server.address());
    let head = super::client::head("GET", "/info", &[("X-Request-Id", "abc-1"), ("traceparent", trace)], None);
    stream.write_all(head.as_bytes()).unwrap();
    let response = receive(&mut stream).unwrap();
    assert!(response.head.contains("\r\nx-request-id: abc-1\r\n"), "{}", response.head);
    let answered = response.head.split("traceparent: ").nth(1).unwrap();
    assert!(answered.starts_with(&trace[..36]) && !answered.starts_with(trace), "{answered}");
    let own = post(server.address(), "/nowhere", "{}");
    assert!(own.head.contains("x-request-id: ") && !own.head.contains("traceparent"), "{}", own.head);
}
