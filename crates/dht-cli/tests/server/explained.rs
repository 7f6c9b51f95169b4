//! Tests of explained answers: supporting parts, exits and all layers.

use std::collections::BTreeSet;

use dht_cli::Server;
use dht_dynamic::Engine;
use dht_dynamic::transformer::{Pooling, Task, TextClassifier};
use dht_toys::rng;
use serde_json::{Value, json};

use super::client::post;
use super::model::{engine, parts, patient, server, settings, texts};

fn explained(server: &Server, text: &str) -> Value {
    let response = post(server.address(), "/v1/classify", json!({ "texts": [text], "explain": true }));
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["answers"][0].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Checks the sum of exact contributions against the log-odds of the answer.
fn check_sum(answer: &Value) {
    let explanation = &answer["explanation"];
    let weights = explanation["parts"].as_array().expect("parts").iter().map(|part| number(&part["weight"]));
    let sum = number(&explanation["constant"]) + number(&explanation["rest"]) + weights.sum::<f64>();
    let probability = |label: &Value| number(&answer["probabilities"][label.as_str().expect("a label")]);
    let odds = (probability(&answer["label"]) / probability(&explanation["against"])).ln();
    assert!((sum - odds).abs() < 1e-3, "{sum} is not {odds}: {answer}");
}

#[test]
fn an_explained_answer_has_parts_exits_and_all_layers() {
    let server = server();
    let mut depths = BTreeSet::new();
    for text in texts(20, 3) {
        let before = server.service().metrics();
        let answer = explained(&server, &text);
        let (explanation, exits) = (&answer["explanation"], answer["exits"].as_array().expect("exits"));
        let layers: Vec<u64> = exits.iter().map(|exit| exit["layers"].as_u64().expect("a depth")).collect();
        assert!(layers.len() > 2 && layers[0] == 0 && layers.is_sorted_by(|a, b| a < b), "{answer}");
        assert_eq!(layers.last(), Some(&4));
        assert!(exits.is_sorted_by(|a, b| number(&a["cost"]) < number(&b["cost"])), "{answer}");
        let stopped: Vec<&Value> = exits.iter().filter(|exit| exit.get("stopped").is_some()).collect();
        let [stopped] = stopped[..] else { panic!("one exit stops a text: {answer}") };
        let depth = answer["layers"].as_array().expect("layers").len();
        assert_eq!((&stopped["stopped"], &stopped["layers"]), (&json!(true), &json!(depth)));
        assert_eq!((&stopped["label"], &stopped["cost"]), (&answer["label"], &answer["cost"]));
        let last = exits.last().expect("an exit");
        assert_eq!(answer["all_layers"]["label"], last["label"]);
        assert!((number(&answer["all_layers"]["probability"]) - number(&last["probability"])).abs() < 1e-5);
        assert!(number(&answer["milliseconds"]) > 0.0 && number(&answer["all_layers"]["milliseconds"]) > 0.0);
        let further = match depth {
            0 => {
                check_sum(&answer);
                assert_eq!(explanation["method"], "contributions");
                0
            }
            _ => {
                assert_eq!(explanation["method"], "occlusion");
                // A text of one word has no other part that could be left out.
                let words = Some(text.split_whitespace().count()).filter(|words| *words > 1).unwrap_or(0);
                assert_eq!(explanation["texts"], words);
                words as u64
            }
        };
        // The metrics of the service count the answer, all layers, the pass through all exits, and the occluded texts.
        assert_eq!(server.service().metrics().texts - before.texts, 3 + further);
        depths.insert(depth);
    }
    assert!(depths.contains(&0) && depths.len() > 1, "{depths:?}");
}

#[test]
fn an_answer_is_only_explained_on_request() {
    let server = server();
    let plain = post(server.address(), "/v1/classify", json!({ "texts": ["fine food"] })).json();
    for explain in [json!(false), json!(null)] {
        let body = json!({ "texts": ["fine food"], "explain": explain });
        assert_eq!(post(server.address(), "/v1/classify", body).json(), plain);
    }
    let mut own = explained(&server, "fine food");
    let members = own.as_object_mut().expect("an object");
    for member in ["milliseconds", "explanation", "exits", "all_layers"] {
        assert!(members.remove(member).is_some(), "{member}");
    }
    assert_eq!(json!({ "answers": [members] }), plain);
}

#[test]
fn a_classifier_without_exits_has_no_ladder() {
    let of_task = |task: Task, names: &'static [&'static str]| {
        let engine = move || {
            let (model, tokenizer) = parts();
            let encoder = model.encoder().clone();
            let classifier = TextClassifier::for_task(task, encoder, names.len(), Pooling::Mean, &mut rng(4))?;
            Engine::new(classifier, tokenizer.clone(), &names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let answer = explained(&Server::start(engine, settings()).expect("a server"), "fine food");
        assert!(answer.get("exits").is_none() && answer.get("all_layers").is_none(), "{answer}");
        assert!(number(&answer["milliseconds"]) > 0.0);
        answer
    };
    let class = of_task(Task::Class, &["other", "good"]);
    assert_eq!((&class["explanation"]["method"], &class["explanation"]["texts"]), (&json!("occlusion"), &json!(2)));
    for (task, names) in [(Task::Labels, &["food", "service"][..]), (Task::Number, &["stars"])] {
        assert!(of_task(task, names).get("explanation").is_none(), "{task:?}");
    }
}

#[test]
fn empty_texts_and_pairs_are_explained() {
    let server = Server::start(|| engine()?.with_speed(0.0), settings()).expect("a server");
    let parts = |text: Value| -> Vec<String> {
        let body = json!({ "texts": [text], "explain": true });
        let answer = post(server.address(), "/v1/classify", body).json()["answers"][0].clone();
        let parts = answer["explanation"]["parts"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        let mut parts: Vec<String> = parts.iter().map(|part| part["text"].as_str().expect("a text").into()).collect();
        parts.sort();
        parts
    };
    assert!(parts(json!("")).is_empty());
    assert_eq!(parts(json!({ "text": "fine day", "pair": "bad food" })), ["bad", "day", "fine", "food"]);
    // Runs of words of a long text are left out, and those with the 30 largest weights are listed.
    assert_eq!(parts(json!("fine ".repeat(500))).len(), 30);
}

#[test]
fn a_late_explanation_is_refused() {
    let server = patient(|_| {});
    // The text stops at the n-gram exit at once, and the answer of all layers waits for a minute.
    let body = json!({ "texts": ["fine food"], "speed": 1.0, "deadline_ms": 500, "explain": true });
    let late = post(server.address(), "/v1/classify", body);
    assert_eq!((late.status, late.refusal().1), (504, "Deadline".into()));
}
