//! Tests of requests from clients of text-embeddings-inference, vLLM and Hugging Face's inference API.

use dht_cli::{Server, ServerSettings};
use dht_dynamic::Engine;
use dht_dynamic::transformer::{Pooling, Task, TextClassifier};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::client::{get, post};
use super::model::{engine, labels, parts, server, settings, texts};

fn ok(server: &Server, path: &str, request: Value) -> Value {
    let response = post(server.address(), path, &request);
    assert_eq!(response.status, 200, "{path} {request}: {}", String::from_utf8_lossy(&response.body));
    response.json()
}

#[test]
fn vllm_s_requests_are_answered_in_its_form() {
    let server = server();
    let texts = texts(3, 5);
    let own = ok(&server, "/v1/classify", json!({ "texts": texts }));
    for path in ["/classify", "/v1/classify", "/invocations"] {
        let response = ok(&server, path, json!({ "model": "reviews", "input": texts }));
        assert!(response["id"].as_str().unwrap().starts_with("classify-"), "{response}");
        assert_eq!((&response["object"], &response["model"]), (&json!("list"), &json!("reviews")));
        let mut tokens = 0;
        for (index, (response, own)) in
            response["data"].as_array().unwrap().iter().zip(own["answers"].as_array().unwrap()).enumerate()
        {
            assert_eq!(
                (&response["index"], &response["label"], &response["num_classes"]),
                (&json!(index), &own["label"], &json!(2))
            );
            for (label, p) in labels().iter().zip(response["probs"].as_array().unwrap()) {
                let difference = own["probabilities"][label].as_f64().unwrap() - p.as_f64().unwrap();
                assert!(difference.abs() < 1e-6, "{label}: {difference}");
            }
            tokens += own["tokens"].as_u64().unwrap();
        }
        assert_eq!(response["usage"]["prompt_tokens"], tokens);
        assert_eq!(
            (&response["usage"]["total_tokens"], &response["usage"]["completion_tokens"]),
            (&json!(tokens), &json!(0))
        );
    }
    let all = json!({
        "model": "reviews", "input": texts[0], "user": "a", "priority": 0, "truncate_prompt_tokens": -1,
        "add_special_tokens": true, "use_activation": false, "request_id": "r-1", "truncation_side": "right",
        "cache_salt": null, "mm_processor_kwargs": null,
    });
    let raw = ok(&server, "/classify", all);
    assert_eq!(raw["id"], "classify-r-1");
    assert!(raw["data"][0]["probs"].as_array().unwrap().iter().all(|score| score.as_f64().unwrap() <= 0.0), "{raw}");
    assert_eq!(ok(&server, "/classify", json!({ "input": texts[0], "rid": "s" }))["id"], "classify-s");
    let description = get(server.address(), "/openapi.json").json();
    let tokens = &description["components"]["schemas"]["ClassificationRequest"]["properties"]["truncate_prompt_tokens"];
    assert_eq!(tokens["anyOf"][1]["minimum"], 128, "the length of the model");
    let models = get(server.address(), "/v1/models").json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("reviews")));
    assert_eq!(models["data"][0]["max_model_len"], 128);
}

#[test]
fn vllm_s_refusals_have_its_form() {
    let server = server();
    for (request, status, reason) in [
        (json!({ "input": "fine", "model": "another" }), 404, "expected \"reviews\""),
        (json!({ "input": [1, 2, 3] }), 400, "token ids are not supported"),
        (json!({ "input": [] }), 400, "empty list"),
        (json!({ "input": "fine", "modle": "reviews" }), 400, "unknown field `modle`"),
        (json!({ "input": "fine", "priority": 1 }), 400, "priority is not 0"),
        (json!({ "input": "fine", "truncate_prompt_tokens": 4 }), 400, "expected -1, or at least 128"),
        (json!({ "input": "fine", "truncation_side": "left" }), 400, "expected `right`"),
        (json!({ "input": "fine", "add_special_tokens": false }), 400, "expected true"),
        (json!({ "input": vec!["fine"; 257] }), 400, "at most 256"),
        (json!({}), 400, "missing field `input`"),
    ] {
        let shown = request.to_string();
        let response = post(server.address(), "/classify", &request);
        let body = response.json();
        assert_eq!(response.status, status, "{shown}: {body}");
        assert_eq!(body["error"]["code"], status, "{body}");
        assert_eq!(body["error"]["type"], if status == 404 { "NotFoundError" } else { "BadRequestError" });
        assert!(body["error"]["message"].as_str().unwrap().contains(reason), "{shown}: {body}");
        // The body determines the form.
        if request.get("input").is_some() {
            assert_eq!(post(server.address(), "/v1/classify", &request).json(), body);
        }
    }
    let response = post(server.address(), "/classify", "{");
    assert_eq!((response.status, response.json()["error"]["code"].as_u64()), (400, Some(400)));
}

#[test]
fn the_body_decides_on_the_form() {
    let server = server();
    for path in ["/v1/classify", "/invocations"] {
        assert!(ok(&server, path, json!({ "texts": ["fine"] }))["answers"].is_array());
        assert!(ok(&server, path, json!({ "inputs": "fine" }))[0]["score"].is_number());
        assert!(ok(&server, path, json!({ "input": "fine" }))["data"].is_array());
        let refused = post(server.address(), path, json!({ "text": "fine" }));
        assert_eq!(refused.status, 422);
        assert!(refused.refusal().0.contains("missing field `texts`, or `inputs`"), "{refused:?}");
        for mixed in [json!({ "texts": ["fine"], "input": "fine" }), json!({ "input": "fine", "inputs": "fine" })] {
            let refused = post(server.address(), path, &mixed);
            assert!((400..500).contains(&refused.status), "{mixed}");
            assert!(String::from_utf8_lossy(&refused.body).contains("unknown field"), "{refused:?}");
        }
    }
}

#[test]
fn unknown_members_are_refused_at_every_path() {
    let server = server();
    for (path, member) in [
        ("/predict", "inputs"),
        ("/", "inputs"),
        ("/classify", "input"),
        ("/v1/classify", "texts"),
        ("/invocations", "inputs"),
    ] {
        let texts = if member == "texts" { json!(["fine"]) } else { json!("fine") };
        let refused = post(server.address(), path, json!({ member: texts, "trunkate": true }));
        assert!(matches!(refused.status, 400 | 422), "{path}: {refused:?}");
        assert!(String::from_utf8_lossy(&refused.body).contains("unknown field `trunkate`"), "{path}: {refused:?}");
    }
}

#[test]
fn long_texts_are_truncated_unless_told_otherwise() {
    let long = "fine ".repeat(300);
    let status = |server: &Server, path: &str, request: Value| post(server.address(), path, request).status;
    let server = server();
    assert_eq!(status(&server, "/predict", json!({ "inputs": long })), 200);
    assert_eq!(status(&server, "/predict", json!({ "inputs": long, "truncate": null })), 200);
    assert_eq!(status(&server, "/predict", json!({ "inputs": long, "truncate": false })), 413);
    assert_eq!(status(&server, "/classify", json!({ "input": long })), 200);
    assert_eq!(get(server.address(), "/info").json()["auto_truncate"], true);
    let whole = Server::start(engine, ServerSettings { auto_truncate: false, ..settings() }).unwrap();
    assert_eq!(status(&whole, "/predict", json!({ "inputs": long })), 413);
    assert_eq!(status(&whole, "/predict", json!({ "inputs": long, "truncate": true })), 200);
    assert_eq!(status(&whole, "/classify", json!({ "input": long })), 400);
    assert_eq!(status(&whole, "/classify", json!({ "input": long, "truncate_prompt_tokens": -1 })), 200);
}

#[test]
fn headers_and_counters_of_text_embeddings_inference_are_there() {
    let server = server();
    let response = post(server.address(), "/predict", json!({ "inputs": [["fine food"], ["good"]] }));
    let header = |name: &str| {
        let line = response.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {}", response.head))
    };
    assert_eq!((header("x-compute-type"), header("x-compute-characters")), ("cpu".into(), "13".into()));
    assert_eq!(header("x-compute-tokens"), "7");
    for name in ["x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"] {
        assert!(header(name).parse::<u64>().is_ok(), "{name}");
    }
    assert_eq!(post(server.address(), "/predict", json!({ "inputs": "fine" })).status, 200);
    assert_eq!(post(server.address(), "/predict", json!({ "inputs": 1 })).status, 422);
    let metrics = String::from_utf8(get(server.address(), "/metrics").body).unwrap();
    for line in [
        "te_request_count{method=\"single\"} 1",
        "te_request_count{method=\"batch\"} 1",
        "te_request_success{method=\"batch\"} 1",
        "te_request_failure{err=\"validation\"} 1",
        "te_predict_count 3",
        "te_predict_success 3",
        "te_request_duration_count 2",
        "te_predict_inference_duration_count 3",
        "te_queue_size 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "no {line} in {metrics}");
    }
}

#[test]
fn parameters_of_hugging_face_are_obeyed() {
    let server = server();
    let asked = |parameters: Value| ok(&server, "/", json!({ "inputs": "fine food", "parameters": parameters }));
    // Clients of Hugging Face's API use the first list of the answer.
    let all = asked(json!({}))[0].clone();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(asked(json!({ "top_k": 1 }))[0], json!([all[0]]));
    assert_eq!(asked(json!({ "top_k": null, "function_to_apply": "softmax" }))[0], all);
    let score = |list: &Value| list[0][0]["score"].as_f64().unwrap();
    let raw = score(&asked(json!({ "function_to_apply": "none" })));
    assert!((raw.exp() - all[0]["score"].as_f64().unwrap()).abs() < 1e-5);
    let sigmoid = score(&asked(json!({ "function_to_apply": "sigmoid" })));
    assert!((sigmoid - 1.0 / (1.0 + (-raw).exp())).abs() < 1e-5);
    let batch = ok(&server, "/", json!({ "inputs": [["fine"], ["bad"]], "parameters": { "top_k": 1 } }));
    assert_eq!(batch.as_array().unwrap().iter().map(|list| list.as_array().unwrap().len()).collect::<Vec<_>>(), [1, 1]);
    for (parameters, reason) in [
        (json!({ "top_k": 0 }), "top_k is 0"),
        (json!({ "top_k": -1 }), "expected usize"),
        (json!({ "function_to_apply": "relu" }), "unknown variant `relu`"),
        (json!({ "topk": 1 }), "unknown field `topk`"),
        (json!([1, "none"]), "expected a map"),
    ] {
        let refused = post(server.address(), "/", json!({ "inputs": "fine", "parameters": parameters }));
        assert_eq!(refused.status, 422);
        assert!(refused.refusal().0.contains(reason), "{refused:?}");
    }
}

#[test]
fn a_softmax_of_several_labels_sums_to_one() {
    let names = ["food", "service", "price", "place"].map(String::from);
    let of_labels = move || {
        let (model, tokenizer) = parts();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let classifier = TextClassifier::for_task(Task::Labels, model.encoder().clone(), 4, Pooling::Mean, &mut rng)?;
        Engine::new(classifier, tokenizer.clone(), &names)
    };
    let server = Server::start(of_labels, settings()).unwrap();
    let sum = |function: &str| -> f64 {
        let parameters = json!({ "function_to_apply": function });
        let scores = ok(&server, "/predict", json!({ "inputs": "fine", "parameters": parameters }))[0].clone();
        scores.as_array().unwrap().iter().map(|score| score["score"].as_f64().unwrap()).sum()
    };
    assert!((sum("softmax") - 1.0).abs() < 1e-5);
    let own: f64 = ok(&server, "/predict", json!({ "inputs": "fine" }))
        .as_array()
        .unwrap()
        .iter()
        .map(|score| score["score"].as_f64().unwrap())
        .sum();
    assert!((sum("sigmoid") - own).abs() < 1e-5 && (own - 1.0).abs() > 1e-3);
}

/// Inputs from public bug reports of other servers, on each of which a server failed.
#[test]
fn inputs_that_failed_elsewhere_are_answered() {
    let server = server();
    let emojis = format!("{}this is weird", "\u{1f631}".repeat(200));
    for text in [
        // text-embeddings-inference 28 and 394: texts at and far above the limit, of 67,337 characters.
        "fine ".repeat(126),
        "fine ".repeat(127),
        "good fine ".repeat(6734),
        // elasticsearch 104981: emojis that are truncated.
        emojis,
        // vllm 33873: fewer than four tokens.
        "Hi".into(),
        String::new(),
        // Names of special tokens, a NUL, a byte order mark, and directions of text.
        "<|endoftext|> [CLS] [SEP] [PAD] <s> </s>".into(),
        "a\0b \u{feff} \u{202e}c\u{2066}".into(),
        "e\u{301}".repeat(500),
    ] {
        let shown: String = text.chars().take(20).collect();
        let predicted = ok(&server, "/predict", json!({ "inputs": text }));
        let batch = ok(&server, "/predict", json!({ "inputs": [[text], [text]], "truncate": true }));
        assert_eq!(batch, json!([predicted, predicted]), "{shown}");
        let response = ok(&server, "/classify", json!({ "input": [text, "fine"] }));
        assert_eq!(response["data"][0]["label"], predicted[0]["label"], "{shown}");
        let own = ok(&server, "/v1/classify", json!({ "texts": [text] }));
        assert!(own["answers"][0]["tokens"].as_u64().unwrap() <= 128, "{shown}: {own}");
    }
    // text-generation-inference 1485: an empty batch ended the process.
    for (path, request) in [("/predict", json!({ "inputs": [] })), ("/classify", json!({ "input": [] }))] {
        assert!((400..500).contains(&post(server.address(), path, request).status), "{path}");
    }
    assert_eq!(ok(&server, "/v1/classify", json!({ "texts": [] })), json!({ "answers": [] }));
}
