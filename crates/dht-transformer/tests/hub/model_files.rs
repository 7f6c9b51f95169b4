//! Models by their names on the hub: revisions, files, checksums, and faults of the hub or the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use dht_transformer::TextTokenizer;
use dht_transformer::pretrained::{PretrainedWeights, SentenceModel};
use tempfile::TempDir;

use super::server::{COMMIT, Fault, Hub, TOKEN, sum};

const WEIGHTS: &str = "model.safetensors";

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families/bert-classifier");
    std::fs::read(folder.join(name)).expect("a golden file")
}

/// Adds the configuration of a model with two layers to a directory of a repository.
fn put_config(hub: &Hub, repository: &str, branch: &str, folder: &str) {
    hub.put(repository, branch, &format!("{folder}config.json"), golden("config.json"));
    let vocabulary = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n".to_vec();
    hub.put(repository, branch, &format!("{folder}vocab.txt"), vocabulary);
}

/// Hub with a model, and an empty cache.
fn place() -> (Hub, TempDir) {
    let hub = Hub::start();
    put_config(&hub, "models/tiny/bert", "main", "");
    hub.put("models/tiny/bert", "main", WEIGHTS, golden(WEIGHTS));
    (hub, tempfile::tempdir().expect("a folder"))
}

fn command(name: &str, cache: &Path, hub: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command
        .args(["--ignored", "--exact", "--nocapture", "model_files::a_child_loads_a_model"])
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", cache)
        .env("DHT_TEST_MODEL", name);
    for other in ["HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(other);
    }
    command.envs(variables.iter().copied());
    command
}

/// Loads a model in a separate process, and returns its output.
fn child_with(name: &str, cache: &Path, hub: &str, variables: &[(&str, &str)]) -> String {
    let output = command(name, cache, hub, variables).output().expect("a process");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn child(name: &str, cache: &TempDir, hub: &Hub) -> String {
    child_with(name, cache.path(), &hub.address, &[])
}

#[test]
#[ignore = "runs in a process of its own, with variables that say where the hub is"]
fn a_child_loads_a_model() {
    let Some(name) = std::env::var_os("DHT_TEST_MODEL").map(PathBuf::from) else { return };
    let load = || -> dht_transformer::Result<String> {
        let folder = PretrainedWeights::fetch(&name)?;
        let encoder = SentenceModel::read(&folder)?.map_or_else(|| folder.clone(), |model| model.encoder);
        let weights = PretrainedWeights::read(&encoder)?;
        let tokens = TextTokenizer::from_dir(&encoder)?.vocabulary_size();
        let layers = weights.config.num_hidden_layers;
        Ok(format!("loaded {layers} layers, {tokens} tokens from {}", folder.display()))
    };
    match load() {
        Ok(loaded) => println!("{loaded}"),
        Err(error) => println!("refused: {error}"),
    }
}

/// Paths of all files and links below a directory of a repository in the cache.
fn cached(cache: &TempDir, repository: &str, folder: &str) -> Vec<String> {
    let root = cache.path().join("hub").join(repository).join(folder);
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(&root).expect("inside").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

const LOADED: &str = "loaded 2 layers, 7 tokens";

#[test]
fn a_model_is_fetched_once_by_the_listed_commit() {
    let (hub, cache) = place();
    let said = child("tiny/bert", &cache, &hub);
    assert!(said.contains(LOADED) && said.contains(&format!("snapshots/{COMMIT}\n")), "{said}");
    let asked = hub.asked();
    assert_eq!(asked[0], "/api/models/tiny/bert/revision/main?blobs=true");
    assert!(asked.contains(&format!("/tiny/bert/resolve/{COMMIT}/{WEIGHTS}")), "{asked:?}");
    let folder = cache.path().join("hub/models--tiny--bert");
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert!(folder.join("blobs").join(sum(&golden(WEIGHTS))).is_file(), "named as by the Python library");

    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
    assert_eq!(hub.asked().len(), 1, "the list alone");
    // The branch gets a new commit with the same weights.
    let second = hub.commit("models/tiny/bert", "main");
    assert!(child("tiny/bert", &cache, &hub).contains(&format!("snapshots/{second}\n")));
    assert_eq!(hub.asked().len(), 1, "the list alone");
}

#[test]
fn each_form_of_a_revision_is_fetched_and_none_else() {
    let (hub, cache) = place();
    let name = "models/tiny/bert";
    hub.tag(name, "main", "v1.0");
    hub.tag(name, "main", "v1@2");
    let second = hub.commit(name, "main");
    let mut commits = Vec::new();
    for branch in ["refs/pr/3", "feature#1", "a%2Fb", "größer"] {
        put_config(&hub, name, branch, "");
        hub.put(name, branch, WEIGHTS, golden(WEIGHTS));
        commits.push((branch, hub.commit(name, branch)));
    }
    let [pull, feature, percent, larger] = &commits[..] else { panic!("four branches") };
    for (revision, address, commit) in [
        ("", "main", &*second),
        ("@main", "main", &second),
        ("@v1.0", "v1.0", COMMIT),
        ("@v1@2", "v1%402", COMMIT),
        ("@c0ffee00", "c0ffee00", COMMIT),
        (&format!("@{COMMIT}"), COMMIT, COMMIT),
        ("@refs/pr/3", "refs%2Fpr%2F3", &pull.1),
        ("@feature#1", "feature%231", &feature.1),
        ("@a%2Fb", "a%252Fb", &percent.1),
        ("@größer", "gr%C3%B6%C3%9Fer", &larger.1),
    ] {
        hub.asked();
        let said = child(&format!("tiny/bert{revision}"), &cache, &hub);
        assert!(said.contains(LOADED) && said.contains(&format!("snapshots/{commit}\n")), "{revision}: {said}");
        assert_eq!(hub.asked()[0], format!("/api/models/tiny/bert/revision/{address}?blobs=true"));
    }
    // The file list of a commit is requested only once.
    assert!(child(&format!("tiny/bert@{COMMIT}"), &cache, &hub).contains(LOADED));
    assert_eq!(hub.asked(), Vec::<String>::new());
    // Branch names that cannot exist as directories at the same time, since one is the parent of another.
    for branch in ["next", "next/two", "next.two"] {
        put_config(&hub, name, branch, "");
        hub.put(name, branch, WEIGHTS, golden(WEIGHTS));
        let said = child(&format!("tiny/bert@{branch}"), &cache, &hub);
        assert!(said.contains(LOADED), "{branch}: {said}");
    }
    hub.break_with(Fault::Status(503));
    let folders: Vec<String> =
        ["next/two", "next.two"].map(|branch| child(&format!("tiny/bert@{branch}"), &cache, &hub)).into();
    assert!(folders.iter().all(|said| said.contains(LOADED)) && folders[0] != folders[1], "{folders:?}");
}

#[test]
fn a_wrong_revision_is_refused_with_those_that_there_are() {
    let (hub, cache) = place();
    hub.tag("models/tiny/bert", "main", "v1.0");
    for (name, expected) in [
        ("tiny/bert@", "revision is \"\", expected a branch, a tag or a commit, as in NAME@main"),
        ("tiny/bert@..", "revision is \"..\", expected"),
        ("tiny/bert@a/../../b", "revision is \"a/../../b\", expected"),
        ("tiny/bert@a\nb", "revision is \"a\\nb\", expected"),
        ("tiny/bert@@", "revision is \"@\", expected"),
        (
            "tiny/bert@v2",
            "tiny/bert@v2 is no directory, and on the hub: has no revision \"v2\"; there are main, v1.0, and its commits",
        ),
        ("tiny/bert@0123456789012345678901234567890123456789", "has no revision \"0123"),
        (
            "tiny/none@v1",
            "tiny/none@v1 is no directory, and on the hub: the hub answers 404 for the list of files: there",
        ),
    ] {
        let said = child(name, &cache, &hub);
        assert!(said.contains(&format!("refused: {expected}")) || said.contains(expected), "{name:?}: {said}");
        assert!(said.contains("refused: "), "{said}");
    }
    assert_eq!(cached(&cache, "", ""), Vec::<String>::new());
    // A text that is not a model name is a path.
    assert!(child("./tiny@v1", &cache, &hub).contains("No such file"));
}

#[test]
fn a_branch_that_moves_does_not_mix_commits() {
    let (hub, cache) = place();
    hub.break_with(Fault::Moves);
    let said = child("tiny/bert", &cache, &hub);
    assert!(said.contains(LOADED) && said.contains(COMMIT), "{said}");
    hub.break_with(Fault::None);
    let said = child("tiny/bert", &cache, &hub);
    assert!(said.contains("refused: ") && !said.contains(COMMIT), "the new commit's files are no model: {said}");
    // After a forced push, the cache has the file list of a commit that no longer exists.
    let (hub, cache) = place();
    hub.break_with(Fault::Gone);
    let said = child("tiny/bert", &cache, &hub);
    assert!(
        said.contains("the hub answers 404 for config.json: there is no such repository, revision or file"),
        "{said}"
    );
}

#[test]
fn only_what_the_loader_reads_is_fetched() {
    let (hub, cache) = place();
    let put = |path: &str| hub.put("models/tiny/bert", "main", path, b"{\"large\": 1}".to_vec());
    for path in ["pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "model.fp16.safetensors", "README.md"] {
        put(path);
    }
    for path in ["2_Dense/model.safetensors", "checkpoint-1/model.safetensors", "pytorch_model.bin.index.json"] {
        put(path);
    }
    put("special_tokens_map.json");
    put("config_sentence_transformers.json");
    hub.put("models/tiny/bert", "main", "merges.txt", Vec::new());
    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
    let read = ["config.json", "config_sentence_transformers.json", "merges.txt", WEIGHTS];
    let expected = [&read[..], &["special_tokens_map.json", "vocab.txt"]].concat();
    assert_eq!(cached(&cache, "models--tiny--bert/snapshots", COMMIT), expected);
}

#[test]
fn weights_in_other_files_are_fetched() {
    let (hub, cache) = place();
    let weights = golden(WEIGHTS);
    let tensors = safetensors::SafeTensors::deserialize(&weights).expect("weights").tensors();
    let mut map = serde_json::Map::new();
    for (number, part) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let shard = format!("model-{number}.safetensors");
        let bytes = safetensors::serialize(part.iter().map(|(name, view)| (name, view)), None).expect("a shard");
        hub.put("models/tiny/shards", "main", &shard, bytes.clone());
        if number == 0 {
            hub.put("models/tiny/half", "main", &shard, bytes);
        }
        map.extend(part.iter().map(|(name, _)| (name.clone(), shard.clone().into())));
    }
    let index = serde_json::json!({ "weight_map": map }).to_string().into_bytes();
    for name in ["models/tiny/shards", "models/tiny/half"] {
        hub.put(name, "main", "model.safetensors.index.json", index.clone());
        hub.put(name, "main", "pytorch_model.bin", b"not read".to_vec());
    }
    hub.put("models/tiny/torch", "main", "pytorch_model.bin", weights);
    hub.put("models/tiny/onnx", "main", "onnx/model.onnx", b"onnx".to_vec());
    for name in ["shards", "half", "torch", "onnx"] {
        put_config(&hub, &format!("models/tiny/{name}"), "main", "");
    }
    hub.put("models/tiny/words", "main", "vocab.txt", b"a".to_vec());
    hub.put("models/tiny/adapter", "main", "adapter_config.json", b"{\"base_model_name_or_path\": \"a/b\"}".to_vec());
    hub.put("models/tiny/adapter", "main", "adapter_model.safetensors", b"{}".to_vec());
    for (name, expected) in [
        ("shards", LOADED),
        ("torch", LOADED),
        ("half", "tiny/half is no directory, and on the hub: has no model-1.safetensors; its files are config.json, "),
        (
            "onnx",
            "has no model.safetensors, nor pytorch_model.bin; its files are config.json, onnx/model.onnx, vocab.txt",
        ),
        ("words", "has no config.json; its files are vocab.txt"),
        ("adapter", "which is \"a/b\""),
    ] {
        let said = child(&format!("tiny/{name}"), &cache, &hub);
        assert!(said.contains(expected), "{name}: {said}");
    }
    assert!(!hub.asked().iter().any(|path| path.contains("shards/resolve") && path.contains("pytorch")));
}

#[test]
fn a_model_of_sentence_transformers_is_fetched_with_its_pooling() {
    let (hub, cache) = place();
    let modules = r#"[{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
    let name = "models/tiny/sentences";
    hub.put(name, "main", "modules.json", modules.into());
    put_config(&hub, name, "main", "0_Transformer/");
    hub.put(name, "main", "0_Transformer/model.safetensors", golden(WEIGHTS));
    hub.put(name, "main", "0_Transformer/sentence_bert_config.json", b"{\"do_lower_case\": false}".to_vec());
    hub.put(name, "main", "1_Pooling/config.json", b"{\"pooling_mode_cls_token\": true}".to_vec());
    hub.put(name, "main", "2_Dense/model.safetensors", b"{}".to_vec());
    hub.put(name, "main", "0_Transformer/pytorch_model.bin", b"{}".to_vec());
    let said = child("tiny/sentences", &cache, &hub);
    assert!(said.contains(LOADED), "{said}");
    let expected = [
        "0_Transformer/config.json",
        "0_Transformer/model.safetensors",
        "0_Transformer/sentence_bert_config.json",
        "0_Transformer/vocab.txt",
        "1_Pooling/config.json",
        "modules.json",
    ];
    assert_eq!(cached(&cache, "models--tiny--sentences/snapshots", COMMIT), expected);
    // Paths that lead out of the repository are not listed.
    hub.put("models/tiny/outside", "main", "modules.json", modules.replace("0_Transformer", "../..").into());
    let said = child("tiny/outside", &cache, &hub);
    assert!(said.contains("has no ../../config.json; its files are modules.json"), "{said}");
}

#[test]
fn a_download_that_differs_from_the_list_stays_nowhere() {
    let checksum = sum(&golden(WEIGHTS));
    let mut other = golden(WEIGHTS);
    other[4] ^= 1;
    let size = other.len();
    for (fault, expected) in [
        (
            Fault::OtherByte,
            format!("model.safetensors has the SHA-256 {}, expected {checksum}: it is deleted", sum(&other)),
        ),
        (
            Fault::Shorter,
            format!("model.safetensors has {} bytes, expected {size}: it is deleted, try again", size - 1),
        ),
        (Fault::EndsEarly, format!("model.safetensors has {} bytes, expected {size}: it is deleted", size / 2)),
        (Fault::CutOff, "model.safetensors could not be fetched: ".into()),
        (Fault::NoJson, "its list of files cannot be read".into()),
        (Fault::PathOutside, "its list of files cannot be read: it has the path \"../../../".into()),
        (Fault::Status(429), "the hub answers 429 for the list of files: too many requests".into()),
    ] {
        let (hub, cache) = place();
        hub.break_with(fault);
        let said = child("tiny/bert", &cache, &hub);
        assert!(said.contains("refused: tiny/bert is no directory, and on the hub: "), "{said}");
        assert!(said.contains(&expected), "{fault:?}: {said}");
        let snapshots = cached(&cache, "models--tiny--bert", "snapshots");
        let blobs = cached(&cache, "models--tiny--bert", "blobs");
        assert!(
            !snapshots.iter().chain(&blobs).any(|path| path.ends_with(WEIGHTS) || *path == checksum),
            "{snapshots:?}"
        );
        // An interrupted download leaves its part, and the next one continues it.
        assert_eq!(blobs.contains(&format!("{checksum}.part")), fault == Fault::CutOff, "{fault:?}: {blobs:?}");
        hub.break_with(Fault::None);
        let said = child("tiny/bert", &cache, &hub);
        assert!(said.contains(LOADED), "after {fault:?}: {said}");
        assert_eq!(
            cached(&cache, "models--tiny--bert", "blobs").iter().filter(|path| path.ends_with("part")).count(),
            0
        );
    }
}

#[test]
fn a_part_is_gone_on_with_whatever_the_hub_makes_of_ranges() {
    let whole = golden(WEIGHTS);
    let wrong = [&whole[..whole.len() / 4], b"wrong"].concat();
    let long = [&whole[..], b"more"].concat();
    for fault in [Fault::None, Fault::NoRanges, Fault::OtherRange] {
        for part in [&whole[..whole.len() / 3], &whole, &long, b""] {
            let (hub, cache) = place();
            hub.break_with(fault);
            let blobs = cache.path().join("hub/models--tiny--bert/blobs");
            std::fs::create_dir_all(&blobs).unwrap();
            std::fs::write(blobs.join(sum(&whole) + ".part"), part).unwrap();
            let said = child("tiny/bert", &cache, &hub);
            assert!(said.contains(LOADED), "{fault:?} after {}: {said}", part.len());
            let asked = hub.asked().iter().filter(|path| path.starts_with("/cdn/")).count();
            let again = usize::from(fault == Fault::OtherRange && part.len() == whole.len() / 3);
            assert_eq!(asked, if part == whole { 0 } else { 1 + again }, "{fault:?} after {}", part.len());
        }
    }
    // A partial file with wrong content fails the checksum. It is deleted, and the next download starts from the
    // beginning.
    let (hub, cache) = place();
    let blobs = cache.path().join("hub/models--tiny--bert/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(sum(&whole) + ".part"), wrong).unwrap();
    assert!(child("tiny/bert", &cache, &hub).contains("model.safetensors has the SHA-256"));
    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
}

#[test]
fn a_file_in_the_cache_is_compared_by_its_size() {
    let (hub, cache) = place();
    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
    let blob = cache.path().join("hub/models--tiny--bert/blobs").join(sum(&golden(WEIGHTS)));
    hub.asked();
    let mut other = golden(WEIGHTS);
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, &other).unwrap();
    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
    assert_eq!(hub.asked().len(), 1, "the list alone");
    std::fs::write(&blob, &other[1..]).unwrap();
    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
    assert_eq!(std::fs::read(&blob).unwrap(), golden(WEIGHTS));
    // The target of the link no longer exists.
    std::fs::remove_file(&blob).unwrap();
    assert!(child("tiny/bert", &cache, &hub).contains(LOADED));
}

#[test]
fn a_list_without_sums_or_sizes_is_enough_for_a_model() {
    for fault in [Fault::NoSums, Fault::NamesAlone] {
        let (hub, cache) = place();
        hub.break_with(fault);
        for _ in 0..2 {
            let said = child("tiny/bert", &cache, &hub);
            assert!(said.contains(LOADED), "{fault:?}: {said}");
        }
        let asked = hub.asked().iter().filter(|path| path.starts_with("/cdn/")).count();
        assert_eq!(asked, 1, "{fault:?}");
    }
}

#[test]
fn a_private_model_wants_a_token() {
    let (hub, cache) = place();
    for status in [401, 403] {
        hub.break_with(Fault::Private(status));
        let said = child("tiny/bert", &cache, &hub);
        let expected =
            format!("the hub answers {status} for the list of files: it is not there, or needs a login (set HF_TOKEN");
        assert!(said.contains(&expected), "{said}");
        let token = format!(" {TOKEN}\n");
        let empty = tempfile::tempdir().unwrap();
        let with = |variables: &[(&str, &str)]| child_with("tiny/bert", empty.path(), &hub.address, variables);
        assert!(with(&[("HF_TOKEN", "wrong")]).contains("set HF_TOKEN"));
        let said = with(&[("HF_TOKEN", "two\nlines")]);
        assert!(said.contains("refused: ") && said.contains("could not be fetched"), "{said}");
        // A login stores its token in a file.
        std::fs::write(empty.path().join("token"), &token).unwrap();
        assert!(with(&[]).contains(LOADED));
        // The repository was renamed, and a mirror redirects to the hub.
        let empty = tempfile::tempdir().unwrap();
        let said = child_with("old/bert", empty.path(), &hub.address, &[("HF_TOKEN", &token)]);
        assert!(said.contains(LOADED), "{said}");
        let mirror = format!("{}/mirror/", hub.address);
        let said = child_with("tiny/bert", empty.path(), &mirror, &[("HF_TOKEN", &token)]);
        assert!(said.contains(LOADED), "{said}");
    }
}

#[test]
fn what_is_in_the_cache_is_loaded_without_the_hub() {
    let (hub, cache) = place();
    hub.tag("models/tiny/bert", "main", "v1.0");
    assert!(child("tiny/bert@v1.0", &cache, &hub).contains(LOADED));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    let offline = [("HF_HUB_OFFLINE", "1")];
    let full = format!("tiny/bert@{COMMIT}");
    for (address, variables) in [(&closed, &[][..]), (&closed, &offline), (&hub.address, &offline)] {
        for name in ["tiny/bert@v1.0", &full] {
            let said = child_with(name, cache.path(), address, variables);
            assert!(said.contains(LOADED), "{name} {variables:?}: {said}");
        }
        let said = child_with("tiny/bert", cache.path(), address, variables);
        let expected = if variables.is_empty() {
            "tiny/bert is no directory, and on the hub: the list of files could not be fetched"
        } else {
            "the list of files is not in the cache, and HF_HUB_OFFLINE says not to ask the hub"
        };
        assert!(said.contains(expected), "{said}");
    }
    // A listed file is missing from the cache.
    let folder = cache.path().join("hub/models--tiny--bert");
    std::fs::remove_file(folder.join("blobs").join(sum(&golden(WEIGHTS)))).unwrap();
    let said = child_with("tiny/bert@v1.0", cache.path(), &closed, &offline);
    assert!(said.contains("model.safetensors is not in the cache, and HF_HUB_OFFLINE says"), "{said}");
    let said = child_with("tiny/bert@v1.0", cache.path(), &closed, &[]);
    assert!(said.contains("model.safetensors could not be fetched"), "{said}");
}

#[test]
fn a_cache_of_the_python_library_is_read_offline() {
    let (hub, cache) = place();
    let folder = cache.path().join("hub/models--tiny--bert");
    let snapshot = folder.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(folder.join("refs/refs/pr")).unwrap();
    for name in ["config.json", WEIGHTS] {
        std::fs::write(snapshot.join(name), golden(name)).unwrap();
    }
    std::fs::write(snapshot.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n").unwrap();
    std::fs::write(folder.join("refs/refs/pr/3"), COMMIT).unwrap();
    let offline = [("HF_HUB_OFFLINE", "1")];
    let full = format!("tiny/bert@{COMMIT}");
    for name in ["tiny/bert@refs/pr/3", &full] {
        let said = child_with(name, cache.path(), &hub.address, &offline);
        assert!(said.contains(LOADED), "{name}: {said}");
    }
    let said = child_with("tiny/bert", cache.path(), &hub.address, &offline);
    assert!(said.contains("the list of files is not in the cache"), "no other revision is taken: {said}");
    // A reference points outside of the cache.
    std::fs::write(folder.join("refs/main"), "../../..").unwrap();
    let said = child_with("tiny/bert", cache.path(), &hub.address, &offline);
    assert!(said.contains("the list of files is not in the cache"), "{said}");
    std::fs::remove_file(snapshot.join(WEIGHTS)).unwrap();
    let said = child_with(&full, cache.path(), &hub.address, &offline);
    assert!(said.contains("the list of files is not in the cache"), "{said}");
    assert_eq!(hub.asked(), Vec::<String>::new());
    // If the hub is available, only missing files are fetched.
    assert!(child(&full, &cache, &hub).contains(LOADED));
    assert_eq!(hub.asked().iter().filter(|path| !path.starts_with("/api/")).count(), 2, "the address and the content");
}

#[test]
fn two_processes_at_once_fetch_a_model_once() {
    let (hub, cache) = place();
    let start = || {
        let mut child = command("tiny/bert", cache.path(), &hub.address, &[]);
        child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("a process")
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(LOADED), "{said}");
    }
    assert_eq!(hub.asked().iter().filter(|path| path.starts_with("/cdn/")).count(), 1);
}
