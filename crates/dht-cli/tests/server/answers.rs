//! Tests of the server's answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use dht_cli::Server;
use dht_dynamic::Answer;
use dht_dynamic::transformer::{Pooling, Task, TextClassifier};
use dht_dynamic::{
    Engine,
    serving::{Origin, TextModel},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::client::{Response, ask, get, post};
use super::model::{engine, labels, parts, server, settings, texts};

fn expected(texts: &[String]) -> Vec<Answer> {
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
    engine().and_then(|engine| engine.independent().predict(&queries)).expect("answers")
}

#[test]
fn classify_returns_the_answers_of_the_engine() {
    let server = server();
    let texts = texts(40, 3);
    let response = post(server.address(), "/v1/classify", json!({ "texts": texts }));
    assert_eq!(response.status, 200, "{response:?}");
    let received = response.json();
    let received = received["answers"].as_array().unwrap();
    assert_eq!(received.len(), texts.len());
    let mut depths = std::collections::BTreeSet::new();
    for (received, answer) in received.iter().zip(expected(&texts)) {
        assert_eq!(received["label"], *answer.label);
        assert_eq!(received["route"], answer.route.to_string());
        assert_eq!(received["flops"], answer.flops);
        for (label, p) in labels().iter().zip(&answer.probabilities) {
            let received = received["probabilities"][label].as_f64().unwrap();
            assert!((received - f64::from(*p)).abs() < 1e-6, "{label}: {received} for {p}");
        }
        let layers: Vec<usize> = answer.route.layers().map(|(_, heads)| heads).collect();
        assert_eq!(received["layers"], json!(layers));
        let cost = received["cost"].as_f64().unwrap();
        assert!((0.0..=1.1).contains(&cost), "{cost}");
        depths.insert(layers.len());
    }
    assert!(depths.len() > 1, "{depths:?}");
}

#[test]
fn half_of_a_surrogate_pair_is_answered_like_a_replacement() {
    let server = server();
    let half = r#"{"texts": ["fine day", "good \ud83d food", {"text": " bad \udc00"}]}"#;
    let whole = half.replace(r"\ud83d", r"\ufffd").replace(r"\udc00", r"\ufffd");
    let [half, whole] = [half.to_owned(), whole].map(|body| {
        let response = post(server.address(), "/v1/classify", body);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["answers"].clone()
    });
    assert_eq!(half.as_array().map(Vec::len), Some(3));
    assert_eq!(half, whole);
}

#[test]
fn a_speed_a_pair_and_an_empty_text_are_answered() {
    let server = server();
    let ask = |request: Value| {
        let response = post(server.address(), "/v1/classify", request);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["answers"].as_array().unwrap().clone()
    };
    let texts = texts(30, 4);
    let depth = |answers: &[Value]| answers.iter().map(|a| a["layers"].as_array().unwrap().len()).sum::<usize>();
    let slow = ask(json!({ "texts": texts, "speed": 0.0, "deadline_ms": 60_000 }));
    let fast = ask(json!({ "texts": texts, "speed": 0.9 }));
    assert!(depth(&fast) < depth(&slow), "{} layers, and {}", depth(&fast), depth(&slow));
    let mixed = ask(json!({ "texts": ["fine", { "text": "fine", "pair": "food" }, { "text": "" }] }));
    let tokens: Vec<_> = mixed.iter().map(|answer| answer["tokens"].as_u64().unwrap()).collect();
    assert_eq!(tokens, [3, 5, 2]);
    assert!(ask(json!({ "texts": [] })).is_empty());
    let long = ask(json!({ "texts": ["fine ".repeat(300)] }));
    assert_eq!(long[0]["truncated"], true);
}

/// Returns the scores of a text by label, and whether the highest comes first.
fn scores(list: &Value) -> Vec<(String, f64)> {
    let of = |score: &Value| {
        assert_eq!(score.as_object().expect("an object").len(), 2);
        (score["label"].as_str().expect("a label").to_owned(), score["score"].as_f64().expect("a number"))
    };
    let list: Vec<_> = list.as_array().expect("a list").iter().map(of).collect();
    assert!(list.windows(2).all(|two| two[0].1 >= two[1].1), "{list:?}");
    list
}

#[test]
fn predict_answers_as_text_embeddings_inference() {
    let server = server();
    let texts = texts(5, 5);
    let answers = expected(&texts);
    let ask = |path: &str, request: Value| {
        let response = post(server.address(), path, request);
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.head.contains("content-type: application/json"));
        response.json()
    };
    for path in ["/predict", "/"] {
        let one = ask(path, json!({ "inputs": texts[0] }));
        let scores = scores(&one);
        assert_eq!(scores.len(), 2);
        assert_eq!(scores[0].0, *answers[0].label);
        let p = f64::from(answers[0].probabilities[answers[0].class]);
        assert!((scores[0].1 - p).abs() < 1e-6);
        assert_eq!(ask(path, json!({ "inputs": [texts[0]], "truncate": null })), one);
    }
    let batch: Vec<[&String; 1]> = texts.iter().map(|text| [text]).collect();
    let batch = ask("/predict", json!({ "inputs": batch, "truncate": true, "raw_scores": false }));
    for (list, answer) in batch.as_array().unwrap().iter().zip(&answers) {
        assert_eq!(scores(list)[0].0, *answer.label);
    }
    // Two strings are one pair; a batch of one text is a list of lists.
    assert_eq!(scores(&ask("/predict", json!({ "inputs": ["fine", "food"] }))).len(), 2);
    assert_eq!(ask("/predict", json!({ "inputs": [["fine", "food"]] })).as_array().unwrap().len(), 1);
    let raw = scores(&ask("/predict", json!({ "inputs": texts[0], "raw_scores": true })));
    let sum: f64 = raw.iter().map(|(_, score)| score.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5 && raw[0].1 <= 0.0, "{raw:?}");
}

#[test]
fn health_info_description_metrics_and_page_answer() {
    let server = server();
    let address = server.address();
    assert_eq!(get(address, "/health").json(), json!({ "status": "ok" }));
    let info = get(address, "/info").json();
    assert_eq!(info["model_id"], "reviews");
    assert_eq!(info["labels"], json!(labels()));
    assert_eq!(info["model_type"]["classifier"]["id2label"], json!({ "0": "other", "1": "good" }));
    assert_eq!((&info["layers"], &info["heads"], &info["max_input_length"]), (&json!(4), &json!(6), &json!(128)));
    assert_eq!(get(address, "/openapi.json").json()["openapi"], "3.0.3");
    let page = get(address, "/");
    assert!(page.status == 200 && page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
    assert!(page.head.contains("x-content-type-options: nosniff"));
    let texts = texts(20, 6);
    assert_eq!(post(address, "/v1/classify", json!({ "texts": texts })).status, 200);
    assert_eq!(post(address, "/v1/classify", "{").status, 400);
    let metrics = String::from_utf8(get(address, "/metrics").body).unwrap();
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} in {metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("dht_requests_total{end=\"answered\"}"), 1.0);
    assert_eq!(value("dht_accepted_total"), 1.0);
    assert_eq!(value("dht_depth_layers_count"), 20.0);
    // Texts that stop at exit 0 are in no batch.
    let in_front = value("dht_depth_layers_bucket{le=\"0\"}");
    assert!(in_front > 0.0 && value("dht_batch_texts_sum") + in_front == 20.0, "{metrics}");
    assert_eq!(value("dht_depth_layers_bucket{le=\"4\"}"), 20.0);
    assert_eq!(value("dht_latency_seconds_count"), 1.0);
    assert_eq!(value("dht_queue_texts"), 0.0);
    assert_eq!(value("dht_responses_total{route=\"/v1/classify\",status=\"400\"}"), 1.0);
    assert!(value("dht_full_model_flops_total") > value("dht_flops_total") && value("dht_tokens_total") > 40.0);
}

/// Parses the counters and buckets of the metrics, by name and labels.
fn counters(metrics: &str) -> BTreeMap<String, f64> {
    let (mut counters, mut counts) = (BTreeMap::new(), false);
    for line in metrics.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            counts = !described.ends_with(" gauge");
        } else if counts && !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            counters.insert(name.to_owned(), value.parse().expect("a number"));
        }
    }
    counters
}

#[test]
fn no_counter_falls_or_vanishes() {
    let loads = AtomicUsize::new(0);
    // A reload replaces the model by one with fewer layers.
    let load = move || match loads.fetch_add(1, Ordering::Relaxed) {
        0 => engine(),
        _ => {
            let (model, tokenizer) = parts();
            let encoder = model.model().encoder().truncated(2)?;
            let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut ChaCha8Rng::seed_from_u64(5))?;
            Ok(Engine::from_model(TextModel::new(classifier, tokenizer.clone(), &labels(), 64)?))
        }
    };
    let token = Some("secret".to_owned());
    let server = Server::start(load, dht_cli::ServerSettings { token, ..settings() }).unwrap();
    let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer secret")];
    let metrics = || {
        let response = ask(server.address(), "GET", "/metrics", &headers, b"");
        counters(&String::from_utf8(response.body).unwrap())
    };
    let mut before = metrics();
    for turn in 0..6 {
        // At speed 0 a text may cost more than in the full model, which has no exits.
        let (path, body) = match turn {
            3 => ("/v1/reload", String::new()),
            _ => {
                let speed = (turn < 3).then_some(f64::from(turn % 2 == 0));
                ("/v1/classify", json!({ "texts": texts(10, turn), "speed": speed }).to_string())
            }
        };
        let answer = ask(server.address(), "POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let after = metrics();
        for (name, value) in &before {
            assert!(after.get(name).is_some_and(|now| now >= value), "{name}: {value}, then {:?}", after.get(name));
        }
        before = after;
    }
    assert!(!before.keys().any(|name| name.contains("saved")), "saved FLOPs may be negative");
    assert_eq!((before["dht_reloads_total"], before["dht_reload_failures_total"]), (1.0, 0.0));
}

#[test]
fn health_needs_no_token_with_any_method() {
    let settings = dht_cli::ServerSettings { token: Some("a secret".into()), ..settings() };
    let server = Server::start(engine, settings).unwrap();
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "BREW"] {
        let response = ask(server.address(), method, "/health", &[], b"");
        assert_eq!(response.status, 200, "{method}");
        assert_eq!(response.body.is_empty(), method == "HEAD", "{method}");
    }
    for path in ["/", "/openapi.json"] {
        assert_eq!(ask(server.address(), "HEAD", path, &[], b"").status, 200, "{path}");
        assert_eq!(ask(server.address(), "DELETE", path, &[], b"").status, 401, "{path}");
    }
    let traced = ask(server.address(), "TRACE", "/health", &[], b"");
    assert!(traced.status == 405 && traced.head.contains("allow: get, head, post"), "{}", traced.head);
    assert_eq!(ask(server.address(), "HEAD", "/info", &[], b"").status, 401);
    assert_eq!(get(server.address(), "/health/").status, 401);
}

#[test]
fn token_and_origins_are_checked_where_the_server_sets_them() {
    let cors = vec!["https://example.org".to_owned()];
    let settings = dht_cli::ServerSettings { token: Some("a secret".into()), cors, ..settings() };
    let server = dht_cli::Server::start(engine, settings).unwrap();
    let address = server.address();
    let body = br#"{"inputs": "fine"}"#;
    let json = ("Content-Type", "application/json");
    let with = |value: &str| ask(address, "POST", "/predict", &[json, ("Authorization", value)], body);
    assert_eq!(with("Bearer a secret").status, 200);
    assert_eq!(with("bearer a secret").status, 200);
    for wrong in ["Bearer a secre", "Bearer a secret2", "Bearer", "Basic a secret", "a secret", ""] {
        let refused = with(wrong);
        assert_eq!(refused.status, 401, "{wrong}");
        assert_eq!(refused.refusal().1, "Unauthorized");
        assert!(refused.head.contains("www-authenticate: bearer"));
    }
    for (path, status) in [("/", 200), ("/health", 200), ("/openapi.json", 200), ("/info", 401), ("/metrics", 401)] {
        assert_eq!(get(address, path).status, status, "{path}");
    }
    assert_eq!(post(address, "/", r#"{"inputs": "fine"}"#).status, 401);
    let from = |origin: &str| -> Response {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        ask(address, "OPTIONS", "/predict", &headers, b"")
    };
    let allowed = from("https://example.org");
    assert!(allowed.head.contains("access-control-allow-origin: https://example.org"), "{}", allowed.head);
    assert!(!from("https://example.com").head.contains("access-control-allow-origin"));
    let all = dht_cli::ServerSettings { cors: vec!["*".into()], ..super::model::settings() };
    let server = dht_cli::Server::start(engine, all).unwrap();
    let headers = [json, ("Origin", "https://example.com")];
    let answer = ask(server.address(), "POST", "/predict", &headers, body);
    assert!(answer.head.contains("access-control-allow-origin: *"), "{}", answer.head);
}

#[test]
fn a_pair_is_refused_where_the_training_had_single_texts() {
    let of_single_texts = || {
        let (model, tokenizer) = parts();
        let origin = Origin { data: "reviews".into(), rows: 300, sha256: String::new(), columns: None, pair: false };
        let model = TextModel::new(model.clone(), tokenizer.clone(), &labels(), 64)?;
        Ok::<_, dht_dynamic::Error>(Engine::from_model(TextModel { origin: Some(origin), ..model }))
    };
    let server = Server::start(of_single_texts, settings()).unwrap();
    for (path, body) in [
        ("/predict", json!({ "inputs": ["fine", "food"] })),
        ("/v1/classify", json!({ "texts": [{ "text": "fine", "pair": "food" }] })),
    ] {
        let response = post(server.address(), path, body);
        let (error, kind) = response.refusal();
        assert_eq!((response.status, kind.as_str()), (422, "Validation"));
        assert!(error.contains("the model was trained on single texts"), "{error}");
    }
    assert_eq!(post(server.address(), "/predict", json!({ "inputs": [["fine"], "food"] })).status, 200);
}

#[test]
fn several_labels_and_numbers_are_answered_as_what_they_are() {
    let of_task = |task: Task, names: &'static [&'static str]| {
        let engine = move || {
            let (model, tokenizer) = parts();
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let encoder = model.encoder().clone();
            let classifier = TextClassifier::for_task(task, encoder, names.len(), Pooling::Mean, &mut rng)?;
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Engine::new(classifier, tokenizer.clone(), &names)
        };
        let server = Server::start(engine, settings()).unwrap();
        post(server.address(), "/v1/classify", json!({ "texts": ["fine food"] })).json()["answers"][0].clone()
    };
    let several = of_task(Task::Labels, &["food", "service", "price", "place"]);
    let likely = several["probabilities"].as_object().unwrap().iter().filter(|(_, p)| p.as_f64().unwrap() >= 0.5);
    let likely: Vec<&String> = likely.map(|(name, _)| name).collect();
    let labels: Vec<&str> = several["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
    assert_eq!(labels.len(), likely.len(), "{several}");
    assert!(labels.iter().all(|label| likely.iter().any(|own| own == label)) && several.get("label").is_none());
    let number = of_task(Task::Number, &["stars"]);
    assert!(number["value"].is_f64() && number.get("probabilities").is_none(), "{number}");
}
