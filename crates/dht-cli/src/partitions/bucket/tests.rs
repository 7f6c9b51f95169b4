//! Tests of claims, outputs and reads with an object store in memory.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde_json::{Map, Value};

use super::connection::*;
use super::object::*;
use super::prefix::*;
use crate::error::Error;
use crate::partitions::input::Input;
use crate::partitions::outputs::Outputs;

const PATIENCE: Duration = Duration::from_millis(200);

fn bucket() -> Bucket {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    Bucket {
        store,
        runtime: runtime("s3://bucket").expect("a runtime"),
        root: "s3://bucket".into(),
        retrying: RETRYING,
    }
}

fn prefix(bucket: &Bucket) -> Prefix {
    Prefix { bucket: bucket.clone(), prefix: Key::from("out"), patience: PATIENCE, seen: Mutex::default() }
}

fn put(bucket: &Bucket, key: &str, content: &'static str) {
    bucket.runtime.block_on(bucket.store.put(&Key::from(key), content.into())).expect("an object");
}

fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_renewed_claim_is_held_and_a_dropped_one_is_free() {
    let bucket = bucket();
    let [one, other] = [prefix(&bucket), prefix(&bucket)];
    let claim = one.claim("part").expect("a store").expect("a claim");
    let start = Instant::now();
    while start.elapsed() < 3 * PATIENCE {
        assert!(other.claim("part").expect("a store").is_none() && claim.is_held());
        std::thread::sleep(PATIENCE / 10);
    }
    drop(claim);
    assert!(other.claim("part").expect("a store").is_some());
    assert!(bucket.list(&Key::from("out")).expect("a list").is_empty(), "released");
}

#[test]
fn the_claim_of_a_dead_worker_is_taken_over_by_one() {
    let bucket = bucket();
    put(&bucket, "out/.dht/part/claim", "{\"worker\": \"dead\", \"renewals\": 3}");
    let [one, other] = [prefix(&bucket), prefix(&bucket)];
    assert!(one.claim("part").expect("a store").is_none() && other.claim("part").expect("a store").is_none());
    std::thread::sleep(PATIENCE * 3 / 2);
    let claim = one.claim("part").expect("a store").expect("a claim");
    assert!(other.claim("part").expect("a store").is_none() && claim.is_held());
}

#[test]
fn a_worker_notices_that_its_claim_was_taken_over() {
    let bucket = bucket();
    let claim = prefix(&bucket).claim("part").expect("a store").expect("a claim");
    put(&bucket, "out/.dht/part/claim", "{\"worker\": \"other\", \"renewals\": 0}");
    until(|| !claim.is_held());
    drop(claim);
    let key = Key::from("out/.dht/part/claim");
    assert!(bucket.read(&key).expect("a store").is_some(), "the claim of the other worker stays");
}

#[test]
fn a_put_that_was_carried_out_unseen_is_recognised() {
    let bucket = bucket();
    let key = Key::from("one");
    let first = bucket.put_if(&key, b"mine", &PutMode::Create).expect("a store").expect("put");
    // Repeats a request whose answer was lost.
    assert_eq!(bucket.put_if(&key, b"mine", &PutMode::Create).expect("a store"), Some(first));
    assert_eq!(bucket.put_if(&key, b"others", &PutMode::Create).expect("a store"), None);
}

#[test]
fn an_object_is_read_whole_and_another_version_is_refused() {
    let bucket = bucket();
    put(&bucket, "in/part.jsonl", "{\"text\": \"fine\"}\n");
    let key = Key::from("in/part.jsonl");
    let object = Object { path: bucket.url(&key), bucket: bucket.clone(), key };
    let facts = object.facts().expect("facts");
    let mut content = String::new();
    object.open(&facts).expect("content").read_to_string(&mut content).expect("text");
    assert_eq!((content.len() as u64, &*content), (facts.bytes, "{\"text\": \"fine\"}\n"));
    put(&bucket, "in/part.jsonl", "{\"text\": \"good\"}\n");
    assert!(matches!(object.open(&facts), Err(Error::PartitionChanged { .. })));
    assert_ne!(object.facts().expect("facts"), facts);
}

#[test]
fn a_description_is_that_of_the_first_worker() {
    let bucket = bucket();
    let run = |model: &str| Map::from_iter([("model".to_owned(), Value::from(model))]);
    assert_eq!(prefix(&bucket).describe(&run("one")).expect("stored"), run("one"));
    assert_eq!(prefix(&bucket).describe(&run("two")).expect("stored"), run("one"));
    put(&bucket, "out/.dht/predictions.json", "[]");
    assert!(matches!(prefix(&bucket).describe(&run("one")), Err(Error::Foreign { .. })));
}

#[test]
fn an_object_is_read_in_parts_of_one_version() {
    let bucket = bucket();
    let content: Vec<u8> = (0..2 * READ + 7).map(|at| (at % 251) as u8).collect();
    let key = Key::from("in/large.txt");
    bucket.runtime.block_on(bucket.store.put(&key, content.clone().into())).expect("an object");
    let object = Object { path: bucket.url(&key), bucket: bucket.clone(), key };
    let facts = object.facts().expect("facts");
    let mut read = Vec::new();
    object.open(&facts).expect("content").read_to_end(&mut read).expect("bytes");
    assert!(read == content);
    // The object is replaced after its first part was read.
    let mut reader = object.open(&facts).expect("content");
    put(&bucket, "in/large.txt", "other");
    let failed = reader.read_to_end(&mut Vec::new()).expect_err("two versions").to_string();
    assert!(failed.contains("changed while it was read (another object was put)"), "{failed}");
}

#[test]
fn a_store_that_never_answers_is_an_error_in_time() {
    // The operating system accepts the connections, and no process reads from them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("an address"));
    let options = object_store::ClientOptions::new().with_timeout(PATIENCE);
    let builder = || {
        let builder = AmazonS3Builder::new().with_client_options(options.clone()).with_region("us-east-1");
        builder.with_endpoint(address.clone()).with_metadata_endpoint(address.clone())
    };
    let with_keys = builder().with_access_key_id("key").with_secret_access_key("secret");
    let bucket = connect("s3://bucket/in/", "bucket", with_keys, 2 * PATIENCE, PATIENCE).expect("a bucket");
    let failed = bucket.list(&Key::from("in")).expect_err("no answer").to_string();
    let expected = "s3://bucket/in: the store does not answer (operation timed out): check AWS_ENDPOINT_URL";
    assert!(failed.starts_with(expected), "{failed}");
    let put = bucket.put_if(&Key::from("claim"), b"mine", &PutMode::Create).expect_err("no answer").to_string();
    assert!(put.starts_with("s3://bucket/claim: the store does not answer"), "{put}");

    let refused = connect("s3://bucket/in/", "bucket", builder(), 2 * PATIENCE, PATIENCE).err().expect("no keys");
    let expected = "s3://bucket/in/: no credentials were found (none within 0 s): set AWS_ACCESS_KEY_ID and";
    assert!(refused.to_string().starts_with(expected), "{refused}");
}

#[test]
fn an_address_has_a_scheme_a_host_and_a_port() {
    for good in ["https://s3.example.org", "http://127.0.0.1:9000/base", "http://[::1]:9000", "http://minio"] {
        assert!(is_address(good), "{good}");
    }
    for bad in ["minio:9000", "http://", "http://[::", "http://a b", "http://host:port", "ftp://host", "http://h:99999"]
    {
        assert!(!is_address(bad), "{bad}");
    }
}

#[test]
fn an_upload_of_several_parts_is_whole() {
    let (bucket, key) = (bucket(), Key::from("large"));
    for bytes in [0, 5, PART, 2 * PART + 7] {
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&content).expect("written");
        bucket.upload(&key, file, bytes as u64).expect("uploaded");
        assert!(bucket.read(&key).expect("a store").expect("an object").0 == content, "{bytes}");
    }
}
