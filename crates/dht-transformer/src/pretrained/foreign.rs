//! Detection of model directories in formats that this crate does not read, with advice how to convert them.

use std::path::Path;

use super::content::Content;
use super::weights::weights_path;
use crate::error::Error;
use crate::storage::entry_names;

const SAVE_AGAIN: &str = "and save it by save_pretrained with safe_serialization=True, which writes model.safetensors";

/// Endings of file names that other programs write, each with a description and advice how to load the model.
const OTHERS: [(&str, &str, &str); 9] = [
    (".onnx", "is a model in ONNX", ORIGINAL),
    (".gguf", "is a model in GGUF, as llama.cpp reads it", ORIGINAL),
    (".h5", "has weights of TensorFlow", TENSORFLOW),
    (".keras", "has weights of Keras", TENSORFLOW),
    ("saved_model.pb", "is a model of TensorFlow", ORIGINAL),
    (".ckpt.index", "is a checkpoint of TensorFlow", TENSORFLOW),
    (".msgpack", "has weights of Flax", "load it in transformers 4 with from_flax=True"),
    (".ot", "has weights of rust-bert", ORIGINAL),
    ("openvino_model.xml", "is a model of OpenVINO", ORIGINAL),
];
const ORIGINAL: &str = "load the model that it was made from in transformers";
const TENSORFLOW: &str = "load it in transformers 4 with from_tf=True";

/// Prefixes of file names that indicate partial weights, each with advice how to merge them.
const PARTS: [(&str, &str); 2] = [
    (
        "zero_to_fp32.py",
        "belongs to a checkpoint of DeepSpeed, whose parts are not read: run it, it writes the weights as one",
    ),
    ("pytorch_model_fsdp_", "has parts of weights, which are not read: join them by `accelerate merge-weights`"),
];

/// Usual endings of files that `torch.save` writes.
const TORCH: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];

/// Describes the model in a directory that has no weights in a supported format, and gives advice. `None` if the
/// directory contains no known model. `names` are the entries of the directory.
pub(super) fn foreign_model(folder: &Path, names: &[String]) -> Option<Error> {
    let refuse = |name: &str, reason: String| Some(Error::Unsupported { path: folder.join(name), item: None, reason });
    let own = |name: &&String| !name.starts_with("adapter");
    // The same under another name.
    if let Some(name) = names.iter().filter(own).find(|name| name.ends_with(".safetensors")) {
        if name.contains("-of-") {
            let reason =
                "is a shard, and the index of the shards is missing: copy model.safetensors.index.json beside it";
            return refuse(name, reason.into());
        }
        return refuse(name, "is not read under this name: call it model.safetensors if it has all weights".into());
    }
    if let Some(newest) = newest_checkpoint(folder, names) {
        let path = folder.join(newest);
        let reason = format!("has training checkpoints and no model of its own: use the newest, {}", path.display());
        return Some(Error::Unsupported { path: folder.into(), item: None, reason });
    }
    for name in names {
        if let Some((_, reason)) = PARTS.iter().find(|(start, _)| name.starts_with(start)) {
            return refuse(name, (*reason).into());
        }
    }
    // Where each file is described by its content, the ending does not matter.
    for name in names.iter().filter(own) {
        if let Some(reason) = Content::of_path(&folder.join(name)).refusal().filter(|_| !is_state(name)) {
            return refuse(name, reason.into());
        }
    }
    let is_torch = |name: &&String| {
        TORCH.iter().any(|ending| name.ends_with(ending))
            && !is_state(name)
            && Content::of_path(&folder.join(name)) == Content::Zip
    };
    if let Some(name) = names.iter().filter(own).find(is_torch) {
        if name.contains("-of-") {
            let reason =
                "is a shard, and the index of the shards is missing: copy pytorch_model.bin.index.json beside it";
            return refuse(name, reason.into());
        }
        let reason = "is not read under this name: call it pytorch_model.bin if it is a state dict with all weights";
        return refuse(name, reason.into());
    }
    let inner = ["onnx", "openvino"].map(|inner| (inner, entry_names(&folder.join(inner))));
    let inner = inner.iter().filter_map(|(inner, names)| Some((inner, names.as_ref().ok()?)));
    let inner = inner.flat_map(|(inner, names)| names.iter().map(move |name| format!("{inner}/{name}")));
    for name in names.iter().cloned().chain(inner) {
        if let Some((_, what, load)) = OTHERS.iter().find(|(ending, ..)| name.ends_with(ending)) {
            return refuse(&name, format!("{what}, which is not read: {load}, {SAVE_AGAIN}"));
        }
    }
    None
}

/// Returns whether a file stores the state of a training run, such as an optimiser, and no weights.
fn is_state(name: &str) -> bool {
    ["training_args", "optimizer", "scheduler", "scaler", "rng_state"].iter().any(|start| name.starts_with(start))
}

/// Finds the subdirectory `checkpoint-N` with the largest N. Subdirectories with weights take precedence.
fn newest_checkpoint<'a>(folder: &Path, names: &'a [String]) -> Option<&'a String> {
    let number = |name: &String| name.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let checkpoints =
        names.iter().filter_map(|name| Some((weights_path(&folder.join(name)).is_some(), number(name)?, name)));
    checkpoints.max().map(|(.., name)| name)
}
