//! Refusal of directories whose content is not an encoder's weights.

use std::path::Path;

use candle_core::Device;
use dht_transformer::{Encoder, account::Account};
use tempfile::TempDir;

use crate::tiny::{folder, saved, tensors};

/// Reason why a directory is refused. Asserts that its loaders and its account give the same reason.
fn reason(folder: &Path) -> String {
    let refused = Encoder::from_pretrained(folder, &Device::Cpu).expect_err("a refusal").to_string();
    let problems = Account::inspect(folder).expect("a directory").problems;
    let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(listed.contains(&refused), "{refused}: {listed:?}");
    refused
}

fn with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
    folder
}

#[test]
fn a_directory_of_something_else_is_named() {
    let archive = saved(&tensors());
    let cases: [(&str, &[u8], &str); 20] = [
        ("model.onnx", b"\x08\x07", "is a model in ONNX"),
        ("onnx/model_quantized.onnx", b"\x08\x07", "is a model in ONNX"),
        ("lid.176.bin", b"\xba\x16\x4f\x2f\x0c\0\0\0", "is a fastText model"),
        ("model.gguf", b"GGUF\x03\0\0\0", "is a model in GGUF"),
        ("ggml-model-q4_0.bin", b"GGUF\x03\0\0\0", "is a model in GGUF"),
        ("tf_model.h5", b"\x89HDF\r\n\x1a\n", "from_tf=True"),
        ("tf_model.h5", b"?", "has weights of TensorFlow"),
        ("saved_model.pb", b"\x08\x01", "is a model of TensorFlow"),
        ("bert_model.ckpt.index", b"?", "is a checkpoint of TensorFlow"),
        ("flax_model.msgpack", b"\x82", "has weights of Flax"),
        ("rust_model.ot", b"?", "has weights of rust-bert"),
        ("openvino/openvino_model.xml", b"<", "is a model of OpenVINO"),
        ("model.fp16.safetensors", b"?", "call it model.safetensors"),
        ("model-00001-of-00002.safetensors", b"?", "copy model.safetensors.index.json"),
        ("pytorch_model-00001-of-00002.bin", &archive, "copy pytorch_model.bin.index.json"),
        ("best.pt", &archive, "call it pytorch_model.bin"),
        ("epoch=3.ckpt", &archive, "call it pytorch_model.bin"),
        ("zero_to_fp32.py", b"import torch", "run it, it writes the weights as one"),
        ("pytorch_model_fsdp_0/__0_0.distcp", b"?", "accelerate merge-weights"),
        ("old.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch before 1.6"),
    ];
    for (name, bytes, part) in cases {
        let bare = with(&[(name, bytes)]);
        let refused = reason(bare.path());
        assert!(
            refused.contains(name.split('/').next().unwrap_or_default()) && refused.contains(part),
            "{name}: {refused}"
        );
        assert_eq!(Account::inspect(bare.path()).expect("a directory").problems.len(), 1, "{name}");
        // The file is refused beside a configuration, too.
        if !name.contains('/') {
            let described = folder(&[(name, bytes)]);
            assert!(reason(described.path()).contains(part), "{name}");
        }
    }
}

#[test]
fn a_trainers_directory_names_its_newest_checkpoint() {
    let weights: &[u8] = &saved(&tensors());
    let run = with(&[
        ("checkpoint-500/pytorch_model.bin", weights),
        ("checkpoint-1500/pytorch_model.bin", weights),
        ("checkpoint-90/pytorch_model.bin", weights),
        // A checkpoint that was interrupted while it was written.
        ("checkpoint-2000/trainer_state.json", b"{}"),
        ("training_args.bin", weights),
    ]);
    let refused = reason(run.path());
    assert!(refused.contains("has training checkpoints") && refused.ends_with("checkpoint-1500"), "{refused}");
    // A model beside its checkpoints is read.
    let model = folder(&[("pytorch_model.bin", weights)]);
    std::fs::create_dir(model.path().join("checkpoint-500")).expect("a folder");
    assert!(Encoder::from_pretrained(model.path(), &Device::Cpu).is_ok());
}

#[test]
fn an_adapter_names_the_model_that_it_changes() {
    let settings = br#"{"base_model_name_or_path": "bert-base-uncased", "peft_type": "LORA"}"#;
    let adapter = with(&[("adapter_config.json", settings), ("adapter_model.safetensors", b"?")]);
    let refused = reason(adapter.path());
    assert!(refused.contains("adapter_config.json") && refused.contains("merge_and_unload"), "{refused}");
    assert!(refused.contains("bert-base-uncased"), "{refused}");
}

/// A directory that is empty, or has only the state of an optimiser, holds no model.
#[test]
fn a_directory_of_nothing_lacks_its_configuration() {
    let archive: &[u8] = &saved(&tensors());
    for files in [&[][..], &[("training_args.bin", archive), ("optimizer.pt", archive), ("notes.txt", b"mine")]] {
        let refused = reason(with(files).path());
        assert!(refused.contains("config.json"), "{refused}");
    }
}
