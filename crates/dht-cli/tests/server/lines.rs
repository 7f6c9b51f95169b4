//! Tests of streams of JSON lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use dht_cli::{Limits, Server, ServerSettings};
use serde_json::{Value, json};

use super::client::{ask, connect, head, post, post_lines};
use super::model::{engine, server, settings, texts};

const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

#[test]
fn each_line_is_answered_in_its_order_as_in_a_request() {
    let server = server();
    let texts = texts(200, 7);
    let body: String =
        texts.iter().enumerate().map(|(id, text)| json!({ "text": text, "id": id }).to_string() + "\n").collect();
    let lines = post_lines(server.address(), body.as_bytes());
    assert_eq!(lines.len(), 200);
    let once = post(server.address(), "/v1/classify", json!({ "texts": texts })).json();
    for (id, (mut line, answer)) in lines.into_iter().zip(once["answers"].as_array().unwrap()).enumerate() {
        assert_eq!(line.as_object_mut().unwrap().remove("id"), Some(json!(id)));
        assert_eq!(line, *answer, "line {id}");
    }
}

#[test]
fn a_bad_line_has_a_line_with_its_reason_and_the_others_go_on() {
    let limits = Limits { body_bytes: 400, ..settings().limits };
    let server = Server::start(engine, ServerSettings { limits, ..settings() }).unwrap();
    let mut body = b"{\"text\": \"fine\"}\n\nnot json\n{\"text\": 7}\r\n{\"text\": \"fine ".to_vec();
    body.extend([0xff, 0xfe]);
    body.extend(b"\"}\n{\"text\": \"bad\", \"speed\": -1, \"id\": \"x\"}\n");
    body.extend(format!("{{\"text\": \"{}\"}}\n", "fine ".repeat(100)).bytes());
    body.extend(b"{\"text\": \"day\", \"pair\": null, \"id\": {\"a\": [1]}}");
    let lines = post_lines(server.address(), &body);
    let reasons: Vec<(Option<u64>, &str)> =
        lines.iter().map(|line| (line["line"].as_u64(), line["error"].as_str().unwrap_or("none"))).collect();
    let expected = [
        (None, "none"),
        (Some(3), "the body is not what was expected: expected ident"),
        (Some(4), "the body is not what was expected: invalid type: integer `7`"),
        (Some(5), "the body is not what was expected: invalid unicode"),
        (Some(6), "speed is -1"),
        (Some(7), "the line has more than 400 bytes"),
        (None, "none"),
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.0 == expected.0 && reason.1.starts_with(expected.1), "{reason:?} for {expected:?}");
    }
    assert_eq!((&lines[4]["id"], &lines[6]["id"]), (&json!("x"), &json!({ "a": [1] })));
    assert_eq!(post_lines(server.address(), b""), Vec::<Value>::new());
    assert_eq!(post_lines(server.address(), b"\n\n  \n"), Vec::<Value>::new());
}

#[test]
fn an_id_comes_back_as_it_was_written_unless_it_is_long() {
    let server = server();
    let body = format!(
        "{{\"text\": \"fine\", \"id\": 123456789012345678901234567890}}\n{{\"text\": \"fine\", \"id\": [{}1]}}\n",
        "1,".repeat(600)
    );
    let headers = [("Content-Type", "application/x-ndjson")];
    let response = ask(server.address(), "POST", "/v1/classify", &headers, body.as_bytes());
    let text = String::from_utf8(response.body).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("{\"id\":123456789012345678901234567890,"), "{text}");
    assert!(lines[1].contains("id has 1203 bytes, at most 1024") && lines.len() == 2, "{text}");
}

#[test]
fn answers_come_while_lines_are_still_sent() {
    let server = server();
    let mut stream = connect(server.address());
    stream
        .write_all(head("POST", "/v1/classify", &[LINES, ("Transfer-Encoding", "chunked")], None).as_bytes())
        .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    for turn in 0..3 {
        let sent = json!({ "text": "fine", "id": turn }).to_string() + "\n";
        stream.write_all(format!("{:x}\r\n{sent}\r\n", sent.len()).as_bytes()).unwrap();
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
        reader.read_exact(&mut chunk).unwrap();
        let answer: Value = serde_json::from_slice(chunk.trim_ascii()).unwrap();
        assert_eq!(answer["id"], turn);
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut end = Vec::new();
    reader.read_to_end(&mut end).unwrap();
    assert_eq!(end, b"0\r\n\r\n");
}

#[test]
fn more_lines_than_the_queue_holds_are_all_answered() {
    let mut own = settings();
    own.service.queue_texts = 8;
    let server = Server::start(engine, own).unwrap();
    let body: String = texts(500, 8).iter().map(|text| json!({ "text": text }).to_string() + "\n").collect();
    let address = server.address();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let lines = post_lines(address, body.as_bytes());
                assert!(lines.len() == 500 && lines.iter().all(|line| line["label"].is_string()));
            });
        }
    });
}

#[test]
fn a_stream_that_says_nothing_ends_with_the_reason() {
    let limits = Limits { reading: Duration::from_millis(300), ..settings().limits };
    let server = Server::start(engine, ServerSettings { limits, ..settings() }).unwrap();
    let mut stream = connect(server.address());
    let sent = head("POST", "/v1/classify", &[LINES], Some(1000)) + "{\"text\": \"fine\"}\n{\"te";
    stream.write_all(sent.as_bytes()).unwrap();
    let response = super::client::receive(&mut stream).expect("a response");
    let lines: Vec<Value> = response
        .body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert!(lines[0]["label"].is_string());
    assert!(lines[1]["error"].as_str().unwrap().starts_with("no line came for"), "{lines:?}");
    let predict = ask(server.address(), "POST", "/predict", &[LINES], b"{}");
    assert_eq!(predict.status, 415);
}
