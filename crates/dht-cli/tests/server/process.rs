//! Tests of `dht serve` as a process: a model directory, signals, and logs without texts.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dht_dynamic::evaluation::SpeedPoint;
use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::{Pooling, Task, TextClassifier};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::client::{get, post};
use super::model::{labels, parts, texts};

fn save(folder: &Path) {
    save_labelled(folder, &labels());
}

fn save_labelled(folder: &Path, labels: &[String]) {
    let (model, tokenizer) = parts();
    let mut model = TextModel::new(model.clone(), tokenizer.clone(), labels, 64).expect("a model");
    model.curve = vec![
        SpeedPoint { speed: 0.1, flops_ratio: 0.6, flops_error: 0.0, accuracy: 0.9 },
        SpeedPoint { speed: 0.3, flops_ratio: 0.2, flops_error: 0.0, accuracy: 0.8 },
    ];
    model.save(folder, "A card.").expect("a saved model");
}

/// Starts a server process. Returns it with its address and the remaining output.
fn start(arguments: &[&str]) -> (Child, SocketAddr, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dht"))
        .arg("serve")
        .args(arguments)
        .args(["--port", "0"])
        .env_remove("DHT_TOKEN")
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "it ended");
        if let Some(address) = line.strip_prefix("http://").and_then(|rest| rest.strip_suffix(" answers\n")) {
            break address.parse().expect("an address");
        }
    };
    (child, address, lines)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

#[test]
fn a_text_without_a_sure_answer_has_no_label() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("reviews");
    save(&model);
    let (mut child, address, _) = start(&[model.to_str().unwrap(), "--min-probability", "1"]);
    let response = post(address, "/v1/classify", json!({ "texts": texts(20, 3) })).json();
    let answers = response["answers"].as_array().expect("answers").clone();
    for answer in &answers {
        let likeliest = answer["probabilities"].as_object().expect("classes").values().filter_map(Value::as_f64);
        let is_sure = likeliest.fold(0.0, f64::max) >= 1.0;
        assert_eq!((answer["label"].is_null(), answer["abstained"] == json!(true)), (!is_sure, !is_sure), "{answer}");
    }
    let abstained = answers.iter().filter(|answer| answer["label"].is_null()).count();
    assert!(abstained > 0, "{response}");
    let metrics = String::from_utf8_lossy(&get(address, "/metrics").body).into_owned();
    assert!(metrics.contains(&format!("dht_abstained_texts_total {abstained}\n")), "{metrics}");
    assert!(metrics.lines().filter(|line| line.starts_with("dht_labels_total")).count() <= 20 - abstained, "{metrics}");
    let classified = post(address, "/classify", json!({ "input": texts(20, 3), "model": "reviews" })).json();
    let labels = classified["data"].as_array().expect("answers").iter().filter(|answer| answer["label"].is_null());
    assert_eq!(labels.count(), abstained, "{classified}");
    signal(&child, "TERM");
    assert!(child.wait().expect("an end").success());
}

#[test]
fn a_served_model_reloads_and_stops_by_signals_logging_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("reviews");
    save(&model);
    let (mut child, address, mut lines) = start(&[model.to_str().unwrap(), "--budget", ".3", "--allow-other-labels"]);
    let info = get(address, "/info").json();
    assert_eq!((&info["model_id"], &info["max_input_length"]), (&json!("reviews"), &json!(64)));
    assert_eq!(info["speed"], 0.3, "the first that costs less than the budget");
    assert_eq!(info["curve"][1], json!({ "speed": 0.3, "cost": 0.2, "accuracy": 0.8 }));
    let secret = "xylophone";
    let answer = post(address, "/predict", json!({ "inputs": format!("{secret} {}", texts(1, 3)[0]) }));
    assert_eq!(answer.status, 200);
    assert_eq!(post(address, "/predict", json!({ secret: secret })).status, 422);
    signal(&child, "HUP");
    let mut logged = Vec::new();
    let mut next = |event: &str| loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "no {event} in {logged:?}");
        let object: Value = serde_json::from_str(&line).expect("a line of JSON");
        logged.push(line);
        if object["event"] == event {
            return object;
        }
    };
    let reloaded = next("reloaded");
    assert_eq!((&reloaded["model_sha"], reloaded.get("labels_added")), (&info["model_sha"], None));
    let best = ["other", "best"].map(String::from);
    save_labelled(&model, &best);
    signal(&child, "HUP");
    let reloaded = next("reloaded");
    assert_eq!((&reloaded["labels_added"], &reloaded["labels_removed"]), (&json!(["best"]), &json!(["good"])));
    signal(&child, "TERM");
    next("stopping");
    let stopped = next("stopped");
    assert_eq!((&stopped["accepted"], &stopped["answered"]), (&json!(1), &json!(1)));
    assert!(child.wait().unwrap().success());
    assert!(logged.iter().all(|line| !line.contains(secret)), "{logged:?}");
    let statuses: Vec<u64> =
        logged.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok()?["status"].as_u64()).collect();
    assert_eq!(statuses, [200, 200, 422]);
}

#[test]
fn a_reload_refuses_another_task_and_labels_not_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reviews");
    let (model, tokenizer) = parts();
    let best = ["other", "best"].map(String::from);
    let next = |lines: &mut BufReader<std::process::ChildStderr>| -> Value {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("a line of JSON")
    };
    let encoder = model.encoder().deep_clone().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let several = TextClassifier::for_task(Task::Labels, encoder, 2, Pooling::Mean, &mut rng).unwrap();
    let several = TextModel::new(several, tokenizer.clone(), &best, 64).unwrap();
    for allowed in [false, true] {
        save(&path);
        let all = [path.to_str().unwrap(), "--quiet", "--allow-other-labels"];
        let (mut child, address, mut lines) = start(if allowed { &all } else { &all[..2] });
        let served = || get(address, "/info").json()["labels"].clone();
        save_labelled(&path, &best);
        signal(&child, "HUP");
        let said = next(&mut lines);
        if allowed {
            assert_eq!((&said["event"], &said["labels_added"]), (&json!("reloaded"), &json!(["best"])), "{said}");
        } else {
            assert_eq!(said["event"], "reload_failed");
            assert!(said["error"].as_str().expect("a reason").contains("--allow-other-labels"), "{said}");
        }
        let present = if allowed { json!(best) } else { json!(labels()) };
        assert_eq!(served(), present);
        several.save(&path, "A card.").unwrap();
        signal(&child, "HUP");
        let said = next(&mut lines);
        assert_eq!(said["event"], "reload_failed");
        assert!(said["error"].as_str().expect("a reason").contains("another task"), "{said}");
        assert_eq!(served(), present, "the present model stays");
        signal(&child, "TERM");
        assert!(child.wait().unwrap().success());
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_failed_reload_is_reported_and_the_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("reviews");
    save(&model);
    let (mut child, address, mut lines) = start(&[model.to_str().unwrap(), "--quiet"]);
    let before = get(address, "/info").json();
    let sha256 = before["model_sha"].as_str().expect("a hash").to_owned();
    assert_eq!((sha256.len(), sha256.bytes().all(|byte| byte.is_ascii_hexdigit())), (64, true));
    let loaded = before["model_loaded"].as_f64().expect("seconds");
    assert!(loaded > 1.7e9);
    let description = std::fs::read_to_string(model.join("dht.json")).unwrap();
    let some = std::fs::read_dir(model.join("model")).unwrap().map(|entry| entry.unwrap().path());
    let some = some.into_iter().find(|path| path.is_file()).expect("a file");
    let content = std::fs::read(&some).unwrap();
    // The directory has no description, half of one, or half of another file, as while it is being written.
    for (file, half) in [
        (model.join("dht.json"), None),
        (model.join("dht.json"), Some(&description.as_bytes()[..description.len() / 2])),
        (some.clone(), Some(&content[..content.len() / 2])),
    ] {
        match half {
            Some(half) => std::fs::write(&file, half).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        signal(&child, "HUP");
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("a line") > 0);
        let failed: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(failed["event"], "reload_failed");
        assert!(failed["error"].as_str().unwrap().contains("the present model stays"), "{line}");
        std::fs::write(model.join("dht.json"), &description).unwrap();
    }
    assert_eq!(get(address, "/info").json(), before);
    let metrics = || String::from_utf8(get(address, "/metrics").body).unwrap();
    assert!(metrics().contains("\ndht_reload_failures_total 3\n") && metrics().contains("\ndht_reloads_total 0\n"));
    std::fs::write(&some, &content).unwrap();
    std::fs::write(model.join("dht.json"), description + "\n").unwrap();
    // Several signals at once, one of them while the model is being loaded.
    (0..5).for_each(|_| signal(&child, "HUP"));
    while get(address, "/info").json()["model_sha"] == sha256.as_str() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(get(address, "/info").json()["model_loaded"].as_f64().unwrap() > loaded);
    assert_eq!(post(address, "/predict", json!({ "inputs": "fine" })).status, 200);
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "nothing else is written");
}

#[test]
fn sigterm_under_load_loses_no_request_that_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path());
    let (mut child, address, mut lines) = start(&[folder.path().to_str().unwrap()]);
    let body = json!({ "texts": texts(5, 11) }).to_string();
    let answered = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Ok(mut stream) = std::net::TcpStream::connect(address) {
                    let headers = [("Content-Type", "application/json")];
                    let sent = super::client::head("POST", "/v1/classify", &headers, Some(body.len())) + &body;
                    let _ = stream.write_all(sent.as_bytes());
                    match super::client::receive(&mut stream) {
                        Some(response) if response.status == 200 => {
                            answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                        }
                        _ => break,
                    };
                }
            });
        }
        // Reads the pipe, so that the log never waits.
        let reader = scope.spawn(|| {
            let mut last = String::new();
            for line in lines.by_ref().lines().map_while(Result::ok) {
                last = line;
            }
            last
        });
        while answered.load(std::sync::atomic::Ordering::Relaxed) < 50 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        signal(&child, "TERM");
        assert!(child.wait().unwrap().success());
        let last: Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
        assert_eq!((&last["event"], &last["accepted"]), (&json!("stopped"), &last["answered"]), "{last}");
        while std::net::TcpStream::connect(address).is_ok() {}
        let answered = answered.load(std::sync::atomic::Ordering::Relaxed);
        assert!(last["answered"].as_u64().unwrap() >= answered, "{last}, {answered}");
    });
}

#[test]
fn what_cannot_be_served_ends_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path());
    let model = folder.path().to_str().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let nowhere = folder.path().join("nowhere");
    for (arguments, reason) in [
        (vec![nowhere.to_str().unwrap()], "nowhere"),
        (vec![model, "--token-file", empty.to_str().unwrap()], "expected a token"),
        (vec![model, "--max-texts", "0"], "--max-texts is 0"),
        (vec![model, "--write-timeout-ms", "0"], "--write-timeout-ms is 0"),
        (vec![model, "--idle-timeout-ms", "0"], "--idle-timeout-ms is 0"),
        (vec![model, "--read-timeout-ms", "0"], "--read-timeout-ms is 0"),
        (vec![model, "--speed", "-1"], "-1"),
        (vec![model, "--budget", ".1"], "--budget is 0.1"),
        (vec![model, "--host", "192.0.2.1"], "192.0.2.1"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_dht"))
            .arg("serve")
            .args(&arguments)
            .args(["--port", "0"])
            .output()
            .expect("a process");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
}

#[test]
fn a_draining_server_is_unhealthy_and_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("reviews");
    save(&model);
    let ask = |address| post(address, "/predict", json!({ "inputs": texts(1, 3)[0] })).status;
    let drain = |seconds| start(&[model.to_str().unwrap(), "--drain-seconds", seconds]);
    let (mut child, address, mut lines) = drain("3");
    assert_eq!((get(address, "/health").status, ask(address)), (200, 200));
    let asked = std::time::Instant::now();
    signal(&child, "TERM");
    while get(address, "/health").status != 503 {
        assert!(asked.elapsed().as_secs_f64() < 3.0, "it must be unhealthy before it stops");
    }
    assert_eq!((ask(address), get(address, "/info").status), (200, 200));
    assert!(child.wait().unwrap().success() && asked.elapsed().as_secs_f64() >= 3.0);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let place = |event: &str| rest.find(&format!("\"event\":\"{event}\"")).unwrap_or_else(|| panic!("{event}: {rest}"));
    assert!(place("draining") < place("stopping") && place("stopping") < place("stopped"), "{rest}");

    // A second signal ends the drain.
    let (mut child, address, _lines) = drain("3600");
    assert_eq!(get(address, "/health").status, 200);
    signal(&child, "TERM");
    while get(address, "/health").status != 503 {}
    signal(&child, "INT");
    assert!(child.wait().unwrap().success());
}
