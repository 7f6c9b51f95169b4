//! Refusal of shards that do not fit their index.

use std::path::Path;

use dht_transformer::pretrained::PretrainedWeights;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tiny::{Tensors, folder, index, parted, tensors, write_shards};

const INDEX: &str = "model.safetensors.index.json";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

fn sharded() -> TempDir {
    let folder = folder(&[]);
    write_shards(folder.path(), &tensors(), 2, "model", "safetensors");
    folder
}

fn refusal(folder: &Path) -> String {
    let error = PretrainedWeights::read(folder).expect_err("a refusal");
    assert!(!matches!(error, dht_transformer::Error::Custom(_) | dht_transformer::Error::Candle(_)), "{error:?}");
    error.to_string()
}

fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join(INDEX);
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).expect("an index")).expect("JSON");
    change(&mut value["weight_map"]);
    std::fs::write(path, value.to_string()).expect("an index");
}

fn write(folder: &Path, name: &str, tensors: &Tensors) {
    std::fs::write(folder.join(name), safetensors::serialize(tensors, None).expect("tensors")).expect("a shard");
}

#[test]
fn a_missing_shard_is_named() {
    let folder = sharded();
    std::fs::remove_file(folder.path().join(SECOND)).expect("a shard");
    let refused = refusal(folder.path());
    assert!(refused.contains(INDEX) && refused.contains(SECOND) && refused.contains("copy it beside"), "{refused}");
}

#[test]
fn an_index_cannot_name_files_outside_its_directory() {
    let outside = sharded();
    let inside = sharded();
    std::fs::create_dir(inside.path().join("sub")).expect("a folder");
    std::fs::copy(inside.path().join(SECOND), inside.path().join("sub").join(SECOND)).expect("a copy");
    for shard in [
        outside.path().join(SECOND).display().to_string(),
        format!("../{SECOND}"),
        format!("sub/{SECOND}"),
        format!("./{SECOND}"),
        format!("sub\\{SECOND}"),
        "..".into(),
        ".".into(),
        String::new(),
    ] {
        edit(inside.path(), |map| map["embeddings.LayerNorm.bias"] = json!(shard));
        let refused = refusal(inside.path());
        assert!(refused.contains("a file beside the index"), "{shard}: {refused}");
        assert!(refused.contains("embeddings.LayerNorm.bias"), "{shard}: {refused}");
    }
}

#[cfg(unix)]
#[test]
fn a_shard_is_a_regular_file() {
    for kind in ["directory", "pipe", "link to nothing"] {
        let folder = sharded();
        let path = folder.path().join(SECOND);
        std::fs::remove_file(&path).expect("a shard");
        match kind {
            "directory" => std::fs::create_dir(&path).expect("a folder"),
            "pipe" => assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success()),
            _ => std::os::unix::fs::symlink("/nowhere/at/all", &path).expect("a link"),
        }
        assert!(refusal(folder.path()).contains(SECOND), "{kind}");
    }
    // The cache of `huggingface_hub` stores files as links.
    let (folder, blobs) = (sharded(), tempfile::tempdir().expect("a folder"));
    std::fs::rename(folder.path().join(SECOND), blobs.path().join("sum")).expect("a blob");
    std::os::unix::fs::symlink(blobs.path().join("sum"), folder.path().join(SECOND)).expect("a link");
    assert!(PretrainedWeights::read(folder.path()).is_ok());
}

#[test]
fn a_tensor_is_in_the_shard_of_the_index_and_no_other() {
    let folder = sharded();
    let bias = "embeddings.LayerNorm.bias";
    edit(folder.path(), |map| map[bias] = json!(SECOND));
    let refused = refusal(folder.path());
    assert!(
        refused.contains(bias) && refused.contains(&format!("{SECOND:?} by the index, and in {FIRST:?}")),
        "{refused}"
    );
    edit(folder.path(), |map| {
        map[bias] = json!(FIRST);
        map["not.there"] = json!(FIRST);
    });
    let refused = refusal(folder.path());
    assert!(refused.contains("not.there") && refused.contains("and in no shard"), "{refused}");
    // Both shards contain the tensor.
    let folder = sharded();
    let parts = parted(&tensors(), 2);
    let mut second = parts[1].clone();
    second.insert(bias.into(), parts[0][bias].clone());
    write(folder.path(), SECOND, &second);
    let refused = refusal(folder.path());
    assert!(refused.contains(bias) && refused.contains("is also in the shard"), "{refused}");
}

/// Old programs list some tensors only in their shards.
#[test]
fn a_tensor_that_the_index_leaves_out_is_read() {
    let folder = sharded();
    edit(folder.path(), |map| drop(map.as_object_mut().expect("a map").remove("embeddings.LayerNorm.bias")));
    assert!(PretrainedWeights::read(folder.path()).is_ok());
}

#[test]
fn a_shard_with_a_wrong_size_is_refused() {
    let folder = sharded();
    let path = folder.path().join(SECOND);
    let bytes = std::fs::read(&path).expect("a shard");
    for cut in [0, 4, 8, 200, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).expect("a shard");
        assert!(refusal(folder.path()).contains(SECOND), "{cut}");
    }
    std::fs::write(&path, [&*bytes, b"more"].concat()).expect("a shard");
    assert!(refusal(folder.path()).contains("4 bytes after the last tensor"));
}

#[test]
fn an_index_that_is_none_is_refused() {
    let whole = index([("t", FIRST), ("s", SECOND)]);
    let twice =
        br#"{"weight_map": {"t": "model-00001-of-00002.safetensors", "t": "model-00002-of-00002.safetensors"}}"#;
    for (text, part) in [
        (&b"{}"[..], "missing field `weight_map`"),
        (b"[1]", INDEX),
        (b"{\"weight_map\": [\"t\"]}", "an object of tensors"),
        (b"{\"weight_map\": {\"t\": 3}}", "invalid type: integer"),
        (b"{\"weight_map\": {}}", "has no tensors"),
        (twice, "\"t\": comes twice"),
        (&whole[..40], "EOF"),
    ] {
        let folder = sharded();
        std::fs::write(folder.path().join(INDEX), text).expect("an index");
        let refused = refusal(folder.path());
        assert!(refused.contains(INDEX) && refused.contains(part), "{}: {refused}", String::from_utf8_lossy(text));
    }
}

#[test]
fn many_shards_of_one_tensor_each_are_read() {
    let folder = folder(&[]);
    write_shards(folder.path(), &tensors(), 1000, "pytorch_model", "bin");
    assert_eq!(PretrainedWeights::read(folder.path()).expect("weights").tensors.len(), tensors().len());
}
