//! Data sets by their names on the hub: they are located, fetched once and checked. Faults of the hub are reported.

use std::path::{Path, PathBuf};
use std::process::Command;

use dht_transformer::DatasetReader;
use dht_transformer::pretrained::PretrainedWeights;
use dht_transformer::storage::HubDataset;
use tempfile::TempDir;

use super::parquet_writer::reviews;
use super::server::{COMMIT, Fault, Hub};

/// Runs the hidden test below in a separate process, and returns its output about the split of a data set.
fn child(name: &str, split: &str, cache: &Path, hub: &str) -> String {
    child_with(name, split, cache, hub, "0")
}

fn child_with(name: &str, split: &str, cache: &Path, hub: &str, offline: &str) -> String {
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["--ignored", "--exact", "--nocapture", "data_sets::a_child_reads_a_split"])
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", cache)
        .env("HF_HUB_OFFLINE", offline)
        .env("DHT_TEST_DATA", name)
        .env("DHT_TEST_SPLIT", split)
        .env_remove("HF_HUB_CACHE")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
#[ignore = "runs in a process of its own, with variables that say where the hub is"]
fn a_child_reads_a_split() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let (name, split) = (variable("DHT_TEST_DATA"), variable("DHT_TEST_SPLIT"));
    if split == "model" {
        match PretrainedWeights::fetch_all(&name) {
            Ok(folder) => println!("a directory of {}", files(&folder).len()),
            Err(error) => println!("refused: {error}"),
        }
        return;
    }
    let read = || {
        let data = HubDataset::open(&name)?;
        println!("splits {}", data.splits().collect::<Vec<_>>().join(" "));
        DatasetReader::new().read_parts(&data.fetch(&split)?)
    };
    match read() {
        Ok(data) => println!("read {} rows of {}", data.len(), data.labels.join(" ")),
        Err(error) => println!("refused: {error}"),
    }
}

/// Files and links below a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { paths.extend(files(&path)) } else { paths.push(path) }
    }
    paths
}

/// Hub with a data set of two splits, of which the first has two parts, and an empty cache.
fn place() -> (Hub, TempDir) {
    let hub = Hub::start();
    let put = |path: &str, bytes| hub.put("datasets/some/reviews", "main", path, bytes);
    put("README.md", b"a card".to_vec());
    put("data/train-00000-of-00002.parquet", reviews(20, 0));
    put("data/train-00001-of-00002.parquet", reviews(12, 20));
    put("data/test-00000-of-00001.parquet", reviews(6, 40));
    (hub, tempfile::tempdir().expect("a folder"))
}

#[test]
fn a_split_is_fetched_once_into_the_cache_of_the_python_library() {
    let (hub, cache) = place();
    let said = child("some/reviews", "train", cache.path(), &hub.address);
    assert!(said.contains("splits test train\n") && said.contains("read 32 rows of bad good"), "{said}");
    let asked = hub.asked();
    assert_eq!(asked[0], "/api/datasets/some/reviews/revision/main?blobs=true");
    assert!(!asked.iter().any(|path| path.contains("test")), "only what is read: {asked:?}");
    let folder = cache.path().join("hub/datasets--some--reviews");
    let snapshot = folder.join("snapshots").join(COMMIT);
    assert!(snapshot.join("data/train-00001-of-00002.parquet").exists());
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);

    let said = child("some/reviews", "train", cache.path(), &hub.address);
    assert!(said.contains("read 32 rows"), "{said}");
    assert_eq!(hub.asked().len(), 1, "the list alone");

    // A file that was damaged in the cache is fetched again.
    let file = std::fs::canonicalize(snapshot.join("data/train-00001-of-00002.parquet")).unwrap();
    std::fs::write(&file, b"PAR1").unwrap();
    assert!(child("some/reviews", "train", cache.path(), &hub.address).contains("read 32 rows"));
    assert!(hub.asked().iter().all(|path| !path.contains("00000-of-00002")));
}

#[test]
fn what_is_in_the_cache_is_read_without_the_hub() {
    let (hub, cache) = place();
    let whole = "splits test train\nread 32 rows of bad good\n";
    let said = child("some/reviews", "train", cache.path(), &hub.address);
    assert!(said.contains(whole), "{said}");
    hub.asked();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    hub.break_with(Fault::Status(502));
    for (address, offline) in [(&closed, "0"), (&hub.address, "0"), (&closed, "1"), (&hub.address, "1")] {
        let said = child_with("some/reviews", "train", cache.path(), address, offline);
        assert!(said.contains(whole), "{address} {offline}: {said}");
    }
    assert_eq!(hub.asked().len(), 1, "not when it is not to be asked");
    let said = child_with("some/reviews", "test", cache.path(), &hub.address, "1");
    assert!(said.contains("data/test-00000-of-00001.parquet is not in the cache, and HF_HUB_OFFLINE says"), "{said}");
    let said = child_with("some/other", "test", cache.path(), &hub.address, "TRUE");
    assert!(said.contains("the list of files is not in the cache, and HF_HUB_OFFLINE says"), "{said}");
    // If the hub answers that the data set does not exist, that is the result.
    hub.break_with(Fault::Status(404));
    let said = child("some/reviews", "train", cache.path(), &hub.address);
    assert!(said.contains("the hub answers 404"), "{said}");
}

#[test]
fn a_configuration_is_the_only_one_or_named() {
    let (hub, cache) = place();
    for (path, rows) in [("a/train-00000-of-00001.parquet", 4), ("b/train-00000-of-00001.parquet", 5)] {
        hub.put("datasets/some/both", "main", path, reviews(rows, 0));
    }
    hub.put("datasets/some/converted", "main", "rows.csv", b"label,text\n".to_vec());
    hub.put("datasets/some/converted", "refs/convert/parquet", "default/train/0000.parquet", reviews(6, 0));
    hub.put("datasets/some/converted", "refs/convert/parquet", "default/train/0001.parquet", reviews(3, 0));
    hub.put("datasets/some/csv", "main", "rows.csv", b"label,text\n".to_vec());
    hub.put("datasets/some/half", "main", "train-00001-of-00002.parquet", reviews(6, 0));
    for (name, split, expected) in [
        ("some/both/b", "train", "read 5 rows"),
        (
            "some/both",
            "train",
            "refused: some/both on the hub: has no configuration \"default\"; there are a, b: name one",
        ),
        ("some/both/c", "train", "has no configuration \"c\"; there are a, b"),
        ("some/converted", "train", "read 9 rows"),
        ("some/csv", "train", "has no parquet files of splits on main and on refs/convert/parquet"),
        ("some/half", "train", "the parts of the split train do not fit together: 00000-of-00002 is missing"),
        ("some/reviews", "dev", "has no split dev; there are test, train"),
        ("some/none", "train", "the hub answers 404 for the list of files: there is no such repository"),
        ("a/b/c/d", "train", "refused: data set is a/b/c/d, expected OWNER/NAME or OWNER/NAME/CONFIG"),
        ("../x", "train", "refused: data set is ../x, expected"),
        ("some/both@", "train", "refused: revision is \"\", expected a branch, a tag or a commit"),
        ("some/both@../x", "train", "refused: revision is \"../x\", expected"),
        ("some/both@v1/b", "train", "has no revision \"v1/b\"; there are main, and its commits"),
        ("some/none@v1", "train", "refused: some/none@v1 on the hub: the hub answers 404 for the list of files"),
        ("some/csv@main", "train", "refused: some/csv@main on the hub: has no parquet files of splits on main"),
        ("some/converted@refs/convert/parquet", "train", "read 9 rows"),
    ] {
        let said = child(name, split, cache.path(), &hub.address);
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() {
    let (hub, cache) = place();
    let name = "datasets/some/reviews";
    hub.tag(name, "main", "v1@2");
    let second = hub.commit(name, "main");
    hub.put(name, "main", "data/test-00000-of-00001.parquet", reviews(8, 40));
    hub.put(name, "refs/pr/3", "default/test/0000.parquet", reviews(9, 40));
    for (revision, asked, rows) in [
        ("", "main", 8),
        ("@v1@2", "v1%402", 6),
        ("@refs/pr/3", "refs%2Fpr%2F3", 9),
        (&*format!("@{COMMIT}"), COMMIT, 6),
        (&*format!("@{second}"), &*second, 8),
    ] {
        let said = child(&format!("some/reviews{revision}"), "test", cache.path(), &hub.address);
        assert!(said.contains(&format!("read {rows} rows")), "{revision}: {said}");
        assert_eq!(hub.asked()[0], format!("/api/datasets/some/reviews/revision/{asked}?blobs=true"));
    }
    // Names of files are encoded, too.
    hub.put("datasets/some/odd", "main", "data/test-a b#1%20?.parquet", reviews(7, 0));
    assert!(child("some/odd", "test", cache.path(), &hub.address).contains("read 7 rows"));
    // Equal files of two commits are stored once in the cache.
    let said = child("some/reviews", "train", cache.path(), &hub.address);
    assert!(said.contains("read 32 rows"), "{said}");
    hub.asked();
    let said = child("some/reviews@v1@2", "train", cache.path(), &hub.address);
    assert!(said.contains("read 32 rows"), "{said}");
    assert_eq!(hub.asked().len(), 1, "the list alone");
}

#[test]
fn the_files_are_those_of_the_listed_commit() {
    let (hub, cache) = place();
    hub.break_with(Fault::Moves);
    let said = child("some/reviews", "train", cache.path(), &hub.address);
    assert!(said.contains("read 32 rows"), "{said}");
    // The commit no longer exists, as after a forced push.
    hub.break_with(Fault::Gone);
    let said = child("some/reviews", "train", cache.path(), &hub.address);
    let expected = "refused: some/reviews on the hub: the hub answers 404 for data/train-00000-of-00002.parquet";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn what_a_hub_does_wrong_is_told_and_leaves_no_file() {
    for (fault, expected) in [
        (Fault::Status(403), "the hub answers 403 for the list of files: it is not there, or needs a login"),
        (Fault::Status(503), "the hub answers 503 for the list of files: the hub has failed"),
        (Fault::CutOff, "data/test-00000-of-00001.parquet could not be fetched"),
        (Fault::OtherByte, "data/test-00000-of-00001.parquet has the SHA-256"),
        (Fault::Shorter, "it is deleted, try again"),
        (Fault::EndsEarly, "data/test-00000-of-00001.parquet has"),
        (Fault::NamesAlone, "is listed without size and SHA-256"),
        (Fault::NoSums, "is listed without size and SHA-256, so that it cannot be checked"),
        (Fault::NoJson, "its list of files cannot be read"),
        (Fault::PathOutside, "its list of files cannot be read: it has the path \"../../../"),
    ] {
        let (hub, cache) = place();
        hub.break_with(fault);
        let said = child("some/reviews", "test", cache.path(), &hub.address);
        assert!(said.contains("refused: some/reviews on the hub: ") && said.contains(expected), "{fault:?}: {said}");
        let left = files(cache.path());
        assert!(!left.iter().any(|path| path.ends_with("test-00000-of-00001.parquet")), "{fault:?}: {left:?}");
        // The download resumes from the fetched part; earlier faults leave nothing that prevents it.
        hub.break_with(Fault::None);
        let said = child("some/reviews", "test", cache.path(), &hub.address);
        assert!(said.contains("read 6 rows"), "after {fault:?}: {said}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let said = child("some/reviews", "test", cache.path(), &format!("http://{closed}"));
    assert!(said.contains("refused: some/reviews on the hub: the list of files could not be fetched"), "{said}");
}

#[test]
fn a_whole_part_that_was_not_renamed_is_no_obstacle() {
    let (hub, cache) = place();
    let blobs = cache.path().join("hub/datasets--some--reviews/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let file = reviews(6, 40);
    let sum = {
        use sha2::Digest;
        sha2::Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    for part in [&file[..], &file[..file.len() / 3], &[&file[..], b"more"].concat()] {
        std::fs::write(blobs.join(format!("{sum}.part")), part).unwrap();
        let said = child("some/reviews", "test", cache.path(), &hub.address);
        assert!(said.contains("read 6 rows"), "{said}");
        std::fs::remove_dir_all(cache.path().join("hub/datasets--some--reviews/snapshots")).unwrap();
    }
}

#[test]
fn a_saved_model_is_fetched_with_the_files_that_are_read() {
    let (hub, cache) = place();
    for path in ["dht.json", "README.md", "model/config.json", "model/deep/file.bin", "onnx/model.onnx"] {
        hub.put("models/my/model", "main", path, path.into());
    }
    let said = child("my/model", "model", cache.path(), &hub.address);
    assert!(said.contains("a directory of 3"), "{said}");
    hub.put("models/my/bare", "main", "config.json", b"{}".to_vec());
    let said = child("my/bare", "model", cache.path(), &hub.address);
    assert!(
        said.contains(
            "refused: my/bare on the hub: has no model.safetensors, nor pytorch_model.bin; its files are config.json"
        ),
        "{said}"
    );
}
