//! Tests of `dht predict --partitions` with an object store: a small server that keeps objects in memory, and stores
//! that refuse, hang or answer late.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::partitions::{answers, one_run, partitioned, signal, wait_until};
use super::{json, printed, refused};

/// Request to the store, with its headers in lower case.
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Status, headers and body of an answer.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// Function that may answer a request in place of the store.
type Fault = fn(&Request) -> Option<Answer>;

/// Objects by their keys, with their ETags.
type Objects = Arc<Mutex<BTreeMap<String, (u64, Vec<u8>)>>>;

/// Object store that listens on a local port.
struct Store {
    address: String,
    objects: Objects,
}

/// Creates an error response of the store.
fn failure(status: u16, code: &str) -> Answer {
    (status, Vec::new(), format!("<Error><Code>{code}</Code><Message>no</Message></Error>").into_bytes())
}

fn request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// Extracts the key from a path, without the bucket and percent-encoding.
fn key_of(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().trim_start_matches("/bucket/");
    let (mut bytes, mut rest) = (Vec::new(), path.bytes());
    while let Some(byte) = rest.next() {
        let code: Vec<u8> = if byte == b'%' { rest.by_ref().take(2).collect() } else { Vec::new() };
        let code = std::str::from_utf8(&code).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(byte));
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn answer(objects: &Objects, request: &Request) -> Answer {
    let mut objects = objects.lock().expect("no panic");
    let (key, tag) = (key_of(&request.path), |number: u64| format!("\"{number}\""));
    let condition = |name: &str| request.headers.get(name);
    match &*request.method {
        "GET" if request.path.contains("list-type=2") => {
            let prefix = request.path.split(['?', '&']).find_map(|part| part.strip_prefix("prefix=")).map(key_of);
            let prefix = prefix.unwrap_or_default();
            let listed: String = objects
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix))
                .map(|(key, (number, content))| {
                    let (tag, bytes, key) = (tag(*number), content.len(), key.replace('&', "&amp;"));
                    format!(
                        "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                         <ETag>{tag}</ETag><Size>{bytes}</Size></Contents>"
                    )
                })
                .collect();
            let list = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>");
            (200, Vec::new(), list.into_bytes())
        }
        "GET" | "HEAD" => {
            let Some((number, content)) = objects.get(&key) else { return failure(404, "NoSuchKey") };
            if condition("if-match").is_some_and(|etag| *etag != tag(*number)) {
                return failure(412, "PreconditionFailed");
            }
            let dated = ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
            let headers = vec![("ETag", tag(*number)), dated];
            let range = condition("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
            let Some((from, to)) = range else { return (200, headers, content.clone()) };
            let (from, to): (usize, usize) = (from.parse().expect("a number"), to.parse().expect("a number"));
            let to = to.min(content.len() - 1);
            let range = ("Content-Range", format!("bytes {from}-{to}/{}", content.len()));
            (206, [headers, vec![range]].concat(), content[from..=to].to_vec())
        }
        "PUT" => {
            let held = objects.get(&key).map(|(number, _)| *number);
            if condition("if-none-match").is_some() && held.is_some()
                || condition("if-match").is_some_and(|etag| held.map(tag).as_ref() != Some(etag))
            {
                return failure(412, "PreconditionFailed");
            }
            let number = held.unwrap_or(0) + 1;
            objects.insert(key, (number, request.body.clone()));
            (200, vec![("ETag", tag(number))], Vec::new())
        }
        "POST" if request.path.contains("?delete") => {
            let list = String::from_utf8_lossy(&request.body).into_owned();
            list.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).for_each(|(key, _)| {
                objects.remove(key);
            });
            (200, Vec::new(), b"<DeleteResult></DeleteResult>".to_vec())
        }
        other => panic!("{other} {}", request.path),
    }
}

impl Store {
    fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, objects) = (listener.local_addr().expect("an address").to_string(), Objects::default());
        let own = objects.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let own = own.clone();
                std::thread::spawn(move || serve(&stream.expect("a connection"), &own, fault));
            }
        });
        Self { address, objects }
    }

    /// Puts the files of a folder below `in/`.
    fn with_inputs(self, folder: &Path) -> Self {
        for file in std::fs::read_dir(folder).expect("a folder") {
            let file = file.expect("an entry");
            let content = std::fs::read(file.path()).expect("a file");
            self.put(&format!("in/{}", file.file_name().to_string_lossy()), content);
        }
        self
    }

    fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        self.objects.lock().expect("no panic").insert(key.into(), (1, content.into()));
    }

    fn keys(&self) -> Vec<String> {
        self.objects.lock().expect("no panic").keys().filter(|key| !key.starts_with("in/")).cloned().collect()
    }

    fn get(&self, key: &str) -> String {
        let objects = self.objects.lock().expect("no panic");
        String::from_utf8(objects.get(key).expect("an object").1.clone()).expect("UTF-8")
    }

    fn command(&self, place: &Path, arguments: &[&str]) -> Command {
        let mut command = worker(place, arguments);
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.address));
        command
    }

    fn predict(&self, place: &Path, arguments: &[&str]) -> Output {
        self.command(place, arguments).output().expect("dht runs")
    }
}

fn serve(stream: &TcpStream, objects: &Objects, fault: Fault) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = request(&mut reader) {
        let (status, headers, body) = fault(&request).unwrap_or_else(|| answer(objects, &request));
        let mut head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let body = if request.method == "HEAD" { &[][..] } else { &body };
        let mut out = stream;
        if out.write_all(&[format!("{head}\r\n").as_bytes(), body].concat()).is_err() {
            return;
        }
    }
}

/// Creates the command `dht predict model` with credentials.
fn worker(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dht"));
    command.current_dir(place).args(["predict", "model"]).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret").stdin(Stdio::null());
    command
}

const ALL: [&str; 4] = ["--partitions", "s3://bucket/in/", "--output", "s3://bucket/out/"];

/// Runs a store with this fault, and checks that the command prints one line with the reason and writes nothing.
#[track_caller]
fn refuses(fault: Fault, arguments: &[&str], expected: &str) {
    let place = partitioned(2, 20);
    let store = Store::start(fault).with_inputs(&place.path().join("in"));
    let said = refused(&store.predict(place.path(), arguments), 1);
    assert!(said.starts_with(&format!("error: {expected}")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(store.keys(), Vec::<String>::new());
}

#[test]
fn workers_of_a_store_give_the_answers_of_one_run() {
    let place = partitioned(3, 60);
    let expected = one_run(place.path());
    let store = Store::start(|_| None).with_inputs(&place.path().join("in"));
    let workers = [0, 1].map(|_| {
        let mut worker = store.command(place.path(), &ALL);
        worker.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dht runs")
    });
    for worker in workers {
        let summary = json(&printed(&worker.wait_with_output().expect("an end")));
        assert_eq!(summary["all"]["totals"]["rows"], 180, "{summary}");
    }
    let written: String = (0..3).map(|part| store.get(&format!("out/part-{part}.jsonl"))).collect();
    assert_eq!(written, expected);
    assert!(!store.keys().iter().any(|key| key.ends_with("/claim")), "{:?}", store.keys());
    // Reads from the store and writes to a folder: the answers are the same.
    printed(&store.predict(place.path(), &["--partitions", "s3://bucket/in/", "--output", "out/"]));
    assert_eq!(answers(&place.path().join("out")), expected);
}

#[test]
fn a_late_store_is_waited_for() {
    let place = partitioned(1, 20);
    let late = |_: &Request| {
        std::thread::sleep(Duration::from_millis(200));
        None
    };
    let store = Store::start(late).with_inputs(&place.path().join("in"));
    printed(&store.predict(place.path(), &ALL));
    assert_eq!(store.get("out/part-0.jsonl"), one_run(place.path()));
}

#[test]
fn a_store_that_refuses_gives_one_error_and_no_output() {
    let credentials = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN\n";
    let listed = |problem: &str, advice: &str| format!("s3://bucket/in: {problem}: {advice}");
    refuses(
        |_| Some(failure(403, "SignatureDoesNotMatch")),
        &ALL,
        &listed("the store refuses the credentials (403 SignatureDoesNotMatch)", credentials),
    );
    refuses(
        |_| Some(failure(400, "ExpiredToken")),
        &["--partitions", "s3://bucket/in/part-0.jsonl", "--output", "out"],
        "s3://bucket/in/part-0.jsonl: the store refuses the credentials (400 ExpiredToken): check AWS_ACCESS_KEY_ID",
    );
    refuses(
        |_| Some(failure(403, "RequestTimeTooSkewed")),
        &ALL,
        &listed("the store refuses the time of the request (403 RequestTimeTooSkewed)", "set the clock"),
    );
    refuses(|_| Some(failure(301, "PermanentRedirect")), &ALL, "s3://bucket/in: the bucket is in another region (");
    refuses(
        |_| Some(failure(404, "NoSuchBucket")),
        &ALL,
        &listed("there is no such bucket (404 NoSuchBucket)", "check the name of the bucket, AWS_ENDPOINT_URL"),
    );
    refuses(
        |request| (request.method == "PUT").then(|| failure(404, "NoSuchBucket")),
        &ALL,
        "s3://bucket/out/.dht/predictions.json: there is no such bucket (404 NoSuchBucket): check the name",
    );
    refuses(
        |request| (request.method == "PUT").then(|| failure(403, "AccessDenied")),
        &ALL,
        "s3://bucket/out/.dht/predictions.json: the store denies access (AccessDenied): these credentials need",
    );
    refuses(
        |request| request.headers.contains_key("if-none-match").then(|| failure(501, "NotImplemented")),
        &ALL,
        "s3://bucket/out/.dht/predictions.json: the store does not support this request (501 NotImplemented): use a",
    );
}

#[test]
fn credentials_that_expire_end_the_worker_with_one_error() {
    let place = partitioned(3, 20);
    let expired = |request: &Request| (request.path.contains("/part-1.jsonl/")).then(|| failure(400, "ExpiredToken"));
    let store = Store::start(expired).with_inputs(&place.path().join("in"));
    let said = refused(&store.predict(place.path(), &ALL), 1);
    assert!(said.contains("/part-1.jsonl/claim: the store refuses the credentials (400 ExpiredToken)"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let written: Vec<String> = store.keys().into_iter().filter(|key| !key.contains(".dht")).collect();
    assert_eq!(written, ["out/part-0.jsonl"], "what is finished stays");
}

#[test]
fn a_partition_that_the_store_denies_fails_alone() {
    let place = partitioned(3, 20);
    let denied = |request: &Request| {
        (request.method == "GET" && request.path.contains("in/part-1.jsonl")).then(|| failure(403, "AccessDenied"))
    };
    let store = Store::start(denied).with_inputs(&place.path().join("in"));
    let said = refused(&store.predict(place.path(), &ALL), 1);
    assert!(said.starts_with("failed: s3://bucket/in/part-1.jsonl: the store denies access (AccessDenied)"), "{said}");
    assert!(said.contains("error: 1 of 3 partitions failed"), "{said}");
    assert!(!store.keys().iter().any(|key| key.contains("part-1.jsonl")), "{:?}", store.keys());
}

#[test]
fn a_signal_ends_a_worker_whose_store_hangs() {
    let place = partitioned(1, 20);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("an address"));
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = worker(place.path(), &ALL);
        let child = command.env("AWS_ENDPOINT_URL", &address).stderr(Stdio::piped()).spawn().expect("dht runs");
        let connection = silent.accept().expect("a connection");
        signal(&child, name);
        let ended = child.wait_with_output().expect("an end");
        assert_eq!(ended.status.code(), Some(code), "{}", String::from_utf8_lossy(&ended.stderr));
        drop(connection);
    }
}

#[test]
fn variables_and_urls_that_cannot_be_used_are_named() {
    let place = partitioned(1, 20);
    let store = Store::start(|_| Some(failure(404, "NoSuchKey"))).with_inputs(&place.path().join("in"));
    for (name, value, expected) in [
        ("AWS_SECRET_ACCESS_KEY", "secret\n", "AWS_SECRET_ACCESS_KEY cannot be used: set it to one word"),
        ("AWS_REGION", "us east", "AWS_REGION cannot be used: set it to one word"),
        ("AWS_ENDPOINT_URL", "minio:9000", "AWS_ENDPOINT_URL cannot be used: set it to https://HOST or http://HOST"),
        ("AWS_ENDPOINT_URL", "http://[::", "AWS_ENDPOINT_URL cannot be used: set it to https://HOST or http://HOST"),
        ("AWS_ACCESS_KEY_ID", "", "no credentials were found (Missing AccessKeyId): set AWS_ACCESS_KEY_ID and"),
    ] {
        let said = refused(&store.command(place.path(), &ALL).env(name, value).output().expect("dht runs"), 1);
        assert!(said.starts_with(&format!("error: s3://bucket/in/: {expected}")), "{name}: {said}");
        assert!(!said.contains("secret\n"), "{said}");
    }
    let without = |command: &mut Command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    };
    let mut command = store.command(place.path(), &ALL);
    without(&mut command);
    // The machine has no metadata service.
    command.env("AWS_METADATA_ENDPOINT", format!("http://{}", store.address)).env("AWS_SESSION_TOKEN", "");
    let said = refused(&command.output().expect("dht runs"), 1);
    assert!(said.starts_with("error: s3://bucket/in/: no credentials were found ("), "{said}");
    assert!(said.ends_with("or AWS_SKIP_SIGNATURE=true for a public bucket\n"), "{said}");
    for url in ["s3://", "s3:///in/", "s3://two words/in/", "s3://bücket/in/"] {
        let said = refused(&store.predict(place.path(), &["--partitions", url, "--output", "out"]), 1);
        assert!(
            said.contains(": expected s3://BUCKET/KEY, with a bucket of letters, digits, dots and dashes"),
            "{said}"
        );
    }
    let bare = ["--partitions", "s3://bucket", "--output", "out"];
    let said = refused(&store.predict(place.path(), &bare), 1);
    assert!(said.contains("s3://bucket: expected s3://bucket/ for the objects of the bucket"), "{said}");
    let one = ["--partitions", "s3://bucket/in/part-9.jsonl", "--output", "out"];
    let said = refused(&store.predict(place.path(), &one), 1);
    assert_eq!(said, "error: s3://bucket/in/part-9.jsonl: there is no such object\n");
}

#[test]
fn names_of_objects_are_used_as_they_are() {
    let place = partitioned(1, 20);
    let names = ["a b.jsonl", "50%.jsonl", "a+b&c=d.jsonl", "#1.jsonl", "größe.jsonl", "50%25.jsonl"];
    let content = std::fs::read(place.path().join("in/part-0.jsonl")).expect("a file");
    let store = Store::start(|_| None);
    names.iter().for_each(|name| store.put(&format!("in/{name}"), content.clone()));
    // Adds markers of directories, as other programs write them, and an empty object.
    ["in/", "in/nested/", "in/nested/part.jsonl", "in/none.jsonl"].iter().for_each(|key| store.put(key, ""));
    let summary = json(&printed(&store.predict(place.path(), &ALL)));
    assert_eq!((&summary["all"]["partitions"], &summary["failed"]), (&7.into(), &0.into()), "{summary}");
    let expected = one_run(place.path());
    for name in names {
        assert_eq!(store.get(&format!("out/{name}")), expected, "{name}");
    }
    assert_eq!(store.get("out/none.jsonl"), "");
    let again = json(&printed(&store.predict(place.path(), &ALL)));
    assert_eq!((&again["own"]["partitions"], &again["all"]["partitions"]), (&0.into(), &7.into()));
}

#[test]
fn a_stopped_worker_whose_claim_was_taken_drops_its_answers() {
    let place = partitioned(1, 20_000);
    let store = Store::start(|_| None).with_inputs(&place.path().join("in"));
    let short = [&ALL[..], &["--claim-seconds", "1"]].concat();
    let first = store.command(place.path(), &short).stdout(Stdio::piped()).spawn().expect("dht runs");
    wait_until("a claim", || store.keys().iter().any(|key| key.ends_with("/claim")));
    signal(&first, "STOP");
    let second = json(&printed(&store.predict(place.path(), &short)));
    assert_eq!((&second["own"]["partitions"], &second["all"]["totals"]["rows"]), (&1.into(), &20_000.into()));
    signal(&first, "CONT");
    let first = json(&printed(&first.wait_with_output().expect("an end")));
    assert_eq!((&first["own"]["partitions"], &first["all"]["totals"]["rows"]), (&0.into(), &20_000.into()), "{first}");
    assert_eq!(store.get("out/part-0.jsonl"), one_run(place.path()));
    assert!(!store.keys().iter().any(|key| key.ends_with("/claim")), "{:?}", store.keys());
}
